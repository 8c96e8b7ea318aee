"""What is written to a results folder is whole or not there at all."""

import pytest

from studies.errors import UsageError
from studies.running.results_folder import merge, write_study
from studies.running.runner import with_digests
from studies.study import file as study_file

pytestmark = pytest.mark.once


def test_a_study_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path):
    (tmp_path / "study.toml").mkdir()  # nothing can be renamed onto a folder
    with pytest.raises(UsageError, match=r"cannot write to the results folder .*--results"):
        write_study(study_file.resolve("quick", {}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def with_weights(path):
    study = study_file.resolve("quick", {}, [f"models.vit-xs.overrides.weights={path}"])
    return with_digests(study)


def test_a_file_of_weights_is_known_by_its_content_wherever_it_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moved").mkdir()
    for name, content in (("a.npz", b"one"), ("moved/b.npz", b"one"), ("c.npz", b"two")):
        (tmp_path / name).write_bytes(content)
    old, moved = with_weights("a.npz"), with_weights("moved/b.npz")
    assert old.models["vit-xs"].overrides["weights"] == str(tmp_path / "a.npz")
    merged = merge(old, moved, tmp_path)
    assert merged.models["vit-xs"].overrides["weights"] == str(tmp_path / "moved" / "b.npz")
    with pytest.raises(
        UsageError, match=r"of other weights of model 'vit-xs' than .*c\.npz holds now"
    ):
        merge(old, with_weights("c.npz"), tmp_path)
    (tmp_path / "a.npz").write_bytes(b"three")
    with pytest.raises(
        UsageError, match=r"of other weights of model 'vit-xs' than .*a\.npz holds now"
    ):
        merge(old, with_weights("a.npz"), tmp_path)
