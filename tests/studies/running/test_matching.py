"""The advice that `plan` gives where a pair of models does not cost the same."""

from types import SimpleNamespace

import pytest

from studies.running import matching
from studies.running.costs import Cost
from studies.study.described import ResolvedData
from studies.study.entries import ModelEntry
from studies.study.study import Study

pytestmark = pytest.mark.once

DATA = ResolvedData(name="none", fingerprint="ab", image_shape=(48, 48, 3), num_classes=3)


def plan(flops, overrides=None, bases=("ViT-Ti/4", "BiT-R50x1")):
    overrides = {"width_factor": 0.1875, "groups": 4} if overrides is None else overrides
    models = {
        "vit": ModelEntry(name="vit", base=bases[0]),
        "res.net": ModelEntry(name="res.net", base=bases[1], overrides=overrides),
    }
    study = Study(name="x", models=models, data=DATA, backends=("jax",))
    costs = {name: Cost(number, 1) for name, number in zip(models, flops, strict=True)}
    return SimpleNamespace(study=study, costs=costs)


@pytest.fixture
def square_law(monkeypatch):
    """FLOPs that go with a ResNet's width squared, 12 channels cost a million, and with a ViT's MLP."""
    asked = []

    def measure(entries, shape, classes, backend):
        assert (shape, classes, backend) == ((48, 48, 3), 3, "jax")
        asked.extend(entries)
        return {entry.name: Cost(round(cost(entry)), 1) for entry in entries}

    def cost(entry):
        if "mlp_dim" in entry.overrides:  # of ViT-Ti 768, here at 1,000 FLOPs each, and the rest
            return 1_000_000 + 1000 * (entry.overrides["mlp_dim"] - 768)
        return 1e6 * (64 * entry.overrides["width_factor"] / 12) ** 2

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
    widened = [entry.overrides for entry in square_law if entry.name != "narrow"]
    assert len(widened) == 3 and all(each["groups"] == 4 for each in widened)
    assert all(64 * each["width_factor"] % 4 == 0 for each in widened), "groups divide widths"


def test_where_no_width_is_near_the_mlp_is_advised(square_law):
    """Of 32 groups, 64 channels go to 32 or 96. 200,000 FLOPs less are 200 units of 768 less."""
    told = matching.advice(plan((1_000_000, 800_000), {"width_factor": 1.0}))
    assert "1.25 times" in told and told.endswith(
        "--set models.vit.overrides.mlp_dim=568 makes it 1.00 times."
    )


def test_an_mlp_does_not_shrink_away(square_law):
    """700,000 FLOPs less would leave 68 of 768 units: a quarter is the least."""
    told = matching.advice(plan((1_000_000, 300_000), {"width_factor": 1.0}))
    assert told.endswith("mlp_dim=192 makes it 1.41 times.")  # 424,000 / 300,000


def test_models_of_one_family_are_told_apart_and_no_more(square_law):
    told = matching.advice(plan((2_000_000, 1_000_000), {}, ("ViT-Ti/4", "ViT-Ti/8")))
    assert "2.00 times the forward FLOPs of res.net" in told and not square_law
