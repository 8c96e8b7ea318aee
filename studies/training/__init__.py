"""Training of one trial: the recipe, the checkpoint and the loop that can be killed at any moment."""
