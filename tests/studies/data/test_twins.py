"""Images with the same pixels are found, and few others looked at."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.data.twins import hashes_on_disk, pixel_hash, twins

pytestmark = pytest.mark.once


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=30))
def test_they_are_the_rows_that_are_there_twice(rows):
    places, number = twins(np.array(rows, np.uint64))
    assert places.tolist() == [i for i, row in enumerate(rows) if rows.count(row) > 1]
    for a, one in zip(places, number, strict=True):
        for b, other in zip(places, number, strict=True):
            assert (one == other) == (rows[a] == rows[b])


def test_a_hash_is_of_the_pixels(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 5, 5, 3), dtype=np.uint8)
    images[3] = images[0]
    hashes = hashes_on_disk(tmp_path / "hashes", 4)
    for place, image in enumerate(images):
        hashes[place] = pixel_hash(image[:, ::-1])  # not in one piece in memory
    assert (hashes[3] == hashes[0]).all() and len(np.unique(hashes, axis=0)) == 3
    assert len(hashes_on_disk(tmp_path / "none", 0)) == 0
