"""How a checkpoint's images are prepared, in the words of the files beside it, in both directions.

References: transformers' `preprocessor_config.json`; timm's `pretrained_cfg` in `config.json`;
OpenCLIP's `preprocess_cfg` in `open_clip_config.json`.
"""

from dataclasses import replace
from pathlib import Path

from keras_vit.models.preprocessing import INTERPOLATIONS, Preprocessing
from keras_vit.weights.description import CONFIG, OPENCLIP_CONFIG
from keras_vit.weights.readers import read_json

PREPROCESSOR = "preprocessor_config.json"
# PIL's numbers of filters, which transformers uses, and others' words where they differ from ours
_NUMBERS = {0: "nearest", 1: "lanczos3", 2: "bilinear", 3: "bicubic"}
_WORDS = {"lanczos": "lanczos3", "random": "bicubic"}


def preprocessing_beside(checkpoint, channels: int) -> Preprocessing | None:
    """Returns how a checkpoint's images are prepared, for images of so many channels.

    Args:
        checkpoint: a `Checkpoint`.
        channels: of the model; where the checkpoint has others, its numbers are averaged for one
            channel, else repeated.

    Returns:
        None where nothing says it. The authors' and keras-hub's weights are for [-1, 1].

    Raises:
        ValueError: if a file that should say it is damaged.
    """
    try:
        found = _found(checkpoint)
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        raise ValueError(
            f"What is said beside {checkpoint.path} of how images are prepared is damaged: {error}."
        ) from error
    if found is None or len(found.mean) == channels:
        return found
    mean, deviation = (_fitted(values, channels) for values in (found.mean, found.deviation))
    return replace(found, mean=mean, deviation=deviation)


def with_preprocessing(configuration: dict, settings: Preprocessing) -> dict:
    """Returns timm's configuration with how images are prepared; another project's as it is."""
    if "pretrained_cfg" not in configuration:
        return configuration
    told = {
        "mean": list(settings.mean),
        "std": list(settings.deviation),
        "interpolation": settings.interpolation.replace("lanczos3", "lanczos"),
        "crop_pct": max(_parts(settings.crop or 1.0)),
        "crop_mode": "squash" if settings.crop is None else "center",
    }
    return {**configuration, "pretrained_cfg": {**configuration["pretrained_cfg"], **told}}


def preprocessor(settings: Preprocessing) -> dict:
    """Returns the content of transformers' file of how images are prepared."""
    assert settings.size is not None
    height, width = settings.size
    number = {name: number for number, name in _NUMBERS.items()}[settings.interpolation]
    told = {
        "do_resize": True,
        "resample": number,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(settings.mean),
        "image_std": list(settings.deviation),
    }
    if settings.crop is None:
        size = {"height": height, "width": width}
        return {"image_processor_type": "ViTImageProcessor", **told, "size": size}
    return {
        "image_processor_type": "CLIPImageProcessor",
        **told,
        "size": {"shortest_edge": max(settings.box or ())},
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
    }


def differences(settings: Preprocessing, target: str) -> list[str]:
    """Returns where another project prepares images otherwise than `settings` says."""
    other = {
        "timm": len(set(_parts(settings.crop))) > 1,
        "huggingface": len(set(settings.box or ())) > 1,
    }
    if not other.get(target):
        return []
    return ["images that are no squares are resized otherwise before their centre is taken"]


def _found(checkpoint):
    source, beside = checkpoint.format.source, checkpoint.configurations
    if source in ("google", "keras_hub"):
        return Preprocessing()
    for told in (
        beside[CONFIG].get("pretrained_cfg"),
        beside[OPENCLIP_CONFIG].get("preprocess_cfg"),
    ):
        if isinstance(told, dict):
            return _timm(told)
    path = Path(checkpoint.path)
    path = (path if path.is_dir() else path.parent) / PREPROCESSOR
    if not path.is_file():
        return None
    return _transformers(read_json(path))


def _timm(told):
    squash = told.get("crop_mode") == "squash" or told.get("resize_mode") == "squash"
    return Preprocessing(
        mean=told.get("mean", Preprocessing.mean),
        deviation=told.get("std", Preprocessing.deviation),
        interpolation=_named(told.get("interpolation") or "bilinear"),
        crop=None if squash else told.get("crop_pct") or 1.0,
    )


def _transformers(told):
    normalised = told.get("do_normalize", True)
    mean = told.get("image_mean") if normalised else None
    deviation = told.get("image_std") if normalised else None
    channels = len(mean or deviation or (0,) * 3)
    scale = 255 * told.get("rescale_factor", 1 / 255) if told.get("do_rescale", True) else 255
    size, crop = told.get("size"), None
    short = size.get("shortest_edge") if isinstance(size, dict) else None
    if told.get("do_center_crop"):
        whole = _sides(short or size)
        crop = tuple(
            kept / side for kept, side in zip(_sides(told.get("crop_size")), whole, strict=True)
        )
    elif short is not None:
        crop = 1.0
    return Preprocessing(
        # theirs are of values that are rescaled first
        mean=tuple(value / scale for value in mean or (0.0,) * channels),
        deviation=tuple(value / scale for value in deviation or (1.0,) * channels),
        interpolation=_named(told.get("resample", 2)),
        crop=crop,
    )


def _parts(crop):
    return crop if isinstance(crop, tuple) else (crop, crop)


def _sides(value):
    return (value, value) if isinstance(value, int) else (value["height"], value["width"])


def _named(name):
    name = _NUMBERS.get(name, _WORDS.get(name, name))
    return name if name in INTERPOLATIONS else "bicubic"


def _fitted(values, channels):
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))
