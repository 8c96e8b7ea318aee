"""The decision within a budget of time: which trials are run, in which order, and what they answer."""
