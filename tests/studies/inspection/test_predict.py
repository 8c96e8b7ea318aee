"""`predict`, from a kept model and a folder of new images to a table."""

import csv
import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from studies.command_line.app import main
from studies.data.images import UnreadableImage, decode
from studies.data.scramble import Scramble
from studies.errors import UsageError
from studies.inspection import predictor
from studies.machine.cloud import Bucket

ODD = {"class_names": "ant", "image_shape": [8, 10**9, 3], "fit": "crop"}
CARD = {"class_names": ["ant", "bee", "cat"], "image_shape": [8, 8, 3], "fit": "crop"}


@pytest.fixture
def model(tmp_path):
    """A small ViT with a head that is not all zeros, and its card."""
    keras.utils.set_random_seed(3)
    vit = keras_vit.VisionTransformer((8, 8, 3), 4, 1, 8, 16, num_heads=2, classes=3)
    head = vit.get_layer("head")
    head.kernel.assign(3 * np.random.default_rng(0).normal(size=head.kernel.shape))
    path = tmp_path / "models" / "vit-6-seed0.keras"
    path.parent.mkdir()
    vit.save(path)
    path.with_suffix(".json").write_text(json.dumps(CARD))
    return vit, path


@pytest.fixture
def photos(tmp_path, rng):
    """Twelve pictures of the model's size, some of them deeper, and two files that are none."""
    pixels = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    folder = tmp_path / "photos"
    (folder / "more" / "still").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for number, image in enumerate(pixels):
        place = ("", "more", "more/still")[number % 3]
        Image.fromarray(image).save(folder / place / f"{number:02}.png")
    Image.fromarray(pixels[0]).save(folder / ".hidden" / "a.png")
    (folder / "more" / "torn.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    return folder, pixels


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_classified_and_what_cannot_be_read_is_told(
    model, photos, tmp_path, capfd, backend
):
    (vit, path), (folder, pixels) = model, photos
    table = tmp_path / "out.csv"
    capfd.readouterr()
    options = ["--csv", str(table), "--all-classes", "--backend", backend]
    assert main(["predict", str(path), str(folder), *options]) == 1
    out, err = capfd.readouterr()
    assert out == f"12 images classified: {table}\n"
    assert "1 of 13 images cannot be read" in err and "more/torn.png" in err
    assert len(err.splitlines()) == 2, "a backend's noise is kept back"
    logits = keras.ops.convert_to_numpy(vit(pixels / 127.5 - 1))
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    found = rows(table)
    assert [row["file"] for row in found] == sorted(row["file"] for row in found)
    assert {row["file"].split("/")[-1] for row in found} == {f"{n:02}.png" for n in range(12)}
    assert len({row["predicted"] for row in found}) > 1
    for row in found:
        probabilities = expected[int(row["file"][-6:-4])]
        assert row["predicted"] == CARD["class_names"][probabilities.argmax()]
        assert float(row["confidence"]) == pytest.approx(probabilities.max(), abs=1e-3)
        for name, probability in zip(CARD["class_names"], probabilities, strict=True):
            assert float(row[f"p({name})"]) == pytest.approx(probability, abs=1e-3)


@pytest.mark.parametrize("cell", [0, 4])
def test_many_images_come_in_batches_of_which_the_last_is_filled_up(
    model, photos, monkeypatch, cell
):
    """And scrambled as those that the model was trained on."""
    (vit, path), (folder, pixels) = model, photos
    monkeypatch.setattr(predictor, "BATCH", 5)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("[0-9]*.png"))
    said = []
    training = {"scramble": cell, "seed": 2, "classes": 3}
    order = {"model": str(path), "root": str(folder), "files": files, **CARD, **training}
    pixels = Scramble(4, 2, (8, 8))(pixels) if cell else pixels
    predictor.classify(order, said.append)
    assert [len(each["images"]) for each in said] == [5, 5, 2]
    found = dict(row for each in said for row in each["images"])
    logits = keras.ops.convert_to_numpy(vit(pixels / 127.5 - 1))
    for name in files:
        odds = np.exp(logits[int(name[-6:-4])].astype(float))
        np.testing.assert_allclose(found[name], odds / odds.sum(), atol=1e-4)


def write_empty_model(path):
    """A .keras file, as far as one sees without reading it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", "{}")


@pytest.mark.once
def test_one_image_and_stdout_will_do(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "studies.inspection.predict.ask",
        lambda module, order, backend: [
            {"images": [[name, [0.25, 0.75, 0.0]] for name in order["files"]], "unreadable": []}
        ],
    )
    path = tmp_path / "a.keras"
    write_empty_model(path)
    path.with_suffix(".json").write_text(json.dumps(CARD))
    assert main(["predict", str(path), str(photos[0] / "00.png")]) == 0
    assert capsys.readouterr().out == "file,predicted,confidence\n00.png,bee,0.7500\n"


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.keras", "photos"], "There is no model no.keras"),
        (["photos", "photos"], "photos is no model"),
        (["text.keras", "photos"], "text.keras is no model"),
        (["bare.keras", "photos"], "there is no bare.json"),
        (["broken.keras", "photos"], "there is no broken.json"),
        (["a.keras", "nowhere"], "There is no folder nowhere"),
        (["a.keras", "empty"], "There is no image in empty"),
        (["a.keras", "photos", "--csv", "empty/no/out.csv"], "cannot be written to empty/no"),
        (["a.keras", "photos", "--csv", "out.csv"], "a.keras cannot be loaded"),
        (["odd.keras", "photos"], "there is no odd.json"),
    ],
)
def test_wrong_use_is_one_sentence_and_leaves_nothing(
    arguments, words, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.keras").write_text("no model")
    for name, card in (("bare", None), ("broken", {"class_names": []}), ("a", CARD), ("odd", ODD)):
        write_empty_model(tmp_path / f"{name}.keras")
        if card is not None:
            (tmp_path / f"{name}.json").write_text(json.dumps(card))
    before = set(tmp_path.rglob("*"))
    assert main(["predict", *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and words in error[0]
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.once
def test_names_are_no_formulas_and_a_pipe_is_not_waited_for(tmp_path, monkeypatch, capsys):
    """In the table, whatever files and classes are called."""
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (8, 8)).save(photos / "=1+1.png")
    os.mkfifo(photos / "pipe.png")
    card = {**CARD, "class_names": ["@ant", "bee"]}

    def ask(module, order, backend):
        predictor_order.update(order)
        return [{"images": [["=1+1.png", [0.75, 0.25]]], "unreadable": []}]

    predictor_order = {}
    monkeypatch.setattr("studies.inspection.predict.ask", ask)
    path = tmp_path / "a.keras"
    write_empty_model(path)
    path.with_suffix(".json").write_text(json.dumps(card))
    assert main(["predict", str(path), str(photos)]) == 0
    assert capsys.readouterr().out == "file,predicted,confidence\n'=1+1.png,'@ant,0.7500\n"
    assert predictor_order["files"] == ["=1+1.png", "pipe.png"]
    with pytest.raises(UnreadableImage, match="it is no file"):
        decode(photos / "pipe.png", "pipe.png", (8, 8))


def test_a_card_of_another_model_is_refused(model, photos):
    _, path = model
    order = {"model": str(path), "root": str(photos[0]), "files": ["00.png"], **CARD, "classes": 2}
    with pytest.raises(UsageError, match=r"gives \(3,\) numbers, and .* 2 classes: keep the two"):
        predictor.classify({**order, "scramble": 0, "seed": 0}, print)


@pytest.mark.once
def test_a_model_may_lie_under_a_url(tmp_path, photos, s3, monkeypatch, capsys):
    path = tmp_path / "a.keras"
    write_empty_model(path)
    bucket, opened = Bucket(f"{s3}/{tmp_path.name}"), []
    bucket.write("models/a.keras", path.read_bytes())
    assert main(["predict", f"{bucket.url}/models/a.keras", str(photos[0])]) == 2
    told = f"Beside the model {bucket.url}/models/a.keras there is no a.json"
    assert told in capsys.readouterr().err
    bucket.write("models/a.json", json.dumps(CARD).encode())

    def ask(module, order, backend):
        opened.append(Path(order["model"]).read_bytes())
        return []

    monkeypatch.setattr("studies.inspection.predict.ask", ask)
    assert main(["predict", f"{bucket.url}/models/a.keras", str(photos[0])]) == 0
    assert opened == [path.read_bytes()]
    assert main(["predict", f"{bucket.url}/b.keras", str(photos[0])]) == 2
    assert f"There is no model {bucket.url}/b.keras" in capsys.readouterr().err
