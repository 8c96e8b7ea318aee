"""Results under a URL: all that holds for a folder, with trials that train nothing."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
from s3fs import S3FileSystem

from studies.command_line import app as cli
from studies.command_line import commands, progress
from studies.machine.cloud import Bucket
from tests.studies.command_line.conftest import Project, written_until

pytestmark = pytest.mark.once

WRITE_REPORT = commands._write_report


class CloudProject(Project):
    """The same with results under a URL."""

    def put(self, url):
        self.results, self.bucket = url, Bucket(f"{url}/mine")
        return self

    def lines(self):
        names = self.bucket.names("trials")
        return [json.loads(self.bucket.read(f"trials/{name}")) for name in names]


@pytest.fixture
def cloud(project, s3, tmp_path):
    project.__class__ = CloudProject
    return project.put(f"{s3}/{tmp_path.name}")


def test_a_run_elsewhere_is_as_one_here(cloud, monkeypatch):
    code, out, err = cloud("plan")
    assert code == 0 and f"results: {cloud.results}/mine\n" in out and cloud.bucket.names("") == []
    code, out, err = cloud("run", "--log-format", "json")
    assert code == 0 and err == "" and f'"folder": "{cloud.results}/mine"' in out
    assert [line["status"] for line in cloud.lines()] == ["done", "done"]
    assert all(b"a word on stderr" in cloud.bucket.read(line["log"]) for line in cloud.lines())
    assert cloud.bucket.names("") == ["logs", "study.toml", "trials"], "nobody is at work"
    assert cloud("status")[1].startswith("mine: 2 of 2 trials done")
    before = cloud.lines()
    assert "all 2 trials are finished already" in cloud("run")[1]
    assert cloud.lines() == before
    code, out, _ = cloud("run", "--seeds", "2")
    assert code == 0 and "2 of 4 trials to run, 2 finished already" in out
    code, _, err = cloud("run", "--set", "recipe.steps=9")
    assert code == 2 and f"the results in {cloud.results}/mine are of another recipe" in err


def refuse(patch, error, calls):
    """Have storage refuse so many calls, from that on which puts a run's first record; those, by name."""
    patch.setattr("studies.machine.cloud._FIRST_PAUSE", 0.01)
    answer, refused = S3FileSystem._call_s3, []

    async def call(self, method, *arguments, **options):
        begins = method == "put_object" and "/trials/" in options["Key"]
        if (refused or begins) and len(refused) < calls:
            refused.append(method)
            raise error
        return await answer(self, method, *arguments, **options)

    patch.setattr(S3FileSystem, "_call_s3", call)
    return refused


def test_a_run_waits_for_storage_that_is_out_of_reach_for_a_while(cloud, monkeypatch):
    refused = refuse(monkeypatch, OSError(16, "Slow down"), 12)
    code, _, err = cloud("run")
    assert code == 0 and len(refused) == 12
    assert [line["status"] for line in cloud.lines()] == ["done", "done"]
    assert " does not answer ([Errno 16] Slow down): it is asked again\n" in err
    assert err.endswith(" answers again\n") and "Traceback" not in err


@pytest.mark.parametrize("error", [OSError(16, "Slow down"), PermissionError(13, "Access Denied")])
def test_storage_that_stays_away_ends_a_run_that_goes_on_later(cloud, error, monkeypatch):
    monkeypatch.setattr("studies.machine.cloud.PATIENCE_SECONDS", 0.3)
    with monkeypatch.context() as patch:
        refuse(patch, error, 10**9)
        code, _, err = cloud("run")
    assert code == 1 and cloud.lines() == []
    assert err.count("error: ") == 1 and "Traceback" not in err
    told = f"the results in {cloud.results}/mine: they cannot be read or written ({error.strerror})"
    assert f"error: {told}: once that is mended, the same command continues" in err
    assert cloud("run")[0] == 0
    assert [line["status"] for line in cloud.lines()] == ["done", "done"]


def test_failures_name_their_logs_there(cloud):
    cloud.write("dies")
    code = cloud("run", "--sizes", "3")[0]
    (line,) = cloud.lines()
    assert code == 1 and f"its log is {cloud.results}/mine/{line['log']}" in line["reason"]
    assert f"log: {cloud.results}/mine/logs/dies-3" in cloud("status")[1]


def test_a_killed_driver_is_seen_from_elsewhere_and_goes_on(cloud):
    cloud.write("done", "hangs")
    driver = subprocess.Popen([sys.executable, "-c", cloud.script("run")])
    deadline = time.monotonic() + 120
    try:
        while "hangs size 3 seed 0 tensorflow: step 0/4" not in (out := shown(cloud)):
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.2)
        code, _, err = cloud("run")
        assert code == 2 and f"another run is at work in {cloud.results}/mine" in err
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert re.search(rf"running \(process {driver.pid} on ", out)
    assert "not running: the last run" in shown(cloud)
    done = [line for line in cloud.lines() if line["status"] == "done"]
    assert done
    cloud.write("done")
    assert cloud("run")[0] == 0
    assert cloud.lines()[: len(done)] == done, "what was recorded is not run again"
    assert "running" not in shown(cloud)


def shown(cloud):
    return cloud("status")[1] if cloud.bucket.read("study.toml") else ""


def test_a_reader_that_went_away_leaves_no_run_that_looks_killed(cloud, monkeypatch):
    assert written_until(4, cloud, monkeypatch) == 130
    left = cloud.bucket.names("")
    assert "running.json" not in left and ".lease" not in left
    assert len(cloud.lines()) == 1


def test_curves_are_there_with_each_record_and_where_a_run_is_interrupted(cloud, monkeypatch):
    shown, seen = progress.PlainDisplay.event, []

    def event(self, trial, event):
        shown(self, trial, event)
        seen.append((event["event"], len(curves())))
        if sum(name == "record" for name, _ in seen) == 2:
            raise KeyboardInterrupt

    def curves():
        return [name for name in cloud.bucket.stamps("tensorboard") if ".tfevents." in name]

    monkeypatch.setattr(progress.PlainDisplay, "event", event)
    assert cloud("run", "--sizes", "3,4,5", "--tensorboard")[0] == 130
    assert len(cloud.lines()) == 2 and len(curves()) == 2
    before = [there for name, there in seen if name == "start"]
    assert before == [0, 1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--results", "s3://nowhere/runs"),
            "cannot write to the results folder s3://nowhere/runs",
        ),
        (("--results", "s3://"), "no place for results"),
        (("--results", "s4://bucket/x"), "no storage that fsspec knows"),
    ],
)
def test_wrong_use_is_one_sentence(cloud, options, told):
    code, _, err = cloud("run", *options)
    assert code == 2 and told in err and err.startswith("error: ") and err.count("\n") == 1
    assert cloud.bucket.names("") == []


def test_what_is_written_to_this_machine_says_so(capsys):
    assert cli.main(["compare", "a", "b", "--output", "s3://bucket/x"]) == 2
    assert "s3://bucket/x is a URL: what this command writes goes" in capsys.readouterr().err


def test_a_report_lies_beside_the_records(cloud, monkeypatch):
    monkeypatch.setattr(commands, "_write_report", WRITE_REPORT)
    assert cloud("run", "--sizes", "3")[0] == 0
    assert {"report.md", "report.html", "summary.csv"} <= set(cloud.bucket.names(""))
    code, out, _ = cloud("report")
    assert code == 0 and f"report: {cloud.results}/mine/report.md" in out
    assert len(cloud.lines()) == 1
