"""Whether the two models that a study compares cost the same, and what would make them."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from studies.analysis.findings import compared_pairs
from studies.errors import UsageError
from studies.running.costs import Cost, measure
from studies.running.runner import Plan
from studies.study.study import ModelEntry

MATCHED = 1.1  # within so many times the FLOPs of each other
UNIT = 64  # channels of the first stage at width_factor 1


def advice(plan: Plan) -> str:
    """One sentence where the main pair's forward FLOPs differ by more than a tenth, else nothing.

    The ResNet's width is what is changed: FLOPs go with its square, and no shape depends on it.
    """
    from keras_vit.models.variants import get_variant

    study, costs = plan.study, plan.costs
    families = {name: get_variant(entry.base).family for name, entry in study.models.items()}
    pairs = compared_pairs(families, {name: float(cost.flops) for name, cost in costs.items()})
    if not pairs:
        return ""
    a, b = pairs[0]
    ratio = costs[a].flops / costs[b].flops
    if 1 / MATCHED <= ratio <= MATCHED:
        return ""
    told = f"{a} has {ratio:.2f} times the forward FLOPs of {b}: whichever is ahead has that to do with it"
    if families[b] != "resnet":
        return f"{told}."
    entry = study.models[b]
    config = {**get_variant(entry.base).config, **entry.overrides}
    found = _matched(entry, config, ratio, costs[a], plan)
    if found is None:
        return f"{told}."
    width, after = found
    return f"{told}; --set models.{_quoted(b)}.overrides.width_factor={width:g} makes it {after:.2f} times."


def _matched(
    entry: ModelEntry, config: Mapping[str, float], ratio: float, wanted: Cost, plan: Plan
) -> tuple[float, float] | None:
    """The width factor nearest to the wanted cost, and the ratio that is left; None: none is nearer."""
    groups = int(config.get("groups", 32))  # they must divide every width
    near = round(UNIT * config["width_factor"] * sqrt(ratio) / groups)
    entries = [
        entry.model_copy(
            update={"name": str(width), "overrides": {**entry.overrides, "width_factor": width}}
        )
        for width in (step * groups / UNIT for step in range(max(1, near - 1), near + 2))
    ]
    data = plan.study.data
    assert data is not None
    try:
        costs = measure(entries, data.image_shape, data.num_classes, plan.study.backends[0])
    except UsageError:  # not every override goes with every width
        return None
    left = {float(name): wanted.flops / cost.flops for name, cost in costs.items()}
    best = min(left, key=lambda width: _off(left[width]))
    return (best, left[best]) if _off(left[best]) < _off(ratio) else None


def _off(ratio: float) -> float:
    return max(ratio, 1 / ratio)


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name
