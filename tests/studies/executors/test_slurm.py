"""Slurm: the contract through submitit's local jobs; what Slurm's own commands say, by stand-ins.

`scripts/slurm_check` does it for real.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import submitit

from studies.errors import UsageError
from studies.executors import log_name
from studies.executors.resources import Resources
from studies.executors.slurm import SlurmExecutor, SlurmQueue, last_words, places
from studies.records.place import Here, opened
from tests.studies.descriptions import trial
from tests.studies.executors.contract import alive, wait_for
from tests.studies.executors.elsewhere import ElsewhereContract
from tests.studies.fake_trial import COMMAND

pytestmark = pytest.mark.once


class LocalQueue:
    """submitit's jobs on this machine, in Slurm's words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs = {}

    def clear(self):
        for path in self.folder.glob("*_submitted.pkl"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.name.split("_")[0]), signal.SIGINT)
            path.unlink()

    def submit(self, jobs):
        executor = submitit.LocalExecutor(self.folder)
        executor.update_parameters(timeout_min=5)
        new = executor.submit_array(jobs)
        self.jobs |= {job.job_id: job for job in new}
        return [job.job_id for job in new]

    def states(self, ids):
        return {each: self._state(self.jobs[each]) for each in ids}

    def _state(self, job):
        words = {"RUNNING": "RUNNING", "INTERRUPTED": "CANCELLED"}
        failed = "triggered an exception" in (
            job.stderr() or ""
        )  # which ends a job of Slurm with 1
        return words.get(job.state, "FAILED" if failed else "COMPLETED")

    def cancel(self, ids):
        for each in ids:
            self.jobs[each].cancel()

    def said(self, id_):
        return last_words(self.folder, id_)


class OneByOne(SlurmExecutor):
    """submitit's local jobs all start at once: with a limit they are submitted one after the other."""

    def run(self, trials, place, logs, on_event):
        self._queue = LocalQueue(logs / "slurm")
        parts = [[each] for each in trials] if self.workers == 1 else [trials]
        for part in parts:
            super().run(part, place, logs, on_event)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr("studies.executors.slurm.POLL_SECONDS", 0.2)


class TestSlurmExecutor(ElsewhereContract):
    IMPORTS = """
from studies.executors.resources import Resources
from tests.studies.executors.test_slurm import OneByOne
"""
    EXECUTOR = "contextlib.nullcontext(OneByOne(Resources(), 2, COMMAND, queue=()))"

    def make(self, workers, threads, command):
        return OneByOne(Resources(threads), workers, command, queue=())

    @pytest.mark.parametrize("name", ["SIGUSR2", "SIGTERM"])
    def test_a_job_that_makes_room_ends_its_trial_and_is_queued_again(self, tmp_path, name):
        """By submitit itself, or by the driver."""
        each = trial("lasts")
        own = tmp_path / f"{each.trial_id}.pid"

        def make_room(_, event):
            if event["event"] == "start" and not events:
                (job,) = executor._queue.jobs.values()
                first.append(wait_for(lambda: own.exists() and int(own.read_text() or 0)))
                if name == "SIGUSR2":  # Slurm sends it to all processes of a job
                    os.kill(first[0], signal.SIGUSR2)
                    os.kill(task(job._process.pid), signal.SIGUSR2)
                else:
                    job._process.send_signal(signal.SIGTERM)
                wait_for(lambda: not alive(first[0]), seconds=60)
            events.append(event)

        events, first, executor = [], [], self.make(2, 1, COMMAND)
        executor.run([each], Here(tmp_path), tmp_path / "logs", make_room)
        again = ["again"] if name == "SIGTERM" else []  # submitit tells the driver nothing
        told = [event["event"] for event in events]
        assert told == ["start", *again, "start", "progress", "progress", "record"]
        assert events[-1]["record"]["status"] == "done" and events[-1]["record"]["pid"] != first[0]
        assert (len(executor._queue.jobs) == 1) == (name == "SIGUSR2")
        assert "a word on stderr" in (tmp_path / "logs" / log_name(each)).read_text()


def test_a_job_that_cannot_reach_the_results_is_a_record_that_names_them(s3, tmp_path, monkeypatch):
    """Here and on the driver's machine all is well."""
    monkeypatch.chdir(tmp_path)
    url, submit, records = f"{s3}/{tmp_path.name}", LocalQueue.submit, []

    def without_credentials(queue, jobs):
        with monkeypatch.context() as patch:
            patch.delenv("AWS_ACCESS_KEY_ID")
            return submit(queue, jobs)

    monkeypatch.setattr(LocalQueue, "submit", without_credentials)
    executor = SlurmExecutor(Resources(), 1, COMMAND, LocalQueue(tmp_path / "slurm"))
    with opened(url) as place:
        logs = place.path / "test" / "logs"
        executor.run([trial()], place, logs, lambda _, event: records.append(event["record"]))
    (record,) = records
    assert record["status"] == "failed"
    assert f"failed: cannot read {url} (Unable to locate credentials): see to" in record["reason"]
    assert record["reason"].endswith(f"what it said lies in {tmp_path / 'slurm'}")


def test_what_a_job_said_last_is_told(tmp_path):
    assert last_words(tmp_path, "4_1") == f"what it said lies in {tmp_path}"
    slurm = "slurmstepd-a: error: STEP 1.0\nsrun: error: a: task 0: Exited with exit code 1\n"
    (tmp_path / "4_1_0_log.err").write_text(f"first\nTraceback\nOSError: no home\n\n{slurm}")
    (tmp_path / "4_11_0_log.err").write_text("another job's\n")
    assert last_words(tmp_path, "4_1") == f"OSError: no home; what it said lies in {tmp_path}"
    (tmp_path / "4_1_0_log.err").write_text(slurm)
    assert last_words(tmp_path, "4_1").startswith(
        "srun: error: a: task 0: Exited with exit code 1;"
    )


def task(controller: int) -> int:
    """The process in which submitit's controller runs the job."""
    return int(Path(f"/proc/{controller}/task/{controller}/children").read_text().split()[0])


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Stand-ins for Slurm's commands, by name; each notes down what it was given."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(**scripts):
        for name, script in scripts.items():
            path = tmp_path / name
            path.write_text(f'#!/bin/sh\necho "$0 $@" >> {tmp_path}/given\n{script}\n')
            path.chmod(0o755)

    return make


NODES = "echo '1|8|16000|gpu:a100:2(S:0)'; echo '2|64|128000|(null)'"


@pytest.mark.parametrize(
    "asked, told",
    [
        (
            Resources(gpus=3),
            "has 1 CPU and 3 GPUs for a trial; there are: 64 CPUs, 0 GPUs, 134.2 GB;",
        ),
        (Resources(threads=9, gpus=1), "has 9 CPUs and 1 GPU for"),
        (Resources(threads=65), "has 65 CPUs for"),
        (Resources(memory=200 * 10**9), "has 1 CPU and 200.0 GB for"),
        (Resources(gpus=1, devices=4), "has 4 CPUs and 4 GPUs for"),
        (Resources(gpus=0.5), "--gpus 0.5: a job of Slurm has whole GPUs"),
    ],
)
def test_what_no_machine_has_is_refused_at_once(commands, asked, told):
    commands(sinfo=NODES)
    with pytest.raises(UsageError, match=told):
        places(asked)


def test_what_some_machine_has_is_not_refused(commands):
    commands(sinfo=NODES)
    assert places(Resources(threads=64)) == 2
    assert places(Resources(threads=4, gpus=1, memory=8 * 10**9)) == 2
    assert places(Resources(memory=16 * 10**9)) == 1 + 2 * 8


def test_without_slurm_or_submitit_one_sentence_says_so(commands, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"no Slurm on this machine \(sinfo is missing\).*ray"):
        SlurmExecutor(Resources())
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.delitem(sys.modules, "submitit.helpers", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'keras-vit\[slurm\]'"):
        SlurmExecutor(Resources())


def test_a_controller_that_does_not_answer_is_told(commands):
    commands(sinfo="echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UsageError, match="Unable to contact slurm controller"):
        places(Resources())


def test_jobs_are_one_array_with_what_a_trial_gets(commands, tmp_path):
    commands(srun="", sbatch=f"cat $1 > {tmp_path}/script; echo Submitted batch job 42")
    queue = SlurmQueue(Resources(3, 1, 2**30), 5, tmp_path / "slurm", "mine")
    assert queue.submit([len, len, len]) == ["42_0", "42_1", "42_2"]
    script = (tmp_path / "script").read_text()
    for line in ("array=0-2%3", "requeue", "cpus-per-task=3", "gpus-per-node=1", "mem=1024M"):
        assert f"#SBATCH --{line}\n" in script


def test_a_signal_that_comes_while_python_starts_ends_no_job(commands, tmp_path):
    """submitit's own, which it hears only once it has been loaded."""
    commands(srun="", sbatch=f"cat $1 > {tmp_path}/script; echo Submitted batch job 42")
    SlurmQueue(Resources(), None, tmp_path / "slurm", "mine").submit([len])
    (line,) = [line for line in (tmp_path / "script").read_text().splitlines() if "srun " in line]
    python = line[line.index("sh -c ") : line.index(" -u -m submitit")]
    early = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2); print('goes on')"
    done = subprocess.run(
        ["sh", "-c", f'{python} -c "{early}"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == "goes on\n"


def test_a_job_has_what_all_devices_of_a_trial_need(commands, tmp_path):
    commands(srun="", sbatch=f"cat $1 > {tmp_path}/script; echo Submitted batch job 42")
    queue = SlurmQueue(Resources(3, 1, 2**30, devices=4), None, tmp_path / "slurm", "mine")
    queue.submit([len, len])
    script = (tmp_path / "script").read_text()
    for line in ("cpus-per-task=12", "gpus-per-node=4", "mem=1024M"):
        assert f"#SBATCH --{line}\n" in script


def test_states_are_slurms_and_silence_is_no_end(commands, tmp_path):
    queue = SlurmQueue(Resources(), None, tmp_path / "slurm", "mine")
    commands(squeue="echo '42_0|RUNNING'; echo '42_1|CANCELLED'; echo '41|COMPLETED'")
    assert queue.states(["42_0", "42_1", "42_2"]) == {"42_0": "RUNNING", "42_1": "CANCELLED"}
    commands(squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert queue.states(["42_0"]) == {}
    commands(squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert queue.states(["42_0"]) is None


def test_a_submission_that_is_refused_is_one_sentence(commands, tmp_path):
    commands(srun="", sbatch="echo 'sbatch: error: invalid partition: moon' >&2; exit 1")
    queue = SlurmQueue(Resources(), None, tmp_path / "slurm", "mine")
    with pytest.raises(UsageError, match=r"Slurm takes no jobs .*SBATCH_PARTITION"):
        queue.submit([len])
