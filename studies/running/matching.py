"""Whether the two models that a study compares cost the same, and what would make them."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, sqrt
from typing import Any, NamedTuple

from studies.analysis.findings import compared_pairs
from studies.errors import UsageError
from studies.running.costs import measure
from studies.running.runner import Plan
from studies.study.entries import ModelEntry

MATCHED = 1.1  # within so many times the FLOPs of each other
UNIT = 64  # channels of the first stage at width_factor 1
LEAST_MLP = 0.25  # of its width: with less a ViT is another kind of model


def advice(plan: Plan) -> str:
    """One sentence where the main pair's forward FLOPs differ by more than a tenth, else nothing.

    The ResNet's width is what is changed first: FLOPs go with its square, and no shape depends on it.
    It moves in steps of the groups, though; the ViT's MLP moves one by one, and FLOPs go with it.
    """
    from keras_vit.models.variants import get_variant

    study, costs = plan.study, plan.costs
    families = {name: get_variant(arm.entry.base).family for name, arm in study.arms.items()}
    pairs = compared_pairs(families, {name: float(cost.flops) for name, cost in costs.items()})
    if not pairs:
        return ""
    a, b = pairs[0]
    ratio = costs[a].flops / costs[b].flops
    if _off(ratio) <= MATCHED:
        return ""
    told = f"{a} has {ratio:.2f} times the forward FLOPs of {b}: whichever is ahead has that to do with it"
    if families[b] != "resnet" or families[a] == "resnet" or study.factors:
        return f"{told}."
    found = _nearest(plan, a, b)
    if found is None:
        return f"{told}."
    return f"{told}; --set models.{found.setting} makes it {found.ratio:.2f} times."


class _Change(NamedTuple):
    """What could be set, and the ratio of the FLOPs that is left."""

    setting: str
    ratio: float


def _nearest(plan: Plan, a: str, b: str) -> _Change | None:
    """The change that brings a ViT and a ResNet together; None where none brings them nearer."""
    vit, resnet = plan.study.models[a], plan.study.models[b]
    of_vit, of_resnet = plan.costs[a].flops, plan.costs[b].flops
    ratio, config = of_vit / of_resnet, _config(resnet)
    groups = int(config.get("groups", 32))  # they must divide every width
    near = round(UNIT * config["width_factor"] * sqrt(ratio) / groups)
    widths = [step * groups / UNIT for step in range(max(1, near - 1), near + 2)]
    mlp = int(_config(vit)["mlp_dim"])
    narrow = max(1, mlp // 2)
    entries = [_with(resnet, {"width_factor": width}, f"{width:g}") for width in widths]
    entries.append(_with(vit, {"mlp_dim": narrow}, "narrow"))
    data = plan.study.data
    assert data is not None
    try:
        costs = measure(entries, data.image_shape, data.num_classes, plan.study.backends[0])
    except UsageError:  # not every override goes with every width
        return None
    place = f"{_quoted(resnet.name)}.overrides.width_factor"
    changes = [
        _Change(f"{place}={width:g}", of_vit / costs[f"{width:g}"].flops) for width in widths
    ]
    best = min(changes, key=lambda change: _off(change.ratio))
    if _off(best.ratio) > MATCHED and mlp > narrow:
        slope = (of_vit - costs["narrow"].flops) / (mlp - narrow)  # FLOPs of one unit
        wanted = max(round(mlp + (of_resnet - of_vit) / slope), ceil(LEAST_MLP * mlp))
        after = (of_vit + slope * (wanted - mlp)) / of_resnet
        changes.append(_Change(f"{_quoted(vit.name)}.overrides.mlp_dim={wanted}", after))
        best = min(changes, key=lambda change: _off(change.ratio))
    return best if _off(best.ratio) < _off(ratio) else None


def _config(entry: ModelEntry) -> dict[str, Any]:
    from keras_vit.models.variants import get_variant

    return {**get_variant(entry.base).config, **entry.overrides}


def _with(entry: ModelEntry, overrides: Mapping[str, Any], name: str) -> ModelEntry:
    changed = {"overrides": {**entry.overrides, **overrides}, "name": name}
    return entry.model_copy(update=changed)


def _off(ratio: float) -> float:
    return max(ratio, 1 / ratio)


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name
