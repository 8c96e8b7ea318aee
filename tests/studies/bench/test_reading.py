"""The table of reading speeds: a number for every augmentation, on images of each size."""

import csv

import pytest

from studies.bench.cases import of_studies
from studies.bench.reading import FASTEST, INPUTS, VARIANTS, main, measure

pytestmark = pytest.mark.once


def test_every_augmentation_is_measured_and_written(tmp_path, capsys):
    options = ["--inputs", "digits", "--rounds", "2", "--seconds", "0.001", "--backends"]
    assert main([*options, "--output", str(tmp_path)]) == 0
    with open(tmp_path / "reading.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["augmentation"] for row in rows] == list(VARIANTS)
    for row in rows:
        speeds = [
            float(row[name]) for name in ("lower_quartile", "images_per_second", "upper_quartile")
        ]
        assert speeds == sorted(speeds) and speeds[0] > 0
        assert (row["shape"], row["rounds"]) == ("8x8x1", "2")
        assert row["model"] == row["consumes"] == row["ratio"] == "", "nothing was trained"
    assert "digits 8x8x1" in capsys.readouterr().out


def test_reading_is_compared_with_what_the_fastest_model_consumes(tmp_path, capsys):
    options = ["--inputs", "digits", "--rounds", "2", "--seconds", "0.001", "--backends", "torch"]
    assert main([*options, "--threads", "1", "--output", str(tmp_path)]) == 0
    with open(tmp_path / "reading.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert (row["model"], row["backend"], row["threads"]) == ("quick/vit-xs", "torch", "1")
        ratio = float(row["images_per_second"]) / float(row["consumes"])
        assert float(row["ratio"]) == pytest.approx(ratio, rel=0.01)
    assert len({row["consumes"] for row in rows}) == 1
    assert "quick/vit-xs on torch" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", INPUTS)
def test_the_fastest_models_are_those_of_built_in_studies(name):
    (case,) = [
        case
        for case in of_studies(["jax"], ["float32"], INPUTS[name][0], [])
        if case.model == FASTEST[name] and case.shape == INPUTS[name]
    ]
    assert case.mode == "fit" and case.shape[0] % int(case.base.rpartition("/")[2]) == 0


def test_all_rounds_are_given():
    found = measure((4, 4, 3), 3, 1e-4)
    assert set(found) == set(VARIANTS) and all(len(speeds) == 3 for speeds in found.values())


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    options = ["--inputs", "digits", "--rounds", "1", "--seconds", "0.001", "--backends"]
    assert main([*options, "--output", str(tmp_path / "file")]) == 2
    assert "choose another --output" in capsys.readouterr().err
