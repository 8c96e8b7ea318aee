"""A contender: a ViT as one writes it in Flax, with its own attention and Optax' Adam, in one program."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from keras_vit.models.variants import get_variant
from studies.bench.cases import Case
from studies.bench.worker import Runner, some_batch

RATE = 1e-4  # Adam's
DTYPES = {
    "float32": jnp.float32,
    "mixed_bfloat16": jnp.bfloat16,
    "mixed_float16": jnp.float16,
}


class Block(nn.Module):
    """A pre-norm block."""

    heads: int
    mlp_dim: int
    dtype: Any

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype)(x)
        x = x + nn.MultiHeadDotProductAttention(self.heads, dtype=self.dtype)(y, y)
        y = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype)(x)
        y = nn.gelu(nn.Dense(self.mlp_dim, dtype=self.dtype)(y), approximate=False)
        return x + nn.Dense(width, dtype=self.dtype)(y)


class VisionTransformer(nn.Module):
    """Images (B, H, W, C) to logits (B, classes) by way of a class token."""

    sizes: dict[str, int]
    classes: int
    dtype: Any

    @nn.compact
    def __call__(self, images):
        size, patch = self.sizes, (self.sizes["patch_size"],) * 2
        x = nn.Conv(size["hidden_size"], patch, patch, "VALID", dtype=self.dtype)(images)
        x = x.reshape(len(x), -1, size["hidden_size"])  # (B, N, D)
        token = self.param("token", nn.initializers.zeros, (1, 1, size["hidden_size"]))
        x = jnp.concatenate([jnp.tile(token.astype(x.dtype), (len(x), 1, 1)), x], axis=1)
        positions = self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        x = x + positions.astype(x.dtype)
        for _ in range(size["num_layers"]):
            x = Block(size["num_heads"], size["mlp_dim"], self.dtype)(x)
        x = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype)(x[:, 0])
        return nn.Dense(self.classes, kernel_init=nn.initializers.zeros)(x.astype(jnp.float32))


def flax(case: Case, overrides: dict[str, Any]) -> Runner:
    """The ViT of the same sizes; its GELU is exact."""
    config = {**get_variant(case.base).config, **case.overrides}
    names = ("patch_size", "num_layers", "hidden_size", "mlp_dim", "num_heads")
    sizes = {name: config[name] for name in names}
    model = VisionTransformer(sizes, case.classes, DTYPES[case.dtype])
    images, labels = some_batch(case)
    if jax.default_backend() != "cpu":
        images, labels = jax.device_put((images, labels))
    weights = jax.jit(model.init)(jax.random.key(0), images)
    optimizer = optax.adam(RATE)
    state = (weights, jax.jit(optimizer.init)(weights))

    def loss_of(weights, images, labels):
        logits = model.apply(weights, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(state, images, labels):
        weights, moments = state
        loss, gradients = jax.value_and_grad(loss_of)(weights, images, labels)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(weights, updates), moments), loss

    train, infer = jax.jit(step, donate_argnums=0), jax.jit(model.apply)

    def turn(steps: int) -> None:
        nonlocal state
        for _ in range(steps):
            if case.mode == "train":
                state, loss = train(state, images, labels)
                float(loss)
            else:
                np.asarray(infer(weights, images))

    return Runner(turn, sum(each.size for each in jax.tree.leaves(weights)))
