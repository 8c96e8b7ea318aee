"""Several devices as one: keras.distribution on JAX, refused elsewhere; replicas on TensorFlow."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_vit
from tests.keras_vit.ecosystem.models import make

pytestmark = pytest.mark.timeout(900)  # processes that load a backend and compile for four devices
ROOT = Path(__file__).parents[3]
TRAIN = """
from studies.machine.processes import leave_out_others
leave_out_others("jax")
import keras
import numpy as np

import keras_vit
from tests.contracts import numpy
from tests.keras_vit.ecosystem.models import KINDS, images, make

distribution = keras.distribution
assert len(distribution.list_devices("cpu")) == 4
mesh = distribution.DeviceMesh((2, 2), ["batch", "model"])
LAYOUTS = {
    "one device": lambda: None,
    "data": lambda: distribution.DataParallel(devices=distribution.list_devices("cpu")),
    "model": lambda: distribution.ModelParallel(
        layout_map=keras_vit.layout_map(mesh), batch_dim_name="batch"
    ),
}
for kind in KINDS:
    trained = {}
    for name, layout in LAYOUTS.items():
        distribution.set_distribution(layout())
        model = make(kind)
        if (kind, name) == ("vit", "model"):
            block = model.get_layer("block_0")
            for dense, axes in (
                (block.attention.query, (None, "model")),
                (block.attention.output_dense, ("model", None)),
                (block.mlp.hidden, (None, "model")),
                (block.mlp.output_dense, ("model", None)),
            ):
                assert tuple(dense.kernel.value.sharding.spec) == axes, dense.path
            assert tuple(block.mlp.hidden.bias.value.sharding.spec) == ("model",)
            head = model.get_layer("head").kernel.value
            assert head.sharding.is_fully_replicated
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.05), loss)
        model.fit(images(8), np.arange(8) % 3, batch_size=8, epochs=2, verbose=0)
        trained[name] = [numpy(w) for w in model.weights]
        predicted = model.predict(images(8), verbose=0)
        assert predicted.shape == (8, 3)
    for name in ("data", "model"):
        for one, other in zip(trained["one device"], trained[name], strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4, err_msg=f"{kind} {name}")
print("as one device")
"""


# Losses and accuracies of a tiny ViT, of which `own` is the part of each batch that this process has.
FIT = """
import keras
import numpy as np

import keras_vit

tiny = {"num_layers": 1, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2}
model = keras_vit.create_model("ViT-Ti/4", (8, 8, 3), classes=3, seed=0, **tiny)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
x, y = np.random.default_rng(0).normal(size=(8, 8, 8, 3)), np.arange(8) % 3
told = model.fit(x[own], y[own], batch_size=8, epochs=3, shuffle=False, verbose=0).history
"""
# Two processes of two devices each.
PROCESSES = f"""
import sys
from studies.machine.processes import leave_out_others
leave_out_others("jax")
import jax
import keras

address, process = sys.argv[1], int(sys.argv[2])
jax.config.update("jax_cpu_collectives_implementation", "gloo")
keras.distribution.initialize(address, 2, process)
assert len(keras.distribution.list_devices()) == 4 and jax.local_device_count() == 2
data = keras.distribution.DataParallel(auto_shard_dataset=False)  # each process cuts its own part
keras.distribution.set_distribution(data)
own = slice(4 * process, 4 * process + 4)
{FIT}
print(*told["loss"], *told["accuracy"])
"""


# One model a process: strategies of one process number their collective operations alike, and TensorFlow
# takes those of a second one for the first one's.
REPLICATE = """
import os
from studies.machine.processes import leave_out_others
leave_out_others("tensorflow")
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import numpy as np

import keras_vit
from tests.contracts import numpy
from tests.keras_vit.ecosystem.models import images, make

MAKE = {
    "layerwise": lambda: make("vit"),
    # Every patch is predicted from every patch, so that chance has no part in it.
    "masked": lambda: keras_vit.pretraining.MaskedPatchModel(make("vit"), 1.0, 0.0, 0.0),
}
kind = os.environ["MODEL"]
found = {}
for replicas in (1, 2):
    keras.utils.set_random_seed(0)
    strategy = tf.distribute.MirroredStrategy([f"/cpu:{i}" for i in range(replicas)])
    with strategy.scope():
        model = MAKE[kind]()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1)
        if kind == "layerwise":
            optimizer = keras_vit.layerwise_learning_rates(optimizer, model)
        model.compile(optimizer, None if kind == "masked" else loss)
    data = (images(8), np.arange(8) % 3)
    history = model.fit(*data, batch_size=8, epochs=2, verbose=0).history["loss"]
    loss = model.evaluate(*data, batch_size=8, verbose=0, return_dict=True)["loss"]
    weights = [numpy(w) for w in model.weights if "seed" not in w.path]
    found[replicas] = [np.array(history), np.array(loss), *weights]
for one, two in zip(found[1], found[2], strict=True):
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
print("as one device")
"""


def train_in_a_process(code: str, **environment: str) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout.strip().endswith("as one device")


def devices(number: int) -> str:
    """XLA's flags for this many devices of one processor, beside those with which tests compile fast."""
    return f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={number}"


def test_jax_trains_over_devices_as_on_one(backend):
    if backend == "jax":  # the other backends refuse, see below
        train_in_a_process(TRAIN, XLA_FLAGS=devices(4))


def test_jax_trains_over_processes_as_in_one(backend):
    if backend != "jax":  # see below
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROCESSES, address, str(process)],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": devices(2)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    alone = {"own": slice(None)}
    exec(FIT, alone)
    expected = [*alone["told"]["loss"], *alone["told"]["accuracy"]]
    for process in started:
        said = process.communicate(timeout=240)[0].splitlines()[-1].split()  # below what gloo says
        assert list(map(float, said)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["layerwise", "masked"])
def test_tensorflow_trains_on_replicas_as_on_one(kind, backend):
    """Losses and updates do not grow with the number of replicas."""
    if backend == "tensorflow":  # the others have no tf.distribute
        train_in_a_process(REPLICATE, MODEL=kind)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_other_backends_say_that_they_ignore_it(kind, backend, monkeypatch):
    if backend == "jax":
        return
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "any")
    with pytest.raises(ValueError, match=f"no effect on the {backend} backend"):
        make(kind)


def test_layout_needs_the_axis_and_jax(backend):
    class Mesh:
        axis_names = ("batch", "rows")

    message = "no axis 'model'; its axes are batch, rows" if backend == "jax" else "no effect"
    with pytest.raises(ValueError, match=message):
        keras_vit.layout_map(Mesh())
