"""What many trials take, counted and not timed: each file and each line is read once or twice, no more."""

import csv
from collections import Counter

import pytest

from studies.bench import many_trials
from studies.bench.made_up import made_up_events, made_up_study, make_up
from studies.command_line.tables import status_text
from studies.records import kept, store
from studies.records.frames import read_results, summary_frame
from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes
from studies.records.place import Here
from studies.report.evidence import gather
from studies.running import models, runner
from studies.running.costs import Cost, Costs
from studies.study import trial as trials_module

pytestmark = pytest.mark.once

SIZES = (60, 200)
A_SEED = 4 * 2 * 2 * len(SIZES)  # trials: models, levels of two factors, sizes


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Made-up results of one seed and of three, by their number of trials."""
    made = {}
    for seeds in (1, 3):
        study = made_up_study(seeds, levels=2, sizes=SIZES)
        made[seeds * A_SEED] = make_up(tmp_path_factory.mktemp("made-up"), study)
    return made


@pytest.fixture
def calls(monkeypatch):
    """How often lines are parsed, outcomes opened, ids worked out, and models compared."""
    found = Counter()

    def watch(module, name):
        original = getattr(module, name)

        def counted(*arguments, **options):
            found[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    watch(store, "_json")
    watch(kept, "load_outcomes")
    watch(trials_module, "digest")
    watch(models, "_rank")
    return found


def test_status_reads_each_line_once_and_works_each_id_out_once(folders, calls):
    for number, folder in folders.items():
        calls.clear()
        assert f"{number} of {number} trials done" in status_text(folder)
        assert calls == {"_json": number, "digest": number}


def test_a_report_reads_lines_and_outcomes_once(folders, calls):
    """Outcomes of the best model of each family a second time."""
    for number, folder in folders.items():
        calls.clear()
        results = read_results(folder)
        gather(results)
        summary_frame(results)
        assert calls["_json"] == number
        best = 2 * number // A_SEED  # of each of two families all seeds at one size
        asked = (kept.ASKED + 1) * number // A_SEED  # what each seed was tested on
        assert number <= calls["load_outcomes"] <= number + best + asked
        assert calls["digest"] == number


def test_the_driver_compares_a_model_with_the_best_alone(folders, calls, monkeypatch, tmp_path):
    """What it does for a trial does not grow with those that have ended before."""

    class MadeUp:
        workers = 1

        def run(self, trials, results, logs, on_event):
            for trial in trials:
                calls.clear()
                for event in made_up_events(trial):
                    on_event(trial, event)
                each.append(dict(calls))

    class Silent:
        def start(self, *_): ...
        def event(self, *_): ...
        def stop(self): ...

    seen = {}
    for number, folder in folders.items():
        study = read_results(folder).study
        trials = study.trials(study.data)
        new = tmp_path / str(number) / study.name
        new.mkdir(parents=True)
        lines = (folder / "trials.jsonl").read_text().splitlines(keepends=True)
        (new / "trials.jsonl").write_text("".join(lines[:-4]))
        (new / "study.toml").write_text((folder / "study.toml").read_text())
        costs = Costs({name: Cost(1, 1) for name in study.arms})
        each = []
        plan = runner.Plan(study, Here(new.parent), trials, costs, {})
        outcome = runner.run(plan, MadeUp(), Silent())
        assert len(outcome.added) == len(each) == 4 and not outcome.failed
        assert len(store.ResultsStore(new / "trials.jsonl").records()) == number
        seen[number] = max(each, key=str)
    few, many = seen.values()
    assert few["_rank"] == many["_rank"] <= 5 and few.keys() == many.keys()


def test_what_was_cut_short_is_made_up_to_the_same_bytes(folders, tmp_path):
    number, folder = max(folders.items())
    study = read_results(folder).study
    again = tmp_path / study.name
    again.mkdir()
    lines = (folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    (again / "trials.jsonl").write_bytes(b"".join(lines[: number // 2]))
    assert make_up(tmp_path, study) == again
    assert (again / "trials.jsonl").read_bytes() == b"".join(lines)
    assert len(list((folder / "outcomes").iterdir())) == number
    last = read_results(again).done[-1]
    said = load_outcomes(outcomes_path(again, last["trial_id"]))
    assert said.correct.mean() == pytest.approx(last["metrics"]["test_top1"])


def test_rows_that_are_there_are_not_measured_again(tmp_path, monkeypatch, capsys):
    lines = []

    def run(line):
        lines.append(line[-4:])
        return {"seconds": 1.0, "processor_seconds": 0.5, "peak_mib": 100}

    monkeypatch.setattr(many_trials, "_run", run)
    monkeypatch.setattr(many_trials, "measure", lambda *arguments: {})
    monkeypatch.setattr(many_trials, "make_up", lambda results, study: results / study.name)
    options = ["--trials", "1000", "--output", str(tmp_path), "--folder", str(tmp_path / "made")]
    assert many_trials.main(options) == 0
    with open(tmp_path / "many_trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["command"] for row in rows] == ["plan", "status", "report", "driver, a trial"]
    assert {row["trials"] for row in rows} == {"1000"} and len(lines) == 4
    assert many_trials.main(options) == 0 and len(lines) == 4
    assert capsys.readouterr().out.count("1000,plan") == 2


def test_a_number_that_makes_no_whole_seed_is_refused(capsys):
    with pytest.raises(SystemExit):
        many_trials.main(["--trials", "1500"])
    assert "multiples of 1,000" in capsys.readouterr().err
