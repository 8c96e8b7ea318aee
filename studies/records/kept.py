"""Outcomes of a results folder's trials, read when they are asked for and never all at once.

Means, differences and effects need of a trial which images it was right on, again and again: that is
kept, one bit an image, and the images themselves once for all trials that were tested on the same. All else
is read a model and size at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from studies.analysis.calibration import calibration
from studies.analysis.outcomes import Marks, Outcomes, Tested
from studies.records.layout import outcomes_path
from studies.records.outcomes import Shared, load_outcomes

ASKED = 3  # trials of a seed, at least, what they were tested on
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
        self._shared: Shared = {}  # what trials were tested on, array by array, each of them once
        self._tested: dict[tuple[int, ...], Tested] = {}  # by these arrays
        self._digests: dict[tuple[int, ...], bytes] = {}
        self._of_seed: dict[int, bytes] = {}  # what each seed was tested on
        self._by_seed: dict[int, list[str]] = {}  # ids of trials
        for trial_id in (each for group in self.trials.values() for each in group):
            self._by_seed.setdefault(self.seeds[trial_id], []).append(trial_id)
        self._bits: dict[Key, tuple[list[tuple[int, Tested]], np.ndarray]] = {}
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
        tests, bits = self._bits[key]
        ends = np.cumsum([0, *(len(tested) for _, tested in tests)]).tolist()
        right = np.unpackbits(bits, count=ends[-1]).view(bool)
        return [
            Marks(seed, tested, right[begin:end])
            for (seed, tested), begin, end in zip(tests, ends, ends[1:])
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
        tests = [(o.seed, self._same(o)) for o in outcomes]
        right = [o.correct for o in outcomes]
        bits = np.packbits(np.concatenate(right)) if right else np.empty(0, np.uint8)
        self._room -= bits.nbytes
        while self._room < 0 and self._bits:  # those that were read first make room
            self._room += self._bits.pop(next(iter(self._bits)))[1].nbytes
        self._bits[key] = tests, bits

    def _same(self, outcomes: Outcomes) -> Tested:
        """The test images of some outcomes, which those of other models mostly share."""
        arrays = (outcomes.image, outcomes.group, outcomes.label)
        return self._tested.setdefault(tuple(map(id, arrays)), Tested(*arrays))

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
        outcomes = load_outcomes(outcomes_path(self.folder, trial_id), self._shared)
        return outcomes if outcomes is not None and self._fits(trial_id, outcomes) else None

    def _fits(self, trial_id: str, outcomes: Outcomes) -> bool:
        """Whether they are of its seed, whose test images are the same for all, and its classes."""
        if not self._may_be(trial_id, outcomes):
            return False
        seed, mine = outcomes.seed, self._tested_on(outcomes)
        if seed not in self._of_seed:
            self._of_seed[seed] = self._most_say(seed) or mine
        return self._of_seed[seed] == mine

    def _may_be(self, trial_id: str, outcomes: Outcomes) -> bool:
        most = max(outcomes.label.max(), outcomes.predicted.max())
        known = self.classes is None or most < self.classes
        return bool(known and outcomes.seed == self.seeds[trial_id])

    def _most_say(self, seed: int) -> bytes | None:
        """What a seed was tested on, by most of its trials: a few are asked, and all where those differ."""
        ids = self._by_seed[seed]
        few = ids[:: max(1, len(ids) // ASKED)]
        votes = self._votes(few)
        if len(votes) > 1:
            votes = self._votes(ids)
        return max(votes, key=votes.__getitem__, default=None)

    def _votes(self, ids: Sequence[str]) -> Counter[bytes]:
        votes: Counter[bytes] = Counter()
        for trial_id in ids:
            if trial_id in self.lost:
                continue
            outcomes = load_outcomes(outcomes_path(self.folder, trial_id), self._shared)
            if outcomes is None:
                self.lost.add(trial_id)
            elif self._may_be(trial_id, outcomes):
                votes[self._tested_on(outcomes)] += 1
        return votes

    def _tested_on(self, outcomes: Outcomes) -> bytes:
        """The same for outcomes of the same images and labels, in whatever order."""
        key = (id(outcomes.image), id(outcomes.label))  # of arrays that stay
        if key not in self._digests:
            order = np.argsort(outcomes.image)
            test = hashlib.blake2b(digest_size=16)
            for numbers in (outcomes.image, outcomes.label):
                test.update(numbers[order].tobytes())
            self._digests[key] = test.digest()
        return self._digests[key]
