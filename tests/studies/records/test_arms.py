"""Which arms a report has, which of them are compared, and what changes one into another."""

import pytest

from studies.records.arms import changes_of, name_of, pairs_of, reported_arms
from tests.studies.synthetic import make_kind

pytestmark = pytest.mark.once

SAME = dict.fromkeys(
    (f"{model}{level}" for model in ("vit-s", "bit-s") for level in ("", " whole", " 7", " 1")), 1e7
)
SCRAMBLE = {
    "scramble": {"whole": {}, "7": {"recipe": {"scramble": 7}}, "1": {"recipe": {"scramble": 1}}}
}
BEFORE = {"dataset": "shapes", "image_size": 28, "sizes": [1000, 10000]}
START = {"start": {"scratch": {"pretraining": False}, "pre-trained": {}}}


def test_of_pre_trainings_of_several_sizes_each_is_an_arm():
    study = make_kind({"pretraining": BEFORE, "factors": START})
    arms = reported_arms(study)
    one = ["vit-s scratch", "vit-s pre-trained from 1,000", "vit-s pre-trained from 10,000"]
    assert list(arms)[:3] == one and len(arms) == 6
    assert [arms[name].start for name in one] == [None, 1000, 10000]
    trial = study.trials(study.data)[-1]
    record = {"model": "vit-s pre-trained", "size": 500, "pretraining": {"size": 1000}}
    assert name_of(record, study.arms) == one[1]
    # A record of the pre-trained model itself has its images.
    assert name_of({"model": "vit-s pre-trained", "size": 10000}, study.arms) == one[2]
    assert name_of({"model": trial.model.name, "size": 5000, "pretraining": None}, study.arms)


def test_a_model_with_a_residual_stem_is_a_hybrid():
    models = {
        "vit": {"base": "ViT-Ti/4"},
        "hybrid": {"base": "R+ViT-Ti/16"},
        "other": {"base": "R26+ViT-S/32", "overrides": {"stem_block_counts": [1]}},
        "bit": {"base": "BiT-R50x1"},
    }
    families = [arm.family for arm in reported_arms(make_kind({"models": models})).values()]
    assert families == ["vit", "hybrid", "hybrid", "resnet"]


class TestPairs:
    def test_without_factors_every_vit_meets_every_resnet(self):
        study = make_kind({})
        assert pairs_of(study, reported_arms(study), {}) == [("vit-s", "bit-s")]

    def test_a_grid_s_arms_meet_under_the_same_levels_if_they_cost_the_same(self):
        study = make_kind({"factors": SCRAMBLE})
        arms = reported_arms(study)
        levels = ("whole", "7", "1")
        expected = [(f"vit-s {level}", f"bit-s {level}") for level in levels]
        assert pairs_of(study, arms, SAME) == expected
        assert pairs_of(study, arms, {**SAME, "vit-s 7": 2e7}) == [expected[0], expected[2]]

    def test_named_pairs_come_first_and_once(self):
        study = make_kind({"factors": SCRAMBLE, "pairs": [["bit-s 7", "vit-s 7"]]})
        found = pairs_of(study, reported_arms(study), SAME)
        assert found[0] == ("bit-s 7", "vit-s 7") and len(found) == 3

    def test_a_named_pair_is_one_for_each_pre_training_the_largest_first(self):
        pairs = [["vit-s pre-trained", "bit-s pre-trained"], ["vit-s pre-trained", "vit-s scratch"]]
        study = make_kind({"pretraining": BEFORE, "factors": START, "pairs": pairs})
        found = pairs_of(study, reported_arms(study), {})
        end = "pre-trained from"
        assert found == [
            (f"vit-s {end} 10,000", f"bit-s {end} 10,000"),
            (f"vit-s {end} 1,000", f"bit-s {end} 1,000"),
            (f"vit-s {end} 10,000", "vit-s scratch"),
            (f"vit-s {end} 1,000", "vit-s scratch"),
        ]

    def test_one_factor_at_a_time_every_arm_meets_its_base(self):
        study = make_kind({"factors": SCRAMBLE, "design": "one_at_a_time"})
        found = pairs_of(study, reported_arms(study), SAME)
        assert found == [(f"{m} {n}", m) for m in ("vit-s", "bit-s") for n in ("7", "1")]


class TestChanges:
    def test_a_change_is_from_the_first_level_all_else_alike(self):
        depth = {"depth": {"2": {}, "3": {"overrides": {"num_layers": 3}}}}
        study = make_kind({"factors": SCRAMBLE | depth})
        found = changes_of(study, reported_arms(study))
        two = [(c.factor, c.base) for c in found["vit-s 7 3"]]
        assert two == [("scramble", "vit-s whole 3"), ("depth", "vit-s 7 2")]
        assert "vit-s whole 2" not in found

    def test_a_pre_training_is_compared_with_none(self):
        study = make_kind({"pretraining": BEFORE, "factors": START})
        (change,) = changes_of(study, reported_arms(study))["bit-s pre-trained from 1,000"]
        assert (change.base, change.level) == ("bit-s scratch", "pre-trained from 1,000")

    def test_factors_may_be_left_out(self):
        study = make_kind({"factors": SCRAMBLE})
        assert changes_of(study, reported_arms(study), {"scramble"}) == {}
