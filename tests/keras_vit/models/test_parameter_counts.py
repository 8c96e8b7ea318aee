"""Parameter counts of every listed name, against published numbers and the papers' sizes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import keras_vit
from tests.keras_vit.abstract import abstract_model
from tests.keras_vit.models.parameter_formulas import parameters

GOLDEN = Path(__file__).parents[2] / "golden"
COUNTS: dict[str, int] = json.loads((GOLDEN / "parameters.json").read_text())
PUBLISHED = json.loads((GOLDEN / "published_parameters.json").read_text())
EXACT = {name: count for group in PUBLISHED["exact"].values() for name, count in group.items()}
MILLIONS = {name: m for group in PUBLISHED["millions"].values() for name, m in group.items()}


@pytest.mark.once
def test_no_listed_name_is_missing():
    assert sorted(COUNTS) == sorted(keras_vit.list_models())


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_golden_numbers_follow_from_the_papers_sizes(name):
    assert COUNTS[name] == parameters(name)


@pytest.mark.once
def test_golden_numbers_are_the_published_ones():
    for name, count in EXACT.items():
        assert COUNTS[name] == count, name
    for name, millions in MILLIONS.items():
        assert round(COUNTS[name] / 1e6, 2) == millions, name


@pytest.mark.once  # shapes do not depend on the backend, and the largest take a second to build
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_models_have_the_golden_number_of_parameters(name):
    assert abstract_model(name).count_params() == COUNTS[name]


@pytest.mark.parametrize("size", ["Ti", "S", "b", "B"])
def test_any_patch_size_can_be_named(size):
    for patch in (7, 28, 56):
        name = f"ViT-{size}/{patch}"
        assert abstract_model(name).count_params() == parameters(name)


@pytest.mark.once
@pytest.mark.parametrize("name", ["R+ViT-S/16", "R26+ViT-Ti/32", "R50+ViT-S/16", "R50+ViT-H/32"])
def test_every_stem_can_stand_before_any_vit(name):
    assert name not in COUNTS
    assert abstract_model(name).count_params() == parameters(name)


def test_without_classes_there_is_no_head():
    name = "ViT-Ti/16"
    model = abstract_model(name, classes=None)
    assert model.count_params() == COUNTS[name] - (192 * 1000 + 1000)
    assert model.output_shape == (None, 192)


def test_classifiers_differ_by_what_the_formulas_say():
    """gap has no class token; map adds a probe, an attention, a norm and an MLP."""
    token = abstract_model("ViT-Ti/16").count_params()
    assert abstract_model("ViT-Ti/16", classifier="gap").count_params() == token - 2 * 192
    pooling = 192 + 4 * (192**2 + 192) + 2 * 192 + 192 * 768 + 768 + 768 * 192 + 192
    assert abstract_model("ViT-Ti/16", classifier="map").count_params() == token - 2 * 192 + pooling
    width = abstract_model("ViT-Ti/16", representation_size=64).count_params()
    assert width == token - 193 * 1000 + (192 * 64 + 64) + 65 * 1000


def test_position_kinds_differ_by_what_the_formulas_say():
    none = abstract_model("ViT-Ti/16", position_embedding="none").count_params()
    grid = 14
    expected = {
        "learned": (grid**2 + 1) * 192,
        "learned_2d": 2 * grid * 96 + 192,
        "sincos2d": 0,
        "relative": 12 * 3 * ((2 * grid - 1) ** 2 + 3),
    }
    for kind, more in expected.items():
        assert abstract_model("ViT-Ti/16", position_embedding=kind).count_params() - none == more


def test_the_golden_file_covers_each_family():
    families = {re.sub(r"\d+|/", "", name.split("-")[0]) for name in COUNTS}
    assert {"ViT", "BiT", "R+ViT"} <= families
    assert all(isinstance(count, int) and count > 0 for count in COUNTS.values())
    assert len(np.unique(list(COUNTS.values()))) > len(COUNTS) // 2
