"""The table of published models: name to configuration. Plain data; imports no Keras.

References:
    ViT sizes: big_vision, models/vit.py, and arXiv 2010.11929, table 1 (B, L, H), arXiv
    2106.04560 (g, G), arXiv 2305.13035 (So400m). "b" is B with all hidden dimensions halved
    (arXiv 2010.11929, figure 4). Hybrids: vit_jax, models_vit.py. BiT: arXiv 1912.11370.
"""

import difflib
import re
from dataclasses import dataclass, field

# width, depth, MLP width, heads
VIT_SIZES = {
    "Ti": (192, 12, 768, 3),
    "S": (384, 12, 1536, 6),
    "M": (512, 12, 2048, 8),
    "b": (384, 12, 1536, 12),
    "B": (768, 12, 3072, 12),
    "L": (1024, 24, 4096, 16),
    "So400m": (1152, 27, 4304, 16),
    "H": (1280, 32, 5120, 16),
    "g": (1408, 40, 6144, 16),
    "G": (1664, 48, 8192, 16),
}

# Residual stem and the number in the name -> blocks of the stages, patch size on the feature map.
HYBRID_STEMS = {
    ("R", 16): ((), 8),
    ("R26", 32): ((2, 2, 2, 2), 1),
    ("R50", 16): ((3, 4, 9), 1),
    ("R50", 32): ((3, 4, 6, 3), 1),
}

BIT_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}

PUBLISHED = (
    *("ViT-Ti/16", "ViT-S/32", "ViT-S/16", "ViT-M/32", "ViT-M/16", "ViT-b/32", "ViT-b/16"),
    *("ViT-B/32", "ViT-B/16", "ViT-B/8", "ViT-L/32", "ViT-L/16", "ViT-So400m/14"),
    *("ViT-H/14", "ViT-g/14", "ViT-G/14"),
    *("R+ViT-Ti/16", "R26+ViT-S/32", "R26+ViT-B/32", "R50+ViT-B/32", "R50+ViT-B/16"),
    *("R50+ViT-L/32", "R50+ViT-L/16"),
    *("BiT-R50x1", "BiT-R101x1", "BiT-R152x1", "BiT-R50x2", "BiT-R152x2", "BiT-R200x3"),
    *("BiT-R50x3", "BiT-R101x3", "BiT-R152x4"),
)

_VIT = re.compile(r"(?:(R\d*)\+)?ViT-([A-Za-z0-9]+)/(\d+)")
_BIT = re.compile(r"BiT-R(\d+)x(\d+)")


@dataclass(frozen=True)
class Variant:
    """A named model: the family whose constructor takes `config`."""

    name: str
    family: str  # "vit" or "resnet"
    config: dict = field(hash=False)

    @property
    def default_name(self) -> str:
        """A name that Keras and file systems accept: `ViT-B/16` gives `vit_b_16`.

        Sizes that differ in case alone stay apart: b gives `vit_half_b_16`, G `vit_gigantic_14`.
        """
        name = self.name.replace("ViT-b/", "ViT-half_b/").replace("ViT-G/", "ViT-gigantic/")
        return re.sub(r"[^a-z0-9]+", "_", name.lower())


def get_variant(name: str) -> Variant:
    """Returns the variant that a model name stands for.

    Args:
        name: `ViT-{size}/{patch}`, `R..+ViT-{size}/{16|32}` or `BiT-R{depth}x{width}`; any patch
            size is allowed in a ViT's name.

    Raises:
        ValueError: for a name that stands for no model; it suggests the nearest ones.
    """
    if not isinstance(name, str):
        raise ValueError(f"A model's name is a string such as 'ViT-B/16', not {name!r}.")
    if match := _VIT.fullmatch(name):
        stem, size, number = match[1], match[2], int(match[3])
        if size in VIT_SIZES and number > 0 and (stem is None or (stem, number) in HYBRID_STEMS):
            width, depth, mlp_dim, heads = VIT_SIZES[size]
            config: dict = {
                "patch_size": number,
                "num_layers": depth,
                "hidden_size": width,
                "mlp_dim": mlp_dim,
                "num_heads": heads,
            }
            if stem is not None:
                blocks, patch = HYBRID_STEMS[stem, number]
                config |= {"patch_size": patch, "stem_block_counts": blocks}
            return Variant(name, "vit", config)
    if match := _BIT.fullmatch(name):
        depth, width = int(match[1]), int(match[2])
        if depth in BIT_DEPTHS and width > 0:
            return Variant(
                name, "resnet", {"block_counts": BIT_DEPTHS[depth], "width_factor": width}
            )
    near = _nearest(name)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(
        f"There is no model named {name!r}.{hint} Names are ViT-{{{','.join(VIT_SIZES)}}}/PATCH, "
        f"{', '.join(f'{stem}+ViT-SIZE/{number}' for stem, number in HYBRID_STEMS)} and "
        f"BiT-R{{{','.join(map(str, BIT_DEPTHS))}}}xWIDTH."
    )


def _nearest(name: str) -> list[str]:
    """The published names most like `name`; a wrong case counts less than a wrong letter."""

    def likeness(other: str) -> float:
        loose = difflib.SequenceMatcher(None, name.lower(), other.lower()).ratio()
        return loose + 0.01 * difflib.SequenceMatcher(None, name, other).ratio()

    near = sorted(PUBLISHED, key=likeness, reverse=True)[:3]
    return [other for other in near if likeness(other) > 0.5]


def list_models() -> list[str]:
    """Returns the names of the published models; `create_model` takes other patch sizes too.

    Returns:
        A list of strings.

    Example:
        >>> "ViT-B/16" in keras_vit.list_models()
        True
    """
    return list(PUBLISHED)
