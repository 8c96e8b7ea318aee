"""The append-only records of trials, and the frames made of them."""
