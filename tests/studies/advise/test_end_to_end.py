"""A real decision in miniature: two trainings on a handful of images, and an answer for programs."""

import json

import pytest

from studies.advise import rounds, session
from studies.command_line import app as cli
from tests.studies.descriptions import image_folder


@pytest.mark.once  # what differs between backends is in the trials, which have tests of their own
@pytest.mark.timeout(900)  # two processes that load a backend, on whatever machine
def test_real_trials_answer_and_are_not_run_again(tmp_path, monkeypatch, capsys):
    for module, seeds in (
        (rounds, "MOST_SEEDS"),
        (rounds, "FEWEST_SEEDS"),
        (session, "MOST_SEEDS"),
    ):
        monkeypatch.setattr(module, seeds, 1)
    monkeypatch.setattr(session, "default_sizes", lambda train, classes: (train,))
    dataset = image_folder(tmp_path / "photos", classes=2, images=20)
    command = ["advise", dataset, "--budget", "2h", "--json", "--results", str(tmp_path / "runs")]
    assert cli.main(command) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["models"] == ["vit-s", "bit-s"] and found["seeds"] == 1 and found["size"] == 28
    assert found["verdict"] == "undecided", "one seed tells nothing"
    assert found["next"].startswith("Next, ")
    assert found["enough"] is True and set(found["twice"]) == {"vit-s", "bit-s"}
    assert "plan, for 2 h 00 min" in err and err.count("test top-1") == 2

    monkeypatch.setattr("studies.report.report.write_report", lambda folder: None)
    assert cli.main([*command[:4], "--results", str(tmp_path / "runs")]) == 0
    out, _ = capsys.readouterr()
    assert "nothing is left to run" in out and "test top-1" not in out
    assert "training from scratch, on images of 32x32x3" in out
