"""Contenders of a case, each in a process of its own, take turns round by round.

So a machine's mood hits all of them alike, and a ratio within a round says more than two speeds of
different hours. Each is started twice: with nothing compiled before (cold), and with what the first
process has left in its caches (warm), which is the one that then takes turns.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studies.bench.cases import Case, Contender, contenders
from studies.errors import UsageError
from studies.machine.processes import child_environment
from studies.machine.threads import THREAD_VARIABLES, bind, cores

STEPS_BEFORE = 2  # untimed, after the first: what is allocated or settled once


def measure(
    case: Case, threads: int, rounds: int, seconds: float, cold: bool = True
) -> list[dict[str, Any]]:
    """What each contender of a case said of itself, with `cold`, `warm` and `seconds_a_step` by round.

    Args:
        case: what is measured.
        threads: of each process, which has as many cores.
        rounds: turns of each.
        seconds: wanted length of a turn.
        cold: whether each is started twice, or else once, whose first step is a cold one.

    Raises:
        UsageError: one of ours cannot run here. A peer that cannot is named on stderr and left out.
    """
    found = []
    with contextlib.ExitStack() as open_processes:
        caches = Path(open_processes.enter_context(tempfile.TemporaryDirectory()))
        for number, contender in enumerate(contenders(case)):
            cache = caches / str(number)
            try:
                first_steps = []
                if cold:
                    with Process(case, contender, threads, cache) as first:
                        first_steps.append(first.first_step)
                process = open_processes.enter_context(Process(case, contender, threads, cache))
            except UsageError as error:
                if not contender.needs:
                    raise
                print(f"{contender.name} is left out: {error}", file=sys.stderr)
                continue
            first_steps.append(process.first_step)
            found.append((contender.name, first_steps, process))
        turns = {name: process.turn for name, _, process in found}
        rounds_of = take_turns(turns, rounds, seconds)
        return [
            {
                **process.said,
                "contender": name,
                "cold": first_steps[0],
                "warm": first_steps[1] if cold else None,
                "seconds_a_step": rounds_of[name],
            }
            for name, first_steps, process in found
        ]


def take_turns(
    turns: Mapping[str, Callable[[int], float]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds a step of every contender and round.

    Args:
        turns: each does so many steps and says how many seconds they took.
        rounds: number of turns of each.
        seconds: wanted length of a turn.
    """
    steps = {}
    for name, turn in turns.items():
        turn(STEPS_BEFORE)
        number, took = 1, turn(1)
        while took < 0.3 * seconds:  # short measurements say little about long ones
            number *= 2
            took = turn(number)
        steps[name] = max(1, round(number * seconds / took))
    found: dict[str, list[float]] = {name: [] for name in turns}
    for index in range(rounds):
        # Each order in turn, so that nobody always runs on the warmer processor.
        order = list(turns)[:: 1 if index % 2 == 0 else -1]
        for name in order:
            found[name].append(turns[name](steps[name]) / steps[name])
    return found


class Process:
    """A contender's process from its first step on; leaving the block ends it.

    Args:
        case: what it computes.
        contender: who does it.
        threads: of the process, which has as many cores.
        cache: folder of compiled programs.
        more: environment variables beside those of the bench.

    Attributes:
        said: what it told last.
        first_step: seconds from the making of the model to the end of its first step.
    """

    def __init__(
        self,
        case: Case,
        contender: Contender,
        threads: int,
        cache: Path,
        more: Mapping[str, str] = {},
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        order = {
            "case": asdict(case),
            "maker": contender.maker,
            "overrides": contender.overrides,
        }
        available = cores()
        bind(available[:threads])  # JAX counts the cores that it inherits, no more
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "studies.bench.worker", json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env={**_environment(case.backend, threads, cache), **more},
            )
        finally:
            bind(available)
        self.said: dict[str, Any] = {}
        try:
            self._hear()
        except BaseException:
            self.__exit__()
            raise
        self.first_step: float = self.said["first_step"]

    def turn(self, steps: int) -> float:
        """Do some steps; gives the seconds that they took."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # hearing nothing says why
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        self._hear()
        return self.said["seconds"]

    def _hear(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            raise UsageError(lines[-1].strip() if lines else f"it ended with exit code {code}")
        self.said |= json.loads(line)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._log.close()


def _environment(backend: str, threads: int, cache: Path) -> dict[str, str]:
    """Threads, and caches of compiled programs that no other contender shares."""
    return {
        **child_environment(backend),
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "torch"),
    }
