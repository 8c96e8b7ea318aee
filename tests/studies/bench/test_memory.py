"""The table of memory and speed: watched from outside, resumed, drawn."""

import csv
import json
from types import SimpleNamespace

import pytest

from studies.bench import memory
from studies.bench.memory import Watched, in_words, slope, watched
from studies.errors import UsageError

pytestmark = pytest.mark.once

HOLDS = (
    "import sys, time; held = bytearray(b'x' * int(sys.argv[1])); time.sleep(0.3); print(len(held))"
)


def test_anonymous_memory_of_a_process_is_seen_at_its_most():
    few, many = (watched(["-c", HOLDS, str(n)], {}, "torch") for n in (1_000, 60_000_000))
    assert (few.said, many.said) == (["1000"], ["60000000"])
    assert 55e6 < many.anonymous - few.anonymous < 130e6  # the text is held twice for a moment


def test_memory_of_a_process_that_it_starts_counts():
    starts = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS!r}, sys.argv[1]])"
    )
    few, many = (watched(["-c", starts, str(n)], {}, "torch") for n in (1_000, 60_000_000))
    assert 55e6 < many.anonymous - few.anonymous < 130e6


def test_a_process_that_fails_is_told_with_its_last_words():
    with pytest.raises(UsageError, match=r"ended with 1: .*no luck"):
        watched(["-c", "raise SystemExit('no luck')"], {}, "torch")


def row(kind, images, trained, prepared, pixels="32x32x3"):
    return {
        "kind": kind,
        "images": str(images),
        "pixels": pixels,
        "train_anon_mib": str(trained),
        "prepare_anon_mib": str(prepared),
    }


def test_growth_is_the_slope_of_a_line():
    mib = 2**20
    rows = [row("tfds", n, 100 + 24 * n / mib, 50) for n in (2_000_000, 10_000, 100_000)]
    assert slope(rows, "train_anon_mib") == pytest.approx(24)
    assert slope(rows, "prepare_anon_mib") == pytest.approx(0, abs=1e-9)
    # Of three points by hand: means 2 and 3, sums of products 3 and of squares 2.
    three = [row("tfds", n, y / mib, 0) for n, y in ((1, 2), (2, 2), (3, 5))]
    assert slope(three, "train_anon_mib") == pytest.approx(1.5)


def test_growth_is_told_for_each_kind_and_size_of_images():
    rows = [
        row("shapes", 10_000, 300, 90),
        row("shapes", 10_000, 280, 60, "8x8x3"),
        row("shapes", 10_000 + 2**20, 302, 100),
        row("tfds", 10_000, 500, 100, "128x128x3"),
        row("tfds", 10_000 + 2**20, 550, 104, "128x128x3"),
    ]
    assert in_words(rows) == [
        "shapes, 32 pixels: from 10,000 to 1,058,576 images a trial's anonymous memory grows by 2.0 "
        "bytes an image (allowed: 24), that of preparing by 10.0.",
        "tfds, 128 pixels: from 10,000 to 1,058,576 images a trial's anonymous memory grows by 50.0 "
        "bytes an image (allowed: 24), that of preparing by 4.0. That tells little: a batch takes 24 MiB "
        "as floats, and runs of the same images differ by some of these.",
    ]


def said(line):
    """What the processes would say: nothing, a description, a record."""
    if line[0] == "-c":
        counts = {"train": [5] * 10, "validation": [1] * 10, "test": [1] * 10}
        info = {"name": line[2], "fingerprint": "0" * 64, "image_shape": [8, 8, 3]}
        info |= {"class_names": list("abcdefghij"), "class_counts": counts}
        return [json.dumps({**info, "official": {"train": 2**30 // 192}})]
    record = {"status": "done", "images_per_second": 1234.5, "waiting": 0.01}
    return ["noise", json.dumps({"event": "record", "record": record})]


def test_rows_are_measured_once_and_drawn(tmp_path, monkeypatch, capsys):
    lines = []

    def run(line, environment, backend):
        assert environment["KERAS_VIT_CACHE"].startswith(str(tmp_path / "data"))
        lines.append(line)
        return Watched(1.0, (50 if line[0] == "-c" else 300) * 2**20, said(line))

    monkeypatch.setattr(memory, "watched", run)
    options = ["--sizes", "100", "150", "--backend", "torch", "--busy", "--image-size", "8"]
    options += ["--output", str(tmp_path / "out"), "--folder", str(tmp_path / "data")]
    assert memory.main([*options, "--kinds", "folder"]) == 0
    assert [line[1] for line in lines if line[0] == "-m"] == [
        "studies.bench.made_data",
        "studies.training.trial",
    ] * 2
    assert memory.main([*options, "--kinds", "folder", "tfds", "shapes"]) == 0
    assert [line[2] for line in lines[9:] if line[0] == "-c"] == [
        *("made_images", "shapes:100", "shapes:150")
    ]
    with open(tmp_path / "out" / "memory.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = ("folder", "tfds", "shapes")
    assert [(row["kind"], row["images"]) for row in rows] == [
        (kind, number) for kind in kinds for number in ("100", "150")
    ]
    assert (rows[0]["train_anon_mib"], rows[0]["prepare_anon_mib"]) == ("300.0", "50.0")
    assert (rows[0]["pixels"], rows[0]["data_gib"], rows[0]["busy"]) == ("8x8x3", "1", "yes")
    assert not list((tmp_path / "data").iterdir()), "the data sets are removed"
    assert (tmp_path / "out" / "memory.png").stat().st_size > 10_000
    assert "from 100 to 150 images" in capsys.readouterr().out
    assert memory.main([*options, "--kinds", *kinds]) == 0 and len(lines) == 16


def test_sides_that_patches_do_not_fill_are_refused(capsys):
    for side in ("12", "0", "-8"):
        with pytest.raises(SystemExit):
            memory.main(["--image-size", side])
        assert "must be a multiple of 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "free", "files", "enough"),
    [
        ("shapes", 8e9, 0, True),
        ("shapes", 6e9, 0, False),
        ("tfds", 12e9, 0, False),
        ("tfds", 14e9, 0, True),
        ("folder", 17e9, 3_000_000, True),
        ("folder", 17e9, 1_000_000, False),
        ("folder", 14e9, 3_000_000, False),
    ],
)
def test_what_the_disk_cannot_hold_is_refused(
    tmp_path, monkeypatch, capsys, kind, free, files, enough
):
    """2,000,000 images of 32 pixels are 6.1 GB; in files, of whole blocks, 8.2 GB more."""
    status = SimpleNamespace(f_files=10**7, f_favail=files)
    monkeypatch.setattr(memory, "draw", lambda output: None)
    monkeypatch.setattr(memory.os, "statvfs", lambda folder: status)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    monkeypatch.setattr(memory, "watched", lambda *order: Watched(1.0, 1, said(order[0])))
    options = ["--kinds", kind, "--sizes", "2000000", "--image-size", "32", "--backend", "torch"]
    options += ["--output", str(tmp_path / "out"), "--folder", str(tmp_path / "data")]
    assert memory.main(options) == (0 if enough else 2)
    if not enough:
        error = capsys.readouterr().err
        assert error.startswith(f"error: {kind} of 2,000,000 images of 32 pixels need")
        assert "give another --folder" in error
    assert not list((tmp_path / "data").iterdir())
