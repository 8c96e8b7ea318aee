"""Where a report's numbers come from: data, recipe, models, state, machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from studies.records.frames import Results
from studies.report.evidence import Evidence
from studies.report.markup import code, plain
from studies.report.numbers import POINTS
from studies.report.tables import markdown_table
from studies.running.estimate import duration
from studies.study.chain import FINETUNING
from studies.study.recipe import Recipe

OPTIMIZERS = {"adamw": "Adam", "sgd": "SGD with momentum"}
WAITING = 0.05  # share of training time from which on it is told

_MOST_MODELS = 12  # that are named
_MOST_FAILED = 20  # trials, or lines passed over, that are told one by one


def what_was_trained(results: Results, evidence: Evidence) -> str:
    """Data, recipe and models."""
    study, data, recipe = results.study, results.study.data, results.study.recipe
    lines = ["## What was trained", ""]
    lines.append(
        f"- Data: {plain(study.data_title)}, images {results.shape_text} (height x width x channels)"
    )
    if data:
        counts = ", ".join(f"{count:,} {split}" for split, count in data.counts.items())
        lines[-1] += f", {data.num_classes} classes; {counts or 'splits unknown'}."
        lines.append(f"- Fingerprint of the images: `{data.fingerprint}`.")
    sizes = ", ".join(f"{size:,}" for size in results.sizes)
    whose = "all seeds'" if results.one_draw else "each seed's own"
    lines.append(
        f"- Training images: {sizes}; nested, stratified subsets, {whose}, the same for all models; "
        f"{results.seeds} seed{'' if results.seeds == 1 else 's'}; {', '.join(study.backends)}."
    )
    if data and data.counts.get("validation") and results.sizes:
        lines.append(
            f"- {results.sizes[0]:,} training images means these and the {data.counts['validation']:,} "
            f"validation images, which chose the step whose weights were kept; so for every size."
        )
    lines.append(
        f"- Recipe, the same for every size: {_steps(results)} of batches of "
        f"{recipe.batch_size}, {OPTIMIZERS[recipe.optimizer]} (learning rate {recipe.learning_rate:g}, "
        f"decoupled weight decay {recipe.weight_decay:g} x learning rate), "
        f"{100 * recipe.warmup_fraction:g} % linear warmup, {recipe.schedule} decay, gradients clipped at "
        f"{recipe.clip_norm:g}, label smoothing {recipe.label_smoothing:g}, augmentation "
        f"{augmentation(recipe)}, {recipe.dtype}; best of {recipe.validations} validations kept."
    )
    lines += _chain(results)
    rows = [["model", "base", "changed", "MFLOPs an image", "parameters", "own recipe"]]
    for name, arm in results.arms.items():
        entry = arm.arm.entry
        own = {"learning rate": entry.learning_rate, "weight decay": entry.weight_decay}
        rows.append(
            [
                name,
                entry.base,
                ", ".join(f"{key}={value}" for key, value in entry.overrides.items()) or "-",
                _scaled(results.flops[name], 1e6, ".1f"),
                _scaled(results.params[name], 1, ",.0f"),
                ", ".join(f"{key} {value:g}" for key, value in own.items() if value) or "-",
            ]
        )
    lines += ["", markdown_table(rows), ""]
    lines += [f"- {_matched(results, duel.a, duel.b)}" for duel in evidence.answer.duels]
    return "\n".join(lines).rstrip()


def _chain(results: Results) -> list[str]:
    """What was trained before, how it goes on, and what the factors change."""
    study = results.study
    lines = []
    before = study.pretraining
    if before is not None:
        data = before.dataset or study.data_title
        size = f" at {before.image_size} pixels" if before.image_size else ""
        numbers = before.sizes if before.sizes == "all" else [f"{n:,}" for n in before.sizes]
        many = "all" if numbers == "all" else ", ".join(numbers)
        what = before.objective.replace("_", " ")
        if before.weights is not None:
            lines.append(f"- Before: the weights {plain(before.weights)}.")
        else:
            lines.append(
                f"- Before: a pre-training ({what}) on {plain(data)}{size}, {many} images"
                f"{_changed(before.recipe)}."
            )
        after = study.finetuning
        rates = {**FINETUNING, **after.recipe}["learning_rates"]
        tried = ", ".join(f"{rate:g}" for rate in rates)
        lines.append(
            f"- Then: fine-tuning ({after.method.replace('_', ' ')}), by default with SGD, momentum and "
            f"no weight decay, of the learning rates {tried} the best on the validation images"
            f"{_changed(after.recipe)}. Images seen and compute are those of the best one alone."
        )
    for factor, levels in study.factors.items():
        told = [
            f"{name}{_changed(level.model_dump(exclude_defaults=True)) or ' (as above)'}"
            for name, level in levels.items()
        ]
        lines.append(f"- Factor {plain(factor)}: {plain('; '.join(told))}.")
    return lines


def _changed(fields: Mapping[str, Any]) -> str:
    """Fields and their values in brackets; tables within a table by their own fields."""
    flat = [
        f"{inner}={value}"
        for outer, table in fields.items()
        for inner, value in (table.items() if isinstance(table, dict) else [(outer, table)])
    ]
    return f" ({', '.join(flat)})" if flat else ""


def state(results: Results) -> str:
    """What is missing, failed or left out; nothing where all is well."""
    lines = []
    left = results.planned - results.finished - len(results.failed)
    if left or results.failed or results.problems or results.foreign:
        lines += [
            "## State",
            "",
            f"{results.finished} of {results.planned} trials finished, {len(results.failed)} "
            f"failed, {left} to come.",
        ]
    if results.failed:
        lines += ["", "Failed trials are in none of the numbers above:", ""]
    for r in results.failed[:_MOST_FAILED]:
        reason = " ".join(str(r.get("reason") or "no reason recorded").split())
        lines.append(
            f"- {plain(r['model'])}, size {r['size']:,}, seed {r['seed']}, {r['backend']}: {plain(reason)}"
        )
    if len(results.failed) > _MOST_FAILED:
        lines.append(f"- {len(results.failed) - _MOST_FAILED:,} more, in `trials.jsonl`.")
    told = [problem.rsplit("/", 1)[-1] for problem in results.problems[:_MOST_FAILED]]
    if len(results.problems) > _MOST_FAILED:
        told.append(f"{len(results.problems) - _MOST_FAILED:,} more lines of it were passed over")
    if results.foreign:
        told.append(
            f"{results.foreign} record(s) belong to no trial of the study as it is now and are "
            f"left out"
        )
    if told:
        lines += ["", *(f"- Note: {plain(note)}." for note in told)]
    return "\n".join(lines)


def backends(results: Results) -> str:
    """The same trials on several backends."""
    shared = results.on_several_backends()
    if not shared:
        return ""
    names = [b for b in results.study.backends if b in set(results.frame["backend"])]
    rows = [["model", "images", "seed", *names, "apart (points)"]]
    by_key = {(r["model"], r["size"], r["seed"], r["backend"]): r for r in results.done}
    for key in shared:
        values = [
            (by_key[*key, name]["metrics"] or {}).get("test_top1")
            if (*key, name) in by_key
            else None
            for name in names
        ]
        known = [value for value in values if value is not None]
        apart = f"{POINTS * (max(known) - min(known)):.2f}" if len(known) > 1 else "-"
        rows.append(
            [key[0], f"{key[1]:,}", str(key[2])]
            + ["-" if v is None else f"{POINTS * v:.2f}" for v in values]
            + [apart]
        )
    parts = [
        "## Backends\n\nTest accuracy in % of the same trials.",
        markdown_table(rows),
        _speeds(results, names),
    ]
    return "\n\n".join(part for part in parts if part)


def _speeds(results: Results, names: Sequence[str]) -> str:
    """Speed and memory of each model on each backend, side by side."""
    columns = {"images_per_second": (1.0, ",.0f"), "peak_memory": (2.0**30, ".2f")}
    known = [c for c in columns if c in results.frame and results.frame[c].notna().any()]
    if not known:
        return ""
    table = results.frame.groupby(["model", "backend"])[known].median()
    words = {"images_per_second": "images/s", "peak_memory": "GiB"}
    rows = [["model", *(f"{name}: {words[column]}" for column in known for name in names)]]
    for model in results.arms:
        cells = [
            _scaled(table[column].get((model, name)), *columns[column])
            for column in known
            for name in names
        ]
        rows.append([model, *cells])
    text = "Training images a second"
    if "peak_memory" in known:
        text += " and the most memory that the process took (an accelerator's is not in it)"
    return f"{text}, medians over trials.\n\n{markdown_table(rows)}"


def kept_models(results: Results) -> str:
    """Where the trained models lie, and what they are good for."""
    if not results.models:
        return ""
    shown = results.models[:_MOST_MODELS]
    files = ", ".join(code(f"models/{name}") for name in shown)
    if len(results.models) > len(shown):
        files += f" and {len(results.models) - len(shown)} more"
    return (
        f"## Trained models\n\n{files}. `python -m studies predict MODEL FOLDER --csv FILE` classifies "
        f"new images with one of them."
    )


def how_it_was_made(results: Results) -> str:
    """Commands, versions, machines, time."""
    study = results.study
    lines = ["## How it was made", ""]
    commands = [code(command) for command in study.command.splitlines()]
    if commands:
        word = "Commands, in turn" if len(commands) > 1 else "Command"
        lines.append(f"- {word}: " + ", ".join(commands))
    for key, word in (("commit", "Commit"), ("device", "Device"), ("threads", "Threads a trial")):
        values = results.values(key)
        if values:
            lines.append(f"- {word}: {plain(_counted(values))}")
    if results.values("cores"):
        lines.append(f"- Cores a trial: {_counted(results.values('cores'))}")
    versions = results.versions()
    if versions:
        lines.append(
            "- Versions: " + plain(", ".join(f"{p} {' / '.join(v)}" for p, v in versions.items()))
        )
    seconds = [float(r["seconds"]) for r in results.done if r.get("seconds") is not None]
    if seconds:
        lines.append(
            f"- Time of all finished trials together: {duration(sum(seconds))} "
            f"({duration(sum(seconds) / len(seconds))} on average)"
        )
    if "images_per_second" in results.frame and len(results.frame):
        speeds = results.frame.groupby(["model", "backend"])["images_per_second"].median()
        told = [
            f"{plain(model)} {speeds[model, backend]:,.0f} ({backend})"
            for model in results.arms
            for backend in study.backends
            if (model, backend) in speeds.index and not math.isnan(speeds[model, backend])
        ]
        if told:
            lines.append(
                f"- Training images a second, median: {', '.join(told)}{_waiting(results)}"
            )
    lines += _of_other_weights(results)
    return "\n".join(lines) if len(lines) > 2 else ""


def _of_other_weights(results: Results) -> list[str]:
    """A note where a training was done again, with other weights, for evaluations that were added."""
    digests: dict[str, set[str]] = {}
    for record in (*results.done, *results.extras):
        training, digest = record.get("pretrain_id"), record.get("weights_sha256")
        if training is not None and digest is not None:
            digests.setdefault(training, set()).add(digest)
    several = sum(len(found) > 1 for found in digests.values())
    if not several:
        return []
    return [
        f"- Note: of {several:,} training{'' if several == 1 else 's'} the evaluations are of different "
        f"weights, as `weights_sha256` in `trials.jsonl` says: checkpoints were gone, and it was trained "
        f"again."
    ]


def _waiting(results: Results) -> str:
    """How much of that time went by before images were there; nothing where that hardly matters."""
    shares = [r["waiting"] for r in results.done if r.get("waiting") is not None]
    if not shares or max(shares) < WAITING:
        return ""
    return (
        f"; in some trials up to {100 * max(shares):.0f} % of the time was spent waiting for images"
    )


def _steps(results: Results) -> str:
    """The recipe's steps, or those of the sizes where small ones got fewer."""
    steps = sorted({int(r["steps"]) for r in results.done if r.get("steps")})
    if len(steps) > 1:
        study = results.study
        least = "" if study.factors or study.pretraining else " (smallest size)"
        return f"{steps[0]:,}{least} to {steps[-1]:,} steps"
    return f"{steps[0] if steps else results.study.recipe.steps:,} steps"


def augmentation(recipe: Recipe) -> str:
    """What is done to images and models besides; only what is done at all."""
    layers, strength = recipe.randaugment_layers, recipe.randaugment_magnitude
    amounts = {
        f"RandAugment ({layers} layers, magnitude {strength:g})": layers,
        f"mixup (alpha {recipe.mixup:g})": recipe.mixup,
        f"CutMix (alpha {recipe.cutmix:g})": recipe.cutmix,
        f"random erasing ({recipe.random_erasing:g})": recipe.random_erasing,
        f"dropout {recipe.dropout_rate:g}": recipe.dropout_rate,
        f"dropout of attention {recipe.attention_dropout_rate:g}": recipe.attention_dropout_rate,
        f"stochastic depth {recipe.stochastic_depth_rate:g}": recipe.stochastic_depth_rate,
        f"cells of {recipe.scramble} pixels scrambled": recipe.scramble,
    }
    told = [text for text, amount in amounts.items() if amount]
    return " and ".join(
        told if told and recipe.augmentation == "none" else [recipe.augmentation, *told]
    )


def _matched(results: Results, a: str, b: str) -> str:
    texts = []
    for word, values in (("forward FLOPs", results.flops), ("parameters", results.params)):
        one, two = values[a], values[b]
        if not one or not two:
            return f"{plain(a)} and {plain(b)}: sizes not known yet."
        texts.append(f"{one / two:.2f} times the {word}")
        if word == "forward FLOPs":
            off = max(one / two, two / one) > 1.1
    verdict = (
        "**not matched in FLOPs**: keep that in mind when comparing"
        if off
        else "matched in FLOPs to within 10 %"
    )
    return f"{plain(a)} has {texts[0]} and {texts[1]} of {plain(b)}: {verdict}."


def _counted(values: Mapping[str, int]) -> str:
    if len(values) == 1:
        return next(iter(values))
    return ", ".join(f"{value} ({count} trials)" for value, count in values.items())


def _scaled(value: float | None, unit: float, form: str) -> str:
    return "?" if value is None else format(value / unit, form)
