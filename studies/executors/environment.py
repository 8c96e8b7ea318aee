"""The environment of a trial's process: backend, threads and settings that make runs repeatable.

All of it must stand before the process starts, because the libraries read it while they load.
"""

from __future__ import annotations

import os
from pathlib import Path

from studies.executors.programs import kept_programs
from studies.machine.processes import child_environment
from studies.machine.threads import WAITING, noted_threads
from studies.records.checkpoints import THREADS, checkpoint_folder, untrained
from studies.study.trial import Trial

# What a step frees the C library (glibc) keeps for the next one, up to so many bytes. By default it hands
# large arrays back to the system, which clears every page before it is used again: up to 40,000 pages a step
# of a small ViT, a tenth of the processor time of the studies' own models on every backend.
_KEPT_BYTES = str(2**28)
_ALLOCATOR = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def environment(trial: Trial, threads: int, cores: int, shared: bool) -> dict[str, str]:
    """Environment variables of a trial's process.

    Args:
        trial: decides the backend.
        threads: computing threads of every library, on each device.
        cores: on which they run.
        shared: whether other trials run on the same machine, so that none may take all of an
            accelerator's memory.
    """
    count = str(threads)
    variables = {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "NUMEXPR_NUM_THREADS": count,
        "TF_NUM_INTRAOP_THREADS": count,
        "TF_NUM_INTEROP_THREADS": count,
        # The sum of partial results must not depend on which thread comes first.
        "OMP_DYNAMIC": "FALSE",
        **WAITING,
        "MKL_DYNAMIC": "FALSE",
        "KMP_DETERMINISTIC_REDUCTION": "TRUE",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    variables |= {name: os.environ.get(name, _KEPT_BYTES) for name in _ALLOCATOR}
    if shared:
        variables["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    if trial.backend == "jax":
        variables |= kept_programs(threads, cores)
    return {**child_environment(trial.backend), **variables}


def threads_and_cores(trial: Trial, results: Path, wanted: int) -> tuple[int, int]:
    """Threads and cores of a trial: as when it first started, because the bits depend on them.

    Args:
        trial: the trial, whose process keeps that note beside its checkpoints; of a chain the first
            training that has not come to its end counts.
        results: the folder that holds the checkpoints.
        wanted: threads of a device, and cores for each, for a trial that starts for the first time.
    """
    first = next(iter(untrained(results, trial)), trial)
    noted = noted_threads(checkpoint_folder(results, first) / THREADS)
    return noted or (wanted, wanted * trial.devices)
