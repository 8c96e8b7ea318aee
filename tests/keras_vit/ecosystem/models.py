"""The two small models that every way of using Keras is tried on."""

import keras
import numpy as np

import keras_vit
from tests.contracts import randomise

KINDS = ("vit", "resnet")


def make(kind: str, **arguments) -> keras.Model:
    """A ViT or a BiT for images of 8 x 12 pixels, with weights that matter."""
    model = build(kind, **arguments)
    randomise(model)
    return model


def build(kind: str, **arguments) -> keras.Model:
    """The same with the weights that it starts with."""
    if kind == "vit":
        return keras_vit.VisionTransformer(
            input_shape=arguments.pop("input_shape", (8, 12, 3)),
            patch_size=4,
            num_layers=2,
            hidden_size=8,
            mlp_dim=16,
            num_heads=2,
            classes=3,
            **arguments,
        )
    return keras_vit.ResNet(
        input_shape=arguments.pop("input_shape", (8, 12, 3)),
        block_counts=(1, 1),
        width_factor=0.125,
        groups=4,
        classes=3,
        **arguments,
    )


def images(number: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, size=(number, 8, 12, 3)).astype("float32")
