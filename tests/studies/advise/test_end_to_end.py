"""A real decision in miniature: trainings on a handful of images, from scratch and from given weights."""

import functools
import http.server
import json
import threading

import pytest

import keras_vit
from keras_vit.weights.published import BASE_URL_VARIABLE, PUBLISHED_WEIGHTS
from studies.advise import design, rounds, session
from studies.command_line import app as cli
from tests.studies.descriptions import image_folder

TUNED = "ViT-16x1/8 given"
PUBLISHED = "augreg-imagenet21k"
TUNED_TOO = f"ViT-Ti/16 {PUBLISHED}"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """The published files' bucket, on loopback, and a cache of its own for what is downloaded."""
    root = tmp_path / "bucket"
    root.mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=root)
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(BASE_URL_VARIABLE, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    yield root
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.once  # what differs between backends is in the trials, which have tests of their own
@pytest.mark.timeout(900)  # some processes that load a backend, on whatever machine
def test_real_trials_answer_and_are_not_run_again(tmp_path, bucket, monkeypatch, capsys):
    for module, seeds in (
        (rounds, "MOST_SEEDS"),
        (rounds, "FEWEST_SEEDS"),
        (session, "MOST_SEEDS"),
    ):
        monkeypatch.setattr(module, seeds, 1)
    monkeypatch.setattr(session, "default_sizes", lambda train, classes: (train,))
    monkeypatch.setattr(design, "TUNING_STEPS", 1)
    monkeypatch.setattr(design, "MAX_EPOCHS", 4)
    # Random numbers in the published form, under the published name.
    served = bucket / PUBLISHED_WEIGHTS[PUBLISHED]["ViT-Ti/16"]
    served.parent.mkdir(parents=True)
    large = keras_vit.create_model("ViT-Ti/16", (64, 64, 3), classes=3, seed=0)
    with pytest.warns(match="all zeros"):
        keras_vit.export_weights(large, served, target="google")
    tiny = {"num_layers": 1, "hidden_size": 16, "mlp_dim": 16, "num_heads": 2}
    given = keras_vit.create_model("ViT-Ti/8", input_shape=(64, 64, 3), classes=3, seed=0, **tiny)
    with pytest.warns(match="all zeros"):
        keras_vit.export_weights(given, tmp_path / "given.npz", target="google")
    dataset = image_folder(tmp_path / "photos", classes=2, images=20)
    command = ["advise", dataset, "--budget", "2h", "--json", "--results", str(tmp_path / "runs")]
    command += ["--weights", f"{tmp_path / 'given.npz'},{PUBLISHED}"]
    code = cli.main(command)
    out, err = capsys.readouterr()
    assert code == 0, err
    found = json.loads(out)
    assert found["models"][1] == "bit-s", "the only ResNet is the best ViT's rival"
    assert found["seeds"] == 1 and found["size"] == 28
    assert found["verdict"] == "undecided", "one seed tells nothing"
    assert found["next"].startswith("Next, ")
    assert found["enough"] is True and set(found["twice"]) == {
        *("vit-s", "bit-s"),
        TUNED,
        TUNED_TOO,
    }
    assert "plan, for 2 h 00 min" in err and err.count("test top-1") == 4
    pairs = [found["models"], *(other["models"] for other in found["others"])]
    assert sorted(pairs) == sorted(
        [["vit-s", "bit-s"], [TUNED, TUNED_TOO]]
        + [[tuned, rival] for tuned in (TUNED, TUNED_TOO) for rival in ("vit-s", "bit-s")]
    )
    (downloaded,) = (tmp_path / "home").rglob("*.npz")
    assert downloaded.name == served.name

    monkeypatch.setattr("studies.report.report.newest_report", lambda place, folder: None)
    command.remove("--json")
    assert cli.main(command) == 0
    out, _ = capsys.readouterr()
    assert "nothing is left to run" in out and "test top-1" not in out
    assert (
        f"{TUNED} and {TUNED_TOO} start from the weights given, fine-tuned for at most 1 step"
        in out
    )
    assert (
        "the best of the learning rates 0.001, 0.003, 0.01 and 0.03 on the validation images" in out
    )
    assert "By a linear probe on the weights as they are" in out
