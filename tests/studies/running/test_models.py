"""Which trained models lie in a results folder, and what lies beside them."""

import json
import os

import pytest

from studies.machine.cloud import Bucket
from studies.records.checkpoints import checkpoint_folder
from studies.records.frames import read_results
from studies.records.place import Elsewhere, Here
from studies.running.models import ModelKeeper, keep_models, number_kept
from studies.running.results_folder import write_study
from studies.study import file as study_file
from studies.study.described import ResolvedData
from tests.studies.descriptions import study_file as write

pytestmark = pytest.mark.once

DATA = ResolvedData(
    name="none",
    fingerprint="ab",
    image_shape=(8, 8, 3),
    num_classes=3,
    counts={"train": 27, "validation": 9, "test": 15},
    class_names=("ant", "bee", "cat"),
)


class Folder:
    """A study of two models, two sizes and three seeds whose trials a test lets finish."""

    def __init__(self, path, keep=None):
        path.mkdir(exist_ok=True)
        file = write(path / "mine.toml", "none", ("a/b", "two"), seeds=3)
        file.write_text(file.read_text().replace("models.a/b", 'models."a/b"'))
        study = study_file.resolve(str(file), {"keep_models": keep})
        self.study = study.resolved(DATA)
        self.trials = self.study.trials(DATA)
        self.results, self.folder = path / "results", path / "results" / "mine"
        self.records = {}

    def finish(self, model, size, seed, accuracy, loss=1.0, status="done"):
        (trial,) = (t for t in self.trials if (t.model.name, t.size, t.seed) == (model, size, seed))
        source = checkpoint_folder(self.results, trial) / "best.keras"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(f"{model} {size} {seed}")
        metrics = {"val_top1": accuracy, "val_loss": loss, "test_top1": 0.5}
        self.records[trial.trial_id] = {"status": status, "study": "mine", "metrics": metrics}
        return source

    def keep(self):
        """The names of the kept models after the driver has looked."""
        kept = keep_models(self.study, self.folder, Here(self.results), self.trials, self.records)
        lying = sorted(path.name for path in (self.folder / "models").glob("*"))
        assert lying == sorted(n for path in kept for n in (path.name, f"{path.stem}.json"))
        return sorted(path.stem for path in kept)


def test_a_model_that_a_killed_run_was_linking_is_no_model_and_is_removed_by_the_next(tmp_path):
    folder = Folder(tmp_path)
    folder.finish("two", 3, 0, 0.5)
    assert folder.keep() == ["two-3-seed0-tensorflow"]
    (folder.folder / "models" / ".tmp-0123-two-6-seed0-tensorflow.keras").write_text("ha")
    write_study(folder.study, folder.folder)
    assert read_results(folder.folder).models == ("two-3-seed0-tensorflow.keras",)
    ModelKeeper(folder.study, folder.folder, Here(folder.results), folder.records)
    assert folder.keep() == ["two-3-seed0-tensorflow"]


def test_each_models_best_seed_at_the_largest_size_so_far_is_kept(tmp_path):
    folder = Folder(tmp_path)
    assert folder.keep() == []
    folder.finish("two", 3, 0, 0.9)
    assert folder.keep() == ["two-3-seed0-tensorflow"]
    folder.finish("a/b", 3, 0, 0.9)
    folder.finish("two", 6, 0, 0.5)  # larger counts for more than better
    assert folder.keep() == ["a_b-3-seed0-tensorflow", "two-6-seed0-tensorflow"]
    folder.finish("two", 6, 1, 0.6)
    folder.finish("two", 6, 2, 0.6, loss=0.9)  # as often right, and surer
    folder.finish("a/b", 6, 0, 0.7, status="failed")
    assert folder.keep() == ["a_b-3-seed0-tensorflow", "two-6-seed2-tensorflow"]
    path = folder.folder / "models" / "two-6-seed2-tensorflow.keras"
    assert path.read_text() == "two 6 2"
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["class_names"] == ["ant", "bee", "cat"] and card["image_shape"] == [8, 8, 3]
    assert (card["model"], card["base"], card["size"], card["seed"]) == ("two", "ViT-Ti/4", 6, 2)
    assert card["metrics"]["val_loss"] == 0.9 and card["value_range"] == [-1, 1]


def test_all_are_kept_or_none_when_asked(tmp_path):
    for keep, kept in (("all", 3), ("none", 0)):
        folder = Folder(tmp_path / keep, keep)
        for seed in range(3):
            folder.finish("two", 3, seed, 0.1 * seed)
        assert len(folder.keep()) == kept == len(list((folder.folder).glob("models/*.keras")))


def test_a_model_takes_no_second_room_and_survives_its_checkpoints(tmp_path):
    folder = Folder(tmp_path)
    source = folder.finish("two", 6, 0, 0.5)
    folder.keep()
    path = folder.folder / "models" / "two-6-seed0-tensorflow.keras"
    assert path.samefile(source)
    written = path.with_suffix(".json").stat().st_mtime_ns
    folder.keep()
    assert path.with_suffix(".json").stat().st_mtime_ns == written
    source.unlink()
    assert folder.keep() == ["two-6-seed0-tensorflow"] and path.read_text() == "two 6 0"


def test_a_model_stays_until_what_replaces_it_is_there(tmp_path):
    folder = Folder(tmp_path)
    folder.finish("two", 3, 0, 0.5)
    folder.keep()
    models = folder.folder / "models"
    before = {path.name: path.read_bytes() for path in models.iterdir()}
    better = folder.finish("two", 6, 0, 0.9)
    better.rename(tmp_path / "elsewhere")
    keep_models(folder.study, folder.folder, Here(folder.results), folder.trials, folder.records)
    assert {path.name: path.read_bytes() for path in models.iterdir()} == before
    (tmp_path / "elsewhere").rename(better)
    assert folder.keep() == ["two-6-seed0-tensorflow"]


def test_what_replaces_a_model_is_brought_from_storage(tmp_path):
    folder = Folder(tmp_path)
    folder.finish("two", 3, 0, 0.5)
    folder.keep()
    better = folder.finish("two", 6, 0, 0.9)
    bucket = Bucket(f"memory://{tmp_path}")
    bucket.write(better.relative_to(folder.results).as_posix(), b"better")
    better.unlink()
    place = Elsewhere(bucket, folder.results)
    keep_models(folder.study, folder.folder, place, folder.trials, folder.records)
    names = ["two-6-seed0-tensorflow.json", "two-6-seed0-tensorflow.keras"]
    models = folder.folder / "models"
    assert sorted(path.name for path in models.iterdir()) == names
    assert (models / names[1]).read_bytes() == b"better"


def test_where_links_are_impossible_models_are_copied_once(tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    folder = Folder(tmp_path)
    folder.finish("two", 6, 0, 0.5)
    for _ in range(2):
        assert folder.keep() == ["two-6-seed0-tensorflow"]
    path = folder.folder / "models" / "two-6-seed0-tensorflow.keras"
    number = path.stat().st_ino
    folder.keep()
    assert path.stat().st_ino == number, "copied again"


@pytest.mark.parametrize(("keep", "number"), [(None, 1), ("best", 1), ("all", 6), ("none", 0)])
def test_the_number_to_come_is_known_beforehand(tmp_path, keep, number):
    folder = Folder(tmp_path, keep)
    assert number_kept(folder.study, folder.trials) == {"a/b": number, "two": number}
