"""Prepared data in storage that is reached by a URL, for machines that do not see what they were made of.

The driver puts what its trials need there, once; a machine brings what its own cache lacks from there.
Data are known by their fingerprint, a hash of all pixels and labels, which is computed anew from what came.

    .data/<fingerprint>/    the files of the cache's folder, and last of all their description
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.machine.cloud import Bucket
from studies.machine.files import parsed_json
from studies.records.place import Place, unwritable
from studies.study.trial import Trial

FOLDER = ".data"


def share(place: Place, trials: Iterable[Trial]) -> None:
    """Put the prepared data of some trials there, unless machines see this one's files.

    Raises:
        UsageError: nothing can be written there.
    """
    bucket = place.bucket(FOLDER)
    if bucket is None:
        return
    from studies.data.cache import INFO, cache_folder, prepared_before  # which loads NumPy

    for fingerprint in dict.fromkeys(f for trial in trials for f in fingerprints(trial)):
        found = prepared_before(cache_folder(), fingerprint)
        try:
            if found is not None and bucket.read(f"{fingerprint}/{INFO}") is None:
                folder, info = found
                told = f"Putting {info['name']} to {bucket.url}/{fingerprint} (once) ..."
                print(told, file=sys.stderr, flush=True)
                for name in info["files"]:
                    bucket.upload(f"{fingerprint}/{name}", folder / name)
                bucket.write(f"{fingerprint}/{INFO}", (folder / INFO).read_bytes())
        except OSError as error:
            raise unwritable(place.location, str(error.strerror or error)) from error


def restore(place: Place, trial: Trial) -> None:
    """Bring the data of a trial from there into this machine's cache, where it lacks them.

    What is not there either is left to the trial, which prepares it if it can.

    Raises:
        UsageError: it cannot be read, or is not what it is called.
    """
    bucket = place.bucket(FOLDER)
    if bucket is None:
        return
    from studies.data.cache import cache_folder, prepared_before

    for fingerprint in fingerprints(trial):
        if prepared_before(cache_folder(), fingerprint) is None:
            try:
                _bring(bucket, fingerprint)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                told = getattr(error, "strerror", None) or error
                raise UsageError(
                    f"the prepared data in {bucket.url}/{fingerprint} cannot be brought here ({told}): see "
                    f"to the connection and to the room in {cache_folder()}, or remove them there; the next "
                    f"run puts them anew"
                ) from error


def fingerprints(trial: Trial) -> list[str]:
    """Of all data that a trial opens."""
    further = [trial.extra.data] if trial.extra is not None and trial.extra.data is not None else []
    return list(dict.fromkeys(f for data in (*trial.chain, *further) for f in data.fingerprints))


def _bring(bucket: Bucket, fingerprint: str) -> None:
    from studies.data.cache import INFO, cache_folder, restored
    from studies.data.dataset import DatasetInfo
    from studies.data.prepare import fingerprint_of

    content = bucket.read(f"{fingerprint}/{INFO}")
    if content is None:
        return
    info = parsed_json(content)
    described = DatasetInfo.from_dict(info)
    names = [str(name) for name in info["files"]]
    if not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
        raise ValueError("they name files elsewhere")

    def build(folder: Path) -> dict[str, Any]:
        for name in names:
            bucket.download(f"{fingerprint}/{name}", folder / name)
        if fingerprint_of(folder, described) != fingerprint:
            raise ValueError("they are damaged: their digest is another one")
        return dict(info)

    restored(cache_folder(), fingerprint, described.name, build)
