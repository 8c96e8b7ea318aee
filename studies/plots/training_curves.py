"""Validation accuracy during training, by size and by backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from studies.plots.style import legend_below, new_axes, short, styles, tidy

_BACKEND_LOOKS = {"tensorflow": ("-", 4.5, 0.35), "jax": ("--", 2.2, 0.95), "torch": (":", 2.2, 1)}


def training_curves(
    records: Sequence[Mapping[str, Any]],
    size: int,
    models: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws validation accuracy against the step at one size, one line a seed, coloured by model.

    Args:
        records: finished trials' records with model, size, seed and history (a list of dicts with
            step and val_top1).
        size: number of training images.
        models: names in the order that decides their looks; None takes the records'.
        ax: draws here; None makes a new figure.

    Returns:
        The Axes.
    """
    ax = new_axes() if ax is None else ax
    chosen = [record for record in records if record.get("size") == size]
    models = list(dict.fromkeys(r["model"] for r in records)) if models is None else list(models)
    looks = styles(models)
    for model in models:
        look, named = looks[model], False
        for record in chosen:
            steps, accuracy = _history(record)
            if record["model"] != model or not len(steps):
                continue
            ax.plot(
                steps, accuracy, linestyle=look.line, color=look.colour, linewidth=1.3, alpha=0.75,
                label=None if named else model,
            )  # fmt: skip
            named = True
    _finish(ax, f"{short(size)} training images")
    legend_below(ax)
    return ax


def backend_curves(
    records: Sequence[Mapping[str, Any]], model: str, size: int, seed: int, ax: Axes | None = None
) -> Axes:
    """Draws the same trial's validation accuracy on all backends, one curve on top of the other.

    Args:
        records: finished trials' records with model, size, seed, backend, history and metrics.
        model, size, seed: which trial.
        ax: draws here; None makes a new figure.
    """
    ax = new_axes() if ax is None else ax
    chosen = [r for r in records if (r["model"], r["size"], r["seed"]) == (model, size, seed)]
    colours = styles(list(_BACKEND_LOOKS))
    for record in sorted(chosen, key=lambda r: list(_BACKEND_LOOKS).index(r["backend"])):
        line, width, alpha = _BACKEND_LOOKS[record["backend"]]
        steps, accuracy = _history(record)
        end = (record.get("metrics") or {}).get("test_top1")
        label = record["backend"] + ("" if end is None else f" (test {100 * end:.2f} %)")
        ax.plot(
            steps, accuracy, linestyle=line, linewidth=width, alpha=alpha,
            color=colours[record["backend"]].colour, label=label,
        )  # fmt: skip
    _finish(ax, f"{model}, {short(size)} training images, seed {seed}")
    legend_below(ax, handlelength=3.5)
    return ax


def _history(record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    points = [
        (entry["step"], entry["val_top1"])
        for entry in record.get("history") or []
        if entry.get("step") is not None and entry.get("val_top1") is not None
    ]
    array = np.array(points, dtype=float).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _finish(ax: Axes, title: str) -> None:
    tidy(ax)
    ax.set_title(title, fontsize=11)
    ax.set_xlabel("training step", fontsize=11)
    ax.set_ylabel("validation accuracy (%)", fontsize=11)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g}"))
