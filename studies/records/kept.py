"""Outcomes of a results folder's trials, read when they are asked for and never all at once.

Means, differences and effects need of a trial which images it was right on, again and again: that is
kept, one bit an image, and the images themselves once for all trials that were tested on the same. All else
is read a model and size at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from studies.analysis.calibration import calibration
from studies.analysis.outcomes import Marks, Outcomes, Tested
from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes

AT_ONCE = 2  # models whose outcomes are held in memory
BITS = 2**27  # bytes, at most, of what trials were right on

Key = tuple[str, str, int]  # model, backend, size


@dataclass
class KeptOutcomes:
    """Outcomes of finished trials.

    Attributes:
        folder: of the results.
        trials: ids of the trials of each model, backend and size.
        seeds: of each trial, by its id.
        classes: how many the data have, if that is known.
        lost: ids whose outcomes were asked for and are missing or damaged.
    """

    folder: Path
    trials: Mapping[Key, Sequence[str]]
    seeds: Mapping[str, int]
    classes: int | None = None
    lost: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._outcomes = lru_cache(AT_ONCE)(self._load)
        self._tested: dict[bytes, Tested] = {}
        self._of_seed: dict[int, bytes] = {}  # what each seed was tested on
        self._bits: dict[Key, list[tuple[int, Tested, np.ndarray]]] = {}
        self._room = BITS
        self._errors: dict[Key, float | None] = {}

    def read(self, model: str, backend: str, size: int) -> list[Outcomes]:
        """One entry a seed; empty where those of any seed are lost.

        A mean over some of the seeds would not be the one that the accuracies give.
        """
        return self._outcomes(model, backend, size)

    def marks(self, model: str, backend: str, size: int) -> list[Marks]:
        """What the outcomes say of which images a model was right on; one entry a seed, as of `read`."""
        key = (model, backend, size)
        if key not in self._bits:
            self._keep(key)
        return [
            Marks(seed, tested, np.unpackbits(bits, count=len(tested)).view(bool))
            for seed, tested, bits in self._bits[key]
        ]

    def calibration_error(self, model: str, backend: str, size: int) -> float | None:
        """Of a model at one size; None where there are no outcomes."""
        key = (model, backend, size)
        if key not in self._errors:
            self._keep(key)
        return self._errors[key]

    def _keep(self, key: Key) -> None:
        outcomes = self.read(*key)
        self._errors[key] = calibration(outcomes).error if outcomes else None
        kept = [(o.seed, self._same(o), np.packbits(o.correct)) for o in outcomes]
        self._room -= sum(bits.nbytes for _, _, bits in kept)
        while self._room < 0 and self._bits:  # those that were read first make room
            first = self._bits.pop(next(iter(self._bits)))
            self._room += sum(bits.nbytes for _, _, bits in first)
        self._bits[key] = kept

    def _same(self, outcomes: Outcomes) -> Tested:
        """The test images of some outcomes, which those of other models mostly share."""
        arrays = (outcomes.image, outcomes.group, outcomes.label)
        content = b"".join(array.tobytes() for array in arrays)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        return self._tested.setdefault(digest, Tested(*arrays))

    def _load(self, model: str, backend: str, size: int) -> list[Outcomes]:
        ids = self.trials.get((model, backend, size), ())
        found = []
        for trial_id in ids:
            # A damaged file is told of once, when it is met first.
            known = trial_id not in self.lost
            outcomes = self.of(trial_id) if known else None
            if outcomes is None:
                self.lost.add(trial_id)
            else:
                found.append(outcomes)
        return found if len(found) == len(ids) else []

    def of(self, trial_id: str) -> Outcomes | None:
        """What one trial said; None where that is lost, or not of its seed, images and classes."""
        outcomes = load_outcomes(outcomes_path(self.folder, trial_id))
        return outcomes if outcomes is not None and self._fits(trial_id, outcomes) else None

    def _fits(self, trial_id: str, outcomes: Outcomes) -> bool:
        """Whether they are of its seed, whose test images are the same for all, and its classes."""
        most = max(outcomes.label.max(), outcomes.predicted.max())
        known = self.classes is None or most < self.classes
        if not known or outcomes.seed != self.seeds[trial_id]:
            return False
        order = np.argsort(outcomes.image)
        test = hashlib.blake2b(digest_size=16)
        for numbers in (outcomes.image, outcomes.label):
            test.update(numbers[order].tobytes())
        return self._of_seed.setdefault(outcomes.seed, test.digest()) == test.digest()
