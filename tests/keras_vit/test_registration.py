"""Files load in a fresh process that has imported keras_vit, in whatever order with Keras."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from keras_vit import registration
from tests.keras_vit.ecosystem.models import KINDS, make

ROOT = Path(__file__).parents[2]
# The same package with empty modules, beside a Keras that counts who registers with it.
STUB_KERAS = "registered = []\n"
STUB_BACKEND = "import importlib.util\nassert importlib.util.find_spec('keras')\n"
STUB_MODULE = "import keras\n{}\nkeras.registered.append(__name__.removeprefix('keras_vit.'))\n"
STEPS = (
    "import keras",
    "import keras_vit",
    "import backend",  # which looks whether there is a Keras
    "importlib.util.find_spec('keras')",
    "import keras_vit.models.vit",  # ours first, which then loads Keras
    "import keras_vit.layers.class_token",
    "keras_vit.VisionTransformer if 'keras_vit' in globals() else None",
)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory) -> Path:
    """A folder with the package's own `__init__` and registration, and stubs of all else."""
    folder = tmp_path_factory.mktemp("stubs")
    (folder / "keras").mkdir()
    (folder / "keras" / "__init__.py").write_text(STUB_KERAS)
    (folder / "backend.py").write_text(STUB_BACKEND)
    for name in ("__init__", "registration"):
        (folder / "keras_vit").mkdir(exist_ok=True)
        shutil.copy(ROOT / "keras_vit" / f"{name}.py", folder / "keras_vit")
    for name in registration.MODULES:
        package, module = name.split(".")
        (folder / "keras_vit" / package).mkdir(exist_ok=True)
        (folder / "keras_vit" / package / "__init__.py").touch()
        # As the real one, pre-training takes a name from the model's module.
        more = {
            "models.vit": "VisionTransformer = object",
            "pretraining.masked_patch": "from keras_vit.models.vit import VisionTransformer",
        }
        code = STUB_MODULE.format(more.get(name, ""))
        (folder / "keras_vit" / package / f"{module}.py").write_text(code)
    return folder


def orders() -> list[tuple[str, ...]]:
    """Every order of the first four, and of every choice of up to three with ours and Keras."""
    chosen = [c for n in (2, 3) for c in itertools.combinations(STEPS, n)] + [STEPS[:4]]
    chosen = [c for c in chosen if "import keras" in c and any("import keras_vit" in s for s in c)]
    return [order for choice in chosen for order in itertools.permutations(choice)]


@pytest.mark.once
def test_every_order_of_imports_registers_every_class_once(stubs):
    """Each order in a process of its own, forked from one."""
    code = """
import importlib.util, json, os, sys
orders, expected = json.load(sys.stdin)
for order in orders:
    child = os.fork()
    if child == 0:
        for step in order:
            exec(step)
        sys.exit(sorted(sys.modules["keras"].registered) != sorted(expected))
    assert os.waitpid(child, 0)[1] == 0, order
print(len(orders))
"""
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=stubs,
        env={**os.environ, "PYTHONPATH": ""},
        input=json.dumps([orders(), registration.MODULES]),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert int(result.stdout) > 100


@pytest.mark.once
def test_a_keras_that_fails_to_load_is_waited_for(stubs):
    code = """
import sys, keras_vit
sys.modules["broken"] = None
import pathlib, keras_vit.registration
path = pathlib.Path(sys.argv[1]) / "keras" / "__init__.py"
path.write_text("import broken")
try:
    import keras
except ImportError:
    path.write_text("registered = []")
import keras
assert len(keras.registered) == len(keras_vit.registration.MODULES)
"""
    result = subprocess.run(
        [sys.executable, "-S", "-c", code, str(stubs)],
        cwd=stubs,
        env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    (stubs / "keras" / "__init__.py").write_text(STUB_KERAS)
    assert result.returncode == 0, result.stderr[-4000:]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for kind in KINDS:
        make(kind).save(folder / f"{kind}.keras")
    return folder


@pytest.mark.parametrize(
    "imports",
    [
        "import keras, keras_vit",
        "import keras_vit, {package}, keras",
        "from keras_vit.layers.class_token import ClassToken; import keras",
        "from keras_vit.models.vit import VisionTransformer; import keras",
    ],
)
def test_files_load(imports, saved, backend):
    code = f"""
from studies.machine.processes import leave_out_others
leave_out_others({backend!r})
{imports.format(package=backend)}
for kind in {KINDS}:
    keras.saving.load_model(kind + ".keras")
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=saved,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr[-4000:]
