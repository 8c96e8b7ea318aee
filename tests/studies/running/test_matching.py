"""The advice that `plan` gives where a pair of models does not cost the same."""

from types import SimpleNamespace

import pytest

from studies.running import matching
from studies.running.costs import Cost
from studies.study.described import ResolvedData
from studies.study.study import ModelEntry

pytestmark = pytest.mark.once

DATA = ResolvedData(name="none", fingerprint="ab", image_shape=(48, 48, 3), num_classes=3)


def plan(flops, overrides=None, bases=("ViT-Ti/4", "BiT-R50x1")):
    overrides = {"width_factor": 0.1875, "groups": 4} if overrides is None else overrides
    models = {
        "vit": ModelEntry(name="vit", base=bases[0]),
        "res.net": ModelEntry(name="res.net", base=bases[1], overrides=overrides),
    }
    study = SimpleNamespace(models=models, data=DATA, backends=("jax",))
    costs = {name: Cost(number, 1) for name, number in zip(models, flops, strict=True)}
    return SimpleNamespace(study=study, costs=costs)


@pytest.fixture
def square_law(monkeypatch):
    """FLOPs that go with the width's square: 12 channels cost a million."""
    asked = []

    def measure(entries, shape, classes, backend):
        assert (shape, classes, backend) == ((48, 48, 3), 3, "jax")
        asked.extend(entries)
        widths = {entry.name: 64 * entry.overrides["width_factor"] for entry in entries}
        return {name: Cost(round(1e6 * (width / 12) ** 2), 1) for name, width in widths.items()}

    monkeypatch.setattr(matching, "measure", measure)
    return asked


@pytest.mark.parametrize("flops", [(10, 10), (11, 10), (10, 11)])
def test_within_a_tenth_there_is_nothing_to_say(flops, square_law):
    assert matching.advice(plan(flops)) == "" and not square_law


def test_the_width_is_advised_that_brings_them_together(square_law):
    told = matching.advice(plan((1_800_000, 1_000_000)))
    # 12 channels times the root of 1.8 are 16.1: 16 channels, 1.78 million.
    assert told.startswith("vit has 1.80 times the forward FLOPs of res.net: ")
    assert 'models."res.net".overrides.width_factor=0.25 makes it 1.01 times.' in told
    assert all(64 * e.overrides["width_factor"] % 4 == 0 for e in square_law), (
        "groups divide widths"
    )
    assert all(entry.overrides["groups"] == 4 for entry in square_law)


def test_a_width_that_is_no_better_is_not_advised(square_law):
    """Of 32 groups, 64 channels go to 32 or 96."""
    told = matching.advice(plan((1_000_000, 800_000), {"width_factor": 1.0}))
    assert "1.25 times" in told and "--set" not in told


def test_models_of_one_family_are_told_apart_and_no_more(square_law):
    told = matching.advice(plan((2_000_000, 1_000_000), {}, ("ViT-Ti/4", "ViT-Ti/8")))
    assert "2.00 times the forward FLOPs of res.net" in told and not square_law
