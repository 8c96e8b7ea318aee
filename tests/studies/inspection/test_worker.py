"""`python -m studies inspect`, from a file to figures."""

import json
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from studies.command_line.app import main
from studies.data.scramble import Scramble
from studies.inspection import worker as inspection
from studies.inspection.inspect import Options
from studies.machine.cloud import Bucket

VIT = dict(patch_size=8, num_layers=1, hidden_size=8, mlp_dim=16, num_heads=2, classes=2)
ALL = {"attention_maps", "attention_distance", "position_similarity", "patch_filters"}


@pytest.fixture
def photos(tmp_path, rng):
    """Three pictures of another size than the model's, one of them deeper in the folder."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "more/c.png"):
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


def save(tmp_path, **arguments):
    path = tmp_path / "small.keras"
    keras_vit.VisionTransformer(**{**VIT, "input_shape": (16, 24, 3), **arguments}).save(path)
    return path


@pytest.fixture
def in_this_process(monkeypatch):
    """Without a process for each order, which takes as long as a backend takes to load."""

    def ask(module, order, backend):
        assert module == inspection.__name__ and backend == keras.backend.backend()
        said = []
        inspection.draw(json.loads(json.dumps(order)), said.append)
        return said

    monkeypatch.setattr("studies.inspection.inspect.ask", ask)


def inspect(*arguments) -> int:
    return main(["inspect", *map(str, arguments)])


def figures(folder) -> set[str]:
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            picture.verify()
            assert min(picture.size) > 200
    return {path.stem for path in folder.glob("*.png")}


def test_a_keras_file(tmp_path, photos, capfd):
    results, model = tmp_path / "results", save(tmp_path)
    capfd.readouterr()  # this process's own backend speaks too
    assert inspect(model, "--images", photos, "--results", results) == 0
    assert figures(results / "inspect-small") == ALL
    said = capfd.readouterr()
    assert set(said.out.split()) == {str(results / "inspect-small" / f"{name}.png") for name in ALL}
    assert said.err == "", "what a backend has to say is nobody's business"


def test_models_of_two_trials_do_not_share_a_folder(tmp_path, monkeypatch):
    """Every trial's model is called best.keras, and its folder after the trial."""
    (tmp_path / "b2").mkdir()
    monkeypatch.chdir(tmp_path / "b2")
    paths = (Path("a1/best.keras"), Path("best.keras"), Path("a1/vit.keras"))
    folders = [Options(path, "photos").folder for path in paths]
    assert folders == [Path("runs", f"inspect-{name}") for name in ("a1", "b2", "vit")]


def test_the_images_of_a_data_set_are_of_all_classes(tmp_path, monkeypatch):
    """The test split of a folder is sorted by class; here each image is as grey as its class."""
    for label in range(4):
        for split in ("train", "val", "test"):
            folder = tmp_path / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(9):
                Image.new("RGB", (24, 16), (60 * label,) * 3).save(folder / f"{number}.png")
    chosen = inspection._images(f"folder:{tmp_path}", (16, 24, 3), 8)
    assert [image[0, 0, 0] for image in chosen] == [0, 0, 60, 60, 120, 120, 180, 180]
    drawn = []
    monkeypatch.setattr(
        "studies.plots.inspection.attention_maps", lambda images, maps: (drawn.append(images), 0)
    )
    model = keras_vit.VisionTransformer(**{**VIT, "input_shape": (16, 24, 3)})
    inspection._figures(model, chosen, show=3, count=1)
    shown = (drawn[0][:, 0, 0, 0] + 1) * 127.5
    np.testing.assert_allclose(shown, [0, 60, 180], atol=1e-3)


def test_images_are_scrambled_as_those_that_the_model_was_trained_on(tmp_path, photos, monkeypatch):
    drawn = []
    monkeypatch.setattr(inspection, "_figures", lambda model, images, *rest: drawn.append(images))
    path = save(tmp_path)
    order = {**asdict(Options(path, str(photos), results=tmp_path)), "checkpoint": str(path)}
    for card in (None, {"scramble": 0, "seed": 3}, {"scramble": 8, "seed": 3}):
        if card is not None:
            path.with_suffix(".json").write_text(json.dumps(card))
        with pytest.raises(AttributeError):  # there are no figures
            inspection.draw(order, print)
    unknown, whole, cells = drawn
    assert np.array_equal(unknown, whole) and not np.array_equal(cells, whole)
    assert np.array_equal(cells, Scramble(8, 3, (16, 24, 3))(whole))


def test_distances_are_the_mean_over_all_images_however_they_are_cut(rng, monkeypatch):
    model = keras_vit.VisionTransformer(**{**VIT, "input_shape": (16, 24, 3)})
    images = rng.integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
    spread = images[[0, 1, 2, 4]]
    scores = keras_vit.inspection.attention_scores(model, spread / 127.5 - 1)
    expected = keras_vit.inspection.attention_distance(scores, (2, 3), 8)[0]
    # Three images at a time (7 tokens, 2 heads, 1 block, 4 bytes each), then the fourth alone.
    monkeypatch.setattr(inspection, "SCORES", 3 * 4 * 2 * 7**2)
    ax = inspection._figures(model, images, show=1, count=4)["attention_distance"]
    found = [line.get_ydata()[0] for line in ax.lines if line.get_marker() != "None"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.usefixtures("in_this_process")
def test_what_a_model_does_not_have_is_said_and_left_out(tmp_path, photos, capsys):
    """A hybrid with relative positions, channels first, and a name for the folder."""
    path = save(
        tmp_path,
        input_shape=(3, 16, 24),
        patch_size=2,
        stem_block_counts=(1,),
        position_embedding="relative",
        data_format="channels_first",
    )
    options = ("--results", tmp_path, "--name", "look", "--show", 1, "--count", 2)
    assert inspect(path, "--images", photos, *options) == 0
    assert figures(tmp_path / "look") == {"attention_maps", "attention_distance"}
    output = capsys.readouterr().out
    assert "no position_similarity: The model has position_embedding='relative'" in output
    assert "no patch_filters: The filters have" in output


@pytest.mark.usefixtures("in_this_process")
def test_weights_of_another_project(tmp_path, photos):
    model = keras_vit.create_model("ViT-Ti/16", (32, 32, 3), classes=3, num_layers=12, seed=0)
    keras_vit.export_weights(model, tmp_path / "tiny.npz", target="google")
    options = ("--model", "ViT-Ti/16", "--image-size", 48, "--results", tmp_path, "--count", 2)
    assert inspect(tmp_path / "tiny.npz", "--images", photos, "--show", 2, *options) == 0
    assert figures(tmp_path / "inspect-tiny") == ALL


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.keras", "--images", "photos"), "There is no file missing.keras"),
        (("small.keras", "--images", "empty"), "There is no image in empty"),
        (("small.keras", "--images", "folder:nowhere"), "'nowhere' does not exist"),
        (("notes.npz", "--images", "photos"), "say with --model which model"),
        (("notes.npz", "--images", "photos", "--model", "ViT-X/1"), "no model named 'ViT-X/1'"),
        (("notes.npz", "--images", "photos", "--model", "ViT-Ti/16"), "notes.npz cannot be loaded"),
        (("notes.keras", "--images", "photos"), "notes.keras is no .keras file"),
        (("resnet.keras", "--images", "photos"), "holds a ResNet"),
        (("small.keras", "--images", "photos", "--results", "notes.npz"), "cannot be written"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, message, tmp_path, photos, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("notes.npz", "notes.keras"):
        (tmp_path / name).write_text("no checkpoint")
    if "small.keras" in arguments:
        save(tmp_path)
    if "resnet.keras" in arguments:
        model = keras_vit.ResNet((8, 8, 3), (1,), width_factor=0.125, groups=4, stem="small")
        keras.saving.save_model(model, tmp_path / "resnet.keras")
    before = set(tmp_path.rglob("*"))
    assert inspect(*arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.once
def test_a_checkpoint_and_its_figures_may_lie_under_a_url(tmp_path, s3, monkeypatch, capsys):
    bucket = Bucket(f"{s3}/{tmp_path.name}")
    bucket.write("c/abc/best.keras", save(tmp_path).read_bytes())

    def ask(module, order, backend):
        options = Options.from_order(order)
        assert options.checkpoint.read_bytes() == bucket.read("c/abc/best.keras")
        options.folder.mkdir()
        (options.folder / "map.png").write_bytes(b"drawn")
        return [{"note": "a word"}, {"path": str(options.folder / "map.png")}]

    monkeypatch.setattr("studies.inspection.inspect.ask", ask)
    url = f"{bucket.url}/c/abc/best.keras"
    assert inspect(url, "--images", "x", "--results", f"{bucket.url}/runs") == 0
    told = f"a word\n{bucket.url}/runs/inspect-abc/map.png\n"
    assert capsys.readouterr().out == told
    assert bucket.read("runs/inspect-abc/map.png") == b"drawn"
