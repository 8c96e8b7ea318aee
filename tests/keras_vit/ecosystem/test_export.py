"""What each backend exports runs elsewhere, with the same outputs and any number of images."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

import keras_vit
from keras_vit.layers.activations import get_activation
from keras_vit.models.exporting import export
from tests.contracts import forward, numpy, randomise
from tests.keras_vit.ecosystem.models import KINDS, images, make

ROOT = Path(__file__).parents[3]
# What Keras exports by way of a package that is not installed here, which is named with what works.
REFUSED = {("jax", "onnx"): "jax2onnx", ("torch", "tf_saved_model"): "torch_xla"}
WAY = "load it in a process with KERAS_BACKEND={}"
ACTIVATIONS = (
    *("gelu", "gelu_tanh", "relu", "relu6", "silu", "mish", "sigmoid", "tanh", "linear", "elu"),
    *("selu", "softplus", "softsign", "leaky_relu", "hard_silu", "hard_sigmoid", "hard_tanh"),
    *("exponential", "log_sigmoid", "softmax"),
)
VITS = (
    {},
    {"activation": "gelu", "position_embedding": "learned_2d", "classifier": "gap"},
    {"activation": "relu", "position_embedding": "sincos2d", "classifier": "map"},
    {"position_embedding": "none", "representation_size": 5, "classifier_activation": "softmax"},
    {"position_embedding": "relative", "dropout_rate": 0.1, "stochastic_depth_rate": 0.1},
    {"stem_block_counts": (1,), "patch_size": 1, "dtype": "mixed_float16"},
)


def run_saved_model(path, values):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # its variables live as long as it does
    return loaded.serve(tf.constant(values)).numpy()


def run_onnx(path, values):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    half = entry.type == "tensor(float16)"
    return session.run(None, {entry.name: values.astype("float16" if half else "float32")})[0]


RUN = {"tf_saved_model": run_saved_model, "onnx": run_onnx}


def assert_runs(model, path, form, values=None, tolerance=1e-5):
    values = images() if values is None else values
    expected = numpy(keras.ops.cast(forward(model, values), "float32"))
    for number in (1, 3):
        found = RUN[form](path, values[:number])
        np.testing.assert_allclose(found, expected[:number], rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", RUN)
def test_export_with_an_open_batch(kind, form, backend, tmp_path):
    model, path = make(kind), tmp_path / "exported"
    if package := REFUSED.get((backend, form)):
        with pytest.raises(ImportError, match=f"{package}.*{WAY.format('tensorflow')}"):
            model.export(path, format=form, verbose=False)
        assert not path.exists()
        return
    model.export(path, format=form, verbose=False)
    assert_runs(model, path, form)


@pytest.mark.parametrize("arguments", VITS, ids=lambda each: "-".join(map(str, each.values())))
def test_every_kind_of_vit_as_onnx(arguments, backend, tmp_path):
    """Every classifier and kind of position embedding; each file is run."""
    if backend == "jax":
        return  # refused, see above
    sizes = dict(input_shape=(8, 12, 3), num_layers=1, hidden_size=8, mlp_dim=16, num_heads=2)
    model = keras_vit.VisionTransformer(**{**sizes, "patch_size": 4, "classes": 3, **arguments})
    randomise(model)
    model.export(tmp_path / "vit.onnx", format="onnx", verbose=False)
    half = "dtype" in arguments
    assert_runs(model, tmp_path / "vit.onnx", "onnx", tolerance=3e-3 if half else 1e-5)


def test_every_activation_as_onnx(backend, tmp_path):
    if backend == "jax":
        return  # refused, see above
    inputs = keras.Input((8,), name="x")
    layers = [keras.layers.Dense(8, get_activation(name), name=name) for name in ACTIVATIONS]
    model = keras.Model(inputs, keras.layers.Concatenate()([layer(inputs) for layer in layers]))
    export(model, model.export, tmp_path / "all.onnx", "onnx", False, None)
    values = np.random.default_rng(0).normal(size=(3, 8), scale=3).astype("float32")
    assert_runs(model, tmp_path / "all.onnx", "onnx", values)


@pytest.mark.parametrize("kind", ["vit", "hybrid", "resnet"])
def test_images_of_any_size_run_exported(kind, backend, tmp_path):
    """Positions are interpolated in the file; as a SavedModel, from PyTorch as ONNX."""
    if (kind, backend) == ("hybrid", "torch"):
        return  # the next test
    assert_any_size_is_exported(kind, backend, tmp_path)


@pytest.mark.slow
def test_a_hybrid_for_images_of_any_size_from_pytorch(backend, tmp_path):
    """Takes its exporter two minutes; the others show both parts of it."""
    if backend == "torch":
        assert_any_size_is_exported("hybrid", backend, tmp_path)


def assert_any_size_is_exported(kind, backend, tmp_path):
    form, path = "onnx" if backend == "torch" else "tf_saved_model", tmp_path / "exported"
    positions = keras_vit.Positions(grid=(2, 3), interpolation="bicubic")
    arguments = {} if kind == "resnet" else {"position_embedding": positions}
    arguments |= {"stem_block_counts": ()} if kind == "hybrid" else {}
    family = "resnet" if kind == "resnet" else "vit"
    model = make(family, input_shape=(None, None, 3), **arguments)
    model.export(path, format=form, verbose=False)
    for size in ((16, 48), (32, 16)):
        values = np.random.default_rng(0).normal(size=(3, *size, 3)).astype("float32")
        assert_runs(model, path, form, values)


def test_features_are_exported(backend, tmp_path):
    """Several outputs of a model around ours, for images of any size, loaded from a file."""
    model = make("vit", input_shape=(None, None, 3))
    outer = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(2.0), model])
    keras_vit.features(outer, [0, "encoder_norm"]).save(tmp_path / "features.keras")
    made = keras.saving.load_model(tmp_path / "features.keras")
    if backend == "jax":
        with pytest.raises(ImportError, match="jax2onnx"):
            made.export(tmp_path / "features.onnx", format="onnx", verbose=False)
        return
    made.export(tmp_path / "features.onnx", format="onnx", verbose=False)
    values = np.random.default_rng(0).normal(size=(3, 16, 8, 3)).astype("float32")
    session = onnxruntime.InferenceSession(str(tmp_path / "features.onnx"))
    found = session.run(None, {session.get_inputs()[0].name: values})
    expected = keras_vit.features(model, [0, "encoder_norm"])(2 * values)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, numpy(theirs), atol=1e-5)


def test_a_model_of_several_inputs_is_refused(tmp_path):
    left, right = keras.Input((8, 12, 3)), keras.Input((8, 12, 3))
    outer = keras.Model([left, right], make("vit")(keras.layers.Add()([left, right])))
    made = keras_vit.features(outer, 0)
    for form in RUN:
        with pytest.raises(ValueError, match=r"has 2 inputs, .* keras\.Model\(model\.inputs, "):
            made.export(tmp_path / "features", format=form, verbose=False)
    assert not list(tmp_path.iterdir())


class _LooksAtValues(keras.layers.Layer):
    def call(self, x):
        return x if float(keras.ops.sum(x)) > 0 else -x


def test_what_pytorch_cannot_trace_is_said(backend, tmp_path):
    if backend != "torch":
        return
    inputs = keras.Input((8, 12, 3), name="x")
    model = keras.Model(inputs, _LooksAtValues()(inputs))
    with pytest.raises(ValueError, match=f"cannot write this model: .*{WAY.format('tensorflow')}"):
        export(model, model.export, tmp_path / "x.onnx", "onnx", False, None)
    assert not list(tmp_path.iterdir())


def test_images_of_any_size_as_onnx_from_tensorflow(backend, tmp_path):
    if backend != "tensorflow":
        return  # see above
    model, path = make("vit", input_shape=(None, None, 3)), tmp_path / "vit.onnx"
    model.export(path, format="onnx", verbose=False)
    values = np.random.default_rng(0).normal(size=(3, 16, 8, 3)).astype("float32")
    assert_runs(model, path, "onnx", values)


def test_a_fixed_batch_is_kept_fixed(backend, tmp_path):
    if backend == "jax":
        return  # refused, see above
    model, path = make("vit"), tmp_path / "model.onnx"
    signature = [keras.InputSpec(shape=(3, 8, 12, 3), dtype="float32", name="pictures")]
    model.export(path, format="onnx", verbose=False, input_signature=signature)
    np.testing.assert_allclose(run_onnx(path, images()), numpy(model(images())), atol=1e-5)
    (entry,) = onnxruntime.InferenceSession(str(path)).get_inputs()
    assert entry.shape == [3, 8, 12, 3]
    assert backend != "torch" or entry.name == "pictures"


def test_what_an_exporter_cannot_write_raises_and_leaves_no_file(backend, tmp_path):
    """TensorFlow's has no exponential minus one: it logs an error and writes a file all the same."""
    if backend == "jax":
        return  # refused, see above
    model, path = make("vit", activation="celu"), tmp_path / "vit.onnx"
    if backend == "torch":
        model.export(path, format="onnx", verbose=False)
        assert_runs(model, path, "onnx")
        return
    with pytest.raises(ValueError, match=f"invalid ONNX file.*Expm1.*{WAY.format('torch')}"):
        model.export(path, format="onnx", verbose=False)
    assert not path.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_no_format_for_onnx(kind, backend, tmp_path):
    if backend == "jax":
        return  # refused, see above
    model = make(kind, dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match=r"dtype='float32', give it these weights \(set_weights"):
        model.export(tmp_path / "vit.onnx", format="onnx", verbose=False)


EXPORT = """
import sys
import keras
import keras_vit
keras.saving.load_model(sys.argv[1]).export(sys.argv[2], format=sys.argv[3], verbose=False)
"""


@pytest.mark.parametrize("form", RUN)
def test_the_way_around_is_a_file(form, backend, tmp_path):
    """A model that was saved on another backend, loaded and exported without being called first."""
    if backend == "tensorflow":
        return  # it is where the way leads
    model = make("vit", activation="gelu")
    model.save(tmp_path / "vit.keras")
    result = subprocess.run(
        [sys.executable, "-c", EXPORT, tmp_path / "vit.keras", tmp_path / "exported", form],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert_runs(model, tmp_path / "exported", form)
