"""Outcomes: what is saved is read back, and a damaged file is passed over with a word."""

import numpy as np
import pytest

from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes, outcomes_of, save_outcomes

pytestmark = pytest.mark.once


@pytest.fixture
def outcomes():
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.1, 0.1, 0.8]])
    return outcomes_of(
        4, logits, np.array([0, 2, 2]), np.array([9, 3, 70_000]), np.array([1, 1, 5])
    )


def test_outcomes_by_hand(outcomes):
    assert outcomes.predicted.tolist() == [0, 1, 2] and outcomes.correct.tolist() == [1, 0, 1]
    np.testing.assert_allclose(outcomes.confidence, [0.7, 0.5, 0.8])
    np.testing.assert_allclose(outcomes.label_probability, [0.7, 0.25, 0.8])


def test_huge_logits_give_probabilities():
    found = outcomes_of(0, np.array([[1e4, -1e4]]), np.array([1]), np.array([0]), np.array([0]))
    assert found.confidence == 1.0 and found.label_probability == 0.0


def test_a_file_gives_back_what_was_saved(outcomes, tmp_path):
    path = outcomes_path(tmp_path / "run", "ab12")
    assert path == tmp_path / "run" / "outcomes" / "ab12.npz"
    save_outcomes(path, outcomes)
    found = load_outcomes(path)
    assert found.seed == 4
    for name in ("image", "group", "label", "predicted"):
        np.testing.assert_array_equal(getattr(found, name), getattr(outcomes, name))
    np.testing.assert_allclose(found.confidence, outcomes.confidence, atol=5e-4)
    again = path.read_bytes()
    save_outcomes(path, found)
    assert path.read_bytes() == again and [p.name for p in path.parent.iterdir()] == ["ab12.npz"]


def test_many_classes_keep_their_numbers(tmp_path):
    logits = np.eye(300)[[299, 5]]
    said = outcomes_of(0, logits, np.array([299, 256]), np.array([0, 1]), np.array([0, 1]))
    save_outcomes(tmp_path / "a.npz", said)
    found = load_outcomes(tmp_path / "a.npz")
    assert found.label.tolist() == [299, 256] and found.predicted.tolist() == [299, 5]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY"])
def test_a_damaged_file_is_passed_over_and_named(content, tmp_path, capsys):
    path = tmp_path / "a.npz"
    assert load_outcomes(path) is None and not capsys.readouterr().err
    path.write_bytes(content)
    assert load_outcomes(path) is None
    assert str(path) in capsys.readouterr().err


def test_a_torn_file_is_passed_over_at_every_length(outcomes, tmp_path):
    path = tmp_path / "a.npz"
    save_outcomes(path, outcomes)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert load_outcomes(path) is None


def altered(path, outcomes, **arrays):
    save_outcomes(path, outcomes)
    with np.load(path) as file:
        content = dict(file)
    np.savez_compressed(path, **content | arrays)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"label": np.array([0, -1, 2])}, "label holds what is no number of a class"),
        ({"predicted": np.array([0.5, 1, 2])}, "predicted holds what is no number of a class"),
        ({"confidence": np.array([0.5, np.nan, 0.5])}, "confidence holds what is no probability"),
        ({"label_probability": np.array([0.5, 2, 0.5])}, "holds what is no probability"),
        ({"image": np.array(["a", "b", "c"])}, "U"),
        ({"more": np.zeros(10**6)}, "it says that it holds more than any test set has"),
    ],
)
def test_what_no_model_said_is_passed_over(outcomes, tmp_path, capsys, monkeypatch, arrays, words):
    monkeypatch.setattr("studies.records.outcomes._MOST", 10**6)  # bytes
    path = tmp_path / "a.npz"
    altered(path, outcomes, **arrays)
    assert load_outcomes(path) is None
    assert words in capsys.readouterr().err
