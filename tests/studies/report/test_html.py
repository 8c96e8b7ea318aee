"""The page to send: it shows what report.md shows, loads nothing, and takes no name for HTML."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from studies.records.frames import read_results
from studies.report.evidence import gather
from studies.report.html import page
from studies.report.text import markdown
from tests.studies.report.pages import Page
from tests.studies.synthetic import make_records, make_study, write_folder

pytestmark = pytest.mark.once

OURS = {  # elements that a report is made of
    *("html", "head", "meta", "title", "style", "body", "main", "nav", "details", "summary"),
    *("h1", "h2", "p", "strong", "em", "code", "ul", "ol", "li", "a", "div"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "input", "label"),
}
HOSTILE = [
    "<script>alert(1)</script>",
    "a|b `c` **d** _e_",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1)) \"' onload=alert(1)",
    "# heading",
    "- &lt;b&gt; &amp;",
    "1. \\| ``` $x$ ~~y~~",
    "<img src=x onerror=alert(1)>",
    "=SUM(A1)",
    "__init__ snake_case",
]


def picture() -> bytes:
    """A PNG of noise, 300 x 150."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (150, 300, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="png")
    return buffer.getvalue()


def test_pictures_are_inside_and_nothing_else_is_loaded():
    text = (
        "# A\n\n![caption](figures/a.png)\n\n![other](http://x.example/b.png)\n\nin [c.csv](c.csv)"
    )
    shown = Page(page(text, {"figures/a.png": picture()}))
    assert [load[:22] for load in shown.loads] == ["data:image/png;base64,"]
    assert shown.tags["img"] == 1
    assert shown.shown == "A A caption other in c.csv"  # title, heading and captions
    assert "default-src 'none'" in page(text, {})


def test_a_picture_keeps_its_pixels_in_fewer_bytes():
    import base64

    drawn = np.full((200, 400, 3), 255, np.uint8)
    drawn[50:150, 100:300] = [0, 114, 178]
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, format="png", compress_level=0)
    (uri,) = Page(page("![c](f.png)", {"f.png": buffer.getvalue()})).loads
    data = base64.b64decode(uri.partition(",")[2])
    assert len(data) < len(buffer.getvalue()) / 10
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), drawn)


def test_html_in_the_text_is_text():
    shown = Page(page("<script>alert(1)</script>\n\n<b>x</b>", {}))
    assert set(shown.tags) <= OURS and "<script>alert(1)</script>" in shown.shown


def test_sections_are_listed_and_lead_to_their_headings():
    text = page("# T\n\n## A `b` & c\n\nx\n\n## D\n\ny", {})
    targets = re.findall(r'<a href="#([^"]+)">(.*?)</a>', text)
    assert targets == [("section-1", "A b &amp; c"), ("section-2", "D")]
    for target, _ in targets:
        assert text.count(f'id="{target}"') == 1


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Markdown and page of a study whose every name is hostile."""
    models = {f"vit {name}": "vit-s" for name in HOSTILE[:4]} | {f"bit {HOSTILE[7]}": "bit-s"}
    study = make_study(list(models), [500, 1000, 2000], 2, classes=HOSTILE)
    study = study.model_copy(
        update={
            "question": HOSTILE[0] + HOSTILE[1],
            "dataset": f"folder:/x/{HOSTILE[3]}",
            "command": "run `a|b` <b>\nrun ``",
        }
    )
    from tests.studies.synthetic import CURVES

    curves = {name: CURVES[like] for name, like in models.items()}
    records = make_records(study, curves=curves)
    records[-1] |= {"status": "failed", "reason": f"{HOSTILE[7]} {HOSTILE[2]} | x", "metrics": {}}
    folder = write_folder(tmp_path_factory.mktemp("hostile") / "run", study, records)
    results = read_results(folder)
    text = markdown(results, gather(results), {})
    return study, text, Page(page(text, {}))


def test_hostile_names_are_shown_and_do_nothing(hostile):
    study, _, shown = hostile
    assert set(shown.tags) <= OURS and "img" not in shown.tags
    assert not [name for name in shown.attributes if name.startswith("on")]
    assert all(load.startswith("#section-") for load in shown.loads)
    for name in [*HOSTILE, *study.models, study.question]:
        assert name in shown.shown
    assert "run `a|b` <b>" in shown.shown


def test_hostile_names_do_not_break_tables(hostile):
    study, text, shown = hostile
    assert len(shown.tables) >= 4
    for table in shown.tables:
        assert {len(row) for row in table} == {len(table[0])} and len(table[0]) > 1
    cells = {cell.strip() for table in shown.tables for row in table for cell in row}
    assert set(HOSTILE) <= cells and set(study.models) <= cells
    # What starts a heading in Markdown is ours alone.
    assert len(re.findall(r"^#+ ", text, re.MULTILINE)) == len(shown.headings)
    assert "heading" not in shown.headings
