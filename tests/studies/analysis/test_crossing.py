"""Crossings of laws and of measured means: where, how sure, and when there is none."""

import math

import numpy as np
import pytest

from studies.analysis import crossing, fit_scaling_law
from studies.analysis.crossing import _sign_changes

pytestmark = pytest.mark.once

SIZES = np.array([500, 1000, 2000, 5000, 10000, 20000, 50000], dtype=float)


def resnet(x):
    return 2.2 * x**-0.28


def vit(x):  # crosses resnet at (4.5 / 2.2) ** (1 / 0.08) = 7,651
    return 4.5 * x**-0.36


def late(x):  # crosses resnet at (5.3 / 2.2) ** (1 / 0.08) = 59,300
    return 5.3 * x**-0.36


def flat(curve, rng, noise=0.02, seeds=3):
    x = np.tile(SIZES, seeds)
    errors = curve(x) * np.exp(rng.normal(0, noise, len(x)) if noise else 0.0)
    return x, errors, np.repeat(np.arange(seeds), len(SIZES))


def law(curve, rng, noise=0.02, seeds=3, **options):
    return fit_scaling_law(*flat(curve, rng, noise, seeds), rng, chance_error=0.9, **options)


def test_a_crossing_within_the_data(rng):
    found = crossing(law(vit, rng), law(resnet, rng))
    assert found.kind == "measured"
    assert found.low < 7651 < found.high
    assert found.low < found.size < found.high
    assert found.better_below == "b" and found.others == ()


def test_the_order_of_the_laws_only_swaps_names(rng):
    a, b = law(vit, rng), law(resnet, rng)
    one, two = crossing(a, b), crossing(b, a)
    assert one.size == pytest.approx(two.size)
    assert (one.better_below, two.better_below) == ("b", "a")


def test_equal_seeds_give_equal_crossings(rng):
    data = [flat(curve, rng) for curve in (vit, resnet)]
    results = [
        crossing(*(fit_scaling_law(*d, np.random.default_rng(3)) for d in data)) for _ in range(2)
    ]
    assert results[0] == results[1]


def test_a_crossing_beyond_the_data_is_marked_extrapolated(rng):
    found = crossing(law(late, rng, 0.003), law(resnet, rng, 0.003))
    assert found.kind == "extrapolated"
    assert found.size == pytest.approx(59_300, rel=0.2)
    assert found.low < 59_300 < found.high


def test_a_crossing_below_the_data_is_marked_extrapolated(rng):
    def early(x):  # crosses resnet at (3.1 / 2.2) ** (1 / 0.06) = 304
        return 3.1 * x**-0.34

    found = crossing(law(early, rng, 0.002), law(resnet, rng, 0.002))
    assert found.kind == "extrapolated"
    assert found.size == pytest.approx(304, rel=0.3)


def test_parallel_laws_do_not_cross(rng):
    found = crossing(law(lambda x: 1.5 * resnet(x), rng, 0.01), law(resnet, rng, 0.01))
    assert found.size is None or found.kind == "extrapolated"
    assert found.better_below == "b"


def test_well_separated_laws_exclude_a_crossing_in_the_measured_sizes(rng):
    found = crossing(law(lambda x: 1.5 * resnet(x), rng), law(resnet, rng))
    assert found.size is None
    if found.low is not None:  # what is left open lies outside
        assert found.low > 50_000 or found.high < 500


def test_equal_laws_do_not_cross(rng):
    same = law(resnet, rng)
    found = crossing(same, same)
    assert found.kind == "none" and found.better_below is None
    assert "coincide" in found.note


def test_a_touch_is_no_crossing():
    assert _sign_changes(np.arange(5.0), np.array([0.4, 0.1, 0.0, 0.1, 0.4])) == []
    assert _sign_changes(np.arange(5.0), np.array([0.4, 0.1, 0.0, -0.1, -0.4])) == [(1.0, 3.0)]


def test_of_two_crossings_the_last_is_taken_and_the_other_told(rng):
    # b is ahead at the ends, a between: a law with a limit against a straight line
    def a(x):
        return 14 * x**-0.55 + 0.0625

    def b(x):
        return 2.0 * x**-0.28

    gap = a(SIZES) - b(SIZES)
    assert np.sign(gap).tolist().count(-1.0) > 0 and gap[0] > 0 and gap[-1] > 0
    found = crossing(law(a, rng, 0.002), law(b, rng, 0.002))
    assert len(found.others) == 1 and found.others[0] < found.size
    assert found.better_below == "a"


def test_indistinguishable_models_get_no_number_and_say_so(rng):
    for _ in range(5):
        found = crossing(law(resnet, rng, 0.03), law(resnet, rng, 0.03))
        if found.low == 0 and found.high == math.inf:
            assert found.size is None and found.kind == "none" and not found.others
            return
    pytest.fail("five pairs of equal models were all told apart")


def test_a_shared_test_set_opens_the_interval(rng):
    laws = law(vit, rng, 0.003), law(resnet, rng, 0.003)
    assert crossing(*laws).kind == "measured"
    unsure = crossing(*laws, common_error=0.1)
    assert unsure.size is None and (unsure.low, unsure.high) == (0.0, math.inf)
    widths = [
        np.log(c.high / c.low) for c in (crossing(*laws), crossing(*laws, common_error=0.002))
    ]
    assert widths[1] > widths[0]


def test_one_seed_gives_no_crossing(rng):
    found = crossing(law(vit, rng, seeds=1), law(resnet, rng, seeds=1))
    assert (found.size, found.low, found.high, found.kind) == (None, None, None, "none")
    assert "one seed only" in found.note


def test_what_both_models_share_cancels(rng):
    common = np.repeat(rng.normal(0, 0.1, 3), len(SIZES))
    tables = []
    for curve in (vit, resnet):
        x, errors, seeds = flat(curve, rng, 0.01)
        tables.append((x, errors * np.exp(common), seeds))
    paired = crossing(*(fit_scaling_law(*t, rng) for t in tables))
    renamed = (tables[1][0], tables[1][1], tables[1][2] + 10)
    apart = crossing(fit_scaling_law(*tables[0], rng), fit_scaling_law(*renamed, rng))
    assert paired.low < 7651 < paired.high
    width = [np.log(min(c.high, 5e6) / max(c.low, 50)) for c in (paired, apart)]
    assert width[0] < 0.5 * width[1]


def test_equal_generators_do_not_make_laws_alike(rng):
    one, two = (flat(curve, rng, 0.03) for curve in (vit, resnet))
    same = crossing(*(fit_scaling_law(*d, np.random.default_rng(0)) for d in (one, two)))
    other = crossing(
        *(fit_scaling_law(*d, np.random.default_rng(n)) for n, d in enumerate((one, two)))
    )
    assert same.low == pytest.approx(other.low, rel=0.3)
    assert same.high == pytest.approx(other.high, rel=0.3)


def test_sizes_without_overlap_can_only_be_extrapolated(rng):
    small, large = np.array([300, 500, 1000, 2000.0]), np.array([9e3, 2e4, 5e4, 9e4])
    a = fit_scaling_law(small, vit(small), rng=rng, chance_error=0.9)
    b = fit_scaling_law(large, resnet(large), rng=rng, chance_error=0.9)
    found = crossing(a, b)
    assert found.kind in ("extrapolated", "none")
    if found.size is not None:
        assert found.low < 7651 < found.high
