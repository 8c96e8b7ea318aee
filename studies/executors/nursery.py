"""Processes that begin warm: a backend is loaded once, and every trial is forked from there.

Loading a backend takes longer than many a small trial. A nursery is a process that loads what a module
wants loaded (its `prepare`) and then waits for orders; for each it forks a process, which calls the
module's `main` and is in every other way like one started as `python -m MODULE`: nothing has been
computed before the fork, its streams, session, cores and memory are its own, and it dies with its driver.

    driver -> nursery   {"start": [arguments], "cores": [0]}, and three open files: stdin, stdout, stderr
    nursery -> driver   {"pid": 4711}
    driver -> nursery   {"wait": 4711}                          once the process has closed its stdout
    nursery -> driver   {"status": 0}                           as of `os.waitstatus_to_exitcode`
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from studies.machine.devices import on_gpu
from studies.machine.processes import be_killed_with_parent
from studies.machine.threads import bind

_ORDER = 2**16  # bytes


def possible() -> bool:
    """Whether processes may be forked once a backend is loaded: on Linux, where no GPU is at work."""
    return sys.platform == "linux" and not on_gpu()


class Nursery:
    """The driver's end.

    Args:
        module: its `main(arguments)` is what a process does and gives its exit code; its `prepare()`
            loads what all of them need.
        variables: environment of all processes.
        log: what the nursery itself says is appended here.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, module: str, variables: Mapping[str, str], log: Path) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._lock = threading.Lock()  # one question at a time
        command = [sys.executable, "-m", "studies.executors.nursery", module]
        with theirs, open(log, "ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=stderr,
                stderr=stderr,
                env=dict(variables),
                start_new_session=True,  # Ctrl-C is the driver's business
            )

    def start(self, arguments: Sequence[str], cores: Sequence[int], log: Path) -> Forked:
        """Fork a process, with pipes to its stdin and from its stdout.

        Raises:
            OSError: it cannot be forked, or the nursery is gone.
        """
        life, writing = os.pipe()
        reading, out = os.pipe()
        try:
            with open(log, "ab") as stderr:
                order = {"start": list(arguments), "cores": list(cores)}
                answer = self._ask(order, [life, out, stderr.fileno()])
        except BaseException:
            os.close(writing)
            os.close(reading)
            raise
        finally:
            os.close(life)
            os.close(out)
        return Forked(answer["pid"], os.fdopen(writing, "wb"), os.fdopen(reading, "rb"), self)

    def wait(self, pid: int) -> int:
        """The exit code of a process that has ended or is about to; -9 where the nursery is gone."""
        try:
            return int(self._ask({"wait": pid})["status"])
        except OSError:  # and with it all that it had forked
            return -signal.SIGKILL

    def close(self) -> None:
        """End the nursery, and what it has forked."""
        self._socket.close()
        self._process.wait()

    def _ask(self, order: Mapping[str, Any], files: Sequence[int] = ()) -> dict[str, Any]:
        with self._lock:
            content = b""
            if self._socket.fileno() >= 0:
                try:
                    socket.send_fds(self._socket, [json.dumps(order).encode()], list(files))
                    content = self._socket.recv(_ORDER)
                finally:
                    if not content:  # it has died, or the answer would be taken for the next one's
                        self._socket.close()
        if not content:
            raise ConnectionResetError(errno.ECONNRESET, "the process that starts trials has died")
        answer: dict[str, Any] = json.loads(content)
        if "error" in answer:
            raise OSError(answer["error"], os.strerror(answer["error"]))
        return answer


class Forked:
    """A forked process, as far as an executor needs one; like `subprocess.Popen`."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], nursery: Nursery) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None
        self._nursery = nursery

    def wait(self) -> int:
        """Its exit code, below 0 for a signal."""
        if self.returncode is None:
            self.returncode = self._nursery.wait(self.pid)
        return self.returncode

    def kill(self) -> None:
        """End it by force."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def main() -> None:
    """Be a nursery: stdin is a socket to the driver."""
    be_killed_with_parent()
    orders = socket.socket(fileno=os.dup(0))
    module = importlib.import_module(sys.argv[1])
    try:
        getattr(module, "prepare", lambda: None)()
    except Exception:  # each process will fail of it by itself, and say so in its own log
        traceback.print_exc()
    while True:
        content, files, _, _ = socket.recv_fds(orders, _ORDER, 3)
        if not content:  # the driver has gone
            os._exit(0)
        order = json.loads(content)
        answer: dict[str, Any]
        try:
            if "wait" in order:
                _, status = os.waitpid(order["wait"], 0)
                answer = {"status": os.waitstatus_to_exitcode(status)}
            else:
                pid = os.fork()
                if pid == 0:
                    orders.close()
                    _live(module, order, files)
                answer = {"pid": pid}
        except OSError as error:
            answer = {"error": error.errno}
        for file in files:
            os.close(file)
        orders.sendall(json.dumps(answer).encode())


def _live(module: Any, order: dict[str, Any], files: Sequence[int]) -> None:
    """The life of a forked process, from its first breath to its exit code."""
    code = 1
    try:
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        bind(order["cores"])
        sys.stdin = os.fdopen(0, closefd=False)
        code = module.main(order["start"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
