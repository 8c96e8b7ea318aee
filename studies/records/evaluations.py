"""What further evaluations measured: a frame of their own, one row a record."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from studies.records.axis import COMPUTE, IMAGES, compute_of
from studies.records.frames import Results

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("evaluation", "arm", "curve", "size", "x", "seed", "backend")
_OF_A_HEAD = re.compile(r"_\d+_\d+$")  # of a block, and of a head in it: too many for a figure


def evaluations_frame(results: Results) -> pd.DataFrame:
    """One row a record of a further evaluation.

    Columns:
        `evaluation`, its name; `arm`; `curve`, the arm less what the axis is; `size`, the number of
        training images, NaN where the pre-trained model was evaluated; `x`, the place on the study's axis
        (NaN: nowhere); `seed`; `backend`; and every metric, NaN where an evaluation does not have it:
        accuracies are shares in [0, 1], distances of attention pixels.

    Example:
        >>> evaluations = evaluations_frame(read_results("runs/transfer"))
        >>> evaluations.groupby(["arm", "size"])["probe_top1"].mean()
    """
    import pandas as pd

    rows = []
    for r in results.extras:
        place = results.axis.place(results.arms[r["model"]], r["size"], compute_of(r))
        size, x = float(r["size"]), place.x
        entry = results.study.evaluations.get(r["evaluation"])
        if entry is not None and entry.of == "pretraining":  # its images are not the study's
            size, x = math.nan, math.nan if results.axis.name in (IMAGES, COMPUTE) else x
        keys = (r["evaluation"], r["model"], place.curve, size, x, r["seed"], r["backend"])
        rows.append(dict(zip(KEYS, keys, strict=True)) | (r.get("metrics") or {}))
    frame = pd.DataFrame(rows, columns=None if rows else list(KEYS))
    for metric in metrics_of(frame):
        frame[metric] = pd.to_numeric(frame[metric], errors="coerce")
    return frame


def metrics_of(frame: pd.DataFrame, evaluation: str | None = None) -> list[str]:
    """Names of the metrics of an evaluation, or of all, in their order."""
    mine = frame if evaluation is None else frame[frame["evaluation"] == evaluation]
    return [
        c for c in frame.columns if c not in KEYS and (evaluation is None or mine[c].notna().any())
    ]


def shown(metrics: Sequence[str]) -> list[str]:
    """Those that a report shows: single heads of attention stand in the table's file alone."""
    return [metric for metric in metrics if not _OF_A_HEAD.search(metric)]
