"""The documentation builds without a warning, its links lead somewhere, and it leaves no name out."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import keras_vit

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.once


def build(source: Path, target: Path) -> subprocess.CompletedProcess:
    """What `make docs` runs."""
    (recipe,) = re.findall(
        r"\$\(PY\) -m (sphinx .*) docs \S+$", (ROOT / "Makefile").read_text(), re.M
    )
    command = [sys.executable, "-m", *recipe.split(), str(source), str(target)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


class Page(HTMLParser):
    """The places of a page that can be linked to, and where its links lead."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.places |= {given[name] for name in ("id", "name") if given.get(name)}
        self.links |= {given[name] for name in ("href", "src") if given.get(name)}


def public_names() -> set[str]:
    names = {f"keras_vit.{name}" for name in keras_vit.__all__}
    for package in ("inspection", "pretraining"):
        names.remove(f"keras_vit.{package}")
        names |= {f"keras_vit.{package}.{name}" for name in getattr(keras_vit, package).__all__}
    return names


def test_it_builds_and_its_links_lead_somewhere(tmp_path):
    result = build(DOCS, tmp_path)
    assert result.returncode == 0, result.stderr
    pages = {file: Page(file) for file in tmp_path.rglob("*.html")}
    assert public_names() <= set().union(*(page.places for page in pages.values()))
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.exists(), f"{file.name} links to {link}"
            if parts.fragment and target in pages:
                places = pages[target].places
                assert unquote(parts.fragment) in places, f"{file.name} links to {link}"


def test_a_broken_link_fails(tmp_path):
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text('extensions = ["myst_parser"]')
    (source / "index.md").write_text("# Page\n\n[there](nowhere.md)\n")
    result = build(source, tmp_path / "site")
    assert result.returncode != 0 and "nowhere.md" in result.stderr
