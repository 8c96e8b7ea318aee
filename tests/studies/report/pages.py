"""An HTML page as a reader of it: what is shown, what is loaded, which tables there are."""

from html.parser import HTMLParser

VOID = {"meta", "img", "input", "br", "hr"}
LOADS = {"src", "href", "srcset", "poster", "data", "action", "background", "style"}


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        tags: how often each element occurs.
        shown: its text.
        loads: values of attributes that could load something.
        tables: rows of cells.
        headings: texts of h1, h2, ...
    """

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.tags: dict[str, int] = {}
        self.pieces: list[str] = []
        self.loads: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.headings: list[str] = []
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    @property
    def shown(self) -> str:
        return " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attributes}
        self.loads += [value for name, value in attributes if name in LOADS]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.pieces.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data
        if {"h1", "h2", "h3"} & set(self._open):
            self.headings[-1] += data
