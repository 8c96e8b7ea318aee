"""A folder for gigabytes that nobody wants to keep: it is gone when its maker is, however that ended."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# It waits until the other end of its standard input is closed, which a killed process does, too. What
# still writes there may need a moment to notice that it is alone.
_SWEEPER = """
import os, shutil, sys, time
sys.stdin.buffer.read()
for _ in range(100):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


@contextmanager
def swept_folder(parent: Path) -> Iterator[Path]:
    """Makes a new folder, which is removed at the block's end or, by another process, at this one's.

    Args:
        parent: where it lies; made where it is missing.

    Yields:
        its path.

    Example:
        >>> with swept_folder(Path("runs")) as folder:
        ...     (folder / "large.bin").write_bytes(bytes(2**30))
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="swept-", dir=parent)
    with subprocess.Popen(
        [sys.executable, "-IS", "-c", _SWEEPER, folder],
        stdin=subprocess.PIPE,
        start_new_session=True,  # a signal to all of a terminal's processes is not for it
    ):
        yield Path(folder)
