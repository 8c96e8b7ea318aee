"""How a checkpoint's images are prepared, in its metadata and the files beside it, both directions.

References: transformers' `preprocessor_config.json` and `processor_config.json`; timm's
`pretrained_cfg` in `config.json`; OpenCLIP's `preprocess_cfg` in `open_clip_config.json`.
"""

from dataclasses import fields, replace

from keras_vit.models.preprocessing import INTERPOLATIONS, Preprocessing
from keras_vit.weights.description import CONFIG, OPENCLIP_CONFIG, PREPROCESSOR, PROCESSOR

IMAGE_PROCESSOR = "image_processor"  # in transformers' processor_config.json

# PIL's numbers of filters, which transformers uses, and others' words where they differ from ours
_NUMBERS = {0: "nearest", 1: "lanczos3", 2: "bilinear", 3: "bicubic"}
_WORDS = {"lanczos": "lanczos3", "random": "bicubic"}
# transformers' classes that take a single number of a size for both sides, not for the shorter one
_BOTH_SIDES = ("ViT", "DeiT", "DINOv3ViT")


def preprocessing_beside(checkpoint, channels: int) -> Preprocessing | None:
    """Returns how a checkpoint's images are prepared, for images of so many channels.

    Args:
        checkpoint: a `Checkpoint`.
        channels: of the model; where the checkpoint has others, its numbers are averaged for one
            channel, else repeated.

    Returns:
        What its metadata say, or a file beside it; None where nothing does. The authors' and
        keras-hub's weights are for [-1, 1].

    Raises:
        ValueError: if what should say it is damaged.
    """
    try:
        found = _found(checkpoint)
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        raise ValueError(
            f"What {checkpoint.path} or a file beside it says of how images are prepared is damaged: "
            f"{error}."
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
        "crop_mode": "squash" if settings.crop is None or _whole(settings) else "center",
    }
    return {**configuration, "pretrained_cfg": {**configuration["pretrained_cfg"], **told}}


def preprocessor(settings: Preprocessing) -> dict:
    """Returns the content of transformers' file of how images are prepared."""
    number = {name: number for number, name in _NUMBERS.items()}[settings.interpolation]
    told = {
        "do_resize": settings.size is not None,
        "resample": number,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(settings.mean),
        "image_std": list(settings.deviation),
    }
    if settings.size is None:
        return {"image_processor_type": "ViTImageProcessor", **told}
    height, width = settings.size
    if settings.crop is None:
        size = {"height": height, "width": width}
        return {"image_processor_type": "ViTImageProcessor", **told, "size": size}
    rows, columns = settings.box or (height, width)
    whole, short = {"height": rows, "width": columns}, {"shortest_edge": max(rows, columns)}
    return {
        "image_processor_type": f"{'DeiT' if _whole(settings) else 'CLIP'}ImageProcessor",
        **told,
        "size": whole if _whole(settings) else short,
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
    }


def differences(settings: Preprocessing, target: str) -> list[str]:
    """Returns where another project prepares images otherwise than `settings` says."""
    other_crop = {
        "timm": len(set(_parts(settings.crop))) > 1,
        "huggingface": not _whole(settings) and len(set(settings.box or ())) > 1,
    }
    found = []
    if other_crop.get(target):
        found.append(
            "images that are no squares are resized otherwise before their centre is taken"
        )
    if target == "google" and any(
        abs(value - 0.5) > 1e-6 for value in (*settings.mean, *settings.deviation)
    ):
        found.append(
            f"it maps images to [-1, 1], and this model's have the mean {settings.mean} and the "
            f"deviation {settings.deviation}"
        )
    return found


def _found(checkpoint):
    source, beside = checkpoint.format.source, checkpoint.configurations
    if checkpoint.description.preprocessing is not None:
        return _ours(checkpoint.description.preprocessing)
    if source in ("google", "keras_hub"):
        return Preprocessing()
    for told in (
        beside[CONFIG].get("pretrained_cfg"),
        beside[OPENCLIP_CONFIG].get("preprocess_cfg"),
    ):
        if isinstance(told, dict):
            return _timm(told)
    # as transformers looks for it
    told = beside[PROCESSOR].get(IMAGE_PROCESSOR) or beside[PREPROCESSOR]
    return _transformers(told) if told else None


def _ours(told):
    known = {field.name: told[field.name] for field in fields(Preprocessing) if field.name in told}
    return Preprocessing(**{"mean": told["mean"], "deviation": told["deviation"], **known})


def _timm(told):
    squash = told.get("crop_mode") == "squash" or told.get("resize_mode") == "squash"
    size = told.get("input_size") or told.get("size")  # the second OpenCLIP's
    return Preprocessing(
        size=None if size is None else _sides(size),
        mean=told.get("mean", Preprocessing.mean),
        deviation=told.get("std", Preprocessing.deviation),
        interpolation=_named(told.get("interpolation") or "bilinear"),
        crop=told.get("crop_pct") or 1.0,
        resize="whole" if squash else "cover",
    )


def _transformers(told):
    normalised = told.get("do_normalize", True)
    mean = _a_channel(told.get("image_mean")) if normalised else None
    deviation = _a_channel(told.get("image_std")) if normalised else None
    channels = max(len(mean or ()), len(deviation or ())) or 3
    scale = 255 * told.get("rescale_factor", 1 / 255) if told.get("do_rescale", True) else 255
    size, cropped = told.get("size"), told.get("do_center_crop")
    kind = told.get("image_processor_type") or told.get("feature_extractor_type") or ""
    if isinstance(size, int) and cropped and not kind.startswith(_BOTH_SIDES):
        size = {"shortest_edge": size}
    crop: float | tuple[float, float] | None = None
    short = size.get("shortest_edge") if isinstance(size, dict) else None
    if cropped:
        (rows, columns), (height, width) = _sides(told.get("crop_size")), _sides(short or size)
        crop = (rows / height, columns / width)
    elif short is not None:
        crop = 1.0
    made = told.get("crop_size") if cropped else short or size
    named = isinstance(made, dict) and "height" in made  # there are longest edges, too
    return Preprocessing(
        size=_sides(made) if named or isinstance(made, int) else None,
        # theirs are of values that are rescaled first
        mean=tuple(value / scale for value in _fitted(mean or (0.0,), channels)),
        deviation=tuple(value / scale for value in _fitted(deviation or (1.0,), channels)),
        interpolation=_named(told.get("resample", 2)),
        crop=crop,
        resize="cover" if short is not None else "whole",
    )


def _whole(settings):
    return settings.resize == "whole"


def _parts(crop):
    return crop if isinstance(crop, tuple) else (crop, crop)


def _sides(value):
    """Height and width, of one number, of two by their names, or of a shape's last two."""
    if isinstance(value, int):
        return value, value
    rows, columns = (value["height"], value["width"]) if isinstance(value, dict) else value[-2:]
    return rows, columns


def _named(name):
    name = _NUMBERS.get(name, _WORDS.get(name, name))
    return name if name in INTERPOLATIONS else "bicubic"


def _a_channel(value):
    """A mean or deviation of theirs may be one number, for all channels."""
    return [value] if isinstance(value, int | float) else value


def _fitted(values, channels):
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))
