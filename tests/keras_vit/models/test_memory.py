"""Building a model takes the memory of its weights and little more."""

import json
import subprocess
import sys

import pytest

CHILD = """
import json, resource, sys
import keras, numpy as np
import keras_vit

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux

arguments = json.loads(sys.argv[1])
# A first block of the same widths: its build already pays for drawing the largest kernels.
first = keras_vit.create_model("ViT-H/14", num_layers=1, seed=0)
before = peak()
model = keras_vit.create_model("ViT-H/14", **arguments)
print(json.dumps({"parameters": model.count_params(), "bytes": peak() - before}))
"""


def build(**arguments) -> tuple[int, int]:
    """Returns the number of parameters and by how many bytes building raised the peak."""
    command = [sys.executable, "-c", CHILD, json.dumps(arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    measured = json.loads(result.stdout.splitlines()[-1])
    return measured["parameters"], measured["bytes"]


def test_three_blocks_of_the_huge_model():
    parameters, added = build(num_layers=3, seed=0)
    assert parameters > 60e6
    # JAX draws ahead, so that some copies of the largest kernel (5120 x 1280) are alive at once,
    # whatever the depth; a second copy of all weights would be more.
    assert added < 4 * parameters + 8 * 4 * 5120 * 1280 < 2 * 4 * parameters


@pytest.mark.slow
def test_the_whole_huge_model():
    parameters, added = build()
    assert parameters == 632_045_800  # google-research/vision_transformer, models_test.py
    assert added < 1.15 * 4 * parameters
