"""The executor that `--executor` names, with what the other options say of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from studies.errors import UsageError
from studies.executors import Executor
from studies.executors.resources import Resources, bytes_of


@contextlib.contextmanager
def chosen(
    name: str = "local",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    gpus: float | None = None,
    memory: str | None = None,
) -> Iterator[Executor]:
    """Have an executor for a while; what it started ends with the block.

    Args:
        name: "local", "ray" or "slurm".
        workers: trials at a time; by default one here, and on a cluster as many as there is room for.
        threads: computing threads of each; by default all cores here, and one on a cluster.
        address: of a cluster.
        gpus, memory: what the cluster gives each trial.

    Raises:
        UsageError: an option does not go with the others, or the executor is not to be had.
    """
    if workers is not None and workers < 1:
        raise UsageError("--workers and --threads must be at least 1")
    if name == "local":
        from studies.executors.local import LocalExecutor

        for option, value in (("address", address), ("gpus", gpus), ("memory", memory)):
            if value is not None:
                raise UsageError(
                    f"--{option} is for clusters: choose one with --executor, or leave it out "
                    f"(on this machine trials take what there is)"
                )
        yield LocalExecutor(workers or 1, threads)
        return
    resources = Resources(
        1 if threads is None else threads, gpus or 0, None if memory is None else bytes_of(memory)
    )
    if name == "slurm":
        from studies.executors.slurm import SlurmExecutor

        if address is not None:
            raise UsageError("--address is for Ray: Slurm is the one of this machine")
        yield SlurmExecutor(resources, workers)
        return
    from studies.executors import ray

    with ray.joined(address, resources, workers) as executor:
        yield executor
