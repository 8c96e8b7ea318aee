"""Files load in a fresh process that has imported keras_vit, before Keras or after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.keras_vit.ecosystem.models import make

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, keras_vit",
        "import keras_vit, keras",
        "import keras_vit; keras_vit.VisionTransformer; import keras",
        "import keras_vit; keras_vit.pretraining; import keras",
        "from keras_vit.models.vit import VisionTransformer; import keras",
    ],
)
def test_importing_the_package_is_enough(imports, tmp_path):
    make("vit").save(tmp_path / "vit.keras")
    make("resnet").save(tmp_path / "resnet.keras")
    code = (
        f"{imports}\nfor kind in ('vit', 'resnet'):\n    keras.saving.load_model(kind + '.keras')"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-4000:]
