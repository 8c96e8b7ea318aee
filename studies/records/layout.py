"""Where outcomes lie in a results folder; it loads nothing, for those who only ask."""

from __future__ import annotations

from pathlib import Path

OUTCOMES = "outcomes"  # the folder


def outcomes_path(folder: Path, trial_id: str) -> Path:
    """Where the outcomes of a trial lie in a results folder."""
    return folder / OUTCOMES / f"{trial_id}.npz"
