"""Studies as validated data: what is asked, on which data, with which models.

A study is one TOML file.  `Study` is that file validated; `Study.trials` spells it out into `Trial`s,
each of which holds everything its own process needs.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from studies.errors import UsageError
from studies.study.chain import Finetuning, Pretraining
from studies.study.defaults import default_seeds, default_sizes
from studies.study.described import DataDescription, ResolvedData
from studies.study.entries import ModelEntry, Reading
from studies.study.factors import Arm, Design, Level, combinations, make_arm, no_arms
from studies.study.recipe import Evaluation, Recipe
from studies.study.resources import Resources
from studies.study.sources import absolute
from studies.study.strict import LETTERS, Name, Positive, Side, Strict, of_results
from studies.study.trainings import Trainings
from studies.study.trial import Backend, Trial

Auto = Literal["auto"]
STANDARD = "standard"  # the evaluation that every study has
MOST_TRIALS = 200_000  # of a study
_RESERVED = r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?"  # no folder of Windows is called so


def _a_folder(name: str) -> str:
    if re.fullmatch(_RESERVED, name, re.IGNORECASE) or name.endswith("."):
        raise ValueError(f"name {name!r} cannot be a folder's on Windows: choose another one")
    return unicodedata.normalize("NFC", name)


StudyName = Annotated[
    str,
    Field(min_length=1, max_length=LETTERS, pattern=r"^[\w][\w.+-]*$"),
    AfterValidator(_a_folder),
]


class EvaluationEntry(Strict):
    """A further evaluation of every trained model, a record of its own.

    Args:
        name: in tables and figures; in a file it is the key of the entry's table.
        kind: which one; by default the entry's name.
        dataset: other images than the study's, as few-shot on another data set.
        image_size: pixels of their sides; by default the study's.
        of: which model is evaluated: the one that the chain ends with, or the pre-trained one.
        models: names of the models that are evaluated, such as the ViTs, which alone have attention;
            all by default.
        options: of the kind.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)] | None = None
    dataset: Annotated[str, Field(min_length=1)] | None = None
    image_size: Side | None = None
    of: Literal["last", "pretraining"] = "last"
    models: tuple[str, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict)

    def is_of(self, model: str) -> bool:
        """Whether a model of the study is evaluated."""
        return not self.models or model in self.models


class Study(Strict):
    """A question, and the grid of trials (models x sizes x seeds x backends) that answers it.

    With a pre-training every trial is a chain: that, and a fine-tuning on the study's own images. With
    factors the models are multiplied by levels, into arms; without, an arm is a model.

    Args:
        question: what the study asks; the report opens with it.
        command: how it is run, for people. In the study.toml that `run` writes it is what was typed, one
            a line if there were several.
        run_time: how long that takes, for people.
        expected: what comes out, for people.
        name: of the results folder; by default the file's own.
        dataset: a name that `studies.data.load` knows: shapes, fashion_mnist, a name of TensorFlow
            Datasets, folder:PATH or csv:FILE; scrambled-7:D is D with recipe.scramble = 7.
        image_size: pixels of the images' sides; by default 32 or 64 for images in files, as these
            are small or large, and the data's own elsewhere.
        reading: how the images are read.
        sizes: numbers of training images, or "auto": by halves from all there are down to some hundred.
        seeds: number of seeds, or "auto": five where the test set has fewer than 2,000 images, else three.
        backends: backends of Keras, on each of which every trial runs.
        devices: how many train a model together, each on its part of every batch: GPUs of one machine,
            or else parts of its processor. Results are those of one but for rounding and dropout.
        model_parallel: how many of the devices share one copy of a model, whose heads and MLPs are split
            between them, where it is too large for one of them; on JAX, of ViTs.
        device_processes: in how many processes the devices are, on JAX, each with as many of them; elsewhere
            the backend decides (TensorFlow one process, PyTorch one a device).
        recipe: the same for all trials.
        evaluation: options of the standard evaluation, which every trained model has: top-1 and few-shot
            accuracy on the data's own test images.
        evaluations: further ones, by name.
        models: by name.
        pretraining: a training before, on other images, other objectives or more images.
        finetuning: how the training on the study's own images goes after it.
        factors: by name, of each its levels, in order; a level changes recipe, models, pre-training or
            fine-tuning.
        design: all combinations of the factors' levels, or the first of each as the base and then one
            other at a time.
        x: what curves are drawn over: training images, images of the pre-training, compute (3 times the
            forward FLOPs for each image seen), or a factor's levels.
        pairs: of arms, which are compared before any others.
        about: name of one of `evaluations` whose number the report opens with, in place of accuracy.
        resources: what each trial gets of a machine.
        keep_models: which trained models lie in the results folder, by default "best": of each model the
            best seed at the largest size.
        data: description of the prepared data; only in the study.toml that `run` writes.
        files: digests of the files that pre-trainings start from and levels name, by path; a file counts
            by its content. Only in the study.toml that `run` writes.
        rounds: trials are chosen one round after another, within a time, as `advise` does: those of the grid
            that are missing are not to come. Only in the study.toml that `advise` writes.
        other_data: the same of the pre-training's and further evaluations' data, by `other_key`.

    Example:
        >>> study = study_file.resolve("data-scale", {"dataset": "fashion_mnist"})
        >>> trials = study.trials(describe(study.dataset, study.image_size, study.reading))
    """

    question: str = ""
    command: str = ""
    run_time: str = ""
    expected: str = ""
    name: StudyName
    dataset: Annotated[str, Field(min_length=1)] = "shapes"
    image_size: Side | None = None
    reading: Reading = Reading()
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] | Auto = "auto"
    seeds: Positive | Auto = "auto"
    backends: Annotated[tuple[Backend, ...], Field(min_length=1)] = ("tensorflow",)
    devices: Positive = 1
    model_parallel: Positive = 1
    device_processes: Positive = 1
    recipe: Recipe = Recipe()
    evaluation: Evaluation = Evaluation()
    evaluations: dict[Name, EvaluationEntry] = Field(default_factory=dict)
    models: Annotated[dict[Name, ModelEntry], Field(min_length=1)]
    pretraining: Pretraining | None = None
    finetuning: Finetuning = Finetuning()
    factors: dict[Name, Annotated[dict[Name, Level], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    design: Design = "grid"
    x: str = "images"
    pairs: tuple[tuple[str, str], ...] = ()
    about: str = ""
    resources: Resources = Resources()
    keep_models: Literal["best", "all", "none"] | None = None
    data: ResolvedData | None = None
    files: dict[str, str] = Field(default_factory=dict)
    rounds: bool = False
    other_data: dict[str, ResolvedData] = Field(default_factory=dict)

    @property
    def data_title(self) -> str:
        """The data set's name for people: of a path the last part, which says nothing of the machine."""
        kind, _, path = self.dataset.partition(":")
        title = f"{kind}:{PurePath(path).name}" if kind in ("folder", "csv") else self.dataset
        return f"scrambled-{self.recipe.scramble}:{title}" if self.recipe.scramble else title

    @model_validator(mode="before")
    @classmethod
    def _name_entries(cls, data: Any) -> Any:
        # In the file an entry's name is its table's key: [models.vit-s].
        if not isinstance(data, dict):
            return data
        named = {}
        for table in ("models", "evaluations"):
            if isinstance(data.get(table), dict):
                named[table] = {
                    key: {**entry, "name": key} if isinstance(entry, dict) else entry
                    for key, entry in data[table].items()
                }
        return {**data, **named}

    @model_validator(mode="after")
    def _arms_can_be(self, info: ValidationInfo) -> Study:
        _refuse_arms(self)  # they would be spelled out without end
        arms = self.arms  # raises where a level makes what cannot be
        _refuse_trials(
            self,
            1 if self.sizes == "auto" else len(self.sizes),
            1 if self.seeds == "auto" else self.seeds,
        )
        if not of_results(info):
            if not arms:
                raise ValueError(no_arms(self.models, self.factors))
            _refuse_alike(arms)
        axes = ("images", "pretraining_images", "compute", *self.factors)
        if self.x not in axes:
            raise ValueError(f"x must be one of {', '.join(axes)}; it is {self.x!r}")
        for name in (name for pair in self.pairs for name in pair):
            if name not in arms:
                raise ValueError(f"pairs: {name!r} is none of {', '.join(arms)}")
        if self.about and self.about not in self.evaluations:
            known = ", ".join(self.evaluations) or "none"
            raise ValueError(f"about: {self.about!r} is not among the evaluations ({known})")
        if STANDARD in self.evaluations:
            raise ValueError(
                "evaluations: every study has the standard one; its options are [evaluation]"
            )
        return self

    @field_validator("sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...] | Auto) -> tuple[int, ...] | Auto:
        return sizes if sizes == "auto" else tuple(sorted(set(sizes)))

    @field_validator("backends")
    @classmethod
    def _unique(cls, backends: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(backends))

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """Models under the levels of the factors, by name, in the study's order."""
        made = [
            make_arm(
                entry, levels, told, self.factors, self.recipe, self.pretraining, self.finetuning
            )
            for entry in self.models.values()
            for levels, told in combinations(self.factors, self.design)
        ]
        return {arm.name: arm for arm in made if arm is not None}

    @property
    def other_sources(self) -> list[tuple[str, int | None]]:
        """Names and image sizes of further data: of pre-trainings and evaluations."""
        found = [
            (before.dataset or self.dataset, before.image_size or self.image_size)
            for before in (arm.pretraining for arm in self.arms.values())
            if before is not None and (before.dataset or before.image_size)
        ]
        found += [
            (entry.dataset or self.dataset, entry.image_size or self.image_size)
            for entry in self.evaluations.values()
            if entry.dataset or entry.image_size
        ]
        return list(dict.fromkeys(found))

    def is_own(self, dataset: str | None) -> bool:
        """Whether a name, or none, is that of the study's own data set."""
        return dataset is None or absolute(dataset) == absolute(self.dataset)

    def reading_of(self, dataset: str | None) -> Reading:
        """How a data set's images are read; groups are told by the paths of the study's own alone."""
        own = self.is_own(dataset)
        return self.reading if own else self.reading.model_copy(update={"groups": ""})

    def split_like(self, dataset: str, image_size: int | None) -> tuple[str, int | None]:
        """Name and image size of the data whose splits some have, perhaps their own.

        One image is on one side for all sizes of a data set: that is the study's own size, or else the one
        that is named first.
        """
        source = absolute(dataset)
        known = [(self.dataset, self.image_size), *self.other_sources, (dataset, image_size)]
        return next(each for each in known if absolute(each[0]) == source)

    def resolved(
        self, info: DataDescription, others: Mapping[str, DataDescription] | None = None
    ) -> Study:
        """The study with everything in it that follows from its data: nothing is "auto" any more.

        Args:
            info: description of the prepared data set, from `studies.data.describe`, or `data`.
            others: of the pre-training's and further evaluations' data, by `other_key`.
        """
        height, width, _ = info.image_shape
        return self.model_copy(
            update={
                "sizes": self._sizes(info),
                "seeds": self.seeds_for(info),
                "models": {n: e.for_images(height, width) for n, e in self.models.items()},
                "data": ResolvedData.of(info),
                "other_data": {
                    key: ResolvedData.of(other) for key, other in (others or {}).items()
                },
            }
        )

    def _sizes(self, info: DataDescription) -> tuple[int, ...]:
        if self.sizes == "auto":
            return default_sizes(info.counts["train"], info.num_classes)
        return self.sizes

    def seeds_for(self, info: DataDescription) -> int:
        """The number of seeds."""
        return default_seeds(info.counts["test"]) if self.seeds == "auto" else self.seeds

    def trials(
        self, info: DataDescription, others: Mapping[str, DataDescription] | None = None
    ) -> list[Trial]:
        """Spell the study out, seeds outermost: an unfinished run already shows whole curves.

        Args: as of `each_trial`.
        """
        return list(self.each_trial(info, others))

    def each_trial(
        self, info: DataDescription, others: Mapping[str, DataDescription] | None = None
    ) -> Iterator[Trial]:
        """One of `trials` after the other: a hundred thousand take some hundred megabytes.

        Args:
            info: description of the prepared data set, from `studies.data.describe`, or `data`.
            others: of the pre-training's and further evaluations' data, by `other_key`; by default
                `other_data`.

        Raises:
            UsageError: there are more than `MOST_TRIALS`.
        """
        trainings = Trainings(self, info, self.other_data if others is None else others)
        # What hangs on the pre-training alone is met once for each size of the fine-tuning.
        known: set[str] = set()
        try:
            _refuse_trials(self, len(self._sizes(info)), self.seeds_for(info))
        except ValueError as error:  # only now is it known what is "auto"
            raise UsageError(str(error)) from error
        for seed, size, arm, backend in itertools.product(
            range(self.seeds_for(info)), self._sizes(info), self.arms.values(), self.backends
        ):
            for trial in trainings.trials(arm, size, seed, backend):
                if trial.trial_id not in known:
                    known.add(trial.trial_id)
                    yield trial

    def recipe_for(self, entry: ModelEntry, size: int | None = None) -> Recipe:
        """A model's recipe: with its own learning rate and weight decay, and the steps of a size."""
        return entry.own(self.recipe if size is None else self.recipe.for_size(size))


def _refuse_arms(study: Study) -> None:
    """Raise ValueError where there are more arms alone than trials may be."""
    levels = [len(each) for each in study.factors.values()]
    arms = math.prod(levels) if study.design == "grid" else 1 + sum(levels)
    _refuse_number(len(study.models) * arms)


def _refuse_trials(study: Study, sizes: int, seeds: int) -> None:
    """Raise ValueError for a study that nobody could ever run, with so many sizes and seeds."""
    each = 0
    for arm in study.arms.values():
        of = [entry.of for entry in study.evaluations.values() if entry.is_of(arm.model)]
        before = arm.pretraining
        starts = 1 if before is None else len(before.sizes_of(1))
        # What hangs on the pre-training alone is one trial, whatever sizes come after it.
        alone = 0 if before is None else of.count("pretraining")
        each += starts * (sizes * (1 + of.count("last")) + alone)
    _refuse_number(each * seeds * len(study.backends))


def _refuse_number(trials: int) -> None:
    if trials > MOST_TRIALS:
        raise ValueError(
            f"the study has {trials:,} trials or so: choose fewer seeds, sizes, models or levels, so that "
            f"there are at most {MOST_TRIALS:,}"
        )


def _refuse_alike(names: Iterable[str]) -> None:
    """Raise ValueError for two arms that no reader, or no file's name, would tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        alike = unicodedata.normalize("NFKC", name).casefold()
        alike = "".join(char if char.isalnum() or char in "-+." else "_" for char in alike)
        if alike in seen:
            raise ValueError(
                f"the names {seen[alike]!r} and {name!r} are hard to tell apart, in a report and as names "
                f"of files: give one of them another name"
            )
        seen[alike] = name


def other_key(dataset: str, image_size: int | None) -> str:
    """Under which name a study remembers further data."""
    return dataset if image_size is None else f"{dataset} at {image_size}"
