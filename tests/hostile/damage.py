"""Valid files, damaged at random: by accident, and by somebody who knows the format.

A file is damaged as it lies there, and inside of what packs or seals it, so that no checksum saves its
reader from it.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hypothesis import strategies as st

NUMBERS = (  # what stands in a text instead of one
    *("-1", "0", "0.5", "1e308", "-1e308", "1e999", "NaN", "-Infinity", "18446744073709551616"),
    *("9" * 5000, "2147483648", "1000000000000", "null", "true", '""', "[]", "{}"),
)
DEPTHS = ("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900)
TEXTS = (  # what stands between quotation marks instead of a name
    *("", "a" * 5000, "../../../etc/passwd", "/etc/passwd", "C:\\\\con", ".", "..", "~", "\\u0000"),
    *(
        "\\ud800",
        "\\u202egnp",
        "\\u001b[2J",
        "=1+1",
        "<script>x</script>",
        "](x)|`*_",
        "$\\\\frac$",
    ),
    *("%s{0}", "os.system", "builtins.eval", "object", "|O", "猫"),
)
WORDS = (  # of 2, 4 or 8 bytes: lengths and sizes in a head
    *(
        bytes(4),
        b"\xff" * 2,
        b"\xff" * 4,
        b"\xff" * 8,
        b"\x7f" + b"\xff" * 3,
        b"\xff" * 3 + b"\x7f",
    ),
    *((10**5).to_bytes(4, "little"), (10**5).to_bytes(4, "big"), (10**12).to_bytes(8, "little")),
)
OTHERS = (  # beginnings of something else
    *(
        b"PK\x03\x04",
        b"\x89HDF\r\n\x1a\n",
        b"\x93NUMPY\x01\x00",
        b"\x80\x04cos\nsystem\n",
        b"\x89PNG\r\n",
    ),
    *(
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"II*\x00",
        b"BM",
        b"SQLite format 3\x00",
        b"\xef\xbb\xbf",
        b"{",
    ),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_TEXT = re.compile(rb'(?<=")[^"\n]*(?=")|(?<=\')[^\'\n]*(?=\')')


class Form(NamedTuple):
    """How a file holds its parts: from the file, and back to a file."""

    unpack: Callable[[bytes], Mapping[str, bytes]]
    pack: Callable[[Mapping[str, bytes]], bytes]


def _zip(parts: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _unzip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _sealed(parts: Mapping[str, bytes]) -> bytes:
    return parts[""] + hashlib.sha256(parts[""]).digest()


PLAIN = Form(lambda content: {"": content}, lambda parts: parts[""])
ZIPPED = Form(_unzip, _zip)
SEALED = Form(lambda content: {"": content[:-32]}, _sealed)  # with SHA-256 at its end


@st.composite
def damaged(draw: st.DrawFn, content: bytes, form: Form = PLAIN) -> bytes:
    """A valid file's content with one to three faults in it."""
    if form is not PLAIN and draw(st.integers(0, 3)):
        parts = dict(form.unpack(content))
        name = draw(st.sampled_from(sorted(parts)))
        parts[name] = draw(damaged(parts[name]))
        return form.pack(parts)
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from(FAULTS))(draw, content)
    return content


def _place(draw: st.DrawFn, content: bytes) -> int:
    """More often in the head, where sizes stand, than among what they are of."""
    if draw(st.booleans()):
        return draw(st.integers(0, min(len(content), 200)))
    return draw(st.integers(0, len(content)))


def flipped(draw: st.DrawFn, content: bytes) -> bytes:
    """Some bytes are others."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4)) if content else 0):
        changed[min(_place(draw, content), len(content) - 1)] = draw(st.integers(0, 255))
    return bytes(changed)


def cut(draw: st.DrawFn, content: bytes) -> bytes:
    """It ends before its end, or lacks a piece."""
    start = _place(draw, content)
    return content[:start] + content[draw(st.sampled_from([len(content), start + 8, start + 64])) :]


def doubled(draw: st.DrawFn, content: bytes) -> bytes:
    """A piece stands twice, or elsewhere too."""
    start, to = _place(draw, content), _place(draw, content)
    return content[:to] + content[start : start + draw(st.integers(1, 100))] + content[to:]


def other_head(draw: st.DrawFn, content: bytes) -> bytes:
    """It begins as something else does."""
    head = draw(st.sampled_from(OTHERS))
    return head + content[draw(st.sampled_from([0, len(head)])) :]


def wide(draw: st.DrawFn, content: bytes) -> bytes:
    """A number of a head is an extreme one."""
    word, start = draw(st.sampled_from(WORDS)), _place(draw, content)
    return content[:start] + word + content[start + len(word) :]


def number(draw: st.DrawFn, content: bytes) -> bytes:
    """A number of a text is another one, or none."""
    return _replaced(draw, content, _NUMBER, NUMBERS)


def text(draw: st.DrawFn, content: bytes) -> bytes:
    """A name is one that nobody thought of."""
    return _replaced(draw, content, _TEXT, TEXTS)


def deep(draw: st.DrawFn, content: bytes) -> bytes:
    """Brackets in brackets."""
    return _replaced(draw, content, _NUMBER, DEPTHS)


def _replaced(
    draw: st.DrawFn, content: bytes, pattern: re.Pattern[bytes], values: tuple[str, ...]
) -> bytes:
    found = list(pattern.finditer(content[:20_000]))
    if not found:
        return content
    match = draw(st.sampled_from(found))
    value = draw(st.sampled_from(values)).encode()
    return content[: match.start()] + value + content[match.end() :]


FAULTS = (flipped, cut, doubled, other_head, wide, number, number, text, text, deep)
