"""A results folder as plain pandas frames, for plots and tables of one's own.

Accuracies are shares in [0, 1], losses are in nats, sizes count images. All frames have the columns
`trial_id`, `model`, `size` (training images), `seed` and `backend`, so that they can be joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from studies.analysis.outcomes import FIELDS
from studies.records.store import History

if TYPE_CHECKING:
    from studies.records.frames import Record, Results

KEYS = ["trial_id", "model", "size", "seed", "backend"]
_GROUPS = ("levels", "pretraining", "finetuning")  # of a record, spread over columns
_PASSES = 3  # of a training step, forward and backward, in forward ones


def trials_frame(results: Results) -> pd.DataFrame:
    """One row a trial: finished ones in the study's order, further evaluations, failed ones.

    Columns:
        `trial_id`, `model`, `size`, `seed`, `backend`; `status`, done or failed, and `reason`; `study`.
        `base`, the published model; `base_model`, the study's entry, without levels of factors
        (`model` is the arm);
        `objective` of the training; `dataset` and its `num_classes`; `evaluation`, the standard one or
        another's name.
        `pretrain_id`, of the training whose weights are evaluated, the same for all evaluations of it;
        `weights_sha256`, the digest of these weights, the same where all their bits are.
        `test_top1`, `test_balanced`, `val_top1`, `fewshot_5` and such, accuracies; `test_loss`,
        `val_loss`, nats; and all numbers of other evaluations.
        `best_step`, whose weights were kept, of `steps`; `batch_size`, images a step; `images_seen`;
        `learning_rate`, where several were tried the one that counts, whose images and compute these are
        (`seconds` are those of all).
        `flops`, forward, of one image, a multiply-add as two; `compute`, three times that for each
        image seen, all trainings of a chain together; `params`, number of weights.
        `seconds`, of the whole trial; `images_per_second`, in training; `waiting`, the share of its time
        that a training waited for images; `peak_memory`, bytes, the most that the process took (an
        accelerator's are not in it); `processes`, how many trained it, one after the other.
        `device`, its name; `device_count`, how many a step is shared among, `model_parallel`, of how many
        each has a part of the weights alone, and `device_processes`, with a process each, or 1; `threads`
        of a device and `cores` of the trial; `log`, its file, relative to the folder; `commit`, and a
        column a package's version, such as `version.keras`.
        Where there are such: `levels.NAME`, the level of a factor; of what was trained before
        `pretraining.training_id`, `pretraining.dataset`, `pretraining.size` (images),
        `pretraining.objective`, `pretraining.steps` and `pretraining.weights`, a name or file where
        they were given; `finetuning.method`, and `finetuning.lora_rank` of low-rank updates.

    Example:
        >>> trials = trials_frame(read_results("runs/data-scale"))
        >>> trials.groupby(["model", "size"])["test_top1"].mean()
    """
    rows = [_row(record) for record in [*results.done, *results.extras, *results.failed]]
    frame = pd.DataFrame(rows)
    for column in [*KEYS, "status"]:
        if column not in frame:
            frame[column] = pd.Series(dtype=object)
    first = [*KEYS, "status"]
    return frame[[*first, *(c for c in frame if c not in first)]]


def history_frame(results: Results) -> pd.DataFrame:
    """One row a validation of a finished trial, in the order of its steps.

    Columns:
        `trial_id`, `model`, `size`, `seed`, `backend`; `step`, optimizer steps so far; `epoch`, the
        number of the validation, from 1; `images_seen` until then; `loss` (nats) and `top1`, means over the
        training steps since the last one; `val_loss` (nats) and `val_top1`, on the validation images.

    Example:
        >>> history = history_frame(read_results("runs/data-scale"))
        >>> history.groupby(["model", "step"])["val_top1"].mean().unstack(0).plot()
    """
    rows = [
        {
            **{key: record[key] for key in KEYS},
            **entry,
            "images_seen": entry["step"] * record["batch_size"],
        }
        for record in results.done
        for entry in record.get("history") or ()
    ]
    columns = [*KEYS, "step", "epoch", "images_seen", "loss", "top1", "val_loss", "val_top1"]
    frame = pd.DataFrame(rows, columns=None if rows else columns)
    return frame[[*columns, *(c for c in frame if c not in columns)]]


def outcomes_frame(
    results: Results, model: str | None = None, size: int | None = None
) -> pd.DataFrame:
    """One row a test image and finished trial that kept its outcomes.

    Args:
        results: of a folder.
        model, size: of these trials alone; all of them make as many rows as there are trials times test
            images.

    Columns:
        `trial_id`, `model`, `size`, `seed`, `backend`; `image`, its number in the data set, the same in
        all trials; `group`, a number that images share which belong together; `label`
        and `predicted`, classes by name, or by number where names are not known; `correct`;
        `confidence`, the probability that the model gave to its prediction, and `label_probability`, the
        one that it gave to the label, both in [0, 1].

    Example:
        >>> said = outcomes_frame(read_results("runs/data-scale"), model="vit-s")
        >>> said.groupby("image")["correct"].mean().nsmallest(20)  # the hardest images
    """
    parts = []
    for record in results.done:
        if results.outcomes is None or model not in (None, record["model"]):
            continue
        if size not in (None, record["size"]):
            continue
        said = results.outcomes.of(record["trial_id"])
        if said is not None:
            arrays = {name: getattr(said, name) for name in FIELDS}
            part = pd.DataFrame({**{key: record[key] for key in KEYS}, **arrays})
            parts.append(part.assign(correct=said.correct))
    columns = [*KEYS, "image", "group", "label", "predicted", "correct"]
    columns += ["confidence", "label_probability"]
    if not parts:
        return pd.DataFrame(columns=columns)
    frame = pd.concat(parts, ignore_index=True)[columns]
    names = results.study.data.class_names if results.study.data else ()
    if names:
        dtype = pd.CategoricalDtype(list(names))
        for column in ("label", "predicted"):
            frame[column] = pd.Categorical.from_codes(frame[column], dtype=dtype)
    return frame


def _row(record: Record) -> dict[str, Any]:
    """A record without its lists, what lies in it spread over columns."""
    row = {
        key: value for key, value in record.items() if not isinstance(value, dict | list | History)
    }
    row.pop("schema", None)
    row.setdefault("evaluation", "standard")
    row.update(record.get("metrics") or {})
    for group in _GROUPS:
        inside = record.get(group) or {}
        row.pop(group, None)
        row |= {f"{group}.{key}": value for key, value in inside.items()}
    row |= {
        f"version.{package}": number for package, number in (record.get("versions") or {}).items()
    }
    if record.get("steps") and record.get("batch_size"):
        row.setdefault("images_seen", record["steps"] * record["batch_size"])
    if record.get("flops") and row.get("images_seen") is not None:
        row.setdefault("compute", _PASSES * record["flops"] * row["images_seen"])
    return row
