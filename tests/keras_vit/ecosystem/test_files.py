"""Files that one backend writes and another reads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.contracts import forward, numpy
from tests.keras_vit.ecosystem.models import KINDS, images, make

ROOT = Path(__file__).parents[3]
BACKENDS = ("tensorflow", "jax", "torch")
READ = """
import os
import sys
from studies.machine.processes import leave_out_others
leave_out_others(os.environ["KERAS_BACKEND"])
import keras
import numpy as np
from tests.contracts import forward, numpy
from tests.keras_vit.ecosystem.models import KINDS, images, make

folder = sys.argv[1]
outputs = {}
for kind in KINDS:
    outputs[kind] = numpy(forward(keras.saving.load_model(f"{folder}/{kind}.keras"), images()))
    model = make(kind)
    for weight in model.trainable_weights:
        weight.assign(weight * 0)
    model.load_weights(f"{folder}/{kind}.weights.h5")
    outputs[kind + " weights"] = numpy(forward(model, images()))
quantised = keras.saving.load_model(f"{folder}/int8.keras")
outputs["int8"] = numpy(forward(quantised, images()))
np.savez(f"{folder}/{keras.backend.backend()}.npz", **outputs)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder of files written by this pass's backend, and what the models compute."""
    folder, expected = tmp_path_factory.mktemp("files"), {}
    for kind in KINDS:
        model = make(kind)
        model.save(folder / f"{kind}.keras")
        model.save_weights(folder / f"{kind}.weights.h5")
        expected[kind] = expected[kind + " weights"] = numpy(forward(model, images()))
    model = make("vit")
    model.quantize("int8")
    model.save(folder / "int8.keras")
    expected["int8"] = numpy(forward(model, images()))
    return folder, expected


@pytest.mark.parametrize("reader", BACKENDS)
def test_files_are_read_on_every_other_backend(written, reader, backend):
    folder, expected = written
    if reader == backend:
        return  # that is what the contract tests do, without a second process
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, str(folder)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": reader},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    with np.load(folder / f"{reader}.npz") as found:
        assert set(found) == set(expected)
        for name, values in expected.items():
            # int8 rounds activations: a value on the edge may fall to the other side.
            tolerance = 0.05 if name == "int8" else 1e-4
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=tolerance, err_msg=name)
