"""`cache`: what lies prepared, and its removal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from studies.command_line.findings import in_bytes
from studies.errors import UsageError
from studies.shown import printable

DONE = 0
_DAY = 86_400.0


@dataclass(frozen=True)
class CacheOptions:
    """What is to be removed; nothing by default."""

    remove: str | None = None  # an entry's name, or "all"
    unused_days: float | None = None


def cache(options: CacheOptions) -> int:
    """Print what the cache holds, or remove some of it."""
    from studies.data.cache import cache_folder, entries, remove

    place = cache_folder()
    found = entries(place)
    chosen = found
    if options.unused_days is not None:
        chosen = [e for e in chosen if time.time() - e.used >= options.unused_days * _DAY]
    if options.remove not in (None, "all"):
        chosen = [e for e in chosen if options.remove in (e.title, e.name)]
        if not any(options.remove in (e.title, e.name) for e in found):
            known = ", ".join(e.title for e in found) or "nothing"
            raise UsageError(
                f"the cache {place} holds no {options.remove!r}: choose all, or one of {known}"
            )
    if options.remove is None and options.unused_days is None:
        total = sum(e.bytes for e in found)
        print(f"{place}: {len(found)} entries, {in_bytes(total)}; --remove takes a name, or all")
        for e in found:
            told = f"{e.title}  {in_bytes(e.bytes)}  last used {_ago(e.used)}  {e.name}"
            print(f"  {printable(told)}")
        return DONE
    free, failed = [], []
    for e in chosen:
        try:
            removed = remove(place, e, named=options.remove not in (None, "all"))
        except OSError as error:
            failed.append(f"{e.title} ({error.strerror or error})")
            continue
        if removed is not None:  # else another process was faster
            free.append(removed.bytes)
            stays = f"; {removed.stays} stays" if removed.stays else ""
            print(f"removed {e.title} ({in_bytes(removed.bytes)}{stays})")
    print(f"{len(free)} removed, {in_bytes(sum(free))} are free again")
    if failed:
        raise UsageError(
            f"the cache {place} keeps what cannot be removed, {', '.join(failed)}: see to the permissions, "
            f"and that no process writes there, and try again"
        )
    return DONE


def _ago(moment: float) -> str:
    days = (time.time() - moment) / _DAY
    if days < 1:
        return "today" if time.localtime(moment)[:3] == time.localtime()[:3] else "yesterday"
    return f"{days:.0f} days ago" if days >= 1.5 else "1 day ago"
