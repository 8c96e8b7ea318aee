"""What a study cannot be is told before anything is prepared."""

import pytest

from studies.errors import UsageError
from studies.running.checks import check_arms, check_trials
from studies.study import file as study_file
from studies.study.described import ResolvedData

pytestmark = pytest.mark.once

VIT, RESNET = {"vit": {"base": "ViT-Ti/4"}}, {"bit": {"base": "BiT-R50x1"}}
MASKED = {"objective": "masked_patches"}


def study(models=VIT, **content):
    return study_file.validate({"name": "x", "models": models, **content}, "a test")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"evaluations": {"nn": {}}}, "no evaluation 'nn': choose among .*nearest_neighbours"),
        (
            {"evaluations": {"nn": {"kind": "nearest_neighbours", "options": {"K": 3}}}},
            r"evaluations\.nn\.options\.K: .*the options of nearest_neighbours are k,",
        ),
        (
            {"evaluations": {"nn": {"kind": "nearest_neighbours", "options": {"k": 0}}}},
            r"evaluations\.nn\.options\.k: must be at least 1, not 0",
        ),
        (
            {"evaluations": {"s": {"kind": "standard", "dataset": "shapes"}}},
            "reads logits.*leave out dataset",
        ),
        (
            {
                "evaluations": {"s": {"kind": "standard", "of": "pretraining"}},
                "pretraining": MASKED,
            },
            "learns no labels",
        ),
        ({"models": RESNET, "pretraining": MASKED}, "masked_patches is for ViTs, and 'bit'"),
        (
            {"models": RESNET, "pretraining": {}, "finetuning": {"method": "lora"}},
            "lora is for ViTs, and 'bit'",
        ),
        (
            {"models": RESNET, "evaluations": {"attention": {}}},
            r"reads attention, and 'bit'.*evaluations\.attention\.models",
        ),
        ({"models": {**VIT, **RESNET}, "evaluations": {"filters": {}}}, "reads filters, and 'bit'"),
        ({"evaluations": {"attention": {"models": ["vitt"]}}}, r"none of the models.*\(vit\)"),
        (
            {
                "models": {**VIT, **RESNET},
                "factors": {"start": {"a": {}, "b": {"pretraining": MASKED}}},
            },
            "'bit b' is a ResNet",
        ),
    ],
)
def test_each_is_refused_in_one_sentence(content, told):
    with pytest.raises(UsageError, match=told) as error:
        check_arms(study(**content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        {"evaluations": {"attention": {"of": "pretraining"}}, "pretraining": MASKED},
        {"evaluations": {"probe": {"kind": "linear_probe", "dataset": "shapes"}}},
        {"models": RESNET, "pretraining": {}, "finetuning": {"method": "head_and_norms"}},
        {"models": {**VIT, **RESNET}, "evaluations": {"attention": {"models": ["vit"]}}},
        {
            "models": {**VIT, **RESNET},
            "factors": {"start": {"a": {}, "b": {"pretraining": MASKED, "models": ["vit"]}}},
        },
    ],
)
def test_what_can_be_passes(content):
    check_arms(study(**content))


def described(fingerprint, train, side=8):
    counts = {"train": train, "validation": 8, "test": 8}
    return ResolvedData(
        name=f"data {fingerprint}",
        fingerprint=fingerprint,
        image_shape=(side, side, 1),
        num_classes=4,
        counts=counts,
        official=counts,
    )


@pytest.mark.parametrize(
    ("pretraining", "told"),
    [({"sizes": [30, 50]}, "size 50 .*data b has 40"), ({"sizes": [3]}, "below one image a class")],
)
def test_sizes_of_a_pre_training_are_those_that_its_own_images_have(pretraining, told):
    data, other = described("a", 1000), described("b", 40)
    each = study(sizes=[900], seeds=1, pretraining={"dataset": "shapes", **pretraining})
    with pytest.raises(UsageError, match=told):
        check_trials(each.trials(data, {"shapes": other}), [data, other])
    fitting = study(sizes=[900], seeds=1, pretraining={"dataset": "shapes", "sizes": [4, 40]})
    check_trials(fitting.trials(data, {"shapes": other}), [data, other])


def test_images_of_an_evaluation_must_fall_into_the_cells_of_the_recipe():
    data, other = described("a", 40), described("b", 40, side=9)
    each = study(
        sizes=[20],
        seeds=1,
        recipe={"scramble": 4},
        evaluations={"probe": {"kind": "linear_probe", "dataset": "shapes"}},
    )
    with pytest.raises(UsageError, match="scramble 4: images of 9 x 9"):
        check_trials(each.trials(data, {"shapes": other}), [data, other])


def test_a_folder_that_goes_on_with_models_without_levels_is_refused():
    level = {"overrides": {"num_layers": 1}, "models": ["vit"]}
    both = study({**VIT, **RESNET}, factors={"depth": {"shallow": level}})
    assert list(both.arms) == ["vit shallow"]
    alone = both.model_copy(update={"models": {"bit": both.models["bit"]}})
    with pytest.raises(UsageError, match=r"factors\.depth: its levels are for vit, .* are bit, "):
        check_arms(alone)
