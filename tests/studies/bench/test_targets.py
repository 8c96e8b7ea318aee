"""The targets' benchmark: its committed table, and one curve asked anew."""

import csv
from pathlib import Path

import pytest

from studies.analysis.target import SHIFT
from studies.bench import targets
from studies.bench.forecasts import cases

pytestmark = pytest.mark.once

RESULTS = Path(__file__).parents[3] / "results" / "forecasts"


@pytest.fixture(scope="module")
def committed():
    with (RESULTS / "targets.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = ("farthest", "raw", "raw_times", "calibrated", "calibrated_times")
    return [
        targets.Row(**{k: float(v) if k in numbers else v for k, v in row.items()}) for row in rows
    ]


def test_a_probability_of_nine_tenths_holds_about_as_often(committed):
    assert targets.held(committed, "calibrated") == pytest.approx(0.9, abs=0.03)
    assert targets.held(committed, "raw") <= targets.held(committed, "calibrated")


def test_the_shift_in_the_code_is_the_one_that_was_learned():
    assert f"a shift of {SHIFT:.2f} (" in (RESULTS / "targets.md").read_text()


def test_tasks_and_their_curves_count_alike():
    rows = [targets.Row(task, "m", "all", 9, 2.0, raw, 1.0, raw, 1.0)
            for task, raw in (("x", 1.0), ("x", 0.5), ("y", 0.25))]  # fmt: skip
    assert targets.held(rows, "raw") == pytest.approx(0.5)


def test_a_curve_asked_anew_says_what_the_table_says(committed):
    chosen = [case for case in cases("all") if case.curve.model == "BiT/50/1"]
    assert [case.curve.task for case in chosen] == ["c_10", "inet_10"]
    rows, shift = targets.judge(chosen)
    known = {(row.task, row.model, row.setting): row for row in committed}
    for row in rows:
        assert row.raw == pytest.approx(known[row.task, row.model, row.setting].raw, abs=1e-3)
    assert shift >= 0.0 and "BiT/50/1" in targets.report(rows, shift)
