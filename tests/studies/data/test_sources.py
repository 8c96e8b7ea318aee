"""Names of data sets: what they mean, and what was meant."""

import json
import sys

import pytest

from studies.data import Options, load
from studies.data.tfds_worker import check_features
from studies.errors import UsageError

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("photos", r"'photos' is a folder: did you mean folder:photos\?"),
        ("./photos", r"did you mean folder:\./photos\?"),
        ("labels.csv", r"'labels\.csv' is a file: did you mean csv:labels\.csv\?"),
        ("photos.zip", r"'photos\.zip' is a file: give folder:PATH, csv:FILE or a name"),
    ],
)
def test_a_path_is_not_asked_of_tensorflow_datasets(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for file in ("labels.csv", "photos.zip"):
        (tmp_path / file).write_text("")
    monkeypatch.setattr("studies.data.tfds._ask", None)
    monkeypatch.delitem(sys.modules, "tensorflow_datasets", raising=False)  # another test's
    with pytest.raises(UsageError, match=words):
        load(name, 32, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists() and "tensorflow_datasets" not in sys.modules


def test_groups_need_files(tmp_path):
    with pytest.raises(UsageError, match=r"--groups is for images in files, .* shapes has none"):
        load("shapes", options=Options(groups="(.)"), cache=tmp_path)


def test_modules_of_builders_must_be_there(tmp_path, monkeypatch):
    from studies.data.tfds import module_files

    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_builder.py").write_text("raise RuntimeError('it is not loaded to be found')")
    (tmp_path / "pack" / "inner").mkdir(parents=True)
    (tmp_path / "pack" / "inner" / "builder.py").write_text("")
    first = module_files(["my_builder", "pack.inner.builder"])
    assert list(first) == ["my_builder", "pack.inner.builder"]
    (tmp_path / "my_builder.py").write_text("# other code")
    second = module_files(["my_builder", "pack.inner.builder"])
    assert second["my_builder"] != first["my_builder"]
    assert second["pack.inner.builder"] == first["pack.inner.builder"]
    for name in ("my_bulider", "pack.outer.builder"):
        with pytest.raises(UsageError, match=f"The module '{name}' of --import is not found"):
            load("my_things", 8, Options(imports=(name,)), cache=tmp_path / "cache")


@pytest.mark.parametrize("name", ["huggingface:cifar10", "kaggle:a/b", "mnist/a=1", "a\nb", "a b"])
def test_a_name_is_no_address_of_others_code(tmp_path, monkeypatch, name):
    monkeypatch.setattr("studies.data.tfds._ask", None)
    with pytest.raises(UsageError, match=r"is unknown: choose shapes, .* their code would run"):
        load(name, 32, cache=tmp_path)


def test_a_description_of_prepared_data_has_no_module_loaded(tmp_path):
    image = {"pythonClassName": "tensorflow_datasets.core.features.image_feature.Image"}
    label = {"pythonClassName": "my_code.features.Label"}
    told = {"featuresDict": {"features": {"image": image, "label": label}}}
    (tmp_path / "1.0.0").mkdir()
    (tmp_path / "1.0.0" / "features.json").write_text(json.dumps(told))
    with pytest.raises(
        UsageError, match=r"asks for my_code\.features\.Label, whose code would run"
    ):
        check_features(tmp_path)
    check_features(tmp_path, ["my_code"])
    check_features(tmp_path / "nothing")
