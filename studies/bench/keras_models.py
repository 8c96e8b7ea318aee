"""Contenders that are Keras models: ours, keras-hub's ViT, and the ResNet of `keras.applications`.

A step is what a user types: `train_on_batch` or `predict_on_batch` on NumPy arrays. Ours trains with
`keras_vit.FusedAdam`, the others with Keras' Adam.
"""

from __future__ import annotations

from typing import Any

import keras

import keras_vit
from keras_vit.layers.accelerator import device_kind
from keras_vit.models.variants import get_variant
from studies.bench.cases import Case
from studies.bench.worker import Runner, some_batch

RATE = 1e-4  # Adam's


def ours(case: Case, overrides: dict[str, Any]) -> Runner:
    """A model of this library."""
    keras.config.set_dtype_policy(case.dtype)
    arguments = {**case.overrides, **overrides}
    if not arguments.pop("flash_attention", True):
        keras.config.disable_flash_attention()
    model = keras_vit.create_model(case.base, case.shape, case.classes, **arguments)
    return _runner(model, case, keras_vit.FusedAdam)


def hub(case: Case, overrides: dict[str, Any]) -> Runner:
    """keras-hub's ViT of the same sizes; its GELU is exact."""
    import keras_hub

    keras.config.set_dtype_policy(case.dtype)
    sizes = {**get_variant(case.base).config, **case.overrides}
    backbone = keras_hub.models.ViTBackbone(
        image_shape=case.shape,
        patch_size=sizes["patch_size"],
        num_layers=sizes["num_layers"],
        num_heads=sizes["num_heads"],
        hidden_dim=sizes["hidden_size"],
        mlp_dim=sizes["mlp_dim"],
        layer_norm_epsilon=1e-6,
    )
    classifier = keras_hub.models.ViTImageClassifier(
        backbone, num_classes=case.classes, preprocessor=None
    )
    return _runner(classifier, case)


def resnet50_v2(case: Case, overrides: dict[str, Any]) -> Runner:
    """The pre-activation ResNet50 that comes with Keras, with batch normalisation."""
    keras.config.set_dtype_policy(case.dtype)
    model = keras.applications.ResNet50V2(
        weights=None, input_shape=case.shape, classes=case.classes, classifier_activation=None
    )
    return _runner(model, case)


def _runner(model: Any, case: Case, adam: Any = keras.optimizers.Adam) -> Runner:
    images, labels = some_batch(case)
    if device_kind() != "cpu":
        images, labels = map(keras.ops.convert_to_tensor, (images, labels))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(adam(RATE), loss)

    def turn(steps: int) -> None:
        for _ in range(steps):
            if case.mode == "train":
                model.train_on_batch(images, labels)
            else:
                model.predict_on_batch(images)

    return Runner(turn, model.count_params(), lambda: keras_vit.flops(model))
