"""Everything that reads a file of somebody else's, each with a valid one to begin with."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from keras_vit.weights.checkpoint import read_checkpoint
from keras_vit.weights.from_checkpoint import architecture
from keras_vit.weights.image_settings import preprocessing_beside
from studies import data
from studies.command_line.tables import status_text
from studies.data import digests
from studies.data.cache import entries
from studies.data.folder import list_folder
from studies.data.images import UnreadableImage, decode, dimensions
from studies.data.table import list_table
from studies.data.tfds_worker import check_features
from studies.errors import UsageError
from studies.inspection import model_file
from studies.inspection.predict import read_card
from studies.machine.files import file_digest, stamp
from studies.machine.storage import Folder
from studies.machine.threads import noted_threads
from studies.records.by_trial import history_frame, outcomes_frame, trials_frame
from studies.records.frames import read_results, summary_frame
from studies.records.outcomes import load_outcomes
from studies.report.evidence import gather
from studies.report.text import markdown
from studies.running import lease
from studies.running.costs import _read as read_costs
from studies.study import file as study_file
from studies.study.fields import EXAMPLE
from studies.training import checkpoint
from studies.training.checkpoint import DamagedCheckpoint
from tests.hostile.damage import PLAIN, SEALED, ZIPPED, Form
from tests.keras_vit.weights import files
from tests.studies.synthetic import make_records, make_study, write_folder

LIBRARY = (ValueError, FileNotFoundError)
GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Reader:
    """One way into the program.

    Args:
        name: of the test.
        make: writes a valid file into an empty folder, and what belongs to it; gives the one to damage.
        read: is given that file's path.
        own: the errors that it may end with: the program's own, in one sentence.
        form: of the file.
        rewrites: whether it may write anew what is derived from the file.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    own: tuple[type[Exception], ...] = (UsageError,)
    form: Form = PLAIN
    rewrites: bool = False


def _written(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(content, encoding="utf-8")
        return folder / name

    return make


def _image(name: str, mode: str = "RGB", **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        size, depth = (12, 9), 2 if mode == "I;16" else len(mode)
        pictures = [Image.frombytes(mode, size, rng.bytes(9 * 12 * depth)) for _ in range(2)]
        more = {"save_all": True, "append_images": pictures[1:]} if options.get("animated") else {}
        given = {key: value for key, value in options.items() if key != "animated"}
        pictures[0].save(folder / name, **more, **given)
        return folder / name

    return make


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    return exif.tobytes()


def _look(path: Path) -> None:
    try:
        dimensions(path, path.name)
    except UnreadableImage:
        decode(path, path.name, (8, 8))  # must be refused too, or be an image after all
        return
    decode(path, path.name, (8, 8))


def _photos(folder: Path) -> Path:
    """A folder of images, with what may lie beside them."""
    rng = np.random.default_rng(0)
    for number in range(20):
        place = folder / ("ant", "bee")[number % 2]
        place.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    rows = [f"{('ant', 'bee')[n % 2]}/{n}.png,{n // 4}" for n in range(20)]
    (folder / "groups.csv").write_text("\n".join(["file,group", *rows]))
    table = [f"{('ant', 'bee')[n % 2]}/{n}.png,{('ant', 'bee')[n % 2]},train" for n in range(20)]
    (folder / "table.csv").write_text("\n".join(["file,label,split", *table]))
    return folder


def _index(folder: Path) -> Path:
    """What the cache remembers of files that were read."""
    (folder / "a.jpg").write_bytes(b"an image")
    key = (os.fsencode(folder / "a.jpg"), *stamp(folder / "a.jpg"))
    digests.Digests(folder)._remember([(*key, file_digest(folder / "a.jpg"))])
    return folder / digests.INDEX


def _look_up(path: Path) -> None:
    (found,) = digests.Digests(path.parent).of("photos", [str(path.parent / "a.jpg")])
    assert len(found) == 64


def _prepared(name: str) -> Callable[[Path], Path]:
    """A file of the cache, once a folder of images was prepared."""

    def make(folder: Path) -> Path:
        photos = folder / "photos"
        photos.mkdir()
        found = data.load(f"folder:{_photos(photos)}", 8, cache=folder / "cache")
        assert found.folder is not None
        return found.folder / name

    return make


def _load_prepared(path: Path) -> None:
    cache = path.parent.parent
    entries(cache)
    found = data.load(f"folder:{cache.parent / 'photos'}", 8, cache=cache)
    replicate = found.replicate(0)
    assert replicate.train.images[replicate.order].shape[1:] == (8, 8, 3)
    try:
        found.names()
    except ValueError as error:
        raise UsageError(str(error)) from error


def _results(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        study = make_study(["vit-s", "bit-s"], [500], 2, test=60)
        write_folder(folder / "run", study, make_records(study))
        now = {"label": "vit-s", "step": 1, "steps": 2, "val_top1": None, "left": 3.5}
        told = {"time": 1.0, "ended": 1, "total": 2, "left": 3.0, "trials": [now]}
        (folder / "run" / "running.json").write_text(json.dumps(told))
        outcomes = sorted((folder / "run" / "outcomes").iterdir())
        return folder / "run" / (name or f"outcomes/{outcomes[0].name}")

    return make


def _lease(folder: Path) -> Path:
    path = folder / "run" / lease.PLACE / "3.json"
    holder = {"host": "a", "machine": "b", "pid": 12, "began": "34", "token": "c"}
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(holder))
    return path


def _look_at_lease(path: Path) -> None:
    newest = lease._newest(Folder(path.parents[1]))
    if newest is not None:
        str(lease._holder(newest[1]))


def _read_results(path: Path) -> None:
    folder = path.parent.parent if path.parent.name == "outcomes" else path.parent
    results = read_results(folder)
    trials_frame(results), history_frame(results), outcomes_frame(results), summary_frame(results)
    markdown(results, gather(results), {}).encode()


def _training_checkpoint(folder: Path) -> Path:
    arrays = {"model": [np.ones((2, 3), np.float32), np.arange(4)], "best": []}
    checkpoint.save(folder / "a.ckpt", {"step": 3, "history": [{"step": 1}]}, arrays)
    return folder / "a.ckpt"


def _weights(layout: str, ending: str) -> Callable[[Path], Path]:
    """A checkpoint of another project."""

    def make(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        arrays = files.big_transfer(rng, (1, 1)) if layout == "bit" else files.vit_jax(rng)
        path = folder / f"model.{ending}"
        if ending == "npz":
            np.savez(path, **arrays)
        elif ending == "h5":
            with h5py.File(path, "w") as file:
                for name, array in arrays.items():
                    file[name] = array
        else:
            tensors = {n: np.ascontiguousarray(a) for n, a in files.timm_vit(arrays).items()}
            save_file(tensors, str(path), metadata={"num_heads": "2", "grid": "2x6"})
        return path

    return make


def _beside(name: str, content: dict[str, Any]) -> Callable[[Path], Path]:
    """What lies beside a checkpoint, and says what it is."""

    def make(folder: Path) -> Path:
        _weights("vit", "safetensors")(folder)
        if name.endswith("index.json"):
            (folder / "model.safetensors").rename(folder / "part-1.safetensors")
        return _written(name, json.dumps(content))(folder)

    return make


def _read_weights(path: Path) -> None:
    found = read_checkpoint(path.parent if path.suffix == ".json" else path)
    preprocessing_beside(found, 3)
    if found.format.family == "vit":
        architecture(found)


def _keras_file(folder: Path) -> Path:
    return Path(shutil.copy(GOLDEN / "vit-0.1-torch.keras", folder / "vit.keras"))


_CARD = {"class_names": ["ant", "bee"], "image_shape": [8, 8, 3], "fit": "crop", "seed": 1}


def _card(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "vit.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    return _written("vit.json", json.dumps(_CARD))(folder)


_FEATURES = {
    "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
    "featuresDict": {
        "features": {
            "image": {"pythonClassName": "tensorflow_datasets.core.features.image_feature.Image"}
        }
    },
}

_STUDY = EXAMPLE + (
    '[evaluations.knn]\nkind = "nearest_neighbours"\noptions = {k = 5}\n'
    "[pretraining]\nsizes = [1000]\nrecipe = {steps = 10}\n"
    "[factors.rate]\nslow = {recipe = {learning_rate = 1e-4}}\nfast = {recipe = {learning_rate = 1e-3}}\n"
)


def _resolve(path: Path) -> None:
    study = study_file.resolve(str(path), {})
    study_file.to_toml(study)


def _resolved_study(path: Path) -> None:
    study = study_file.read_resolved(path.parent)
    if study.data is not None:
        study.trials(study.data)


READERS = [
    Reader("study file", _written("study.toml", _STUDY), _resolve),
    Reader("study.toml of results", _results("study.toml"), _resolved_study),
    Reader("trials.jsonl", _results("trials.jsonl"), _read_results),
    Reader("status", _results("trials.jsonl"), lambda path: status_text(path.parent)),
    Reader("running.json", _results("running.json"), lambda path: status_text(path.parent)),
    Reader("lease", _lease, _look_at_lease),
    Reader("outcomes", _results(""), load_outcomes, form=ZIPPED),
    Reader("report of outcomes", _results(""), _read_results, form=ZIPPED),
    Reader("threads.json", _written("threads.json", '{"threads": 1, "cores": 2}'), noted_threads),
    Reader("costs", _written("a.json", '{"flops": 12, "params": 34}'), read_costs),
    Reader(
        "training's checkpoint",
        _training_checkpoint,
        checkpoint.load,
        own=(DamagedCheckpoint,),
        form=SEALED,
    ),
    Reader("model's card", _card, lambda path: read_card(path.with_suffix(".keras"))),
    Reader(
        "features.json",
        _written("features.json", json.dumps(_FEATURES)),
        lambda path: check_features(path.parent),
    ),
    Reader("index of files", _index, _look_up, rewrites=True),
    Reader(
        "csv table",
        lambda f: _photos(f) / "table.csv",
        lambda p: list_table(f"csv:{p}", data.Options()),
    ),
    Reader(
        "groups.csv",
        lambda folder: _photos(folder) / "groups.csv",
        lambda path: list_folder(f"folder:{path.parent}", data.Options()),
    ),
    *(
        Reader(f"{layout}.{ending}", _weights(layout, ending), _read_weights, LIBRARY, form)
        for layout, ending, form in (
            ("vit", "npz", ZIPPED),
            ("bit", "npz", ZIPPED),
            ("vit", "safetensors", PLAIN),
            ("vit", "h5", PLAIN),
        )
    ),
    *(
        Reader(name, _beside(name, content), _read_weights, LIBRARY)
        for name, content in (
            (
                "config.json",
                {
                    "architecture": "vit_tiny_patch16_224",
                    "num_classes": 3,
                    "pretrained_cfg": {
                        "mean": [0.5, 0.5, 0.5],
                        "std": [0.5, 0.5, 0.5],
                        "crop_pct": 0.9,
                        "interpolation": "bicubic",
                    },
                },
            ),
            (
                "preprocessor_config.json",
                {
                    "image_mean": [0.5, 0.5, 0.5],
                    "do_center_crop": True,
                    "image_std": [0.5, 0.5, 0.5],
                    "rescale_factor": 0.004,
                    "crop_size": {"height": 8, "width": 8},
                    "size": {"shortest_edge": 9},
                    "resample": 2,
                },
            ),
            (
                "processor_config.json",
                {
                    "processor_class": "SiglipProcessor",
                    "image_processor": {
                        "image_processor_type": "DeiTImageProcessor",
                        "image_mean": 0.5,
                        "do_center_crop": True,
                        "crop_size": 8,
                        "size": 9,
                    },
                },
            ),
            ("model.safetensors.index.json", {"weight_map": {"a": "part-1.safetensors"}}),
        )
    ),
    Reader(".keras file", _keras_file, model_file.load_model, form=ZIPPED),
    *(
        Reader(f"prepared {name}", _prepared(name), _load_prepared, rewrites=True)
        for name in ("info.json", "train_images.npy", "train_labels.npy", "names.json", "used")
    ),
    *(
        Reader(f"image {name}", _image(name, mode, **options), _look)
        for name, mode, options in (
            ("a.png", "RGB", {}),
            ("deep.png", "I;16", {}),
            ("a.jpg", "RGB", {"exif": _exif()}),
            ("print.jpg", "CMYK", {}),
            ("large.jpg", "RGB", {"progressive": True}),
            ("a.gif", "L", {"animated": True}),
            ("a.webp", "RGBA", {"animated": True, "exif": _exif()}),
            ("a.tif", "RGB", {"animated": True, "compression": "tiff_lzw"}),
            ("deep.tif", "I;16", {}),
            ("a.bmp", "RGB", {}),
            ("a.ico", "RGBA", {}),
            ("a.ppm", "RGB", {}),
            ("a.tga", "RGB", {}),
            ("a.jp2", "RGB", {}),
        )
    ),
]
