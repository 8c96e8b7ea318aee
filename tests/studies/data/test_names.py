"""Names of images are found by the data's fingerprint, whatever lies beside them in the cache."""

import numpy as np
import pytest
from PIL import Image

from studies.data import load
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
