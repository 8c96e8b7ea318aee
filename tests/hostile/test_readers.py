"""Whatever a file holds: the program's own sentence or success, soon, in little memory, nothing else touched.

`KERAS_VIT_FUZZ=500` tries so many damaged files of each kind instead of a handful; the same each time.
"""

import contextlib
import os
import resource
import signal
import socket
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.hostile.damage import damaged
from tests.hostile.readers import READERS, Reader

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
]

ROOT = Path(__file__).parents[2]
SECONDS, BYTES = 20, 2**29  # that one file may take
EXAMPLES = int(os.environ.get("KERAS_VIT_FUZZ", "12"))
LONG = "KERAS_VIT_FUZZ" in os.environ
TRIES = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


class Hangs(Exception):
    """A reader still reads."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Fail where what is inside takes long, or much memory; it cannot take all there is."""

    def ring(signum, frame):
        raise Hangs(f"it still reads after {SECONDS} s")

    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    start = _kilobytes("VmRSS")
    before, limits = signal.signal(signal.SIGALRM, ring), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1024 * _kilobytes("VmSize") + 4 * BYTES, limits[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, before)
    assert 1024 * (_kilobytes("VmHWM") - start) < BYTES


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder; locks and the index of digests come and go."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".sqlite")
    }


def endure(reader: Reader, path: Path) -> None:
    """Read a file; anything but success or the program's own sentence is an error."""
    with bounded():
        try:
            reader.read(path)
        except reader.own as error:
            told = str(error)
            where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
            of_system = isinstance(error, OSError) and error.filename is not None
            assert where.is_relative_to(ROOT) or of_system, f"not our own words: {told}"
            assert told.strip() and "\n" not in told and "Traceback" not in told


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_does_no_harm(reader, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    path = reader.make(tmp_path)
    valid = path.read_bytes()
    reader.read(path)  # or nothing below would say anything
    path.write_bytes(valid)
    before = content(tmp_path)
    name = str(path.relative_to(tmp_path))

    @TRIES
    @given(damaged(valid, reader.form))
    def check(bad: bytes) -> None:
        path.write_bytes(bad)
        endure(reader, path)
        if not reader.rewrites:
            assert content(tmp_path) == {**before, name: bad}

    check()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
        listener.bind(path.name)  # a path to it may be too long


FAILING = (
    "/proc/self/mem"  # a file, says Linux, and reading its first byte is an input/output error
)
PLACES = {
    "nothing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "folder": lambda path: path.mkdir(),
    "pipe": _pipe,
    "link to a pipe": lambda path: (os.mkfifo(f"{path}-"), path.symlink_to(f"{path}-")),
    "socket": _socket,
    "device without end": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path),
    "disk that fails": lambda path: path.symlink_to(FAILING),
}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_what_is_no_file_is_not_waited_for(reader, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    path = reader.make(tmp_path)
    valid = path.read_bytes()
    for place, put in PLACES.items():
        path.unlink()
        put(path)
        try:
            endure(replace(reader, own=(*reader.own, OSError)), path)
        except BaseException as error:
            raise AssertionError(f"{place}: {error}") from error
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        if not path.parent.exists():  # it was prepared anew elsewhere
            path.parent.mkdir()
        path.write_bytes(valid)
