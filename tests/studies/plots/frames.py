"""Frames as the figures take them, from synthetic records."""

import io

import numpy as np
import pandas as pd


def frame_of(records):
    """One row a record, with its metrics."""
    return pd.DataFrame(
        [
            {key: r[key] for key in ("model", "size", "seed", "backend")} | r["metrics"]
            for r in records
        ]
    )


def means_and_seeds(frame, metric="test_top1"):
    """Means with intervals of two standard deviations, and the single values."""
    seeds = frame[["model", "size", "seed"]].assign(value=frame[metric])
    groups = seeds.groupby(["model", "size"])["value"]
    means = groups.agg(mean="mean", sd="std").reset_index()
    means["low"], means["high"] = means["mean"] - 2 * means["sd"], means["mean"] + 2 * means["sd"]
    return means, seeds


class PowerLaw:
    """A law as figures see it: error = b x^-c, its interval a tenth of it on both sides."""

    def __init__(self, b, c):
        self.b, self.c = b, c

    def predict(self, sizes):
        return self.b * np.asarray(sizes, float) ** -self.c

    def mean_interval(self, sizes, level):
        return 0.9 * self.predict(sizes), 1.1 * self.predict(sizes)

    def summary(self):
        return f"error = {self.b} x^-{self.c}"


LAWS = {"vit-s": PowerLaw(4.5, 0.36), "bit-s": PowerLaw(2.2, 0.28)}  # those of the records


def drawn(ax):
    """Renders the figure: what cannot be drawn fails here. Returns its visible texts."""
    ax.figure.savefig(io.BytesIO(), format="png")
    legend = ax.get_legend()
    return [text.get_text() for text in [*ax.texts, *(legend.get_texts() if legend else [])]]
