"""Progress on stderr: lines in a pipe, a bar in a terminal, nothing for what is quick."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from studies.data import progress as module
from studies.data.progress import progress

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[3]


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second for each image."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def work(total):
        with progress("preparing [photos]", total) as advance:
            for _ in range(total):
                now[0] += 1.0
                advance(1)

    return work


def test_a_line_now_and_then_with_the_time_left(clock, capsys):
    clock(40)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "preparing [photos]: 15 of 40 images, about 25 s left",
        "preparing [photos]: 30 of 40 images, about 10 s left",
    ]
    clock(1000)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "preparing [photos]: 15 of 1,000 images, about 16 min left"


def test_what_is_quick_is_silent(clock, capsys):
    clock(10)
    clock(0)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar():
    code = (
        "import time; from studies.data import progress as p; p.FIRST = 0.1\n"
        "with p.progress('preparing [photos]', 30) as advance:\n"
        "    for _ in range(30): time.sleep(0.02); advance(1)\n"
    )
    terminal, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stderr=other,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(other)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the process has ended
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    assert process.wait() == 0 and process.stdout.read() == b""
    process.stdout.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "preparing [photos]" in text and re.search(r"\d+ of 30 images, \d+ s left", text)
