"""The trainings and evaluations of one arm at one size: a study's grid, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from studies.study.chain import FINETUNING, Pretraining, recipe_with
from studies.study.described import DataDescription
from studies.study.entries import ModelEntry
from studies.study.factors import Arm
from studies.study.recipe import Recipe
from studies.study.strict import fields_of
from studies.study.trial import Backend, Data, Extra, Splits, Training, Trial

if TYPE_CHECKING:
    from studies.study.study import EvaluationEntry, Study

Part = TypeVar("Part")


@dataclass(frozen=True)
class Trainings:
    """Makes trials of a study's arms.

    Attributes:
        study: whose they are.
        info: description of its data.
        others: descriptions of the further data, by `other_key`.
    """

    study: Study
    info: DataDescription
    others: Mapping[str, DataDescription]
    _parts: dict[tuple[Any, ...], Any] = field(default_factory=dict)  # shared by many trials

    def trials(self, arm: Arm, size: int, seed: int, backend: Backend) -> Iterator[Trial]:
        """All trials of an arm at one size: of each pre-training, of each evaluation."""
        for start in self._pretrainings(arm, seed, backend):
            last = self._last(arm, size, seed, backend, start)
            yield self._trial(arm, last, None)
            for entry in self.study.evaluations.values():
                evaluated = last if entry.of == "last" else start
                if evaluated is not None and entry.is_of(arm.model):
                    yield self._trial(arm, evaluated, self._extra(entry, evaluated))

    def _last(
        self, arm: Arm, size: int, seed: int, backend: Backend, start: Training | None
    ) -> Training:
        """The training on the study's own images."""
        entry = self._entry(arm)

        def recipe() -> Recipe:
            if start is None:
                whole = arm.entry.own(arm.recipe)
            else:
                whole = recipe_with(arm.recipe, FINETUNING, arm.finetuning.recipe)
            return whole.for_size(size).for_base(entry.base)

        return Training(
            **fields_of(self._own_data()),
            size=size,
            seed=seed,
            backend=backend,
            model=entry,
            recipe=self._once(("last", arm.name, size, start is None), recipe),
            start=start,
            finetuning=arm.finetuning if start is not None else None,
            **self._devices(),
        )

    def _pretrainings(self, arm: Arm, seed: int, backend: Backend) -> Iterator[Training | None]:
        before = arm.pretraining
        if before is None:
            yield None
            return
        info = self._described(before.dataset, before.image_size)
        everything = info.counts["train"]
        entry = self._entry(arm)
        for size in before.sizes_of(everything):
            yield Training(
                **fields_of(self._data(before.dataset, before.image_size)),
                size=size,
                seed=seed,
                backend=backend,
                model=entry,
                recipe=self._once(
                    ("before", arm.name, size),
                    partial(_recipe_before, arm, before, size, entry.base),
                ),
                objective=before.objective,
                weights=before.weights,
                weights_digest=self.study.files.get(before.weights or ""),
                **(self._devices() if before.objective != "none" else {}),
            )

    def _devices(self) -> dict[str, Any]:
        """What each training that takes steps has of them."""
        names = ("devices", "model_parallel", "device_processes")
        return {name: getattr(self.study, name) for name in names}

    def _trial(self, arm: Arm, training: Training, extra: Extra | None) -> Trial:
        return Trial(
            **fields_of(training),
            study=self.study.name,
            evaluation=self.study.evaluation,
            extra=extra,
            base_model=arm.model if self.study.factors else None,
            levels=dict(arm.levels),
        )

    def _extra(self, entry: EvaluationEntry, training: Training) -> Extra:
        data = self._data(entry.dataset, entry.image_size)
        other = data.data_fingerprint != training.data_fingerprint
        return Extra(
            name=entry.name,
            kind=entry.kind or entry.name,
            options=entry.options,
            data=data if other else None,
        )

    def _entry(self, arm: Arm) -> ModelEntry:
        height, width, _ = self.info.image_shape

        def entry() -> ModelEntry:
            found = arm.entry.for_images(height, width)
            file = self.study.files.get(str(found.overrides.get("weights")))
            return found.model_copy(update={"files": {"weights": file}}) if file else found

        return self._once(("entry", arm.name), entry)

    def _own_data(self) -> Data:
        return self._data(None, None)

    def _described(self, dataset: str | None, image_size: int | None) -> DataDescription:
        from studies.study.study import other_key

        if dataset is None and image_size is None:
            return self.info
        study = self.study
        return self.others[other_key(dataset or study.dataset, image_size or study.image_size)]

    def _once(self, key: tuple[Any, ...], make: Callable[[], Part]) -> Part:
        """What many trials have in common: made once, and held in memory once."""
        if key not in self._parts:
            self._parts[key] = make()
        return self._parts[key]

    def _data(self, dataset: str | None, image_size: int | None) -> Data:
        return self._once(
            ("data", dataset, image_size), lambda: self._new_data(dataset, image_size)
        )

    def _new_data(self, dataset: str | None, image_size: int | None) -> Data:
        info = self._described(dataset, image_size)
        height, width, _ = info.image_shape
        return Data(
            dataset=dataset or self.study.dataset,
            data_fingerprint=info.fingerprint,
            image_shape=(height, width, self.info.image_shape[2]),
            num_classes=info.num_classes,
            image_size=image_size or self.study.image_size,
            reading=self.study.reading_of(dataset),
            splits=self._splits(info, dataset, image_size),
        )

    def _splits(
        self, info: DataDescription, dataset: str | None, image_size: int | None
    ) -> Splits | None:
        """Whose splits some data have; None: their own, as where no seed decides about a split."""
        from studies.study.study import other_key

        study = self.study
        name, size = study.split_like(dataset or study.dataset, image_size or study.image_size)
        like = self.info if study.is_own(name) else self.others[other_key(name, size)]
        if like.fingerprint == info.fingerprint or info.has_all_splits:
            return None
        return Splits(data_fingerprint=like.fingerprint, image_size=size)


def _recipe_before(arm: Arm, before: Pretraining, size: int, base: str) -> Recipe:
    if before.objective == "none":
        return Recipe()
    return arm.entry.own(recipe_with(arm.recipe, before.recipe)).for_size(size).for_base(base)
