"""Text of others in a terminal and in a spreadsheet."""

import pytest

from studies.errors import UsageError
from studies.shown import cell, printable, printable_lines

pytestmark = pytest.mark.once

HOSTILE = [  # what a terminal would do, and what is shown instead
    ("a\x1b[2Jb", "a\\x1b[2Jb"),
    ("a\nerror: b", "a\\nerror: b"),
    ("gnp.\u202egpj", "gnp.\\u202egpj"),
    ("\ud800", "\\ud800"),
    ("a\x00b", "a\\x00b"),
    ("a\u200bb", "a\\u200bb"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_does_not_print_is_spelled_out(text, shown):
    assert printable(text) == shown
    assert str(UsageError(f"The file {text} is not there.")) == f"The file {shown} is not there."


def test_lines_stay_lines():
    assert printable_lines("one\x1b[2J\ntwo") == "one\\x1b[2J\ntwo"


@pytest.mark.parametrize("text", ["vit-s", "größe 3", "猫 犬", "π ≤ 3.2", "$x$ *y*"])
def test_what_prints_stays(text):
    assert printable(text) == text


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x", "\tx"])
def test_a_spreadsheet_takes_no_name_for_a_formula(name):
    assert cell(name) == f"'{name}"


def test_other_names_are_cells_as_they_are():
    assert cell("vit-s") == "vit-s" and cell("") == "" and cell("a=b") == "a=b"
