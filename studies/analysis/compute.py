"""What accuracy a given amount of training compute buys: the Pareto front, and a law for each family.

Compute is 3 times the forward FLOPs of an image, for each image seen (a backward pass costs about two
forward ones), summed over the trainings of a chain.

Reference: Dosovitskiy et al., arXiv 2010.11929, section 4.4, figure 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from studies.analysis.estimate import Estimate
from studies.analysis.family import SLOPE
from studies.analysis.scaling_law import ScalingLaw, fit_scaling_law
from studies.analysis.verdict import LEARNED_NOTHING

MATCHED = 1.1  # the ratio of computes up to which they count as equal


@dataclass(frozen=True)
class Trained:
    """An arm trained on one number of images.

    Attributes:
        arm, size: which.
        family: vit, hybrid or resnet.
        compute: FLOPs of its training.
        accuracy: mean over seeds with its interval.
        errors: by seed.
        barred: why nothing is said about it: "learned nothing".
    """

    arm: str
    size: int
    family: str
    compute: float
    accuracy: Estimate
    errors: Mapping[int, float]
    barred: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exponent:
    """By which power of compute the error falls, at the largest compute measured."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Compute:
    """A study over compute.

    Attributes:
        trained: everything, by compute.
        front: those that nothing of as little compute beats, by compute; none that is barred.
        fronts: the same among each family alone; empty where all of a family is barred.
        laws: error against compute on each family's front.
        without_law: why a family has none.
        level: confidence of the exponents' intervals.
    """

    trained: tuple[Trained, ...]
    front: tuple[Trained, ...]
    fronts: Mapping[str, tuple[Trained, ...]]
    laws: Mapping[str, ScalingLaw] = field(default_factory=dict)
    without_law: Mapping[str, str] = field(default_factory=dict)
    level: float = 0.9

    def exponent(self, family: str) -> Exponent:
        """Of a family that has a law."""
        slopes = np.exp(self.laws[family].posterior.members[:, SLOPE])
        tail = (1.0 - self.level) / 2.0
        low, value, high = np.quantile(slopes, [tail, 0.5, 1.0 - tail])
        return Exponent(-float(value), -float(high), -float(low))


def study_compute(
    trained: Sequence[Trained], seed_text: str, chance: float = 0.0, level: float = 0.9
) -> Compute:
    """Finds the fronts and fits the laws.

    A family's law is fitted to the points of its front, which are the better ones of several: its error
    is a little too low where they differ by chance alone.

    Args:
        trained: all arms with known compute.
        seed_text: randomness is derived from it and from the family's name.
        chance: accuracy of guessing.
        level: confidence.
    """
    by_compute = tuple(sorted(trained, key=lambda each: each.compute))
    judged = [each for each in by_compute if not each.barred]
    families = dict.fromkeys(each.family for each in by_compute)
    fronts = {f: pareto_front([e for e in judged if e.family == f]) for f in families}
    laws, without = {}, {}
    for family, front in fronts.items():
        if not front:
            without[family] = f"all of them {LEARNED_NOTHING}"
            continue
        rows = [(e.compute, error, seed) for e in front for seed, error in e.errors.items()]
        digest = hashlib.sha256(f"{seed_text}/compute/{family}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        computes, errors, seeds = zip(*rows, strict=True)
        try:
            laws[family] = fit_scaling_law(
                computes,
                errors,
                seeds,
                rng,
                1.0 - chance,
                common_error=_common_errors(front),
                beside=front[-1].accuracy.error_interval,
            )
        except ValueError as reason:
            text = str(reason).replace("number of images", "compute").replace(" sizes", " computes")
            without[family] = text
    return Compute(by_compute, pareto_front(judged), fronts, laws, without, level)


def _common_errors(front: Sequence[Trained]) -> list[float]:
    """What all seeds share, of every different compute."""
    found: dict[float, float] = {}
    for each in front:  # by compute
        found[each.compute] = max(found.get(each.compute, 0.0), each.accuracy.common_error)
    return list(found.values())


def pareto_front(trained: Sequence[Trained]) -> tuple[Trained, ...]:
    """Those whose mean accuracy nothing of as little compute reaches, by compute.

    Computes within 10 % of each other count as equal, as in a pair of matched models: who is a little
    cheaper would otherwise be best for its compute, however bad.
    """
    ordered = sorted(trained, key=lambda each: (each.compute, -each.accuracy.mean))
    return tuple(each for each in ordered if not any(_beats(other, each) for other in ordered))


def _beats(other: Trained, each: Trained) -> bool:
    better = other.accuracy.mean - each.accuracy.mean
    cheaper = other.compute < each.compute
    return other.compute <= MATCHED * each.compute and (better > 0 or (better == 0 and cheaper))
