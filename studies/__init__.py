"""The study application: ``vit-studies``, or ``python -m studies``.

It trains the models of ``keras_vit`` on growing subsets of a data set and says what the data buys.
Only a trial's own process loads a Keras backend; importing this package loads nothing. For plots and
tables of one's own it gives a results folder as pandas frames:

    >>> from studies import read_results, trials_frame
    >>> trials_frame(read_results("runs/data-scale"))
"""

import importlib
from typing import Any

_HOMES = {
    "read_results": "records.frames",
    "summary_frame": "records.frames",
    "trials_frame": "records.by_trial",
    "history_frame": "records.by_trial",
    "outcomes_frame": "records.by_trial",
    "evaluations_frame": "records.evaluations",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'studies' has no attribute {name!r}")
    return getattr(importlib.import_module(f"studies.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
