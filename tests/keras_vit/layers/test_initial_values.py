"""Initial values from NumPy: those of Keras' initializers, without a compiled program."""

import random
import threading

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.layers.dense import Dense
from keras_vit.layers.initial_values import CONSTANT, RANDOM, from_numpy, to_be_assigned
from keras_vit.optimizers.fused_adam import FusedAdamW
from tests.contracts import numpy

INITIALIZERS = keras.initializers
SHAPE = (3, 3, 24, 32)  # a convolution's, whose two fans differ
ARGUMENTS = {
    INITIALIZERS.Constant: {"value": 0.3},
    INITIALIZERS.RandomNormal: {"mean": 0.5, "stddev": 0.2},
}
KINDS = [(kind, ARGUMENTS.get(kind, {})) for kind in (*CONSTANT, *RANDOM)]
KINDS += [
    (INITIALIZERS.VarianceScaling, {"scale": 2.0, "mode": mode, "distribution": distribution})
    for mode in ("fan_in", "fan_out", "fan_avg")
    for distribution in ("uniform", "truncated_normal", "untruncated_normal")
]


def small(**more) -> keras.Model:
    arguments = dict(input_shape=(8, 8, 3), num_layers=2, hidden_size=8, mlp_dim=12, num_heads=2)
    return keras_vit.create_model("ViT-B/4", **{**arguments, **more})


@pytest.mark.parametrize(("kind", "arguments"), KINDS)
def test_values_are_those_of_keras(kind, arguments):
    """Constants to the bit; of random ones the mean, the deviation and the bounds."""
    initializer = kind(**arguments)
    ours, theirs = numpy(from_numpy(initializer)(SHAPE, "float32")), numpy(initializer(SHAPE))
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    if kind in CONSTANT:
        np.testing.assert_array_equal(ours, theirs)
        return
    deviation, size = theirs.std(), ours.size
    assert (ours != theirs).any()
    assert abs(ours.mean() - theirs.mean()) < 6 * deviation / np.sqrt(size)
    assert ours.std() / deviation == pytest.approx(1, abs=6 / np.sqrt(size))
    if "Uniform" in kind.__name__ or arguments.get("distribution") == "uniform":
        assert abs(ours).max() == pytest.approx(abs(theirs).max(), rel=0.01)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8"])
def test_other_dtypes(dtype):
    for initializer in (INITIALIZERS.Ones(), INITIALIZERS.Constant(3.0)):
        theirs = initializer((2, 3), dtype)
        ours = from_numpy(initializer)((2, 3), dtype)
        assert keras.backend.standardize_dtype(ours.dtype) == keras.backend.standardize_dtype(
            theirs.dtype
        )
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))


def test_half_precision_is_rounded_as_the_backend_rounds():
    values = {dtype: small(seed=7, dtype=dtype) for dtype in ("float32", "bfloat16")}
    for single, half in zip(*(model.weights for model in values.values()), strict=True):
        expected = keras.ops.cast(keras.ops.convert_to_tensor(single), "bfloat16")
        assert half.dtype == "bfloat16"
        np.testing.assert_array_equal(
            *(numpy(keras.ops.cast(x, "float32")) for x in (half.value, expected)), half.path
        )


class Threes(keras.initializers.Zeros):
    """A user's class, although it is one of Keras' too."""

    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, 3.0, dtype)


def test_a_users_own_initializer_is_called():
    def fours(shape, dtype=None):
        return keras.ops.full(shape, 4.0, dtype)

    layer = Dense(2, kernel_initializer=Threes(), bias_initializer=fours)
    layer.build((None, 3))
    assert (numpy(layer.kernel) == 3).all() and (numpy(layer.bias) == 4).all()


def test_a_seed_of_its_own_gives_what_keras_gives():
    initializer = INITIALIZERS.HeNormal(seed=5)
    layer = Dense(4, kernel_initializer=initializer)
    layer.build((None, 3))
    np.testing.assert_array_equal(numpy(layer.kernel), numpy(initializer((3, 4))))


def test_the_configuration_is_that_of_keras():
    ours, theirs = (kind(4, bias_initializer="he_uniform") for kind in (Dense, keras.layers.Dense))
    for layer in (ours, theirs):
        layer.build((None, 3))
    shared = theirs.get_config().keys() - {"name"}
    assert {key: ours.get_config()[key] for key in shared} == {
        key: theirs.get_config()[key] for key in shared
    }
    norm = small().get_layer("encoder_norm")
    plain = keras.layers.LayerNormalization(epsilon=1e-6, name="encoder_norm")
    plain.build((None, 5, 8))
    assert norm.get_config() == plain.get_config()


def test_the_global_seed_decides_alike_on_every_backend():
    """Keras seeds its initializers with Python's generator, and NumPy's takes that seed."""
    drawn = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        drawn.append([numpy(weight) for weight in small(position_embedding="learned_2d").weights])
    np.testing.assert_equal(*drawn)
    random.seed(3)
    first = random.randint(1, 10**9)
    keras.utils.set_random_seed(3)
    layer = Dense(5)
    layer.build((None, 4))
    unit = np.random.default_rng(first).random((4, 5), "float32")
    limit = np.sqrt(6 / (4 + 5))
    np.testing.assert_allclose(numpy(layer.kernel), (2 * unit - 1) * limit, rtol=1e-5, atol=1e-6)


def test_random_weights_that_will_be_assigned_start_at_zero_and_constants_as_they_are():
    with to_be_assigned():
        layer = Dense(2, bias_initializer="ones")
        layer.build((None, 3))
    assert not numpy(layer.kernel).any() and (numpy(layer.bias) == 1).all()


def test_it_ends_with_the_block_and_is_of_one_thread():
    def kernel():
        layer = Dense(2)
        layer.build((None, 3))
        return numpy(layer.kernel)

    beside = []
    with pytest.raises(ZeroDivisionError), to_be_assigned():
        thread = threading.Thread(target=lambda: beside.append(kernel()))
        thread.start()
        thread.join()
        1 / 0  # noqa: B018
    assert beside[0].any() and kernel().any()


def test_a_failed_creation_leaves_later_ones_alone():
    with pytest.raises(ValueError, match="num_heads"):
        small(seed=7, num_heads=3)
    assert all(numpy(w).any() for w in small().weights if w.path.endswith("query/kernel"))


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("name", ["ViT-B/4", "BiT-R50x1"])
def test_jax_compiles_nothing(backend, seed, name):
    """Nor for the optimizer's moments. Shapes are those of no other test, which would be compiled."""
    if backend != "jax":  # which alone compiles a program for each operation and shape
        return
    import jax

    compiled = []
    if name == "BiT-R50x1":
        sizes = dict(block_counts=(1,), width_factor=0.5, stem="small", input_shape=(8, 9, 3))
        sizes["groups"] = 2
    else:
        sizes = dict(num_layers=1, hidden_size=22, mlp_dim=26, num_heads=2, input_shape=(8, 12, 3))

    def count(event, seconds, **more):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        optimizer = FusedAdamW(0.1)
        keras.random.SeedGenerator(0)  # what Keras compiles for it is the same for all
        compiled.clear()
        model = keras_vit.create_model(name, classes=3, seed=seed, **sizes)
        if name == "ViT-B/4":
            model = keras_vit.pretraining.MaskedPatchModel(model)
        optimizer.build(model.trainable_variables)
        made = len(compiled)
        jax.jit(lambda x: x + 1)(1.0)  # so that the listener is known to hear
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert made == 0 < len(compiled)
