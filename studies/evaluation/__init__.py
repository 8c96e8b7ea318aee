"""What a trained model is worth: one evaluation a file, arrays in, numbers out."""
