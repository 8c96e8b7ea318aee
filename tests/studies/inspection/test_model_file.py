"""A .keras file of anybody's: layers and weights are taken from it, code is not."""

import json
import zipfile
from pathlib import Path

import pytest

from studies.errors import UsageError
from studies.inspection.model_file import load_model

GOLDEN = Path(__file__).parents[2] / "golden" / "vit-0.1-torch.keras"

pytestmark = pytest.mark.once


def altered(path, change):
    """The golden file with another configuration."""
    with zipfile.ZipFile(GOLDEN) as golden, zipfile.ZipFile(path, "w") as archive:
        for name in golden.namelist():
            content = golden.read(name)
            archive.writestr(name, change(content) if name == "config.json" else content)
    return path


def test_a_sound_file_gives_its_model():
    assert load_model(GOLDEN).name == "golden"


LAMBDA = {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "x"}}
FOREIGN = {"class_name": "Popen", "module": "subprocess", "config": {}, "registered_name": "Popen"}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (LAMBDA, r"it holds Python code \(a Lambda layer\), which is not run"),
        ({"class_name": "__lambda__", "config": {"value": "x"}}, "it holds Python code"),
        (FOREIGN, r"it holds subprocess\.Popen: only models of keras_vit"),
        ({"class_name": "Evil", "module": "kerasy.layers"}, r"it holds kerasy\.layers\.Evil"),
    ],
)
def test_code_is_refused_wherever_it_stands(layer, words, tmp_path):
    def change(content):
        config = json.loads(content)
        config["config"]["layers"] = [[{"deep": layer}]]
        return json.dumps(config)

    with pytest.raises(UsageError, match=words):
        load_model(altered(tmp_path / "a.keras", change))


def test_a_file_that_says_it_is_larger_than_it_can_be_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2 * 10**6))
    monkeypatch.setattr("studies.inspection.model_file._ALWAYS", 10**6)  # bytes
    with pytest.raises(UsageError, match="it says that it holds 2,000,002 bytes, in a file of"):
        load_model(path)
