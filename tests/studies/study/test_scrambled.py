"""`scrambled-7:D` says what `dataset = D` and `recipe.scramble = 7` say."""

import pytest

from studies.errors import UsageError
from studies.study import file as study_file
from studies.study.scrambled import spell_out

pytestmark = pytest.mark.once

STUDY = "data-scale-fashion_mnist"


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"dataset": "scrambled-7:fashion_mnist"}, []),
        ({}, ["dataset=scrambled-7:fashion_mnist"]),
        ({"dataset": "scrambled-7:fashion_mnist"}, ["recipe.scramble=7"]),
    ],
)
def test_the_short_form_is_the_same_study(options, settings):
    short = study_file.resolve(STUDY, options, settings)
    long = study_file.resolve(STUDY, {"question": None}, ["recipe.scramble=7"])
    assert (short.dataset, short.recipe, short.sizes) == (
        "fashion_mnist",
        long.recipe,
        study_file.resolve(STUDY, {}).sizes,
    )
    assert short.data_title == long.data_title == "scrambled-7:fashion_mnist"
    assert short.expected == ""  # what the file expects is of whole images


def test_a_path_is_resolved_behind_it():
    short = study_file.resolve("data-scale", {"dataset": "scrambled-1:folder:photos"})
    assert short.dataset.startswith("folder:/") and short.recipe.scramble == 1


def test_pre_trainings_have_it_too():
    raw = {
        "dataset": "digits",
        "pretraining": {"dataset": "scrambled-2:shapes"},
        "factors": {"before": {"a": {"pretraining": {"dataset": "scrambled-4:shapes:9"}}, "b": {}}},
    }
    spell_out(raw)
    assert raw["pretraining"] == {"dataset": "shapes", "recipe": {"scramble": 2}}
    assert raw["factors"]["before"]["a"] == {
        "pretraining": {"dataset": "shapes:9", "recipe": {"scramble": 4}}
    }
    assert "recipe" not in raw


@pytest.mark.parametrize(
    "name",
    ["scrambled:digits", "scrambled-:digits", "scrambled-0:digits", "scrambled-x:digits"]
    + ["scrambled-7:", "scrambled-7", "scrambled-7:scrambled-2:digits"],
)
def test_other_forms_are_refused_in_one_sentence(name):
    with pytest.raises(UsageError, match="such as scrambled-7:fashion_mnist") as error:
        study_file.resolve("quick", {"dataset": name})
    assert repr(name) in str(error.value) and "\n" not in str(error.value)


def test_a_contradiction_is_refused():
    with pytest.raises(UsageError, match=r"recipe.scramble 2 say two things"):
        study_file.resolve("quick", {"dataset": "scrambled-4:digits"}, ["recipe.scramble=2"])


def test_an_evaluation_is_scrambled_as_its_model_is():
    with pytest.raises(UsageError, match="name the data set without scrambled-"):
        spell_out({"evaluations": {"knn": {"dataset": "scrambled-4:digits"}}})


def test_a_data_set_by_itself_is_not_scrambled():
    from studies.data import describe

    with pytest.raises(UsageError, match=r"scrambled by the recipe of a study.* name digits here"):
        describe("scrambled-4:digits")
