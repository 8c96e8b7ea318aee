"""What JAX compiles for one trial, kept for those to come: in the user's own cache, never among results.

JAX runs what lies there. So it must be of nobody else's making, unlike results, which may be anybody's; of
the same processor, as instructions that another one lacks end a process; and whole, which JAX itself does
not see to: it writes a program in place, and neither uses nor replaces one that a kill has cut.

Reference: https://docs.jax.dev/en/latest/persistent_compilation_cache.html
"""

from __future__ import annotations

import contextlib
import os
import stat
import zlib
from importlib import import_module
from pathlib import Path

from filelock import FileLock, Timeout

from studies.machine.devices import processor

MOST_BYTES = 2**28  # of a folder, some hundred models; what was not used for longest goes first
_FOLDER = "JAX_COMPILATION_CACHE_DIR"
_LOCK, _PROGRAM, _MARK = ".lockfile", "-cache", "-atime"  # JAX' own names
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def kept_programs(threads: int, cores: int) -> dict[str, str]:
    """Environment variables that let a trial's process keep what it compiles, and find what others did.

    Args:
        threads: computing threads; the bits of a program are those of a number of threads.
        cores: on which they run.

    Returns:
        none where the user has set a folder, or there is none that is the user's alone.
    """
    from studies.data.cache import cache_folder, programs_folder  # with NumPy: for JAX alone

    if _FOLDER in os.environ:
        return {}
    own = programs_folder(cache_folder())
    folder = own / f"{processor()}-{threads}-{cores}"
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_alone(own):
            return {}
        folder.mkdir(exist_ok=True)
        os.utime(own)  # the time of its last use
        _remove_cut(folder)
    except OSError:  # without it trials only start later
        return {}
    return {
        _FOLDER: str(folder.resolve()),
        # With a limit JAX takes turns by a lock, and marks when what was used.
        "JAX_COMPILATION_CACHE_MAX_SIZE": str(MOST_BYTES),
        # Programs that take less than a second, too: two dozen a trial, a fifth of its start.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def _is_alone(own: Path) -> bool:
    """Whether nobody but the user and root can change what lies in a folder, or put another in its place."""
    if not hasattr(os, "getuid"):
        return True  # Windows keeps users' folders apart by other means
    own, user = own.resolve(), os.getuid()
    status = own.stat()
    if status.st_uid != user or status.st_mode & _OTHERS:
        return False
    return all(
        above.st_uid in (user, 0) and (not above.st_mode & _OTHERS or above.st_mode & stat.S_ISVTX)
        for above in (parent.stat() for parent in own.parents)
    )


def _remove_cut(folder: Path) -> None:
    """Remove programs that a process did not write to their end; each is looked at once."""
    checked = folder / ".checked"
    with contextlib.suppress(Timeout), FileLock(folder / _LOCK, timeout=1):
        before = checked.stat().st_mtime_ns if checked.exists() else 0
        checked.touch()  # nobody writes now
        for program in folder.glob(f"*{_PROGRAM}"):
            mark = program.with_name(program.name.removesuffix(_PROGRAM) + _MARK)
            new = program.stat().st_mtime_ns >= before
            if not mark.exists() or (new and not _is_whole(program.read_bytes())):
                program.unlink()


def _is_whole(program: bytes) -> bool:
    """Whether it can be unpacked, by what is installed, as JAX does it."""
    try:
        if program.startswith(_ZSTANDARD):
            try:
                zstd = import_module("compression.zstd")  # of Python, from 3.14 on
            except ImportError:
                zstd = import_module("zstandard")
            zstd.decompress(program)
        else:
            zlib.decompress(program)
    except Exception:  # of a kind of each library's own
        return False
    return True
