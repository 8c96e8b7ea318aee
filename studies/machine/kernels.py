"""Which kernels a trial's process computes with on a processor; to be chosen before a backend is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from keras_vit.models.variants import get_variant
from studies.machine.xla import add_xla_flag, knows

# Which parts of a program XLA hands to YNNPACK on processors; by default all that it knows.
_YNNPACK = "xla_cpu_experimental_ynn_fusion_type"
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
_ROOT = 64  # channels of a ResNet of width 1
_NARROWEST = 8  # channels that oneDNN convolves without writing beside its memory


def choose_kernels(backend: str, base: str, overrides: Mapping[str, Any]) -> None:
    """Choose the faster kernels for the studies' models, unless the user has chosen.

    On JAX convolutions and products are left to XLA's own, where it can be told so: the studies' ResNet,
    whose kernels' gradients are convolutions of few channels, takes a fifth less time a step, and the ViT
    a tenth. On TensorFlow a ResNet or hybrid is computed by oneDNN, which TensorFlow chooses by itself
    only on processors with AVX-512 for neural networks: on others a step takes half to three quarters of the
    time with it, but that of a ViT a little more. Of a ResNet with fewer than 8 channels oneDNN corrupts the
    memory (TensorFlow 2.21 on an AVX2 processor), and the process ends; these are kept from it.

    Args:
        backend: of Keras.
        base: name of the model that is computed first.
        overrides: what replaces arguments of that model.
    """
    if backend == "jax" and knows(_YNNPACK):
        add_xla_flag(f"--{_YNNPACK}=")
    kind = get_variant(base)
    convolutional = kind.family == "resnet" or "stem_block_counts" in kind.config
    if backend == "tensorflow" and convolutional:
        narrowest = _ROOT * {**kind.config, **overrides}.get("width_factor", 1)
        os.environ.setdefault(_ONEDNN, "1" if narrowest >= _NARROWEST else "0")
