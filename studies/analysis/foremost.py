"""Of several models, the best, and the pair that a study comes down to where it is not known before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from studies.analysis.findings import Findings, Pair

_RESNET = "resnet"


def ranked(findings: Findings) -> list[str]:
    """Models with results by the number that leads, the best first.

    They are compared at the largest size that all of them have: one that was trained on more images would be
    better for these alone. Without such a size each counts at its own largest. What nothing is said about
    (`Findings.barred`) comes last.
    """
    sizes: dict[str, set[int]] = {}
    for model, size in findings.estimates:
        sizes.setdefault(model, set()).add(size)
    if not sizes:
        return []
    common = set.intersection(*sizes.values())
    keys = [(model, max(common or own)) for model, own in sizes.items()]
    keys.sort(key=lambda key: (bool(findings.barred.get(key)), -findings.estimates[key].mean))
    return [model for model, _ in keys]


def best_first(findings: Findings, families: Mapping[str, str]) -> Findings:
    """The findings with that pair first which the choice is between: the best and its best rival.

    The rival is of the other family (ViTs and hybrids are one, ResNets the other) where there is one. The
    other pairs keep their order.

    Args:
        findings: with pairs.
        families: "vit", "hybrid" or "resnet", by model.
    """
    place = {model: number for number, model in enumerate(ranked(findings))}

    def rank(pair: Pair) -> tuple[int, bool, int]:
        best, rival = sorted((place[pair.a], place[pair.b]))
        resnets = [families.get(name) == _RESNET for name in (pair.a, pair.b)]
        return best, resnets[0] == resnets[1], rival

    if not findings.pairs:
        return findings
    main = min(findings.pairs, key=rank)
    return replace(findings, pairs=[main, *(pair for pair in findings.pairs if pair is not main)])
