"""Frames or arrays in, matplotlib Axes out; no global state is read or changed."""
