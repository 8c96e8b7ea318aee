"""Recomputing activations changes memory and time, never the numbers."""

import keras
import numpy as np
import pytest

import keras_vit

ARGUMENTS = dict(
    input_shape=(8, 8, 3),
    patch_size=4,
    num_layers=2,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
)


def trained(rematerialize: bool, **rates) -> list[np.ndarray]:
    """The weights after a step from the same start with the same random numbers."""
    keras.utils.set_random_seed(5)
    model = keras_vit.create_model(
        "ViT-S/4", **ARGUMENTS, **rates, rematerialize=rematerialize, seed=3
    )
    model.get_layer("head").kernel.assign(np.ones((8, 3)))
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(8, 8, 8, 3)), rng.normal(size=(8, 3))
    model.fit(images, targets, batch_size=8, epochs=1, shuffle=False, verbose=0)
    return [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {"dropout_rate": 0.3, "attention_dropout_rate": 0.3, "stochastic_depth_rate": 0.5},
    ],
    ids=["plain", "dropout"],
)
def test_training_is_the_same(rates):
    for saved, recomputed in zip(trained(False, **rates), trained(True, **rates), strict=True):
        np.testing.assert_allclose(recomputed, saved, atol=1e-5)


def test_every_step_draws_new_random_numbers(rng):
    """Else dropout would leave out the same numbers for ever."""
    block = keras_vit.TransformerBlock(2, 8, stochastic_depth_rate=0.5, rematerialize=True)
    tokens = np.repeat(rng.normal(size=(1, 3, 8)).astype("float32"), 64, axis=0)
    results = [keras.ops.convert_to_numpy(block(tokens, training=True)) for _ in range(3)]
    kept = [np.abs(result - tokens).max(axis=(1, 2)) > 1e-6 for result in results]
    assert (kept[0] != kept[1]).any() and (kept[1] != kept[2]).any()


def kept_by_torch(model, images):
    import torch

    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(images, training=True)
    for weight in model.weights:
        kept.pop(weight.value.data_ptr(), None)
    return sum(tensor.nbytes for tensor in kept.values())


def kept_by_jax(model, images):
    import jax

    rest = [variable.value for variable in model.non_trainable_variables]

    def backward(weights):
        return jax.vjp(
            lambda weights: model.stateless_call(weights, rest, images, training=True)[0], weights
        )[1]

    # Traced only: op by op JAX takes long. What goes in as a weight does not count when it comes out.
    traced = jax.make_jaxpr(backward)([weight.value for weight in model.trainable_variables]).jaxpr
    weights = {id(variable) for variable in traced.invars}
    kept = {id(variable): variable.aval for variable in traced.outvars}
    return sum(x.size * x.dtype.itemsize for name, x in kept.items() if name not in weights)


def kept_by_tensorflow(model, images):
    import tensorflow as tf

    forward = []

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
        forward.extend(tf.compat.v1.get_default_graph().get_operations())
        return tape.gradient(outputs, [weight.value for weight in model.trainable_variables])

    operations = gradients.get_concrete_function().graph.get_operations()
    backward = operations[len(forward) :]
    made = {op.name for op in forward if op.type not in ("Placeholder", "ReadVariableOp", "Const")}
    kept = {x.name: x for op in backward for x in op.inputs if x.op.name in made}
    return sum(x.shape.num_elements() * x.dtype.size for x in kept.values())


def test_a_fraction_of_the_activations_is_kept(backend):
    """What the backward pass takes from the forward one, in bytes, weights left out.

    Counted where each framework says it: saved tensors, residuals, edges of the graph. What a
    compiler makes of it is another matter: XLA's for CPUs frees no memory (see README).
    """
    count = {"torch": kept_by_torch, "jax": kept_by_jax, "tensorflow": kept_by_tensorflow}[backend]
    arguments = {**ARGUMENTS, "input_shape": (64, 64, 3)}
    kept = {}
    for rematerialize in (False, True):
        model = keras_vit.VisionTransformer(**arguments, rematerialize=rematerialize)
        kept[rematerialize] = count(model, np.ones((4, 64, 64, 3), "float32"))
    # The input of each block at least, which is the price of recomputing them.
    tokens = 4 * 257 * 8 * 4
    part = 3 if backend == "torch" else 6  # whose attention kernel never keeps the scores
    assert 2 * tokens <= kept[True] < kept[False] / part, kept
