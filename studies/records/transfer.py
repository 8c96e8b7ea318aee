"""How objects come to be files here, and files objects: many at a time, and large ones part by part.

However many or large they are, little of them is in memory at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from studies.machine.cloud import Bucket, size_in
from studies.machine.files import replaced
from studies.machine.storage import Folder

AT_ONCE = 256  # objects that are asked for at a time
BYTES_AT_ONCE = 2**25  # that they have together, at most
LARGE_BYTES = 2**22  # an object of so many goes part by part


def bring(bucket: Bucket, stamps: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Copy objects into a folder.

    Args:
        bucket: where they lie.
        stamps: of each, by its name.
        folder: in which files are called like them.

    Yields:
        The name of each that is here; those that are gone by now are left out.

    Raises:
        OSError: one cannot be read, or not be written here.
    """
    names = sorted(stamps)
    large = [name for name in names if _is_large(stamps[name])]
    for name in large:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            with replaced(path) as beside:
                bucket.download(name, beside)
            yield name
    for batch in _batches([name for name in names if name not in large], stamps):
        for name, content in bucket.read_many(batch).items():
            Folder(folder).write(name, content)
            yield name


def put(bucket: Bucket, name: str, file: Path) -> None:
    """Put a file in the place of an object.

    Raises:
        OSError: that is impossible, or there is no such file.
    """
    if file.stat().st_size < LARGE_BYTES:
        bucket.write(name, file.read_bytes())
    else:
        bucket.upload(name, file)


def put_new(bucket: Bucket, name: str, file: Path) -> bool:
    """Put it where there is no object; whether it was this call, as of `Storage.put_new`.

    Raises:
        OSError: as of `put`.
    """
    if file.stat().st_size < LARGE_BYTES:
        return bucket.put_new(name, file.read_bytes())
    return bucket.put_new_file(name, file)


def _is_large(stamp: str) -> bool:
    size = size_in(stamp)
    return size is None or size >= LARGE_BYTES


def _batches(names: Sequence[str], stamps: Mapping[str, str]) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for name in names:
        size = size_in(stamps[name]) or 0
        if batch and (len(batch) == AT_ONCE or held + size > BYTES_AT_ONCE):
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += size
    if batch:
        yield batch
