"""Names of images are found by the data's fingerprint, whatever lies beside them in the cache."""

import numpy as np
import pytest
from PIL import Image

from studies.data import load, reopen
from studies.data.names import image_names

pytestmark = pytest.mark.once


def test_names_of_prepared_data_are_found_by_their_fingerprint(tmp_path):
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    data = load(f"folder:{folder}", cache=cache)
    (cache / "broken").mkdir()
    (cache / "broken" / "names.json").write_text("[")
    names = image_names(data.info.fingerprint, cache)
    assert names == data.names() and len(names) == 24 and "cat/03.png" in names[3]
    assert image_names("another", cache) == []
    assert image_names(data.info.fingerprint, tmp_path / "none") == []


@pytest.fixture
def photos(tmp_path):
    """Makes a folder of the same 24 images each time, and a table of them that lies above it."""

    def made(folder, prefix=""):
        rng = np.random.default_rng(0)
        lines = ["file,label"]
        for name in ("cat", "dog"):
            (tmp_path / folder / name).mkdir(parents=True)
            for number in range(12):
                path = tmp_path / folder / name / f"{prefix}{number:02}.png"
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
                lines.append(f"{path.relative_to(tmp_path)},{name}")
        (tmp_path / f"{folder}.csv").write_text("\n".join(lines))
        return f"folder:{tmp_path / folder}", f"csv:{tmp_path / folder}.csv"

    return made


def test_of_data_that_differ_in_names_alone_those_that_are_asked_for_are_opened(photos, tmp_path):
    cache = tmp_path / "cache"
    asked = [*photos("b"), *photos("a", "img")]
    data = {name: load(name, cache=cache) for name in asked}
    assert len({each.folder for each in data.values()}) == 4
    (fingerprint,) = {each.info.fingerprint for each in data.values()}
    for name in (*asked, *reversed(asked)):
        assert reopen(name, fingerprint, cache).names() == data[name].names()
        assert image_names(fingerprint, cache, name) == data[name].names()
        last = reopen(name, fingerprint, cache)
    # Under a name that nobody knows they are those that were used last.
    assert reopen("folder:moved", fingerprint, cache).folder == last.folder
    # And what has been asked for by another name since is known by its first one, too.
    load(asked[0].replace("/b", "/b/../b"), cache=cache)
    assert image_names(fingerprint, cache, asked[0]) == data[asked[0]].names()


def test_of_files_that_were_renamed_those_that_were_prepared_last_are_meant(photos, tmp_path):
    """Each of several, whatever the names of their folders in the cache are."""
    cache = tmp_path / "cache"
    for prefix in ("x", "y", "z", "x"):
        (name, _) = photos("a", prefix)
        data = load(name, cache=cache)
        found = image_names(data.info.fingerprint, cache, name)
        assert found == data.names() and found[0] == f"cat/{prefix}00.png"
        (tmp_path / "a").rename(tmp_path / f"gone-{len(list(tmp_path.iterdir()))}")
