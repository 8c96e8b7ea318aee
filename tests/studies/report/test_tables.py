"""Tables for a terminal: never wider than it, a percent sign never alone."""

import pytest

from studies.records.frames import read_results
from studies.report.evidence import gather
from studies.report.tables import markdown_table, plain_table, wrapped
from studies.report.terminal import table_text
from tests.studies.synthetic import CURVES, make_records, make_study, write_folder

pytestmark = pytest.mark.once


def test_columns_that_do_not_fit_go_into_further_blocks():
    rows = [["n", "a" * 10, "b" * 10, "c" * 10], ["100", "1", "2", "3"]]
    lines = plain_table(rows, width=28)
    assert lines == [
        *("  n  aaaaaaaaaa  bbbbbbbbbb", "100           1           2", ""),
        *("  n  cccccccccc", "100           3"),
    ]
    assert plain_table(rows, width=40)[0].split() == ["n", "a" * 10, "b" * 10, "c" * 10]


def test_a_percent_sign_stays_with_its_number():
    text = "an interval of 90 % and another one of 95 % and 99 %"
    for width in range(8, 40):
        lines = wrapped(text, width)
        assert not any(line.startswith("%") for line in lines)
        assert " ".join(lines) == text and max(map(len, lines)) <= width


def test_cells_of_markdown_may_hold_bars():
    assert markdown_table([["a|b"], ["c"]]) == "| a\\|b |\n| --- |\n| c |"


def test_six_models_of_long_names_fit_60_columns(tmp_path):
    names = [f"vit-{'long' * n}-{n}" for n in range(1, 6)] + ["bit-with-a-name-of-many-letters"]
    study = make_study(names, [500, 20000], seeds=2, test=200)
    curves = dict.fromkeys(names, CURVES["vit-s"])
    results = read_results(write_folder(tmp_path, study, make_records(study, curves=curves)))
    lines = table_text(results, gather(results)).splitlines()
    assert max(map(len, lines)) <= 60
    assert sum(line.lstrip().startswith("20,000 ") for line in lines) == 3  # two models a block
