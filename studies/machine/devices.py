"""What this process computes on, and how its results become repeatable.

Backends are loaded only where a function's argument names one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
from pathlib import Path

from studies.machine.xla import add_xla_flag

# Lines of /proc/cpuinfo that decide for what a compiler writes: of x86, and of ARM.
_KIND = {
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
}


def make_devices(backend: str, count: int) -> None:
    """Ask for as many devices as a processor has to be, where there is no GPU. Before a backend is loaded."""
    if backend == "jax" and count > 1:
        add_xla_flag(f"--xla_force_host_platform_device_count={count}")
    if backend == "tensorflow" and count > 1:
        # Each waits in a thread for its part of the batch: with fewer nobody would be left to bring it.
        given = os.environ.get("TF_NUM_INTEROP_THREADS", "")
        threads = max(2 * count, int(given) if re.fullmatch("[0-9]{1,9}", given) else 0)
        os.environ["TF_NUM_INTEROP_THREADS"] = str(threads)


def make_deterministic(backend: str) -> None:
    """Ask a GPU's libraries for repeatable results; on CPUs they are. Before the backend is loaded."""
    if not on_gpu():
        return
    if backend == "jax":
        add_xla_flag("--xla_gpu_deterministic_ops=true")
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


def visible_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if not on_gpu():
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",")]
    # CUDA counts those that are there, which a container may know by higher numbers.
    return [str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def device(backend: str, count: int = 1) -> str:
    """What the loaded backend computes on, e.g. "cpu (AMD EPYC 7B13)"; of several "2 x cpu (...)"."""
    return f"{count} x {_device(backend)}" if count > 1 else _device(backend)


def _device(backend: str) -> str:
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


def physical_memory() -> int | None:
    """The memory of this machine in bytes; None where no system call tells."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> int:
    """The most memory that this process has had at once, in bytes; an accelerator's own is not in it."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def instructions() -> str:
    """The widest of a processor's instructions that matrix products gain by; "" where no file tells."""
    known = {"amx_bf16": "amx", "avx512f": "avx512", "avx2": "avx2", "asimd": "neon"}
    with contextlib.suppress(OSError):
        words = set(Path("/proc/cpuinfo").read_text().split())
        return next((name for flag, name in known.items() if flag in words), "")
    return ""


def processor() -> str:
    """Twelve digits that processors share whose instructions are the same, whatever a cloud calls them."""
    kinds = {platform.machine(), cpu_name()}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in _KIND:
                kinds.add(f"{name.strip()}: {value.strip()}")
    return hashlib.sha256("\n".join(sorted(kinds)).encode()).hexdigest()[:12]
