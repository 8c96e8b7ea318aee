"""A report as one HTML page to send: pictures inside, no script, nothing that is loaded.

The page is the report's Markdown, so that the two cannot differ. HTML in it is text (no name can
smuggle any in), a picture is one of the report's own or its caption alone, and a link to a file beside
the report, which a mail does not have, is that file's name.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from studies.plots.style import DPI

_PIXELS_AN_INCH = 96  # of a page
_COLOURS = 256  # of a picture: a quarter of its bytes, and none that anyone would miss in a chart

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}</main>
</body>
</html>
"""


def page(text: str, pictures: Mapping[str, bytes]) -> str:
    """A report as an HTML page of its own.

    Args:
        text: the report as Markdown.
        pictures: PNG files by the path that the report has for them.

    Example:
        >>> page("# Title", {}).startswith("<!doctype html>")
        True
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("image", _image)
    reader.add_render_rule("heading_open", _heading)
    reader.add_render_rule("table_open", _table_open)
    reader.add_render_rule("table_close", _table_close)
    for side in ("link_open", "link_close"):
        reader.add_render_rule(side, _link)
    env: dict[str, Any] = {"pictures": pictures}
    tokens = reader.parse(text, env)
    _bare_pictures(tokens)
    body = reader.renderer.render(_with_contents(tokens), reader.options, env)
    style = resources.files("studies.report").joinpath("page.css").read_text(encoding="utf-8")
    return _PAGE.format(title=escape(_title(tokens)), style=style, body=body)


def _title(tokens: Sequence[Token]) -> str:
    """The first heading's text, without its marks."""
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            return _words(inline)
    return "Report"


def _words(inline: Token) -> str:
    return "".join(
        " " if child.type == "softbreak" else child.content for child in inline.children or ()
    )


def _with_contents(tokens: list[Token]) -> list[Token]:
    """The tokens, with a list of the sections before the first of them; it is folded away."""
    entries: list[tuple[int, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            token.meta["id"] = f"section-{len(entries) + 1}"
            title = escape(_words(tokens[place + 1]))
            entries.append((place, f'<li><a href="#{token.meta["id"]}">{title}</a></li>'))
    if not entries:
        return tokens
    items = "\n".join(item for _, item in entries)
    contents = Token("html_block", "", 0)  # written here, and escaped
    contents.content = (
        f"<nav><details><summary>Contents</summary><ol>\n{items}\n</ol></details></nav>\n"
    )
    first = entries[0][0]
    return [*tokens[:first], contents, *tokens[first:]]


def _bare_pictures(tokens: Sequence[Token]) -> None:
    """A paragraph of a picture alone is none: a figure must not stand in one."""
    for before, inline, after in zip(tokens, tokens[1:], tokens[2:]):
        children = [child.type for child in inline.children or ()]
        if before.type == "paragraph_open" and children == ["image"]:
            before.hidden = after.hidden = True


def _image(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Mapping[str, Any]
) -> str:
    token = tokens[index]
    caption = escape(token.content)
    picture = env["pictures"].get(token.attrs.get("src"))
    if picture is None:
        return caption
    data, width, height = _smaller(picture)
    box = f"picture-{index}"
    return (
        f'<figure><input type="checkbox" id="{box}" aria-label="enlarge"><label for="{box}">'
        f'<img src="data:image/png;base64,{base64.b64encode(data).decode()}" alt="{caption}" '
        f'width="{width}" height="{height}"></label><figcaption>{caption}</figcaption></figure>\n'
    )


def _smaller(picture: bytes) -> tuple[bytes, int, int]:
    """A PNG of a chart with as many colours as it needs; its width and height on a page."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        width, height = (round(side * _PIXELS_AN_INCH / DPI) for side in image.size)
    buffer = io.BytesIO()
    few.save(buffer, format="png", optimize=True)
    return min(buffer.getvalue(), picture, key=len), width, height


def _heading(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Mapping[str, Any]
) -> str:
    token = tokens[index]
    place = f' id="{token.meta["id"]}"' if "id" in token.meta else ""
    return f"<{token.tag}{place}>"


def _table_open(*_: Any) -> str:
    # In a box of its own, which scrolls where a phone is too narrow; keys reach it too.
    return '<div class="table" role="region" aria-label="table" tabindex="0"><table>\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"


def _link(
    renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Mapping[str, Any]
) -> str:
    return "<code>" if tokens[index].nesting > 0 else "</code>"
