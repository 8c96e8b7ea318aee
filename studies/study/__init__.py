"""Studies and trials as validated data, and the files that hold them."""
