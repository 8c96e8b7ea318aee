"""The study that a folder of images gets: its models, from scratch and from given weights.

The recipe from scratch follows from the data alone, so that a later run with more time adds to what is there:
sizes and seeds are what a budget buys, steps never are. How many learning rates a fine-tuning tries follows
from the budget and the speed of the first run that was given weights, and holds for all weights to come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count, product
from pathlib import PurePath
from typing import Any

from studies.advise.weights import Start
from studies.analysis.stopping import MOST_SEEDS
from studies.machine.backends import default_backend
from studies.records.place import Place
from studies.study import file as study_file
from studies.study.chain import FINETUNING
from studies.study.entries import ModelEntry
from studies.study.factors import Level
from studies.study.study import EvaluationEntry, Study

STUDY, MODELS = "data-scale", ("vit-s", "bit-s")  # a pair of equal FLOPs
# Half of the study's own: tried on 60 to 500 images, twice as many ended within chance of them.
MAX_EPOCHS = 100
# The paper's for its smallest data sets; fewer learning rates only where four cost larger sizes.
TUNING_STEPS = 500
LEARNING_RATES = (FINETUNING["learning_rates"], (0.003, 0.01))
FACTOR, SCRATCH, PROBE = "start", "scratch", "probe"


@dataclass(frozen=True)
class Question:
    """What is asked about, and where its results lie."""

    dataset: str
    place: Place
    command: str = ""
    reading: dict[str, Any] = field(default_factory=dict)  # image size, fit, groups, ...
    weights: tuple[str, ...] = ()  # names or files to fine-tune from
    given_name: str | None = None

    @property
    def name(self) -> str:
        """Of the results folder."""
        if self.given_name is not None:
            return self.given_name
        kind, _, rest = self.dataset.partition(":")
        path = PurePath(rest or self.dataset)
        name = path.stem if kind == "csv" else path.name  # a folder's dots are its own
        return "advise-" + (re.sub(r"[^\w.+-]", "-", name) or "data")


def begun_study(question: Question) -> Study | None:
    """The study that a results folder was begun with."""
    question.place.fetch(question.name)  # with outcomes, which say what is settled
    folder = question.place.path / question.name
    return study_file.read_resolved(folder) if (folder / "study.toml").exists() else None


def from_scratch(question: Question) -> Study:
    """The study of a folder of images, from scratch.

    Raises:
        UsageError: what is asked is no study.
    """
    options = {
        "dataset": question.dataset,
        "name": question.name,
        "command": question.command,
        "models": list(MODELS),
        "seeds": MOST_SEEDS,  # so that every one of them has images enough
        "sizes": "auto",
        "backends": [default_backend()],
        **question.reading,
    }
    return study_file.resolve(STUDY, options, [f"recipe.max_epochs={MAX_EPOCHS}"])


def with_starts(
    study: Study,
    found: Sequence[Start],
    learning_rates: Sequence[float] = LEARNING_RATES[0],
    begun: Study | None = None,
) -> Study:
    """The study with an arm for each of some weights: fine-tuned, and by a probe of its features.

    Where training starts from is a factor of it in any case, so that weights can be added later.

    Args:
        study: from scratch.
        found: the weights.
        learning_rates: of the fine-tuning, tried in turn, where no earlier run has begun with others.
        begun: that run's study.
    """
    before = begun.factors.get(FACTOR, {}) if begun is not None else {}
    names = _names(found, begun.models if begun is not None else {})
    recipe = {"steps": TUNING_STEPS, "learning_rates": list(learning_rates)}
    tuning = tuning_of(begun) or {"recipe": recipe}
    levels = {SCRATCH: Level(pretraining=False, models=MODELS)}
    models, tuned = dict(study.models), []
    for start, name in zip(found, names):
        models[name] = ModelEntry(name=name, base=start.base, overrides=start.overrides)
        levels[start.name] = Level(
            pretraining={"objective": "none", "weights": start.weights},
            finetuning=before[start.name].finetuning if start.name in before else tuning,
            models=(name,),
        )
        tuned.append((f"{name} {start.name}", start.is_resnet))
    probe = EvaluationEntry(name=PROBE, kind="linear_probe", of="pretraining")
    return study.model_copy(
        update={
            "models": models,
            "factors": {FACTOR: levels},
            "design": "one_at_a_time",  # a model's own name is that from scratch
            "evaluations": {PROBE: probe} if found else {},
            "pairs": tuple(_pairs(tuned)),
            "rounds": True,
        }
    )


def _names(found: Sequence[Start], before: Mapping[str, ModelEntry]) -> list[str]:
    """A name for the model of each start: one of their own for models that differ in anything.

    Args:
        found: whose names, in short, may be those of several models.
        before: models that an earlier run has named; these keep their names.
    """
    known = {name: (entry.base, entry.overrides) for name, entry in before.items()}
    names = []
    for start in found:
        model = (start.base, start.overrides)
        numbered = (start.model if n == 1 else f"{start.model}-{n}" for n in count(1))
        names.append(next(name for name in numbered if known.setdefault(name, model) == model))
    return names


def _pairs(tuned: Sequence[tuple[str, bool]]) -> list[tuple[str, str]]:
    """Every two arms, the ViT first where the other is a ResNet; which pair counts most is seen later.

    Args:
        tuned: names of the fine-tuned arms, and whether they are ResNets.
    """
    scratch = list(zip(MODELS, (False, True)))
    found = [
        *combinations(scratch, 2),
        *product(tuned, scratch),
        *sorted(combinations(tuned, 2), key=lambda pair: pair[0][1] == pair[1][1]),
    ]
    return [(b[0], a[0]) if a[1] and not b[1] else (a[0], b[0]) for a, b in found]


def tuning_of(begun: Study | None) -> dict[str, Any] | None:
    """How the weights of an earlier run are fine-tuned; what is compared must be tuned alike."""
    levels = begun.factors.get(FACTOR, {}) if begun is not None else {}
    return next((level.finetuning for name, level in levels.items() if name != SCRATCH), None)
