"""A folder that is gone when its maker is: at the end, after an error, after a kill."""

import os
import signal
import subprocess
import sys
import time

import pytest

from studies.bench.swept import swept_folder

pytestmark = pytest.mark.once

STAYS = """
import sys, time
from pathlib import Path
from studies.bench.swept import swept_folder
with swept_folder(Path(sys.argv[1])) as folder:
    for number in range(50):
        (folder / str(number)).write_text("litter")
    print("here", flush=True)
    time.sleep(60)
"""


def test_it_is_new_and_removed_at_the_end(tmp_path):
    with swept_folder(tmp_path / "data") as one, swept_folder(tmp_path / "data") as other:
        assert one != other and one.is_dir() and not list(one.iterdir())
        (one / "deep").mkdir()
        (one / "deep" / "file").write_text("litter")
    assert not list((tmp_path / "data").iterdir())


def test_it_is_removed_after_an_error(tmp_path):
    with pytest.raises(ValueError), swept_folder(tmp_path) as folder:
        (folder / "file").write_text("litter")
        raise ValueError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_is_removed_after_a_signal_to_all_processes_of_its_maker(tmp_path, number):
    with subprocess.Popen(
        [sys.executable, "-c", STAYS, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as maker:
        assert maker.stdout.readline() == b"here\n" and list(tmp_path.iterdir())
        os.killpg(maker.pid, number)
    deadline = time.monotonic() + 20
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())
