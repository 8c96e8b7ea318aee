"""The command `advise`: its answers, exit codes and streams, with trials that are made up."""

import json
import time

import pytest

from studies.advise import session as advising
from studies.command_line import app as cli
from studies.command_line.advise import AdviseOptions, advise
from studies.command_line.tables import status_text
from studies.errors import UsageError
from studies.machine.cloud import Bucket
from studies.running import costs
from studies.running.costs import Cost
from studies.running.estimate import START_SECONDS
from tests.studies.advise.conftest import far_apart
from tests.studies.advise.fake import FLOPS, Machine

pytestmark = pytest.mark.once


class RealClock:
    """A clock that trials do not move: they take no time."""

    now = 0.0


@pytest.fixture
def ask(tmp_path, monkeypatch):
    monkeypatch.setattr(
        costs, "measure", lambda entries, *_: {e.name: Cost(FLOPS, 1000) for e in entries}
    )
    monkeypatch.setattr("studies.running.estimate.on_gpu", lambda: False)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(advising, "MOST_SEEDS", 3)
    monkeypatch.setattr("studies.advise.rounds.MOST_SEEDS", 3)

    def run(machine=None, **options):
        machine = machine or Machine(RealClock(), far_apart)
        options = {"dataset": "digits", "budget": "1h", "results": tmp_path} | options
        return advise(AdviseOptions(**options), machine)

    return run


def test_it_prints_data_plan_and_answer_and_where_the_picture_is(ask, capsys, tmp_path):
    assert ask() == 0
    out = capsys.readouterr().out
    assert (
        out.index("digits: 1,797 images")
        < out.index("plan, for 1 h 00 min")
        < out.index("bit-s is ahead")
    )
    assert "how fast trials run here" in out
    assert (tmp_path / "advise-digits" / "figures" / "accuracy.png").exists()
    assert str(tmp_path / "advise-digits" / "figures" / "accuracy.png") in out
    page = tmp_path / "advise-digits" / "report.html"
    assert page.exists() and f"to send: {page}\n" in out
    ask(json=True)
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "B" and "digits: 1,797 images" in err
    assert "plan: nothing is left to run" in err


def test_a_log_for_programs_ends_with_the_answer(ask, capsys):
    assert ask(log_format="json") == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert err == "" and lines[-1]["event"] == "answer" and lines[-1]["verdict"] == "B"
    events = [line["event"] for line in lines]
    assert events.count("run_started") == events.count("run_ended") > 1
    assert events.count("trial_started") == events.count("trial_done") > 1


def test_status_counts_what_was_run_and_the_round_at_work(ask, tmp_path, monkeypatch):
    monkeypatch.setattr("studies.report.report.newest_report", lambda place, folder: None)
    folder, counts = tmp_path / "advise-digits", []

    class Watched(Machine):
        def run(self, trials, *given):
            counts.append((len(self.ran), len(trials), status_text(folder)))
            super().run(trials, *given)

    machine = Watched(RealClock(), far_apart)
    assert ask(machine) == 0
    assert len(counts) > 2
    for before, now, text in counts:
        assert text.startswith(f"advise-digits: {before} of {before + now} trials done\nrunning (")
        assert f"), 0 of {now} trials of this run ended, " in text
    # Those of the grid that could not change the verdict any more are not to come.
    ended = len(machine.ran)
    assert status_text(folder) == f"advise-digits: {ended} of {ended} trials done"


def test_a_failed_trial_is_named_and_ends_with_1(ask, capsys, monkeypatch):
    monkeypatch.setattr("studies.report.report.newest_report", lambda place, folder: None)
    assert ask(Machine(RealClock(), far_apart, fails=("vit-s",))) == 1
    err = capsys.readouterr().err
    assert "failed: vit-s size 160 seed 0: it was told to" in err
    assert "the same command runs what failed again" in err
    # There is no time to do so: it has failed all the same.
    with monkeypatch.context() as slow:
        slow.setitem(START_SECONDS, "tensorflow", 1e5)
        assert ask(Machine(RealClock(), far_apart)) == 1
    assert "failed: vit-s size 160 seed 0: it was told to" in capsys.readouterr().err
    assert ask(Machine(RealClock(), far_apart)) == 0
    assert "failed" not in capsys.readouterr().err


def test_results_may_have_another_name(ask, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("studies.report.report.newest_report", lambda place, folder: None)
    assert ask(name="second", reading={"image_size": 16}) == 0
    assert "on images of 16x16" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["second"]


def test_preparing_is_within_the_budget(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(advising.runner, "make_plan", lambda *_: time.sleep(60))
    began = time.monotonic()
    told = (
        "preparing these images alone takes longer than a budget of 3 s: give --budget 1m or more"
    )
    with pytest.raises(UsageError, match=told):
        ask(budget="3s")
    assert time.monotonic() - began < 30
    assert not list(tmp_path.glob("*"))


def test_an_interruption_ends_with_130_and_says_how_to_go_on(ask, capsys):
    class Stopped(Machine):
        def run(self, *given):
            raise KeyboardInterrupt

    assert ask(Stopped(RealClock(), far_apart)) == 130
    assert "the same command continues" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["digits"], "missing option '--budget'"),
        (["digits", "--budget", "soon"], "takes a time such as 30m"),
        (["digits", "--budget", "30m", "--target", "good"], "an accuracy such as 95%"),
        (["digits", "--budget", "30m", "--cost-per-image", "1"], "prices a --target"),
        (
            ["digits", "--budget", "30m", "--target", "95%", "--cost-per-image", "inf"],
            "takes a finite number, not inf",
        ),
        (["folder:nowhere", "--budget", "30m"], "nowhere"),
        (["digits", "--budget", "30m", "--name", "../others"], "name"),
    ],
)
def test_wrong_use_ends_with_2_and_one_sentence(arguments, told, tmp_path, capsys):
    assert cli.main(["advise", *arguments, "--results", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert told in err and err.startswith("error: ") and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_results_may_lie_under_a_url(ask, s3, tmp_path, capsys, monkeypatch):
    url = f"{s3}/{tmp_path.name}"

    def report(folder):  # as it is written elsewhere in these tests, which takes seconds
        (folder / "report.md").write_text("-")

    monkeypatch.setattr("studies.report.report.write_report", report)
    assert ask(results=url) == 0
    assert f"report: {url}/advise-digits/report.md" in capsys.readouterr().out
    bucket = Bucket(f"{url}/advise-digits")
    recorded = bucket.names("trials")
    assert recorded and {"report.md", "outcomes"} < set(bucket.names(""))
    assert ask(results=url) == 0 and bucket.names("trials") == recorded, "nothing is run twice"
