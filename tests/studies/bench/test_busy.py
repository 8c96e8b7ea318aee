"""The table of what trials lose beside others: a row for each way of waiting, and nothing left running."""

import csv
import os

import pytest

from studies.bench import busy
from studies.study.recipe import Recipe
from tests.studies.bench.test_bench import case

RECIPE = Recipe(steps=4, batch_size=2).model_dump()


def test_a_fit_is_measured_alone_and_beside_others(backend, monkeypatch):
    started = []
    start = busy.subprocess.Popen

    def popen(command, **options):
        started.append((start(command, **options), command, options))
        return started[-1][0]

    monkeypatch.setattr(busy.subprocess, "Popen", popen)
    found = busy.measure(case(backend, mode="fit", recipe=RECIPE), {"A": "b"}, 2, 1, 0.01)
    cores = len(os.sched_getaffinity(0))
    assert found["fair_share"] == pytest.approx(cores / (cores + 2), rel=1e-2)
    assert min(found[name] for name in ("share", "images_per_second_alone")) > 0
    (fit, _, options), *counting = started
    assert options["env"]["A"] == "b"
    assert len(counting) >= 4 and len(counting) % 2 == 0
    assert all(command[-1] == "while True: pass" for _, command, _ in counting)
    assert all(process.returncode is not None for process, *_ in (*counting, (fit,)))


@pytest.mark.once
def test_every_way_of_waiting_is_a_row_of_each_model(tmp_path, monkeypatch, capsys):
    asked = []

    def measure(each, waiting, others, rounds, seconds):
        asked.append((each.backend, each.model, dict(waiting), others, rounds, seconds))
        return dict.fromkeys(busy.COLUMNS, 1) | {"backend": each.backend, "model": each.model}

    monkeypatch.setattr(busy, "measure", measure)
    monkeypatch.setattr(busy, "versions", lambda backend: {backend: "1.0"})
    options = ["--backend", "torch", "--others", "3", "--rounds", "2", "--seconds", "1"]
    assert busy.main([*options, "--output", str(tmp_path)]) == 0
    asleep = {"OMP_WAIT_POLICY": "PASSIVE"}
    assert asked == [
        ("torch", f"data-scale/{model}", waiting, 3, 2, 1.0)
        for model in ("vit-s", "bit-s")
        for waiting in (asleep, {})
    ]
    with open(tmp_path / "busy.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["waiting"] for row in rows] == ["as trials", "as the library"] * 2
    assert {row["versions"] for row in rows} == {"torch 1.0"}
    assert "data-scale/bit-s" in capsys.readouterr().out


@pytest.mark.once
def test_wrong_use_is_told(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        busy.main(["--others", "0"])
    monkeypatch.setattr(busy, "of_studies", lambda *options: [])
    (tmp_path / "file").touch()
    assert busy.main(["--output", str(tmp_path / "file")]) == 2
    assert "cannot write to" in capsys.readouterr().err
