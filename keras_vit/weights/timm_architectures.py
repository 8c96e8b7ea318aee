"""timm's names of architectures: what a file of theirs does not say of itself.

Names and shapes tell all of a plain ViT but its number of heads, its epsilon and its activation;
timm keeps those in code, under the architecture's name that its `config.json` gives.

Reference: huggingface/pytorch-image-models, timm/models/vision_transformer.py,
vision_transformer_hybrid.py, deit.py and eva.py.
"""

import re
from dataclasses import asdict

from keras_vit.layers.activations import GELU_QUICK, GELU_TANH
from keras_vit.layers.rotary import UNTURNED, RotaryOptions

# the word for the size in a name -> heads
_HEADS = dict(
    wee=4, tiny=3, xsmall=4, little=5, small=6, medium=8, mediumd=8, betwixt=10, base=12,
    so150m2=13, so150m=14, so400m=16, intern300m=16,
    large=16, huge=16, giant=16, giantopt=16, gigantic=16,
)  # fmt: skip
_CLIP: dict = {"epsilon": 1e-5}
_SWIGLU: dict = {"activation": "silu"}
_MEAN: dict = {"classifier": "gap"}  # of an architecture that has a class token as well
_NUMBERED = {"rotary": asdict(RotaryOptions("grid", 1e4, "neighbours", (16, 16)))}
_EVA: dict = {"rotary": asdict(UNTURNED)}
_EVA02: dict = {**_NUMBERED, **_SWIGLU}
_DINOV3: dict = {"rotary": asdict(RotaryOptions()), "epsilon": 1e-5}
_DINOV3_SWIGLU: dict = {**_DINOV3, **_SWIGLU, **_MEAN}
# what stands around the size and the patch in a name -> what is particular about it
_PATTERNS: tuple[tuple[str, dict], ...] = (
    (r"vit_{size}_(?:patch\d+|r\d*_s\d+(?:_p\d+)?)_\d+", {}),
    (r"vit_{size}_patch\d+_\d+_(?:miil|in21k)", {}),
    (r"vit_{size}_patch\d+_(?:reg\d+_)?(?:gap|map)_\d+", {}),
    (r"vit_{size}_patch\d+_clip_\d+", _CLIP),
    (r"vit_{size}_patch\d+_clip_quickgelu_\d+", {**_CLIP, "activation": GELU_QUICK}),
    (r"vit_{size}_patch\d+_siglip_(?:gap_)?\d+", {}),
    (r"vit_{size}_patch\d+_(?:reg\d+_)?(?:dinov2|tipsv2)", {}),
    (r"deit3?_{size}(?:_distilled)?_patch\d+_\d+", {}),
    (r"flexivit_{size}", {}),
    (r"eva_(?P<size>large)_patch14_(?:196|336)", _MEAN),
    (r"eva_(?P<size>giant)_patch14_\d+", {**_EVA, **_MEAN}),
    (r"eva_(?P<size>giant)_patch14_clip_\d+", _EVA),
    (r"eva02_{size}_patch\d+_\d+", {**_EVA02, **_MEAN}),
    (r"eva02_{size}_patch\d+_clip_\d+", _EVA02),
    (r"vit_{size}_patch\d+_rope_reg\d+_gap_\d+", _NUMBERED),
    (r"vit_{size}_patch\d+_dinov3(?:_qkvb)?", {**_DINOV3, **_MEAN}),
    (r"vit_(?P<size>small)_plus_patch\d+_dinov3(?:_qkvb)?", _DINOV3_SWIGLU),
)
# what the size does not tell
_OTHERS: dict[str, dict] = {
    "vit_base_patch16_gap_224": {"num_heads": 16},
    "vit_giant_patch14_dinov2": {"num_heads": 24, **_SWIGLU},
    "vit_giant_patch14_reg4_dinov2": {"num_heads": 24, **_SWIGLU},
    "vit_giant_patch14_reg1_tipsv2": {"num_heads": 24, **_SWIGLU},
    "vit_huge_plus_patch16_dinov3": {"num_heads": 20, **_DINOV3_SWIGLU},
    "vit_huge_plus_patch16_dinov3_qkvb": {"num_heads": 20, **_DINOV3_SWIGLU},
    "vit_7b_patch16_dinov3": {"num_heads": 32, **_DINOV3_SWIGLU},
    "vit_small_patch16_36x1_224": {"num_heads": 6},
    "vit_base_patch32_plus_256": {"num_heads": 14},
    "vit_base_patch16_plus_240": {"num_heads": 14},
    "vit_base_patch16_plus_clip_240": {"num_heads": 14, **_CLIP},
    "test_vit": {"num_heads": 2},
    "test_vit2": {"num_heads": 2},
}
# SigLIP's entries have the exact GELU but for these.
_SIGLIP_TANH = re.compile(
    r"vit_(?:base_patch32_siglip(?:_gap)?_256|large_patch16_siglip(?:_gap)?_512"
    r"|so400m_patch16_siglip(?:_gap)?_\d+|giantopt_patch16_siglip(?:_gap)?_\d+)"
)
# same names of weights, or nearly, and another computation
_OBSTACLES = {
    r".*_rpn_\d+": "norms behind attention and MLP",
    r".*_\d+x2_\d+|vit_p(?:wee|little)_.*|.*_xp_\d+": "blocks whose branches run side by side",
    r"vit_d(?:p?wee|little)_.*": "differential attention",
    r"aimv2_.*|test_vit4": "RMSNorm",
    r"beit3_.*": "norms inside attention and MLP",
    r"eva02_enormous_.*": "norms behind attention and MLP",
    r"vit_pe_.*": "rotary positions that begin at one, columns first",
    r"vit_\w+_rope_(?:ape_)?\d+": "rotary positions with columns first",
    r"vit_\w+_rope_mixed_.*": "learned rotary positions",
    r"vit_\w+_sapiens2": "keys and values shared by several heads",
    r"test_vit3": "attention pooling of the registers, too",
}


def timm_arguments(architecture: str) -> dict:
    """Returns the arguments of VisionTransformer that timm's name of an architecture decides.

    Args:
        architecture: such as "vit_base_patch14_dinov2"; a tag after a dot is left aside.

    Returns:
        `num_heads`, `epsilon` and `activation`, `rotary` where its blocks may turn, and
        `classifier` where names do not tell it; nothing for a name that is not known here.
    """
    name = architecture.partition(".")[0]
    found = _OTHERS.get(name) or _by_pattern(name)
    if found is None:
        return {}
    activation = GELU_TANH if _SIGLIP_TANH.fullmatch(name) else "gelu"
    return {"epsilon": 1e-6, "activation": activation, **found}


def timm_obstacle(architecture: str) -> str | None:
    """Returns what of an architecture no VisionTransformer computes; None where there is nothing."""
    name = architecture.partition(".")[0]
    for pattern, reason in _OBSTACLES.items():
        if re.fullmatch(pattern, name):
            return f"architecture={name!r} ({reason})"
    return None


def _by_pattern(name):
    sizes = "|".join(_HEADS)
    for pattern, particular in _PATTERNS:
        if match := re.fullmatch(pattern.replace("{size}", f"(?P<size>{sizes})"), name):
            return {"num_heads": _HEADS[match["size"]], **particular}
    return None
