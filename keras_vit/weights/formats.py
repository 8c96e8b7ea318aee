"""All formats, and which of them a file is in."""

from keras_vit.weights.google import GOOGLE_BIT, GOOGLE_VIT
from keras_vit.weights.huggingface import (
    HUGGINGFACE_BIT,
    HUGGINGFACE_DEIT,
    HUGGINGFACE_DINOV2,
    HUGGINGFACE_DINOV2_WITH_REGISTERS,
    HUGGINGFACE_IJEPA,
    HUGGINGFACE_VIT,
)
from keras_vit.weights.huggingface_clip import HUGGINGFACE_CLIP, HUGGINGFACE_SIGLIP
from keras_vit.weights.huggingface_dinov3 import HUGGINGFACE_DINOV3
from keras_vit.weights.keras_hub import KERAS_HUB_VIT
from keras_vit.weights.openclip import OPENCLIP
from keras_vit.weights.rules import GATED, PLAIN, ROTARY, Format, blocks_of
from keras_vit.weights.timm import TIMM_BIT, TIMM_VIT
from keras_vit.weights.timm_eva import TIMM_EVA

FORMATS = (
    GOOGLE_VIT,
    GOOGLE_BIT,
    TIMM_BIT,
    # The first that recognises a file takes it, so that the plainest comes last; the last that can
    # express a model writes it.
    TIMM_EVA,
    TIMM_VIT,
    HUGGINGFACE_CLIP,
    HUGGINGFACE_SIGLIP,
    HUGGINGFACE_DINOV3,
    HUGGINGFACE_DINOV2_WITH_REGISTERS,
    HUGGINGFACE_DINOV2,
    HUGGINGFACE_DEIT,
    HUGGINGFACE_IJEPA,
    HUGGINGFACE_VIT,
    HUGGINGFACE_BIT,
    OPENCLIP,
    KERAS_HUB_VIT,
)
SOURCES = tuple(dict.fromkeys(known.source for known in FORMATS))
# what each format is written as
TARGETS = {"google": ".npz", "timm": ".safetensors", "huggingface": ".safetensors"}


def recognise(path: str, names: list[str], source: str | None) -> Format:
    """Returns the format whose names a file has.

    Raises:
        ValueError: for names of no known format, or of another one than `source`.
    """
    if source is not None and source not in SOURCES:
        raise ValueError(
            f"source is {source!r}; use one of {', '.join(map(repr, SOURCES))}, "
            "or None to recognise it."
        )
    found = next((known for known in FORMATS if known.recognises(names)), None)
    if found is None:
        raise ValueError(
            f"{path} has names of no known checkpoint of a ViT or BiT ({', '.join(SOURCES)}); "
            f"they are {', '.join(sorted(names)[:5]) or 'none at all'}{' ...' * (len(names) > 5)}."
        )
    if source not in (None, found.source):
        raise ValueError(
            f"{path} has the names of {found.source}, not of {source}; "
            f"use source={found.source!r} or None."
        )
    return found


def format_for(source: str, family: str, config: dict) -> Format:
    """Returns the format of a project that can express a model.

    Raises:
        ValueError: where there is none, with the reasons.
    """
    formats = [f for f in FORMATS if (f.source, f.family) == (source, family)][::-1]
    kind = blocks_of(config)
    lacking = {
        PLAIN: "it has rotary positions",
        GATED: "it has no gated MLPs",
        ROTARY: "it has no rotary positions",
    }
    reasons = [
        (known.title, known.obstacle(config) if kind in known.blocks else lacking[kind])
        for known in formats
    ]
    for known, (_, reason) in zip(formats, reasons, strict=True):
        if reason is None:
            return known
    raise ValueError("; ".join(f"{title}: {reason}" for title, reason in reasons))
