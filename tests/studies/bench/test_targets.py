"""The targets' benchmark: its committed table, and one curve asked anew."""

import csv
import re
from functools import partial
from pathlib import Path

import pytest

from studies.analysis.target import HELD, MIDDLE, SHIFT
from studies.bench import targets
from studies.bench.forecasts import cases

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results" / "forecasts"


@pytest.fixture(scope="module")
def committed():
    with (RESULTS / "targets.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    words = ("task", "model", "setting")
    return [
        targets.Row(**{k: v if k in words else float(v) for k, v in row.items()}) for row in rows
    ]


def test_a_probability_of_nine_tenths_holds_for_every_number_of_sizes(committed):
    settings = {row.setting for row in committed}
    assert settings == {"four", "five", "six", "seven"}
    for setting in settings:
        own = [row for row in committed if row.setting == setting]
        assert targets.held(own, "together") >= 0.9
        assert targets.held(own, "raw") <= targets.held(own, "calibrated")
        assert targets.held(own, "half") == pytest.approx(0.5, abs=0.2)


def test_what_the_readme_says_is_what_was_counted(committed):
    readme = " ".join((ROOT / "README.md").read_text().split())
    for kind in ("together", "calibrated"):
        assert f"in {targets.span(committed, partial(targets.held, kind=kind))} " in readme
    assert targets.span(committed, targets.numbers_held) == HELD
    assert f"{HELD} of them held" in readme


def test_the_shifts_in_the_code_are_those_that_were_learned():
    text = (RESULTS / "targets.md").read_text()
    found = re.search(
        r"teach the shifts (\S+) and, of one half, (\S+); in the code are (\S+) and (\S+)\. ", text
    )
    assert found.groups() == (f"{SHIFT:.2f}", f"{MIDDLE:.2f}") * 2


def test_tasks_and_their_curves_count_alike():
    rows = [targets.Row(task, "m", "four", 9, 2.0, raw, 1.0, raw, 1.0, 1.0, raw, raw)
            for task, raw in (("x", 1.0), ("x", 0.5), ("y", 0.25))]  # fmt: skip
    assert targets.held(rows, "raw") == pytest.approx(0.5)


def test_a_curve_asked_anew_says_what_the_table_says(committed):
    chosen = [case for case in cases("five") if case.curve.model == "BiT/50/1"]
    assert [case.curve.task for case in chosen] == ["c_10", "inet_10"]
    rows, shifts = targets.judge(chosen)
    known = {(row.task, row.model, row.setting): row for row in committed}
    for row in rows:
        assert row.raw == pytest.approx(known[row.task, row.model, row.setting].raw, abs=1e-3)
    assert min(shifts) >= 0.0 and "BiT/50/1" in targets.report(rows, shifts)
