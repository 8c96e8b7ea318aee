"""Arms as a report shows them: the study's, and of those with pre-trainings of several sizes one a size."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studies.analysis.effects import Change
from studies.analysis.findings import compared_pairs, mismatch

if TYPE_CHECKING:
    from studies.study.factors import Arm
    from studies.study.study import Study


@dataclass(frozen=True)
class ReportedArm:
    """What a curve, a table's row or a verdict is of.

    Attributes:
        name: the arm's own, and where it has pre-trainings of several sizes the number of their images.
        arm: of the study.
        start: number of images of the pre-training; None: from scratch, or of given weights.
    """

    name: str
    arm: Arm
    start: int | None = None

    @property
    def model(self) -> str:
        """Name of the study's entry."""
        return self.arm.model

    @property
    def levels(self) -> Mapping[str, str]:
        return self.arm.levels

    @property
    def family(self) -> str:
        """vit, hybrid or resnet, from the table of variants."""
        from keras_vit.models.variants import get_variant

        try:
            variant = get_variant(self.arm.entry.base)
        except ValueError:  # a base that this version no longer knows can still be reported
            return "other"
        changed = {**variant.config, **self.arm.entry.overrides}
        return "hybrid" if changed.get("stem_block_counts") is not None else variant.family


def reported_arms(study: Study) -> dict[str, ReportedArm]:
    """The arms of a study by the name that a report gives them, in the study's order."""
    found = [
        ReportedArm(_name(arm, start), arm, start)
        for arm in study.arms.values()
        for start in _starts(study, arm)
    ]
    return {each.name: each for each in found}


def name_of(record: Mapping[str, Any], arms: Mapping[str, Arm]) -> str:
    """The reported arm that a record is of, from the study's arms."""
    before = record.get("pretraining")
    # Where the pre-trained model itself was evaluated, its images are the record's own.
    start = before.get("size") if before else record.get("size")
    return _name(arms[record["model"]], start)


def pairs_of(
    study: Study, arms: Mapping[str, ReportedArm], flops: Mapping[str, float | None]
) -> list[tuple[str, str]]:
    """Which arms are compared: those that the study names first, then what belongs together.

    With factors one at a time every arm is compared with its base. Otherwise every ViT or hybrid with
    every ResNet under the same levels and from as many images before; where there are factors, which
    make many arms, only those that cost the same.

    Args:
        study: whose they are.
        arms: its reported arms.
        flops: forward FLOPs of an image, by arm; None if unknown.

    Returns:
        Pairs (a, b) of names.
    """
    pairs = [pair for named in study.pairs for pair in _expanded(named, arms)]
    if study.factors and study.design == "one_at_a_time":
        pairs += [(name, each.model) for name, each in arms.items()]
    else:
        alike: dict[tuple[Any, ...], dict[str, str]] = {}
        for name, each in arms.items():
            key = (tuple(sorted(each.levels.items())), each.start)
            alike.setdefault(key, {})[name] = each.family
        found = [pair for families in alike.values() for pair in compared_pairs(families, flops)]
        found.sort(key=lambda pair: mismatch(flops.get(pair[0]), flops.get(pair[1])))
        pairs += [
            (a, b)
            for a, b in found
            if not study.factors or not mismatch(flops.get(a), flops.get(b))
        ]
    first: dict[frozenset[str], tuple[str, str]] = {}
    for pair in pairs:
        if pair[0] != pair[1]:
            first.setdefault(frozenset(pair), pair)
    return list(first.values())


def _expanded(named: tuple[str, str], arms: Mapping[str, ReportedArm]) -> Iterator[tuple[str, str]]:
    """A pair of the study's arms as reported ones; of several pre-trainings the largest first."""
    sides = [[e for e in arms.values() if e.arm.name == name] for name in named]
    several = [len(side) > 1 for side in sides]
    for a in reversed(sides[0]):
        for b in reversed(sides[1]):
            if not all(several) or a.start == b.start:
                yield a.name, b.name


def _starts(study: Study, arm: Arm) -> Sequence[int | None]:
    before = arm.pretraining
    if before is None or before.objective == "none":
        return (None,)
    if before.sizes != "all":
        return before.sizes
    if before.dataset is None and before.image_size is None:
        return (study.data.counts.get("train") if study.data else None,)
    from studies.study.study import other_key

    key = other_key(before.dataset or study.dataset, before.image_size or study.image_size)
    other = study.other_data.get(key)
    return (other.counts.get("train") if other else None,)


def _name(arm: Arm, start: int | None) -> str:
    before = arm.pretraining
    if before is None or start is None or before.sizes == "all" or len(before.sizes) < 2:
        return arm.name
    return f"{arm.name} from {start:,}"


def changes_of(
    study: Study, arms: Mapping[str, ReportedArm], without: Container[str] = ()
) -> dict[str, list[Change]]:
    """In which factors an arm differs from another that has the factor's first level, by arm.

    Args:
        study: whose they are.
        arms: its reported arms.
        without: factors that are left out.
    """
    found: dict[str, list[Change]] = {}
    alike: dict[tuple[str, frozenset[tuple[str, str]]], list[ReportedArm]] = {}
    for arm in arms.values():
        alike.setdefault((arm.model, frozenset(arm.levels.items())), []).append(arm)
    for arm in arms.values():
        for factor, level in arm.levels.items():
            first = next(iter(study.factors[factor]))
            if factor in without or level == first:
                continue
            wanted = {**arm.levels, factor: first}
            bases = alike.get((arm.model, frozenset(wanted.items())), [])
            same = [e for e in bases if e.start == arm.start]
            if len(bases) == 1 or same:
                base = (same or bases)[0]
                label = arm.name.removeprefix(arm.model).strip()
                change = Change(factor, label, arm.name, base.name, arm.model)
                found.setdefault(arm.name, []).append(change)
    return found
