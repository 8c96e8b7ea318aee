"""What timm and transformers share: how PyTorch calls and lays out the weights of a layer."""

from keras_vit.weights.rules import (
    CONVOLUTION,
    PATCHES_TRANSPOSED,
    POINTWISE_TRANSPOSED,
    TRANSPOSED,
    Rule,
)

LEAVES = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
LAYOUTS = {
    "dense": {"kernel": TRANSPOSED},
    "convolution": {"kernel": CONVOLUTION},
    "patches": {"kernel": PATCHES_TRANSPOSED},
    "pointwise": {"kernel": POINTWISE_TRANSPOSED},
}


def unit_rules(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Returns the rules of a residual unit; both projects took over the same names for it."""
    return (
        *(Rule(f"{ours}/conv{n}", f"{theirs}.conv{n}", "convolution") for n in (1, 2, 3)),
        *(Rule(f"{ours}/norm{n}", f"{theirs}.norm{n}", "norm") for n in (1, 2, 3)),
        Rule(f"{ours}/projection", f"{theirs}.downsample.conv", "convolution"),
        Rule(f"{ours}/projection_norm", f"{theirs}.downsample.norm", "norm"),
    )
