"""Trials on other machines that share a URL with the driver, and nothing else."""

import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time

import pytest

from studies.executors import log_name, slurm
from studies.executors.local import LocalExecutor
from studies.executors.remote import End, Order, run_on
from studies.executors.resources import Resources
from studies.machine.cloud import Bucket
from studies.records.checkpoints import FINAL, checkpoint_folder
from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes
from studies.records.place import Here, opened
from studies.training.checkpoint import digest, load, save
from tests.studies.descriptions import trial
from tests.studies.fake_trial import COMMAND

pytestmark = pytest.mark.once

# A machine: it does what an order says; with a number, it is lost after so many events of the trial.
MACHINE = """
import os, pickle, signal, sys
from studies.executors.remote import Work

write, left = Work._write, int(sys.argv[1])
def die_in_time(work, event):
    global left
    write(work, event)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
Work._write = die_in_time
work = pickle.load(sys.stdin.buffer).start()
work.finish()
work.stop()
"""


class Machines:
    """An engine whose machines have folders of their own and are lost, or not, in turn."""

    def __init__(self, path, *lasts):
        self.path, self.lasts, self.ends, self.threads = path, list(lasts), {}, []

    def room(self, orders):
        return 1 - orders

    def submit(self, orders, names):
        (order,) = orders
        handle = len(self.ends)
        self.ends[handle] = None
        arguments = (handle, order, self.lasts.pop(0))
        self.threads.append(threading.Thread(target=self._work, args=arguments))
        self.threads[-1].start()
        return [handle]

    def _work(self, handle, order, lasts):
        own = self.folder(handle)
        own.mkdir()
        environment = {**os.environ, "TMPDIR": str(own), "KERAS_VIT_CACHE": str(own / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", MACHINE, str(lasts)],
            input=pickle.dumps(order),
            env=environment,
            stderr=subprocess.PIPE,
        )
        told = done.stderr.decode().strip().splitlines() or [""]
        self.ends[handle] = End("the machine burned", True) if lasts else End()
        if done.returncode > 0:
            self.ends[handle] = End(told[-1])

    def folder(self, handle):
        return self.path / f"machine{handle}"

    def ended(self, handles, seconds):
        time.sleep(0.05)
        return {each: self.ends[each] for each in handles if self.ends[each]}

    def cancel(self, handles): ...


@pytest.fixture
def run(s3, tmp_path):
    url = f"{s3}/{tmp_path.name}"

    def run(each, *lasts, command=None):
        engine, events = Machines(tmp_path, *lasts), []
        with opened(url) as place:

            def order(which, log, path):
                text = which.model_dump_json()
                return Order(text, place.location, log, path, 1, command=command)

            logs = place.path / each.study / "logs"
            run_on(engine, order, [each], place, logs, lambda _, e: events.append(e))
        for thread in engine.threads:  # a machine ends a moment after it has told of the record
            thread.join()
        return engine, Bucket(url), events

    return run


def test_a_trial_goes_on_with_the_same_bits_where_nothing_is_but_the_url(
    run, trained_here, tmp_path
):
    """One machine is lost after the first validation; the other has neither checkpoints nor data."""
    each, here = trained_here
    engine, bucket, events = run(each, 2, 0)
    assert [e["event"] for e in events] == [
        *["start", "progress", "again", "start", "progress", "record"]
    ]
    elsewhere = events[-1]["record"]
    assert elsewhere["status"] == "done" and elsewhere["processes"] == 2
    for key in ("weights_sha256", "metrics", "history", "threads", "cores"):
        assert elsewhere[key] == here[key]
    names = bucket.stamps("")
    assert {f"test/outcomes/{each.trial_id}.npz", f"test/logs/{log_name(each)}"} < set(names)
    assert f".checkpoints/{each.training_id}/final.ckpt" in names
    assert f".data/{each.data_fingerprint}/info.json" in names
    assert not any("events" in name or name.endswith("lock") for name in names)
    for handle in (0, 1):
        (cached,) = (engine.folder(handle) / "cache").glob("*/info.json")
        assert json.loads(cached.read_text())["fingerprint"] == each.data_fingerprint
    assert not list(engine.folder(1).glob("keras_vit-results-*")), "its copy is gone"
    with opened(bucket.url) as place:
        place.fetch("test")
        assert load_outcomes(outcomes_path(place.path / "test", each.trial_id)).seed == each.seed


def test_of_machines_that_do_the_same_training_one_counts_for_both(
    trained_here, folder_here, s3, tmp_path
):
    """Another study's machine began with one thread and comes to the end sooner."""
    each, here = trained_here
    bucket = Bucket(f"{s3}/{tmp_path.name}/.checkpoints/{each.training_id}")
    bucket.write("threads.json", b'{"threads": 1, "cores": 1}')
    end = load(checkpoint_folder(folder_here, each) / FINAL)
    weights = [array + 0.5 if array.dtype.kind == "f" else array for array in end.arrays["best"]]
    save(tmp_path / FINAL, end.meta, {"best": weights})
    events = []

    def on_event(_, event):
        events.append(event)
        if event["event"] == "start":
            bucket.upload(FINAL, tmp_path / FINAL)

    with opened(f"{s3}/{tmp_path.name}") as place:
        LocalExecutor(1).run([each], place, place.path / "test" / "logs", on_event)
    assert [event["event"] for event in events] == ["start", "progress", "progress", "record"]
    record = events[-1]["record"]
    assert record["status"] == "done" and record["threads"] == record["cores"] == 1
    assert record["weights_sha256"] == digest(weights) != here["weights_sha256"]
    assert bucket.read(FINAL) == (tmp_path / FINAL).read_bytes()


def test_a_failure_names_its_log_in_storage_to_which_each_machine_adds(run, s3, tmp_path):
    """And what an earlier driver has left behind is not taken for news."""
    Bucket(f"{s3}/{tmp_path.name}").write("test/logs/events/old.1/machine", b'{"event": "no"}\n')
    each = trial("dies")
    _, bucket, events = run(each, 1, 0, command=COMMAND)
    log = f"test/logs/{log_name(each)}"
    assert events[-1]["record"]["reason"].endswith(f"its log is {bucket.url}/{log}")
    assert bucket.read(log).count(b"a word on stderr") == 2
    noted = f".checkpoints/{each.training_id}/threads.json"
    assert sorted(bucket.stamps("")) == [noted, log]


def test_a_machine_that_may_not_read_says_so_in_one_sentence(run, monkeypatch):
    def without_credentials(self, handle, order, lasts, work=Machines._work):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        work(self, handle, order, lasts)

    monkeypatch.setattr(Machines, "_work", without_credentials)
    _, bucket, events = run(trial(), 0, command=COMMAND)
    told = rf"cannot read {bucket.url} \(Unable to locate credentials\): see to the URL"
    assert re.search(told, events[-1]["record"]["reason"])


def test_slurms_own_files_lie_where_there_are_files(s3, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def slurm_queue(place, logs):
        return slurm.slurm_queue(Resources(), None, place, logs)

    with opened(f"{s3}/runs") as place:
        first = slurm_queue(place, place.path / "mine" / "logs")
    with opened(f"{s3}/runs") as place:
        again = slurm_queue(place, place.path / "mine" / "logs")
        other = slurm_queue(place, place.path / "other" / "logs")
    assert first._folder == again._folder and first._folder.is_relative_to(tmp_path / "logs/slurm")
    assert first._name == again._name != other._name
    here = slurm_queue(Here(tmp_path), tmp_path / "mine" / "logs")
    assert here._folder == tmp_path / "mine" / "logs" / "slurm"
