"""Who may write to a results folder: one run at a time, on whatever machine it is.

A lease is an object `.lease/<number>.json` that is put once, so that one of several who want it gets it,
and that holds who has it and a random token. Beside it `<number>.beat` is written anew every few seconds.
Where there is a lease already, the newest counts:

- its process is on this machine and alive: there is another run;
- its process was on this machine, and is gone: the lease is free;
- it is on another machine, or there is no telling: the beat is watched. Where it changes there is another
  run; where it does not for a minute of the watching machine's own clock, the lease is free.

Who takes a lease that is free puts the next number, of which one can succeed, and removes the older one.
Before everything that it writes, a run looks whether its own lease is there yet, and the newest. Where it
cannot look for a while, its own last sign of life tells that nobody can have followed it yet.

Locks of files are not used: over NFS they hold in some set-ups alone, and object stores have none. Nor
are times of two machines compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from studies.errors import UsageError
from studies.machine.files import parsed_json
from studies.machine.storage import Storage
from studies.records.place import unwritable
from studies.shown import printable

PLACE = ".lease"
BEAT_SECONDS = 5.0  # between two signs of life
STALE_SECONDS = 60.0  # without one a run on another machine counts as dead
STATUS_SECONDS = 15.0  # the same where it is only asked for
LOOK_SECONDS = 0.5  # between two looks at another machine's beat
_given_back: set[bytes] = set()  # contents of this process's own leases that have ended


@dataclass(frozen=True)
class Holder:
    """A process on some machine.

    Args:
        host: the machine's name, for people.
        machine: what tells it from all others, and from itself before it was started again; "" where
            nothing does.
        pid: of the process there.
        began: when the process began, in the machine's own units, which tells it from a later one of
            the same number; "" where that is not known.
    """

    host: str
    machine: str
    pid: int
    began: str

    @staticmethod
    def here() -> Holder:
        """This process."""
        host = socket.gethostname()
        return Holder(host, _machine(), os.getpid(), _began(os.getpid()) or "")

    def __str__(self) -> str:
        return printable(f"process {self.pid} on {self.host}")  # a file may say anything


class LeaseLost(OSError):
    """Another run has taken a folder over."""

    def __init__(self, other: Holder | None) -> None:
        who = f"another run ({other})" if other else "another run"
        reason = f"{who} took them over, since this one gave no sign of life for long"
        super().__init__(None, reason)


class Lease:
    """The right to write, as long as `check` says nothing; `held` makes one."""

    def __init__(self, storage: Storage, number: int, content: bytes) -> None:
        self._storage, self._number, self._content = storage, number, content
        self._ended = threading.Event()
        self._lost: LeaseLost | None = None
        self._sign = _clocks()  # when it gave the last sign of life
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Say so where another run has the lease by now.

        Raises:
            LeaseLost: it has.
            OSError: the storage cannot be read, for so long that another run may have it.
        """
        try:
            self._look()
        except LeaseLost:
            raise
        except OSError:
            if (
                max(now - then for now, then in zip(_clocks(), self._sign, strict=True))
                >= STALE_SECONDS
            ):
                raise

    def release(self) -> None:
        """Give it back."""
        self._ended.set()
        self._thread.join(BEAT_SECONDS)
        _given_back.add(self._content)
        with contextlib.suppress(OSError):  # it is the next run's to remove then
            self._look()
            _remove(self._storage, self._number)

    def _look(self) -> None:
        newest = _newest(self._storage)
        if newest is None or newest[1] != self._content:
            self._lost = LeaseLost(None if newest is None else _holder(newest[1]))
        if self._lost is not None:  # for good: there is no sign of life any more
            raise self._lost

    def _beat(self) -> None:
        count = 0
        while True:
            # What cannot be written now may be in five seconds; who has lost the lease stops.
            try:
                now = _clocks()
                self._look()
                self._storage.write(f"{PLACE}/{self._number}.beat", str(count).encode())
                self._sign = now
            except LeaseLost:
                return
            except OSError:
                pass
            count += 1
            if self._ended.wait(BEAT_SECONDS):
                return


@contextmanager
def held(
    storage: Storage,
    name: str,
    here: Holder | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[Lease]:
    """Hold a results folder for one run.

    Args:
        storage: the folder.
        name: of the folder, for people.
        here: the process that wants it, by default this one.
        say: tells that, and why, it takes a while.

    Raises:
        UsageError: another run holds it, or the storage cannot be written.
    """
    here = here or Holder.here()
    content = json.dumps({**asdict(here), "token": secrets.token_hex(16)}).encode()
    while True:
        newest = _newest(storage)
        if newest is not None:
            other = _holder(newest[1])
            if _is_alive(storage, newest, here, STALE_SECONDS, say):
                who = f" ({other})" if other else ""
                raise UsageError(
                    f"another run is at work in {name}{who}; wait for it, or choose another --name"
                )
        number = 1 + (newest[0] if newest else 0)
        try:
            won = storage.put_new(f"{PLACE}/{number}.json", content)
        except OSError as error:
            raise unwritable(name, str(error.strerror or error)) from error
        if won:
            break
    lease = Lease(storage, number, content)
    try:
        with contextlib.suppress(OSError):  # they tell nothing any more
            for older in _numbers(storage):
                if older < number:
                    _remove(storage, older)
        yield lease
    finally:
        lease.release()


@dataclass(frozen=True)
class Running:
    """Which process holds a folder, and whether it gives signs of life; `holder` None: nobody can tell."""

    holder: Holder | None
    alive: bool


def running(storage: Storage, here: Holder | None = None) -> Running | None:
    """Who holds a results folder; None where nobody does.

    Of a run on another machine it takes some seconds to tell.

    Raises:
        OSError: the storage cannot be read.
    """
    newest = _newest(storage)
    if newest is None:
        return None
    here = here or Holder.here()
    alive = _is_alive(storage, newest, here, STATUS_SECONDS, lambda text: None)
    return Running(_holder(newest[1]), alive)


def _is_alive(
    storage: Storage,
    lease: tuple[int, bytes],
    here: Holder,
    patience: float,
    say: Callable[[str], None],
) -> bool:
    """Whether the process that holds a lease is at work; takes at most `patience` seconds."""
    number, content = lease
    if content in _given_back:  # it could not be removed
        return False
    other = _holder(content)
    if other is not None and other.machine == here.machine != "":
        began = _began(other.pid)
        if began is None:
            return False
        if began and other.began:  # a number may be another process's by now
            return began == other.began
    beat = f"{PLACE}/{number}.beat"
    before = storage.read(beat)
    since = time.monotonic()
    told = False
    while (passed := time.monotonic() - since) < patience:
        time.sleep(LOOK_SECONDS)
        if storage.read(beat) != before:
            # It may have been removed, with the lease, at the end of the run.
            return storage.read(f"{PLACE}/{number}.json") == content
        if passed > 2 * BEAT_SECONDS and not told:
            told = True
            say(
                f"{other or 'another run'} may be at work here: waiting {patience:.0f} s for a sign"
            )
    return False


def _newest(storage: Storage) -> tuple[int, bytes] | None:
    """The number and the content of the newest lease."""
    for number in sorted(_numbers(storage), reverse=True):
        content = storage.read(f"{PLACE}/{number}.json")
        if content is not None:  # else it was removed a moment ago
            return number, content
    return None


def _numbers(storage: Storage) -> list[int]:
    names = (name.partition(".") for name in storage.names(PLACE))
    return [int(stem) for stem, _, kind in names if kind == "json" and stem.isdecimal()]


def _remove(storage: Storage, number: int) -> None:
    for kind in ("json", "beat"):  # whoever sees the beat end sees that it was on purpose
        storage.remove(f"{PLACE}/{number}.{kind}")


def _holder(content: bytes) -> Holder | None:
    try:
        said = parsed_json(content)
        return Holder(str(said["host"]), str(said["machine"]), int(said["pid"]), str(said["began"]))
    except (ValueError, KeyError, TypeError):
        return None


def _machine() -> str:
    """This machine since it was started, and the numbers that its processes have here (containers).

    Names of hosts tell nothing: many machines have the same.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return ""


def _clocks() -> tuple[float, float]:
    """Seconds by two clocks: the one stands still while a machine sleeps, the other may be set back."""
    return time.monotonic(), time.time()


def _began(pid: int) -> str | None:
    """When a process of this machine began, "" where that is not known; None where there is none."""
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        pass
    except (OSError, OverflowError):
        return None
    try:
        # The name, in brackets, may hold anything; after it come the state and 18 numbers.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return None if fields[0] in "ZX" else fields[19]
