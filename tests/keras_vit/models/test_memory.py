"""Building a model takes the memory of its weights and no more."""

import json
import os
import subprocess
import sys

import pytest

CHILD = """
import json, resource, sys
import keras
import keras_vit

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux

def build(**arguments):
    model = keras_vit.create_model("ViT-H/14", **arguments)
    for weight in model.weights:  # JAX computes later: wait for it
        keras.ops.convert_to_numpy(keras.ops.max(weight))
    return model

# A first block of the same widths: its build already pays for drawing the largest kernels.
alive, added = [build(num_layers=1)], []
for arguments in json.loads(sys.argv[1]):
    before = peak()
    alive.append(build(**arguments))
    added.append(peak() - before)
print(json.dumps({"parameters": alive[-1].count_params(), "bytes": added}))
"""
# JAX draws ahead, and what NumPy draws for a seed is handed over: some copies of the largest kernel
# are alive at once, whatever the depth.
COPIES = 4 * (4 * 5120 * 1280)
AHEAD = COPIES if os.environ["KERAS_BACKEND"] == "jax" else 0


def build(*models: dict) -> tuple[int, list[int]]:
    """Returns the last model's number of parameters, and by how many bytes each raised the peak."""
    # By default glibc keeps what is freed below a threshold that grows: not what is tested here.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    result = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(models)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(result.stdout.splitlines()[-1])
    return measured["parameters"], measured["bytes"]


def test_three_blocks_of_the_huge_model():
    parameters, (added, seeded) = build({"num_layers": 3}, {"num_layers": 3, "seed": 0})
    assert parameters > 60e6
    assert added < 1.03 * 4 * parameters + AHEAD
    assert seeded < 1.03 * 4 * parameters + COPIES < 1.5 * 4 * parameters


@pytest.mark.slow
def test_the_whole_huge_model():
    parameters, (added,) = build({})
    assert parameters == 632_045_800  # google-research/vision_transformer, models_test.py
    assert added < 1.03 * 4 * parameters + AHEAD < 1.08 * 4 * parameters
