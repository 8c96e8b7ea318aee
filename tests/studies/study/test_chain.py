"""Chains of trainings, factors and further evaluations: which trials a study is, and what their ids hold."""

import pytest

from studies.errors import UsageError
from studies.study import file as study_file
from studies.study.described import ResolvedData
from studies.study.study import other_key
from tests.studies.descriptions import study_file as study_file_of

pytestmark = pytest.mark.once

MODELS = {"vit": {"base": "ViT-Ti/4"}, "resnet": {"base": "BiT-R50x1"}}
SMALL = {"steps": 10, "batch_size": 4}


def described(name="shapes", side=8, channels=1, train=40):
    counts = {"train": train, "validation": 8, "test": 8}
    return ResolvedData(
        name=name,
        fingerprint=f"print of {name} at {side}",
        image_shape=(side, side, channels),
        num_classes=4,
        counts=counts,
        official=counts,
    )


def study_of(**content):
    content = {"name": "x", "models": MODELS, "recipe": SMALL, "seeds": 1, "sizes": [20], **content}
    return study_file.validate(content, "a test")


def trials_of(others=None, **content):
    return study_of(**content).trials(described(), others or {})


class TestChain:
    def test_every_size_of_the_pre_training_is_a_start_of_every_size_of_the_fine_tuning(self):
        trials = trials_of(pretraining={"sizes": [10, 30]}, sizes=[5, 20])
        found = {(t.model.name, t.start.size, t.size) for t in trials}
        assert found == {(m, a, b) for m in MODELS for a in (10, 30) for b in (5, 20)}
        assert len({t.trial_id for t in trials}) == len(trials)

    def test_a_pre_training_is_one_and_the_same_for_all_that_start_from_it(self):
        trials = trials_of(pretraining={"sizes": [30]}, sizes=[5, 20])
        vits = [t for t in trials if t.model.name == "vit"]
        assert len({t.start.training_id for t in vits}) == 1
        assert [len(t.chain) for t in vits] == [2, 2]
        assert vits[0].chain[0] == vits[0].start and vits[0].chain[-1] == vits[0]

    def test_a_pre_training_on_the_study_s_images_is_the_trial_without_one(self):
        """Trained once, whichever study asks for it: the ids are made of what decides the weights."""
        before = {t.pretrain_id for t in trials_of(sizes=[30])}
        chained = {t.start.training_id for t in trials_of(pretraining={"sizes": [30]})}
        assert before == chained

    def test_fine_tuning_is_the_paper_s_unless_the_file_says_otherwise(self):
        (trial, _) = trials_of(pretraining={})
        recipe = trial.recipe
        assert (recipe.optimizer, recipe.momentum, recipe.weight_decay) == ("sgd", 0.9, 0.0)
        assert recipe.learning_rates == (0.001, 0.003, 0.01, 0.03) and recipe.clip_norm == 1.0
        assert (recipe.steps, trial.start.recipe.optimizer) == (10, "adamw")
        (other, _) = trials_of(pretraining={}, finetuning={"recipe": {"steps": 3}})
        assert other.recipe.steps == 3 and other.trial_id != trial.trial_id

    def test_other_images_keep_their_size_and_classes_and_take_the_study_s_channels(self):
        other = described("fashion_mnist", side=16, channels=3, train=99)
        others = {other_key("fashion_mnist", 16): other}
        content = {"pretraining": {"dataset": "fashion_mnist", "image_size": 16}}
        (trial, _) = trials_of(others, **content)
        assert trial.start.image_shape == (16, 16, 1) and trial.image_shape == (8, 8, 1)
        assert (trial.start.dataset, trial.start.size) == ("fashion_mnist", 99)
        assert study_of(**content).other_sources == [("fashion_mnist", 16)]

    def test_splits_are_followed_where_a_seed_decides_about_them(self):
        def start(**lacking):
            own, other = described(), described(side=16)
            official = {k: v for k, v in own.counts.items() if k not in lacking}
            own, other = (each.model_copy(update={"official": official}) for each in (own, other))
            study = study_of(pretraining={"image_size": 16})
            return study.trials(own, {other_key("shapes", 16): other})[0].start

        assert start().splits is None  # the source has all of them
        for lacking in ("validation", "test"):
            assert start(**{lacking: True}).splits.data_fingerprint == described().fingerprint
        assert start().training_id != start(test=True).training_id

    def test_given_weights_count_by_their_content(self):
        content = {"pretraining": {"objective": "none", "weights": "vit.npz"}}
        ids = [
            study_of(**content, files=files).trials(described())[0].trial_id
            for files in ({"vit.npz": "a"}, {"vit.npz": "b"}, {})
        ]
        assert len(set(ids)) == 3

    @pytest.mark.parametrize("method", ["lora", "head_and_norms"])
    def test_another_way_of_fine_tuning_is_another_training_from_the_same_start(self, method):
        (full, _), (other, _) = (
            trials_of(pretraining={}, finetuning=finetuning)
            for finetuning in ({}, {"method": method})
        )
        assert full.trial_id != other.trial_id
        assert full.start.training_id == other.start.training_id

    def test_the_rank_of_low_rank_updates_is_in_the_id_where_there_are_any(self):
        def id_of(**finetuning):
            return trials_of(pretraining={}, finetuning=finetuning)[0].trial_id

        assert id_of(lora_rank=2) == id_of(lora_rank=4)
        assert id_of(method="lora", lora_rank=2) != id_of(method="lora", lora_rank=4)


FACTORS = {
    "augmentation": {
        "plain": {"recipe": {"augmentation": "none"}},
        "crops": {"recipe": {"augmentation": "crop"}},
    },
    "depth": {"2": {"overrides": {"num_layers": 2}}, "3": {"overrides": {"num_layers": 3}}},
}


class TestFactors:
    def test_a_grid_has_every_combination(self):
        trials = trials_of(factors=FACTORS, models={"vit": MODELS["vit"]})
        names = ["vit plain 2", "vit plain 3", "vit crops 2", "vit crops 3"]
        assert [t.model.name for t in trials] == names
        assert trials[-1].levels == {"augmentation": "crops", "depth": "3"}
        assert trials[-1].base_model == "vit" and trials[-1].recipe.augmentation == "crop"
        assert trials[-1].model.overrides == {"num_layers": 3}

    def test_one_at_a_time_changes_one_factor_of_the_base(self):
        content = {"factors": FACTORS, "models": {"vit": MODELS["vit"]}}
        trials = trials_of(design="one_at_a_time", **content)
        assert [t.model.name for t in trials] == ["vit", "vit crops", "vit 3"]
        assert trials[2].levels == {"augmentation": "plain", "depth": "3"}

    def test_a_level_that_changes_nothing_trains_what_is_trained_without_factors(self):
        plain = {t.pretrain_id for t in trials_of()}
        with_factor = {t.pretrain_id for t in trials_of(factors={"f": {"base": {}}})}
        assert plain == with_factor

    def test_rates_of_layers_that_a_resnet_does_not_have_leave_its_id_alone(self):
        rates = {"dropout_rate": 0.1, "attention_dropout_rate": 0.1, "stochastic_depth_rate": 0.1}
        for content in ({}, {"pretraining": {}}):
            plain, dropped = (
                {t.model.name: t.pretrain_id for t in trials_of(recipe=recipe, **content)}
                for recipe in (SMALL, SMALL | rates)
            )
            assert plain["resnet"] == dropped["resnet"] and plain["vit"] != dropped["vit"]

    def test_weights_that_a_level_names_count_by_the_file_s_content(self):
        factors = {"start": {"drawn": {}, "given": {"overrides": {"weights": "vit.npz"}}}}

        def id_of(known, **models):
            study = study_of(factors=factors, files=known, models={"vit": MODELS["vit"] | models})
            return study.trials(described())[1].trial_id

        assert len({id_of({}), id_of({"vit.npz": "a"}), id_of({"vit.npz": "b"})}) == 3
        # The entry's own file is not the one that the level names instead.
        own = {"overrides": {"weights": "own.npz"}, "files": {"weights": "c"}}
        assert id_of({"vit.npz": "a"}, **own) == id_of({"vit.npz": "a"})
        assert id_of({}, **own) == id_of({})

    def test_a_level_may_be_for_some_models(self):
        factors = {"f": {"base": {}, "deep": {"overrides": {"num_layers": 3}, "models": ["vit"]}}}
        names = [t.model.name for t in trials_of(factors=factors)]
        assert names == ["vit base", "vit deep", "resnet base"]

    def test_a_level_may_leave_the_pre_training_out_or_change_its_objective(self):
        factors = {
            "start": {
                "scratch": {"pretraining": False},
                "labels": {},
                "masked": {"pretraining": {"objective": "masked_patches"}},
            }
        }
        trials = trials_of(factors=factors, pretraining={}, models={"vit": MODELS["vit"]})
        scratch, labels, masked = trials
        assert scratch.start is None and scratch.recipe.optimizer == "adamw"
        assert (labels.start.objective, masked.start.objective) == ("supervised", "masked_patches")
        assert labels.start.training_id != masked.start.training_id

    @pytest.mark.parametrize(
        "content, word",
        [
            ({"factors": {"f": {"a": {"recipe": {"stpes": 3}}}}}, "stpes"),
            ({"factors": {"f": {}}}, "f"),
            ({"x": "time"}, "compute"),
            ({"pairs": [["vit", "bit"]]}, "resnet"),
            ({"evaluations": {"standard": {}}}, "standard"),
            ({"pretraining": {"objective": "none"}}, "weights"),
            ({"pretraining": {"weights": "a.npz"}}, "none"),
            ({"finetuning": {"method": "half"}}, "lora"),
            ({"pretraining": {"datasets": "shapes"}}, "dataset"),
            (
                {"factors": {"f": {"a": {"recipe": {"dropot_rate": 0.1}}}}},
                "factors.f.a.recipe.dropot_rate (did you mean 'dropout_rate'?); allowed here: steps",
            ),
            (
                {"factors": {"recipe": {"at": {"recpie": {}}}}},
                "factors.recipe.at.recpie (did you mean 'recipe'?); allowed here: recipe, base",
            ),
            ({"factors": {"f": {"a": {"finetuning": {"methd": 1}}}}}, "here: method, lora_rank"),
            ({"pretraining": {"recipe": {"stpes": 3}}}, "pretraining.recipe.stpes (did you mean"),
            (
                {"factors": {"f": {"a": {"finetuning": {"recipe": {"steps": 0}}}}}},
                "factors.f.a.finetuning.recipe.steps must be at least 1, not 0",
            ),
        ],
    )
    def test_what_cannot_be_is_refused_in_one_sentence(self, content, word):
        with pytest.raises(UsageError) as error:
            study_of(**content)
        assert word in str(error.value) and "\n" not in str(error.value)


class TestEvaluations:
    def test_each_is_a_record_of_its_own_beside_the_standard_one_of_the_same_training(self):
        plain = trials_of()
        trials = trials_of(evaluations={"knn": {"kind": "nearest_neighbours"}})
        standard = [t for t in trials if t.extra is None]
        assert [t.trial_id for t in standard] == [t.trial_id for t in plain]
        extra = [t for t in trials if t.extra is not None]
        assert [t.pretrain_id for t in extra] == [t.pretrain_id for t in plain]
        assert not {t.trial_id for t in extra} & {t.trial_id for t in standard}

    def test_of_the_pre_trained_model_there_is_one_whatever_follows_it(self):
        content = {"pretraining": {"sizes": [30]}, "sizes": [5, 20]}
        trials = trials_of(evaluations={"probe": {"of": "pretraining"}}, **content)
        extra = [t for t in trials if t.extra is not None]
        starts = {t.start.training_id for t in trials if t.start is not None}
        assert len(extra) == 2 and {t.pretrain_id for t in extra} == starts

    def test_one_may_be_of_some_models_whose_ids_do_not_depend_on_that(self):
        some = trials_of(evaluations={"knn": {"kind": "nearest_neighbours", "models": ["vit"]}})
        everyone = trials_of(evaluations={"knn": {"kind": "nearest_neighbours"}})
        assert [t.model.name for t in some if t.extra] == ["vit"]
        assert [t.trial_id for t in everyone if t.model.name == "vit"] == [
            t.trial_id for t in some if t.model.name == "vit"
        ]

    def test_options_and_other_images_are_in_the_id(self):
        other = {other_key("fashion_mnist", None): described("fashion_mnist")}
        entries = [
            {"kind": "fewshot"},
            {"kind": "fewshot", "options": {"shots": [1]}},
            {"kind": "fewshot", "dataset": "fashion_mnist"},
        ]
        ids = {trials_of(other, evaluations={"e": entry})[1].trial_id for entry in entries}
        assert len(ids) == 3


def test_pairs_are_those_of_the_models_that_are_chosen():
    def pairs(*models):
        return study_file.resolve("locality", {"models": models}).pairs

    assert pairs("vit-s", "r-vit-s") == ()
    assert pairs("vit-s", "bit-s") == study_file.resolve("locality", {}).pairs != ()


LEVELS = """
[factors.depth.shallow]
models = ["one"]
overrides = { num_layers = 1 }
[factors.depth.deep]
models = ["one"]
overrides = { num_layers = 2 }
"""


def test_models_for_which_there_is_no_level_are_refused(tmp_path):
    path = study_file_of(tmp_path / "mine.toml", "digits", ("one", "two"))
    path.write_text(path.read_text() + LEVELS)
    assert list(study_file.resolve(str(path), {}).arms) == ["one shallow", "one deep"]
    for name in ("two", "ViT-Ti/8"):
        words = f"factors.depth: its levels are for one, and the models are {name}, .*--models"
        with pytest.raises(UsageError, match=words):
            study_file.resolve(str(path), {"models": [name]})
    # Of two factors, each of which has levels for one of the models, no levels go together.
    other = LEVELS.replace("depth", "width").replace('"one"', '"two"')
    path.write_text(path.read_text() + other)
    with pytest.raises(UsageError, match=r"factors\.depth: its levels are for one, and the models"):
        study_file.resolve(str(path), {})


@pytest.mark.parametrize("place", ["factors.depth.deep", "evaluations.nearest_neighbours"])
def test_models_of_a_level_or_an_evaluation_are_the_studys(tmp_path, place):
    path = study_file_of(tmp_path / "mine.toml", "digits", ("one", "two"))
    path.write_text(path.read_text() + f'[{place}]\nmodels = ["one", "twoo"]\n')
    words = rf"{place}\.models: 'twoo' is no model of the study .*'two'.*choose among one, two"
    with pytest.raises(UsageError, match=words):
        study_file.resolve(str(path), {})
    path.write_text(path.read_text().replace("twoo", "two"))
    study_file.resolve(str(path), {"models": ["one"]})  # though `two` is not among them
    path.write_text(path.read_text().replace('"two"]', '"ViT-Ti/8"]'))
    study_file.resolve(str(path), {"models": ["one", "ViT-Ti/8"]})


@pytest.mark.parametrize(
    "wrong", ["1", '"one"', "[]", '["one"]', '["one", 2]', '["one", "two", "three"]', "{a = 1}"]
)
@pytest.mark.parametrize("options", [{}, {"models": ["one"]}])
def test_what_is_no_pair_is_refused_whatever_models_are_chosen(tmp_path, wrong, options):
    path = study_file_of(tmp_path / "mine.toml", "digits", ("one", "two"))
    text = path.read_text()
    path.write_text(f"pairs = [{wrong}]\n{text}")
    with pytest.raises(UsageError, match=r"pairs: each must be (a list|text)") as error:
        study_file.resolve(str(path), options)
    assert "\n" not in str(error.value)


def test_a_written_study_is_read_back_equal(tmp_path):
    study = study_of(
        factors=FACTORS,
        pretraining={"sizes": [10]},
        evaluations={"knn": {"kind": "nearest_neighbours", "options": {"neighbours": 5}}},
        pairs=[["vit plain 2", "resnet plain 2"]],
        x="pretraining_images",
    )
    (tmp_path / "study.toml").write_text(study_file.to_toml(study))
    assert study_file.read_resolved(tmp_path) == study
