"""Names in Markdown, against a reader of Markdown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from studies.report.markup import Marked, code, plain
from studies.report.tables import markdown_table
from tests.studies.report.pages import Page

pytestmark = pytest.mark.once

SPECIAL = st.text("ab1.`|*_[]()<>!#+-=~$&;:\\\"'/ @\n", max_size=12)
READER = MarkdownIt("gfm-like", {"linkify": False})  # as GitHub reads it, HTML included


def words(text: str) -> str:
    return " ".join(text.split())


@given(SPECIAL)
def test_text_shows_as_it_is_wherever_it_stands(text):
    shown = words(text)
    for template in ("{}", "- {}", "x {} y", "**{}**" if shown else "{}"):
        page = Page(READER.render(template.format(plain(text))))
        assert words(page.shown) == words(template.strip("-* ").format(shown))
        assert set(page.tags) <= {"p", "ul", "li", "strong"}


@given(SPECIAL)
def test_typed_text_shows_as_it_is(text):
    if words(text):
        page = Page(READER.render(f"x {code(text)} y"))
        assert words(page.shown) == f"x {words(text)} y"
        assert set(page.tags) == {"p", "code"}


@given(st.lists(SPECIAL.filter(str.strip), min_size=4, max_size=4))
def test_cells_of_a_table_show_as_they_are(texts):
    page = Page(READER.render(markdown_table([texts[:2], [texts[2], code(texts[3])]])))
    ((first, second),) = page.tables
    assert [words(c) for c in first + second] == [words(t) for t in texts]
    assert set(page.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


def test_ordinary_names_stay_readable():
    for name in (
        "vit-s",
        "fashion_mnist",
        "blocks=[1, 1]",
        "10.5 % (90 % interval -1 to 2)",
        "+0.2",
    ):
        assert markdown_table([[name]]).splitlines()[0] == f"| {name} |"
    assert markdown_table([[Marked("*x*")]]).startswith("| *x* |")
