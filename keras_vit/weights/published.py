"""The authors' published files, by name.

References: the listing of the bucket `vit_models` in google-research/vision_transformer
(vit_jax.ipynb) and the recommended AugReg checkpoints in its README; big_vision, models/vit.py
(`VANITY_NAMES`); google-research/big_transfer, README.
"""

import json
import os
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import keras

from keras_vit.weights.hub import ENDPOINT, ENDPOINT_VARIABLE, HUB_WEIGHTS

# A mirror has the same paths below another address.
BASE_URL_VARIABLE = "KERAS_VIT_WEIGHTS_URL"
BASE_URL = "https://storage.googleapis.com"

_VIT = "vit_models"
_AUGREG = {
    "ViT-Ti/16": "Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0",
    "ViT-S/32": "S_32-i21k-300ep-lr_0.001-aug_none-wd_0.1-do_0.0-sd_0.0",
    "ViT-S/16": "S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0",
    "ViT-B/32": "B_32-i21k-300ep-lr_0.001-aug_light1-wd_0.1-do_0.0-sd_0.0",
    "ViT-B/16": "B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0",
    "ViT-L/16": "L_16-i21k-300ep-lr_0.001-aug_strong1-wd_0.1-do_0.0-sd_0.0",
    "R+ViT-Ti/16": "R_Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0",
    "R26+ViT-S/32": "R26_S_32-i21k-300ep-lr_0.001-aug_light1-wd_0.1-do_0.0-sd_0.0",
    "R50+ViT-L/32": "R50_L_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1",
}
# learning rate of the fine-tuning on ImageNet at 384 px that belongs to each
_AUGREG_FINETUNED = {
    "ViT-Ti/16": "0.03",
    "ViT-S/32": "0.01",
    "ViT-S/16": "0.03",
    "ViT-B/32": "0.01",
    "ViT-B/16": "0.03",
    "ViT-L/16": "0.01",
    "R+ViT-Ti/16": "0.03",
    "R26+ViT-S/32": "0.01",
    "R50+ViT-L/32": "0.01",
}
_BIT = ("BiT-R50x1", "BiT-R50x3", "BiT-R101x1", "BiT-R101x3", "BiT-R152x2", "BiT-R152x4")


def _plain(folder, *names):
    """{"ViT-B/16": ".../ViT-B_16.npz", ...}: most files are called like their model."""
    return {name: f"{_VIT}/{folder}/{name.replace('/', '_')}.npz" for name in names}


# name -> model -> path in the buckets
PUBLISHED_WEIGHTS: dict[str, dict[str, str]] = {
    "imagenet21k": _plain(
        "imagenet21k",
        *("ViT-B/32", "ViT-B/16", "ViT-B/8", "ViT-L/32", "ViT-L/16", "ViT-H/14"),
        *("R26+ViT-B/32", "R50+ViT-B/16", "R50+ViT-L/32"),
    ),
    "imagenet21k+imagenet2012": _plain(
        "imagenet21k+imagenet2012",
        *("ViT-B/32", "ViT-B/16", "ViT-B/8", "ViT-L/32", "ViT-L/16", "R50+ViT-B/16"),
    ),
    "imagenet21k+imagenet2012-224": {
        "ViT-B/16": f"{_VIT}/imagenet21k+imagenet2012/ViT-B_16-224.npz",
        "ViT-L/16": f"{_VIT}/imagenet21k+imagenet2012/ViT-L_16-224.npz",
    },
    "augreg-imagenet21k": {
        "ViT-B/8": f"{_VIT}/augreg/B_8-i21k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0.npz",
        **{name: f"{_VIT}/augreg/{file}.npz" for name, file in _AUGREG.items()},
    },
    "augreg-imagenet21k+imagenet2012": {
        name: f"{_VIT}/augreg/{file}--imagenet2012-steps_20k-lr_{_AUGREG_FINETUNED[name]}-res_384.npz"
        for name, file in _AUGREG.items()
    },
    "sam-imagenet2012": _plain("sam", "ViT-S/16", "ViT-B/32", "ViT-B/16", "ViT-L/32", "ViT-L/16"),
    "baseline-imagenet2012": {"ViT-S/16": "big_vision/vit_s16_i1k_300ep.npz"},
    "bit-m": {name: f"bit_models/{name.replace('BiT-', 'BiT-M-')}.npz" for name in _BIT},
    "bit-m+imagenet2012": {
        name: f"bit_models/{name.replace('BiT-', 'BiT-M-')}-ILSVRC2012.npz" for name in _BIT
    },
    "bit-s": {name: f"bit_models/{name.replace('BiT-', 'BiT-S-')}.npz" for name in _BIT},
}


def published(weights: str) -> dict[str, str]:
    """Returns `{model: file or repository}` of published weights; empty for another name."""
    if weights in HUB_WEIGHTS:
        return HUB_WEIGHTS[weights].repositories
    return PUBLISHED_WEIGHTS.get(weights, {})


def weights_path(weights: str | os.PathLike, model: str) -> Path:
    """Returns the file or folder that `weights` stands for, downloading what is published.

    Args:
        weights: a name of `PUBLISHED_WEIGHTS` or `HUB_WEIGHTS`, or the path of a file or folder.
        model: the model's name, such as "ViT-B/16".

    Raises:
        ValueError: for a name that is neither; it lists those of the model.
        OSError: if the download fails; it says what to do by hand.
    """
    found = published(str(weights))
    if not found:
        if isinstance(weights, str | os.PathLike) and os.path.exists(weights):
            return Path(weights)
        raise ValueError(
            f"weights is {str(weights)!r}, which is neither a file nor the name of published "
            f"weights; {_names_for(model)}."
        )
    if model not in found:
        raise ValueError(
            f"There are no weights {str(weights)!r} of {model}, only of {', '.join(found)}; "
            f"{_names_for(model)}."
        )
    if str(weights) in HUB_WEIGHTS:
        return _repository(found[model], HUB_WEIGHTS[str(weights)].files)
    return _bucket_file(found[model])


def _names_for(model):
    every = (*PUBLISHED_WEIGHTS, *HUB_WEIGHTS)
    names = [name for name in every if model in published(name)]
    if not names:
        return f"no weights of {model} have been published; give the path of a checkpoint"
    return f"{model} has {', '.join(map(repr, names))}, and any checkpoint's path will do"


def _bucket_file(path):
    base = os.environ.get(BASE_URL_VARIABLE, BASE_URL).rstrip("/")
    instead = f"Fetch it by hand and give its path, weights={path.rpartition('/')[2]!r}, or"
    return _download(base, path, f"{instead} set {BASE_URL_VARIABLE} to a mirror that has {path}.")


def _repository(name, files):
    """Returns the folder with a repository's files; the weights come last, as they take long."""
    base = os.environ.get(ENDPOINT_VARIABLE, ENDPOINT).rstrip("/")
    instead = (
        f"Fetch {', '.join(files)} of {name} by hand into one folder and give its path, or set "
        f"{ENDPOINT_VARIABLE} to a mirror."
    )
    paths = [_download(base, f"{name}/resolve/main/{file}", instead) for file in files]
    return paths[0].parent


def _download(base, path, instead):
    folder, _, name = path.rpartition("/")
    url = f"{base}/{path}"
    # One folder for each address: a mirror's files are not the authors'.
    place = os.path.join("models", "keras_vit", urlsplit(base).netloc.replace(":", "_"), folder)
    try:
        file = Path(keras.utils.get_file(name, origin=url, cache_subdir=place))
    except Exception as error:
        raise OSError(f"{url} could not be downloaded ({error}). {instead}") from error
    if not _is_whole(file):
        file.unlink()
        raise OSError(
            f"{file} was no whole {file.suffix} file, perhaps because a download was interrupted; "
            "it has been deleted: try again."
        )
    return file


def _is_whole(file):
    if file.suffix == ".npz":
        return zipfile.is_zipfile(file)  # the index of a zip file comes last
    with file.open("rb") as opened:
        if file.suffix == ".json":
            return opened.read().rstrip().endswith(b"}")
        try:  # .safetensors: the header says where the last array ends
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
            arrays = [entry for name, entry in header.items() if name != "__metadata__"]
            ends = [int(entry["data_offsets"][1]) for entry in arrays]
        except (ValueError, MemoryError, OverflowError, RecursionError):
            return False
        except (LookupError, TypeError, AttributeError):  # JSON, but of something else
            return False
    return file.stat().st_size == 8 + length + max(ends, default=0)
