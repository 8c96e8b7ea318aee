"""Fronts by hand, and the exponent of a power law that is known."""

import numpy as np
import pytest

from studies.analysis.compute import Trained, pareto_front, study_compute
from studies.analysis.estimate import Estimate

pytestmark = pytest.mark.once


def trained(arm, compute, accuracy, family="vit", errors=None):
    estimate = Estimate(accuracy, accuracy - 0.01, accuracy + 0.01, 0.0, 2)
    return Trained(arm, 500, family, compute, estimate, errors or {0: 1 - accuracy})


def test_the_front_is_what_nothing_cheaper_reaches():
    points = [trained("a", 1.0, 0.5), trained("b", 2.0, 0.4), trained("c", 2.0, 0.7)]
    points += [trained("d", 3.0, 0.7), trained("e", 4.0, 0.8)]
    assert [point.arm for point in pareto_front(points)] == ["a", "c", "e"]


def test_of_equal_compute_the_better_one_is_on_the_front():
    points = [trained("worse", 1.0, 0.4), trained("better", 1.0, 0.5)]
    assert [point.arm for point in pareto_front(points)] == ["better"]


def test_what_is_cheaper_by_a_tenth_alone_is_not_best_for_its_compute():
    points = [trained("bad", 1.0, 0.4), trained("good", 1.09, 0.8), trained("far", 1.3, 0.9)]
    assert [point.arm for point in pareto_front(points)] == ["good", "far"]


def test_families_have_fronts_and_laws_of_their_own():
    rng = np.random.default_rng(0)
    points = []
    for compute in np.geomspace(1e11, 1e14, 7):
        errors = {
            s: float(0.5 * (compute / 1e11) ** -0.2 * np.exp(rng.normal(0, 0.01))) for s in (0, 1)
        }
        points.append(
            trained(f"vit {compute:g}", compute, 1 - np.mean([*errors.values()]), errors=errors)
        )
    points += [trained("bit", 1e12, 0.3, "resnet"), trained("bit 2", 1e13, 0.4, "resnet")]
    found = study_compute(points, "a study", chance=0.1)
    assert len(found.fronts["vit"]) == 7 and len(found.front) == 7
    assert [point.arm for point in found.fronts["resnet"]] == ["bit", "bit 2"]
    power = found.exponent("vit")
    assert power.low <= -0.2 <= power.high and power.value == pytest.approx(-0.2, abs=0.05)
    assert "4 computes" in found.without_law["resnet"] and "resnet" not in found.laws
