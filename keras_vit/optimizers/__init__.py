"""Optimizers: with rates by weight, and Adam in one kernel."""
