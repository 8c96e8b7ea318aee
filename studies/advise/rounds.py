"""Which trials to run next within the time that is left, and when to stop.

A unit is all models at one size under one seed: they are compared image by image, so that the one is
worth little without the other. Units are only begun if they are expected to end in time. Their order is
that of the most telling verdict for the time:

1. the smallest size, which shows how fast models train here, unless that is known;
2. the largest size that two seeds, the least for a verdict, can be run at, with the sizes below it that
   a scaling law needs, if there is time for both;
3. the sizes below, under the same two seeds: what twice the images would buy;
4. further seeds, the largest size first, until all verdicts are settled (`studies.analysis.stopping`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from studies.analysis.stopping import MOST_SEEDS
from studies.analysis.trend import FEWEST_SIZES
from studies.study.trial import Trial

Unit = tuple[int, int]  # seed and size

FEWEST_SEEDS = 2  # for a verdict
REST = 5.0  # seconds that are not worth a round


@dataclass(frozen=True)
class State:
    """What the choice rests on.

    Attributes:
        missing: of every unit that may be run, the trials that have not ended, well or in vain.
        seconds: expected of a trial.
        lanes: trials that run side by side.
        left: seconds.
        measured: whether the models' speed here is known.
        settled: whether more seeds at the largest size with verdicts would change none of them.
    """

    missing: Mapping[Unit, Sequence[Trial]]
    seconds: Callable[[Trial], float]
    lanes: int
    left: float
    measured: bool = True
    settled: bool = False

    @property
    def sizes(self) -> list[int]:
        return sorted({size for _, size in self.missing})

    @property
    def top(self) -> int | None:
        """The largest size with as many seeds as a verdict needs; None where there is none."""
        found = [size for size in self.sizes if len(self.seeds_at(size)) >= FEWEST_SEEDS]
        return max(found, default=None)

    def seeds_at(self, size: int) -> list[int]:
        """Seeds whose trials have ended at a size."""
        return [seed for (seed, n), trials in self.missing.items() if n == size and not trials]

    def trials(self, units: Sequence[Unit]) -> tuple[Trial, ...]:
        """The trials of some units that have not ended."""
        return tuple(trial for unit in units for trial in self.missing[unit])

    def takes(self, units: Sequence[Unit]) -> float:
        """Seconds until the missing trials of some units have ended, started in their order."""
        ends = [0.0] * max(1, self.lanes)
        for trial in self.trials(units):
            heapq.heapreplace(ends, ends[0] + self.seconds(trial))
        return max(ends)

    def fits(self, units: Sequence[Unit]) -> bool:
        return self.takes(units) <= self.left


@dataclass(frozen=True)
class Round:
    """Trials to run now, and what for."""

    trials: tuple[Trial, ...]
    purpose: Literal["speed", "verdict", "law", "seeds"]


@dataclass(frozen=True)
class End:
    """Nothing is run any more.

    Attributes:
        reason: "settled" (more trials would not change the verdict), "most seeds" (there are as many
            as there may be) or "time".
        needs: seconds that what comes next would take; 0 where nothing does.
        size: training images of what comes next.
    """

    reason: Literal["settled", "most seeds", "time"]
    needs: float = 0.0
    size: int = 0


def next_round(state: State) -> Round | End:
    """Chooses what to run next."""
    first = (0, state.sizes[0])
    if not state.measured and state.missing[first] and state.fits([first]):
        return Round(state.trials([first]), "speed")
    top = state.top
    larger = [size for size in reversed(state.sizes) if top is None or size > top]
    for whole in (True, False):  # with what a law needs, or else without
        for size in larger:
            below = [n for n in state.sizes if n < size]
            if whole and len(below) + 1 < FEWEST_SIZES:
                continue
            pair = [(seed, size) for seed in range(FEWEST_SEEDS)]
            law = [(0, n) for n in reversed(below)] if whole else []
            if state.fits([*pair, *law]):
                return Round(state.trials([*pair, *law]), "verdict")
    if top is None:
        least = [(seed, state.sizes[0]) for seed in range(FEWEST_SEEDS)]
        return End("time", state.takes(least), state.sizes[0])
    chosen: list[Unit] = []
    needs, size = 0.0, 0
    for unit in _wanted(state, top):
        if not state.fits([*chosen, unit]):
            needs, size = needs or state.takes([unit]), size or unit[1]
            if unit[1] == top:
                break
            continue
        chosen.append(unit)
        if len(state.trials(chosen)) >= state.lanes:
            break
    if chosen and state.left > REST:
        curves = all(seed < FEWEST_SEEDS for seed, _ in chosen)
        return Round(state.trials(chosen), "law" if curves else "seeds")
    if larger:  # which comes before more seeds, as soon as there is time for it
        pair = [(seed, larger[0]) for seed in range(FEWEST_SEEDS)]
        law = [(0, n) for n in state.sizes if n < larger[0]]
        needs, size = state.takes([*pair, *law]), larger[0]
    if needs:
        return End("time", needs, size)
    return End("settled" if state.settled else "most seeds")


def forecast(state: State) -> list[Round]:
    """The rounds that would follow each other if all went as expected and no verdict were settled."""
    rounds: list[Round] = []
    while isinstance(chosen := next_round(state), Round):
        rounds.append(chosen)
        units = list(dict.fromkeys((trial.seed, trial.size) for trial in chosen.trials))
        state = replace(
            state,
            missing={**state.missing, **dict.fromkeys(units, ())},
            left=state.left - state.takes(units),
            measured=True,
        )
    return rounds


def _wanted(state: State, top: int) -> Iterator[Unit]:
    """Units with missing trials that make the verdict at the top size surer, most telling first."""
    have = state.seeds_at(top)
    below = [n for n in reversed(state.sizes) if n < top]
    seeds = [s for s in have if s < FEWEST_SEEDS] if state.settled else have
    units = [(seed, n) for seed in seeds for n in below]
    if not state.settled:
        others = [seed for seed in range(MOST_SEEDS) if seed not in have]
        units += [(seed, n) for seed in others for n in (top, *below)]
    return (unit for unit in units if state.missing[unit])
