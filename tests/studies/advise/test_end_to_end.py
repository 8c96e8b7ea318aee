"""A real decision in miniature: three trainings on a handful of images, one of them from given weights."""

import json

import pytest

import keras_vit
from studies.advise import rounds, session
from studies.command_line import app as cli
from tests.studies.descriptions import image_folder

TUNED = "ViT-16x1/8 given"


@pytest.mark.once  # what differs between backends is in the trials, which have tests of their own
@pytest.mark.timeout(900)  # some processes that load a backend, on whatever machine
def test_real_trials_answer_and_are_not_run_again(tmp_path, monkeypatch, capsys):
    for module, seeds in (
        (rounds, "MOST_SEEDS"),
        (rounds, "FEWEST_SEEDS"),
        (session, "MOST_SEEDS"),
    ):
        monkeypatch.setattr(module, seeds, 1)
    monkeypatch.setattr(session, "default_sizes", lambda train, classes: (train,))
    tiny = {"num_layers": 1, "hidden_size": 16, "mlp_dim": 16, "num_heads": 2}
    given = keras_vit.create_model("ViT-Ti/8", input_shape=(64, 64, 3), classes=3, seed=0, **tiny)
    with pytest.warns(match="all zeros"):
        keras_vit.export_weights(given, tmp_path / "given.npz", target="google")
    dataset = image_folder(tmp_path / "photos", classes=2, images=20)
    command = ["advise", dataset, "--budget", "2h", "--json", "--results", str(tmp_path / "runs")]
    command += ["--weights", str(tmp_path / "given.npz")]
    code = cli.main(command)
    out, err = capsys.readouterr()
    assert code == 0, err
    found = json.loads(out)
    assert found["models"] == ["vit-s", "bit-s"] and found["seeds"] == 1 and found["size"] == 28
    assert found["verdict"] == "undecided", "one seed tells nothing"
    assert found["next"].startswith("Next, ")
    assert found["enough"] is True and set(found["twice"]) == {"vit-s", "bit-s", TUNED}
    assert "plan, for 2 h 00 min" in err and err.count("test top-1") == 3
    assert [other["models"] for other in found["others"]] == [[TUNED, "vit-s"], [TUNED, "bit-s"]]

    monkeypatch.setattr("studies.report.report.write_report", lambda folder: None)
    command.remove("--json")
    assert cli.main(command) == 0
    out, _ = capsys.readouterr()
    assert "nothing is left to run" in out and "test top-1" not in out
    assert f"{TUNED} starts from the weights given" in out
    assert "By a linear probe on the weights as they are" in out
