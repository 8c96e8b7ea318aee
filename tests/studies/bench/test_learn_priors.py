"""Learning priors: known distributions are found again, and the file says where it is from."""

import json

import numpy as np
import pytest

from studies.analysis import family
from studies.analysis.priors import FILE
from studies.bench import learn_priors
from studies.bench.known_curves import KnownCurve

pytestmark = pytest.mark.once


def drawn(rng, exponent, bend):
    """A curve of 20 points of the family, with exponent and bend around these."""
    sizes = np.geomspace(100, 100_000, 20)
    member = np.array([[-1.5, 0.0, 0.0, rng.normal(bend, 0.2), -4.0, -4.0]])
    member[0, family.SLOPE] += rng.normal(exponent, 0.2) - family.log_exponent(member)[0]
    log_error = family.log_error(member, np.log(sizes / sizes[-1]), 0.9)[0]
    errors = np.exp(log_error + rng.normal(0, 0.005, 20))
    return KnownCurve("few-shot", "t", "m", 10, sizes, errors, None, np.zeros(20, bool))


def test_the_distribution_of_drawn_curves_is_found():
    rng = np.random.default_rng(0)
    found = learn_priors.learn([drawn(rng, -1.4, 0.2) for _ in range(12)], rounds=3)
    by_hand = learn_priors.BY_HAND
    assert found.exponent.mean == pytest.approx(-1.3, abs=0.15)
    assert found.bend.mean > by_hand.bend.mean + 0.15
    assert found.exponent.sd < by_hand.exponent.sd
    # Nothing was told about these two: they stay as set by hand.
    assert found.shift == by_hand.shift and found.fresh == by_hand.fresh


def test_the_file_tells_its_source_and_command():
    table = json.loads(FILE.read_text())
    assert table["command"].startswith("python -m studies.bench.learn_priors")
    assert table["curves"]["few-shot"] == 10 and table["curves"]["learners"] == 48
    assert all(sd > 0 for _, sd in table["priors"].values())


def test_the_mean_over_curves_is_weighted():
    found = learn_priors._normal([(8.0, 1.0, 0.0)], learn_priors.Normal(0.0, 1.0))
    assert found.mean == pytest.approx(0.8)  # (8 * 1 + 2 * 0) / 10
    assert found.sd**2 == pytest.approx(0.8 * 0.2**2 + 0.2 * (1.0 + 0.8**2))
