"""Which size to add, by hand."""

import pytest

from studies.report.outlook import size_to_add

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("sizes", "pool", "expected"),
    [
        ([500, 1000], 5000, 2000),  # twice the largest, which is there
        ([500, 1000, 3000], 5000, 5000),  # all there are
        ([100, 1000], 1000, 320),  # nothing more: the middle of the widest gap
        ([1000], 1000, 500),  # the only one: half of it
        ([100, 200, 400, 800], 800, 1600),  # enough sizes, but no trend: to be collected
    ],
)
def test_the_size_to_add(sizes, pool, expected):
    assert size_to_add(sizes, pool) == expected
