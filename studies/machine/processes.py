"""What makes a process a good child of the driver: it dies with it, and stdout carries events only.

Keras works in processes of their own. `ask` hands one an order and listens; `answer` is its other end.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import queue
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from studies.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
_ORPHANED = 3  # exit status; nobody is left to read it


def child_environment(backend: str) -> dict[str, str]:
    """Environment variables of a process that computes with a backend, imported from this checkout."""
    return {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Of all but one of its arenas glibc gives freed memory back at once, so that the thread which
        # reads a batch gets each array anew from the system, page by page: that doubled its time.
        "MALLOC_ARENA_MAX": "1",
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def leave_out_others(backend: str | None) -> None:
    """Let a process that computes start sooner; before a backend is loaded.

    No import finds what Keras would load only because it is installed, half of the start, and garbage is
    collected less often: of a library's objects, which stay, that is an eighth of the rest.
    """
    gc.set_threshold(50_000, 10, 10)
    others = {"tensorflow", "jax", "torch"} - {backend} if backend else set()
    for name in ("IPython", "matplotlib", "pandas", "sklearn", *others):
        sys.modules[name] = None  # type: ignore[assignment]


def ask(module: str, order: Mapping[str, Any], backend: str) -> Iterator[dict[str, Any]]:
    """Run a module as a process of its own and hand on what it says, one object after the other.

    What else it prints is kept back, and told only should it end without an answer.

    Args:
        module: one whose main calls `answer`.
        order: what it is to do; anything that JSON can hold.
        backend: of Keras in that process.

    Raises:
        UsageError: the process raised one, or it died; the sentence says why.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        path = Path(folder, "order.json")  # a command line has not room for any order
        path.write_text(json.dumps(order), encoding="utf-8")
        command = [sys.executable, "-m", module, str(path)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # the life line: never written to, closed by our death
            stdout=subprocess.PIPE,
            stderr=log,
            env=child_environment(backend),
        ) as process:
            try:
                assert process.stdout is not None
                ended = False
                for line in process.stdout:
                    said = json.loads(line)
                    if "error" in said:
                        raise UsageError(said["error"])
                    ended = "end" in said
                    if not ended:
                        yield said
            except BaseException:  # an interruption, say: leaving the block would wait for it
                process.kill()
                raise
        if not ended:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1].strip() if lines else f"exit code {process.returncode}"
            raise UsageError(f"its process on the backend {backend} died: {reason}")


def answer(work: Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], None]) -> None:
    """Be the process that `ask` starts.

    Args:
        work: called with the order and a function that says something to the asking process.
    """
    die_with_parent()
    emit = reserve_stdout()
    try:
        work(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), emit)
    except UsageError as error:
        emit({"error": str(error)})
    emit({"end": True})
    os._exit(0)  # the backends' threads need not be waited for


def die_with_parent(watch_stdin: bool = True) -> None:
    """End this process at once when its driver is gone, however the driver ended.

    Two independent signs: the kernel's parent-death signal, and the end of standard input, which
    the driver holds open as a pipe. Without such a pipe (a trial started by hand) nothing is watched.

    Args:
        watch_stdin: False where this process reads standard input itself.
    """
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    _signal_at_the_parents_death()
    if watch_stdin:
        threading.Thread(target=_watch_stdin, name="die-with-parent", daemon=True).start()


def orders() -> Iterator[dict[str, Any]]:
    """What the parent tells this process, one JSON object a line; it ends at once with the parent.

    Whatever the process is at when the parent has gone, the kernel's signal and the end of standard
    input, which is read all the time, end it.
    """
    _signal_at_the_parents_death()
    told: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin.buffer:
            told.put(json.loads(line))
        os._exit(_ORPHANED)

    threading.Thread(target=read, name="orders", daemon=True).start()
    return iter(told.get, None)


def reserve_stdout() -> Callable[[dict[str, Any]], None]:
    """Keep stdout for events, one JSON object a line, and send everything else to stderr.

    The backends print from C++ too, so it is the file descriptor that is moved.

    Returns:
        Writes one event; quietly ends the process when nobody reads any more.
    """
    sys.stdout.flush()
    events = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)

    def emit(event: dict[str, Any]) -> None:
        try:
            events.write(json.dumps(event, allow_nan=False) + "\n")
            events.flush()
        except BrokenPipeError:
            os._exit(_ORPHANED)

    return emit


def _signal_at_the_parents_death() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch_stdin() -> None:
    with contextlib.suppress(OSError):  # a broken pipe says the same as a closed one
        while os.read(0, 4096):
            continue
    os._exit(_ORPHANED)
