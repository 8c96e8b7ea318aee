"""The table of memory and speed: watched from outside, resumed, drawn."""

import csv

import pytest

from studies.bench import memory
from studies.bench.memory import Watched, slope, watched
from studies.errors import UsageError

pytestmark = pytest.mark.once

HOLDS = (
    "import sys, time; held = bytearray(b'x' * int(sys.argv[1])); time.sleep(0.3); print(len(held))"
)


def test_anonymous_memory_of_a_process_is_seen_at_its_most():
    few, many = (watched(["-c", HOLDS, str(n)], {}, "torch") for n in (1_000, 60_000_000))
    assert (few.said, many.said) == (["1000"], ["60000000"])
    assert 55e6 < many.anonymous - few.anonymous < 130e6  # the text is held twice for a moment


def test_a_process_that_fails_is_told_with_its_last_words():
    with pytest.raises(UsageError, match=r"ended with 1: .*no luck"):
        watched(["-c", "raise SystemExit('no luck')"], {}, "torch")


def test_the_slope_is_from_the_smallest_to_the_largest():
    rows = [
        {"images": "2000000", "train_anon_mib": "145.776"},
        {"images": "10000", "train_anon_mib": "100"},
        {"images": "100000", "train_anon_mib": "180"},
    ]
    assert slope(rows, "train_anon_mib") == pytest.approx(45.776 * 2**20 / 1_990_000)


def test_rows_are_measured_once_and_drawn(tmp_path, monkeypatch, capsys):
    lines = []

    def run(line, environment, backend):
        lines.append(line[0])
        if line[0] == "-c":
            return Watched(1.0, 50 * 2**20, [])
        record = '{"status": "done", "images_per_second": 1234.5, "waiting": 0.01}'
        return Watched(2.0, 300 * 2**20, ["noise", '{"event": "record", "record": ' + record + "}"])

    monkeypatch.setattr(memory, "watched", run)
    monkeypatch.setattr(memory, "VALIDATION", 20)
    monkeypatch.setattr(memory, "TEST", 20)
    options = ["--sizes", "100", "150", "--kinds", "folder", "--backend", "torch", "--busy"]
    options += ["--output", str(tmp_path / "out"), "--folder", str(tmp_path / "data")]
    assert memory.main(options) == 0 and lines == ["-c", "-m"] * 2
    with open(tmp_path / "out" / "memory.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["images"], row["pixels"]) for row in rows] == [
        ("folder", "100", "8x8x3"),
        ("folder", "150", "8x8x3"),
    ]
    assert (rows[0]["train_anon_mib"], rows[0]["busy"]) == ("300.0", "yes")
    assert not list((tmp_path / "data").iterdir()), "the data sets are removed"
    assert (tmp_path / "out" / "memory.png").stat().st_size > 10_000
    assert memory.main(options) == 0 and len(lines) == 4
    assert "folder,150" in capsys.readouterr().out


def test_a_folder_of_images_is_one_that_can_be_loaded(tmp_path):
    from studies import data

    folder = memory._image_folder(tmp_path / "images", 100)
    found = data.describe(f"folder:{folder}", 8, cache=tmp_path / "cache")
    assert found.counts == {"train": 100, "validation": 500, "test": 500}
    assert found.official == found.counts and found.num_classes == 10
