"""How a checkpoint's images were prepared, as the files beside it say.

References: transformers' `preprocessor_config.json`; timm's `pretrained_cfg` in `config.json`.
"""

import json
from pathlib import Path

from keras_vit.models.preprocessing import Preprocessing

# PIL's numbers of filters, and timm's and transformers' words
_FILTERS = {0: "nearest", 1: "lanczos3", 2: "bilinear", 3: "bicubic", "lanczos": "lanczos3"}
_SAME = ("nearest", "bilinear", "bicubic")


def preprocessing_beside(folder: Path, config: dict, source: str) -> Preprocessing | None:
    """Returns how images were prepared; None where nothing beside the weights says it.

    Args:
        folder: in which the weights lie.
        config: the content of the `config.json` there.
        source: the project that the weights are of; the authors' are for [-1, 1].
    """
    if source in ("google", "keras_hub"):
        return Preprocessing()
    if isinstance(config.get("pretrained_cfg"), dict):
        return _timm(config["pretrained_cfg"])
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return None
    try:
        return _transformers(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{path}, which says how images are prepared, is damaged: {error}"
        ) from error


def _timm(settings):
    size = settings.get("input_size")
    crop = settings.get("crop_pct") or 1.0
    return Preprocessing(
        mean=settings.get("mean", Preprocessing.mean),
        deviation=settings.get("std", Preprocessing.deviation),
        size=None if size is None else size[1:],
        interpolation=_filter(settings.get("interpolation", "bilinear")),
        crop=None if settings.get("crop_mode") == "squash" else crop,
    )


def _transformers(settings):
    whole = settings.get("do_normalize", True)
    mean = settings.get("image_mean") if whole else None
    deviation = settings.get("image_std") if whole else None
    channels = len(mean or deviation or (0,) * 3)
    size, short = _size(settings.get("size"))
    kept = size
    if settings.get("do_center_crop"):
        kept, side = _size(settings.get("crop_size"))
        kept = kept or (side, side)
    if kept is None:
        kept = None if short is None else (short, short)
    cropped = settings.get("do_center_crop") or size is None
    return Preprocessing(
        mean=mean or (0.0,) * channels,
        deviation=deviation or (1.0,) * channels,
        size=kept,
        interpolation=_filter(settings.get("resample", 2)),
        crop=min(kept) / (short or min(size)) if cropped and kept else None,
    )


def _size(value):
    """Returns height and width, and the short side: what of it a configuration says."""
    if isinstance(value, int):
        return (value, value), None
    if not isinstance(value, dict):
        return None, None
    if "height" in value:
        return (value["height"], value["width"]), None
    return None, value.get("shortest_edge")


def _filter(name):
    return name if name in _SAME else _FILTERS.get(name, "bicubic")
