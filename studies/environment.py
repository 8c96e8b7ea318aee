"""Where a trial runs: threads and cores (bits depend on them), device, versions, commit.

Nothing here loads a backend unless it is named so: threads must be settled before that.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
PACKAGES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib"), "torch": ("torch",)}


class Threads(NamedTuple):
    """How much of the machine a trial uses: threads of a computation, and cores they may run on."""

    threads: int
    cores: int


def cores() -> list[int]:
    """The processor cores that this process may use; all of them where no system call tells."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def bind(chosen: Iterable[int]) -> None:
    """Bind this thread and what it starts to some cores; macOS and Windows cannot, and ignore it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, chosen)


def settle_threads(path: Path) -> Threads:
    """Fix the number of threads for this process, the way the trial's first process had it.

    The first process takes what its surroundings give (OMP_NUM_THREADS, else its cores) and notes
    it down in `path`; later ones follow the note, or the same trial would end with other bits.
    Must be called before a backend is loaded.

    Args:
        path: JSON note, beside the trial's checkpoints.
    """
    wanted = _noted(path)
    if wanted is None:
        available = len(cores())
        given = os.environ.get("OMP_NUM_THREADS", "")
        wanted = Threads(int(given) if given.isdigit() and int(given) else available, available)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(wanted._asdict()) + "\n")
        os.replace(temporary, path)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(wanted.threads)
    if wanted.threads == 1:
        _add_xla_flag("--xla_cpu_multi_thread_eigen=false")
    return Threads(wanted.threads, _limit_cores(wanted.cores))


def make_deterministic(backend: str) -> None:
    """Ask a GPU's libraries for repeatable results; on CPUs they are. Before the backend is loaded."""
    if not on_gpu():
        return
    if backend == "jax":
        _add_xla_flag("--xla_gpu_deterministic_ops=true")
    elif backend == "tensorflow":
        os.environ["TF_DETERMINISTIC_OPS"] = "1"
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)


def on_gpu() -> bool:
    """Whether an NVIDIA GPU is there and not hidden from this process."""
    return Path("/dev/nvidiactl").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in (
        "",
        "-1",
    )


def device(backend: str) -> str:
    """The device that the loaded backend computes on, e.g. "cpu (AMD EPYC 7B13)"."""
    name = ""
    if backend == "jax":
        import jax

        first = jax.devices()[0]
        name = first.device_kind if first.platform != "cpu" else ""
    elif backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        if found:
            name = tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU")
    else:
        import torch

        name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    return f"gpu ({name})" if name else f"cpu ({cpu_name()})"


def versions(backend: str) -> dict[str, str]:
    """Versions of Python and of the packages that decide a trial's numbers."""
    found = {"python": platform.python_version()}
    for package in ("keras", "numpy", *PACKAGES[backend]):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def commit() -> str:
    """The checkout's git commit, with "-dirty" when tracked files differ from it; else "unknown"."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head + ("-dirty" if changed else "")


def _noted(path: Path) -> Threads | None:
    try:
        note = json.loads(path.read_text())
        return Threads(int(note["threads"]), int(note["cores"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        print(f"{path} is unreadable and is written anew.", file=sys.stderr)
        return None


def _limit_cores(wanted: int) -> int:
    allowed = cores()
    if len(allowed) > wanted:
        bind(allowed[:wanted])
        return len(cores())
    if len(allowed) < wanted:
        print(
            f"This trial started on {wanted} cores and goes on with {len(allowed)}: the bits of "
            "its results may differ from those of an undisturbed run.",
            file=sys.stderr,
        )
    return len(allowed)


def _add_xla_flag(flag: str) -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    if flag.split("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


def cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _git(root: Path, *arguments: str) -> str:
    done: Any = subprocess.run(
        ["git", "-C", str(root), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()
