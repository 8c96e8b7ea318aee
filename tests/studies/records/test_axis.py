"""Where every result stands, whatever a study varies."""

import math

import pytest

from studies.records.arms import reported_arms
from studies.records.axis import Place, axis_of, compute_of
from tests.studies.synthetic import make_kind

pytestmark = pytest.mark.once

STEPS = {str(n): {"recipe": {"steps": n}} for n in (500, 5000)}
BEFORE = {"dataset": "shapes", "image_size": 28, "sizes": [1000, 10000]}


def places(content, size=500, compute=None):
    study = make_kind(content)
    axis = axis_of(study)
    arms = reported_arms(study).items()
    return axis, {name: axis.place(arm, size, compute) for name, arm in arms}


def test_over_images_an_arm_is_a_curve():
    axis, found = places({"factors": {"steps": STEPS}})
    assert (axis.label, axis.scale) == ("training images", "log")
    assert found["vit-s 500"] == Place("vit-s 500", 500.0, None)


def test_over_images_of_the_pre_training_an_arm_without_one_is_nowhere():
    start = {"start": {"scratch": {"pretraining": False}, "before": {}}}
    _, found = places({"x": "pretraining_images", "pretraining": BEFORE, "factors": start})
    assert math.isnan(found["vit-s scratch"].x)
    curves = {(p.curve, p.x) for name, p in found.items() if "before" in name}
    assert curves == {(f"{m} before", x) for m in ("vit-s", "bit-s") for x in (1000.0, 10000.0)}
    assert {place.panel for place in found.values()} == {500}


def test_over_compute_lengths_are_points_of_one_curve():
    depth = {"depth": {"2": {}, "3": {"overrides": {"num_layers": 3}}}}
    _, found = places({"x": "compute", "factors": {"steps": STEPS} | depth}, compute=3e12)
    assert found["vit-s 500 3"].curve == found["vit-s 5000 3"].curve == "vit-s 3"
    assert found["vit-s 500 3"].x == 3e12


@pytest.mark.parametrize(
    "levels, scale, x",
    [
        (("whole", "7", "1"), "levels", [0, 1, 2]),
        (("0", "0.5", "2"), "linear", [0, 0.5, 2]),
        (("1", "10", "100"), "log", [1, 10, 100]),
    ],
)
def test_levels_that_are_numbers_make_an_axis_of_numbers(levels, scale, x):
    factors = {"f": {level: {} for level in levels}}
    axis, found = places({"x": "f", "factors": factors})
    assert axis.scale == scale and axis.levels == (levels if scale == "levels" else ())
    assert [found[f"vit-s {level}"].x for level in levels] == x
    assert {place.curve for place in found.values()} == {"vit-s", "bit-s"}


def test_one_at_a_time_the_base_is_a_point_of_the_axis():
    factors = {"steps": STEPS, "depth": {"2": {}, "3": {"overrides": {"num_layers": 3}}}}
    _, found = places({"x": "depth", "factors": factors, "design": "one_at_a_time"})
    assert (found["vit-s"].curve, found["vit-s"].x) == ("vit-s", 2.0)
    assert (found["vit-s 3"].curve, found["vit-s 3"].x) == ("vit-s", 3.0)
    assert found["vit-s 5000"].curve == "vit-s 5000"


def test_compute_is_three_forward_passes_for_each_image_seen():
    record = {"flops": 10_000_000, "steps": 100, "batch_size": 64}
    assert compute_of(record) == 3 * 10_000_000 * 100 * 64
    assert compute_of({**record, "compute": 5.0}) == 5.0
    assert compute_of({**record, "pretraining": {"size": 10}}) is None  # of a chain: unknown
    assert compute_of({"steps": 100}) is None
