"""The executor that `--executor` names, with what the other options say of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from studies.errors import UsageError
from studies.executors import Executor
from studies.executors.local import LocalExecutor
from studies.executors.resources import Resources
from studies.study.study import Study


@contextlib.contextmanager
def chosen(
    study: Study,
    name: str = "local",
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[Executor]:
    """Have an executor for a while; what it started ends with the block.

    Args:
        study: says what each trial gets.
        name: "local", "ray" or "slurm".
        workers: trials at a time; by default one here, and on a cluster as many as there is room for.
        address: of a cluster.

    Raises:
        UsageError: an option does not go with the others, or the executor is not to be had.
    """
    if workers is not None and workers < 1:
        raise UsageError("--workers must be at least 1")
    if name == "local":
        if address is not None:
            raise UsageError(
                "--address is for clusters: choose one with --executor, or leave it out"
            )
        yield local(study, workers or 1)
        return
    resources = Resources.on_a_cluster(study)
    if name == "slurm":
        from studies.executors.slurm import SlurmExecutor

        if address is not None:
            raise UsageError("--address is for Ray: Slurm is the one of this machine")
        yield SlurmExecutor(resources, workers)
        return
    from studies.executors import ray

    with ray.joined(address, resources, workers) as executor:
        yield executor


def local(study: Study, workers: int) -> LocalExecutor:
    """This machine's executor for a study.

    Raises:
        UsageError: as of `LocalExecutor`.
    """
    asked = study.resources
    return LocalExecutor(
        workers, asked.threads, devices=study.devices, gpus=asked.gpus, memory=asked.bytes
    )
