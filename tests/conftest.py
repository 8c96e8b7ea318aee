"""What every test shares: one thread, fixed seeds, and which tests run by default.

A pass tests one backend, chosen by KERAS_BACKEND before pytest starts (`make test` makes three
passes). Set here, before any backend is imported: the number of threads, so that results repeat
and two pytest-xdist workers do not fight over two cores; and that XLA compiles fast instead of making
programs fast, since most of them run once (the same flags as JAX' jax_disable_most_optimizations), and is
not told from which lines of Python each operation came.
"""

import gc
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true",
)
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
os.environ.setdefault("MPLBACKEND", "agg")

import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
OPT_IN = ("slow", "network")
ONCE = re.compile(r"^pytestmark = \[?pytest\.mark\.once\b", re.MULTILINE)


COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "compiled-by-jax"
MOST_BYTES = 2**30


def _keep_compiled_programs() -> None:
    """Lets all processes of all runs on JAX compile each program once, which takes most of its time."""
    if os.environ["KERAS_BACKEND"] != "jax" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return  # the user's own cache, or that of the process which started this one
    if COMPILED.is_dir() and sum(e.stat().st_size for e in os.scandir(COMPILED)) > MOST_BYTES:
        shutil.rmtree(COMPILED, ignore_errors=True)
    COMPILED.mkdir(parents=True, exist_ok=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(COMPILED)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    # XLA's own caches are for GPUs, and would make the folder's path part of what identifies a program.
    os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"


_keep_compiled_programs()
gc.disable()  # until all is imported: what stays has not to be looked at again and again


def pytest_report_header() -> str:
    return f"keras backend: {os.environ['KERAS_BACKEND']}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files whose tests are all deselected, which would be imported for nothing."""
    without_once = (config.getoption("markexpr") or "").startswith("not once")
    if without_once and collection_path.suffix == ".py" and collection_path.name != "conftest.py":
        return True if ONCE.search(collection_path.read_text(encoding="utf-8")) else None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects slow and network tests unless the -m expression names their marker."""
    expression = config.getoption("markexpr") or ""
    hidden = [name for name in OPT_IN if name not in expression]
    kept, dropped = [], []
    for item in items:
        opted_out = any(item.get_closest_marker(name) for name in hidden)
        (dropped if opted_out else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    # What takes long begins first, or one worker would end with it while the others are idle.
    items[:] = sorted(kept, key=_allowed_seconds, reverse=True)


def pytest_collection_finish() -> None:
    """Leaves what was imported, half a million objects, out of all that is collected later, and less often.

    As in the processes of trials: a traced program is a hundred thousand objects that stay for long.
    """
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    gc.enable()


def _allowed_seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return marker.args[0] if marker else 0.0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Makes missing data a failure with a hint: a silent skip would hide untested code."""
    if item.get_closest_marker("fashion_mnist") and not FASHION_MNIST.is_dir():
        pytest.fail(
            f"{FASHION_MNIST} is missing: install Debian's package dataset-fashion-mnist, "
            'or deselect these tests with -m "not fashion_mnist".',
            pytrace=False,
        )


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Gives every test the same random numbers whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - Keras and SciPy still read the global generator
    keras = sys.modules.get("keras")
    if keras is not None:  # tests that need no backend must not pay for importing one
        keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _private_cache(tmp_path_factory: pytest.TempPathFactory):
    """Keeps prepared data out of the user's own cache, also in child processes."""
    before = os.environ.get("KERAS_VIT_CACHE")
    os.environ["KERAS_VIT_CACHE"] = str(tmp_path_factory.mktemp("keras_vit_cache"))
    yield
    if before is None:
        del os.environ["KERAS_VIT_CACHE"]
    else:
        os.environ["KERAS_VIT_CACHE"] = before


@pytest.fixture
def rng() -> np.random.Generator:
    """A NumPy generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def backend() -> str:
    """The name of the backend of this pass."""
    return os.environ["KERAS_BACKEND"]
