"""A contender: one large product of square matrices, which is the most that the library gives here."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from studies.bench.cases import Case
from studies.bench.worker import Runner

SIDE = {"cpu": 2048, "accelerator": 8192}


def product(case: Case, overrides: dict[str, Any]) -> Runner:
    """Compiled where the backend compiles; its operands and results stay on the device."""
    from keras_vit.layers.accelerator import device_kind

    side = overrides.get("side") or SIDE["cpu" if device_kind() == "cpu" else "accelerator"]
    dtype = case.dtype.removeprefix("mixed_")
    drawn = np.random.default_rng(0).normal(size=(2, side, side)).astype("float32")
    left, right = (keras.ops.cast(keras.ops.convert_to_tensor(m), dtype) for m in drawn)
    multiply = _compiled()

    def turn(steps: int) -> None:
        for _ in range(steps):
            result = multiply(left, right)
        keras.ops.convert_to_numpy(result[0, :1])  # which waits for it

    return Runner(turn, flops=lambda: 2 * side**3)


def _compiled() -> Any:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(tf.matmul)
    if backend == "jax":
        import jax

        return jax.jit(jax.numpy.matmul)
    import torch

    return torch.matmul
