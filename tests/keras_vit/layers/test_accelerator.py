"""Where PyTorch's kernels for CPUs may be called."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.layers.accelerator import device_kind, is_on_pytorchs_cpu
from tests.contracts import numpy


@pytest.fixture
def fresh():
    device_kind.cache_clear()
    yield
    device_kind.cache_clear()


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_what_is_neither_a_cpu_nor_nvidias_is_no_cpu(kind, fresh, monkeypatch, backend):
    if backend != "torch":
        assert not is_on_pytorchs_cpu(keras.ops.zeros((1, 2, 2, 16)))
        return
    import torch

    image = torch.zeros((1, 2, 2, 16))
    assert device_kind() == "gpu" or is_on_pytorchs_cpu(image)
    device_kind.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    other = {"mps": torch.backends.mps, "xpu": torch.xpu}[kind]
    monkeypatch.setattr(other, "is_available", lambda: True)
    assert device_kind() == kind and not is_on_pytorchs_cpu(image)


def test_a_traced_resnet_can_be_saved_on_pytorch(tmp_path, rng, backend):
    """As Keras' export to OpenVINO begins."""
    if backend != "torch":
        return
    import torch

    sizes = {"stem": "small", "block_counts": [1], "width_factor": 0.25, "groups": 4}
    model = keras_vit.create_model("BiT-R50x1", (16, 16, 3), classes=3, **sizes)
    images = torch.from_numpy(rng.normal(size=(2, 16, 16, 3)).astype(np.float32))
    model.eval()
    with torch.no_grad():
        traced = torch.jit.trace(model, (images,))
        torch.jit.save(traced, tmp_path / "traced.pt")
        found = torch.jit.load(tmp_path / "traced.pt")(images)
    np.testing.assert_allclose(numpy(found), numpy(model(images)), rtol=1e-4, atol=1e-5)
