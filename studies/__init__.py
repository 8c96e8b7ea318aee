"""Studies: learning curves, scaling laws and crossing points, run with `python -m studies`."""
