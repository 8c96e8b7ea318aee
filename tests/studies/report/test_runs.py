"""Which results folders are runs of one study, and what is refused."""

import pytest

from studies.errors import UsageError
from studies.report.runs import read_runs
from studies.study.file import read_resolved
from tests.studies.synthetic import make_kind, make_study, write_folder

pytestmark = pytest.mark.once

SIZES = (500, 1000, 2000)
FACTOR = {"steps": {"5": {"recipe": {"steps": 5}}, "7": {"recipe": {"steps": 7}}}}
MORE = make_kind({}).data.model_dump(mode="json") | {"name": "photos", "fingerprint": "4567"}
PHOTOS = {"sizes": [1000], "recipe": {"steps": 5}}  # a pre-training
GIVEN = {"objective": "none", "weights": "/here/vit.npz"}


def weights_of(path):
    """A factor one level of which begins with a file's weights."""
    return {"start": {"drawn": {}, "given": {"overrides": {"weights": path}}}}


@pytest.mark.parametrize(
    ("what", "change"),
    [
        (r"data", {"test": 1000}),
        (r"recipe \(steps 10000, not 50\)", "recipe"),
        (r"model 'vit-s' \(base ViT-Ti/4, not ViT-S/4\)", "model"),
        ("no model in common", {"models": ["vit-m"]}),
    ],
)
def test_what_is_no_run_of_the_same_study_is_refused(tmp_path, what, change):
    study = make_study(models=["vit-s", "bit-s"], sizes=SIZES)
    a = write_folder(tmp_path / "a", study, [])
    if change == "recipe":
        study = study.model_copy(update={"recipe": study.recipe.model_copy(update={"steps": 50})})
    elif change == "model":
        entry = study.models["vit-s"].model_copy(update={"base": "ViT-S/4"})
        study = study.model_copy(update={"models": {**study.models, "vit-s": entry}})
    elif what == "data":
        data = study.data.model_copy(update={"fingerprint": "9"})
        study = study.model_copy(update={"data": data})
    else:
        study = make_study(**{"sizes": SIZES, **change})
    b = write_folder(tmp_path / "b", study, [])
    with pytest.raises(UsageError, match=f"^a and b .*{what}"):
        read_runs([a, b])
    with pytest.raises(UsageError, match="two results folders"):
        read_runs([a, a])


def of_kind(folder, content):
    return write_folder(folder, make_kind(content), [])


@pytest.mark.parametrize(
    "one, two",
    [
        ({}, {"resources": {"threads": 1, "gpus": 0.5, "memory": "4GB"}}),
        ({}, {"image_size": 28}),
        ({}, {"reading": {"skip_broken": True}}),
        ({}, {"rounds": True}),
        ({"factors": FACTOR}, {"factors": FACTOR, "x": "steps"}),
        (
            {"factors": FACTOR},
            {"factors": {"steps": {**FACTOR["steps"], "9": {"recipe": {"steps": 9}}}}},
        ),
        ({"other_data": {"there": MORE}}, {}),
        (
            {"pretraining": {**PHOTOS, "dataset": "folder:/a"}, "other_data": {"folder:/a": MORE}},
            {"pretraining": {**PHOTOS, "dataset": "folder:/b"}, "other_data": {"folder:/b": MORE}},
        ),
        (
            {"pretraining": {**PHOTOS, "sizes": [10, 20]}},
            {"pretraining": {**PHOTOS, "sizes": [20, 30]}},
        ),
        (
            {"pretraining": GIVEN, "files": {"/here/vit.npz": "12"}},
            {
                "pretraining": {**GIVEN, "weights": "/there/vit.npz"},
                "files": {"/there/vit.npz": "12", "/other.npz": "34"},
            },
        ),
        (
            {"factors": weights_of("/a"), "files": {"/a": "12"}},
            {"factors": weights_of("/b"), "files": {"/b": "12"}},
        ),
    ],
)
def test_what_decides_no_weights_may_differ(tmp_path, one, two):
    """It is in no trial's id: on both machines the trials are the same."""
    folders = [of_kind(tmp_path / name, content) for name, content in (("a", one), ("b", two))]
    assert [each.name for each in read_runs(folders)] == ["a", "b"]
    sides = [{t.trial_id for t in read_resolved(f).trials(read_resolved(f).data)} for f in folders]
    assert sides[0] & sides[1]


@pytest.mark.parametrize(
    ("what", "one", "two"),
    [
        (
            "pre-training of 'vit-s'",
            {"pretraining": {**PHOTOS, "dataset": "folder:/a"}, "other_data": {"folder:/a": MORE}},
            {
                "pretraining": {**PHOTOS, "dataset": "folder:/a"},
                "other_data": {"folder:/a": {**MORE, "fingerprint": "89"}},
            },
        ),
        (
            "images of the pre-training of 'vit-s'",
            {"pretraining": PHOTOS},
            {"pretraining": {**PHOTOS, "sizes": [2000]}},
        ),
        (
            r"pre-training of 'vit-s' \(weights 12, not 34\)",
            {"pretraining": GIVEN, "files": {"/here/vit.npz": "12"}},
            {"pretraining": GIVEN, "files": {"/here/vit.npz": "34"}},
        ),
        (
            r"model 'vit-s given' \(overrides ",
            {"factors": weights_of("/a"), "files": {"/a": "12"}},
            {"factors": weights_of("/a"), "files": {"/a": "34"}},
        ),
        ("pre-training of 'vit-s'", {}, {"pretraining": PHOTOS}),
        (
            r"fine-tuning of 'vit-s' \(method full, not lora\)",
            {"pretraining": PHOTOS},
            {"pretraining": PHOTOS, "finetuning": {"method": "lora"}},
        ),
        (
            r"recipe of 'vit-s 7' \(steps 7, not 8\)",
            {"factors": FACTOR},
            {"factors": {"steps": {**FACTOR["steps"], "7": {"recipe": {"steps": 8}}}}},
        ),
        ("devices", {}, {"devices": 2}),
        ("no model in common", {}, {"factors": FACTOR}),
    ],
)
def test_what_decides_weights_is_refused(tmp_path, what, one, two):
    folders = [of_kind(tmp_path / name, content) for name, content in (("a", one), ("b", two))]
    with pytest.raises(UsageError, match=f"^a and b .*{what}"):
        read_runs(folders)
