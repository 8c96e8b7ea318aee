"""What each backend exports runs elsewhere, with the same outputs and any number of images."""

import keras
import numpy as np
import onnxruntime
import pytest

from tests.contracts import forward, numpy
from tests.keras_vit.ecosystem.models import KINDS, images, make

# What Keras cannot export, and how it says so; README names the way around.
REFUSED = {
    ("jax", "onnx", "vit"): (ImportError, "jax2onnx"),
    ("jax", "onnx", "resnet"): (ImportError, "jax2onnx"),
    # TorchScript's exporter, which Keras takes for an open batch, has no LayerNorm of open shape.
    ("torch", "onnx", "vit"): (Exception, "not constant"),
    # By way of torch_xla, of which there is no build for this version of PyTorch.
    ("torch", "tf_saved_model", "vit"): (Exception, "dynamic_shapes"),
    ("torch", "tf_saved_model", "resnet"): (Exception, "dynamic_shapes"),
}


def run_saved_model(path, values):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # its variables live as long as it does
    return loaded.serve(tf.constant(values)).numpy()


def run_onnx(path, values):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: values})[0]


RUN = {"tf_saved_model": run_saved_model, "onnx": run_onnx}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", RUN)
def test_export_with_an_open_batch(kind, form, backend, tmp_path):
    model, path = make(kind), tmp_path / "exported"
    expected = numpy(forward(model, images()))
    if (backend, form, kind) in REFUSED:
        error, message = REFUSED[backend, form, kind]
        with pytest.raises(error, match=message):
            model.export(path, format=form, verbose=False)
        return
    model.export(path, format=form, verbose=False)
    for number in (1, 3):
        found = RUN[form](path, images()[:number])
        np.testing.assert_allclose(found, expected[:number], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_exports_onnx_of_a_fixed_batch(kind, backend, tmp_path):
    if backend != "torch":
        return  # the others need no fixed batch, or cannot export at all: see above
    model, path = make(kind), tmp_path / "model.onnx"
    signature = [keras.InputSpec(shape=(3, 8, 12, 3), dtype="float32", name="images")]
    model.export(path, format="onnx", verbose=False, input_signature=signature)
    found = run_onnx(path, images())
    np.testing.assert_allclose(found, numpy(model(images())), rtol=1e-4, atol=1e-5)
