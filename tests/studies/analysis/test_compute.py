"""Fronts by hand, and the exponent of a power law that is known."""

from dataclasses import replace

import numpy as np
import pytest

from studies.analysis.compute import Trained, pareto_front, study_compute
from studies.analysis.estimate import Estimate
from studies.analysis.variance import Variance

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


def test_what_learned_nothing_is_on_no_front_and_in_no_law():
    blind = replace(trained("blind", 1.0, 0.1), barred=("learned nothing",))
    other = replace(trained("other", 2.0, 0.1, "resnet"), barred=("learned nothing",))
    good = [trained("a", 2.0, 0.5), trained("b", 4.0, 0.6)]
    found = study_compute([blind, other, *good], "a study", chance=0.1)
    assert [point.arm for point in found.front] == ["a", "b"] and len(found.trained) == 4
    assert [point.arm for point in found.fronts["vit"]] == ["a", "b"]
    assert found.fronts["resnet"] == () and "learned nothing" in found.without_law["resnet"]
    assert "there are only 2" in found.without_law["vit"]


def test_the_test_set_s_own_error_is_in_the_laws():
    """Three points of it at every compute: seeds that agree do not make a law exact."""

    def law(sd):
        points = []
        for compute in np.geomspace(1e11, 1e14, 7):
            error = float(0.5 * (compute / 1e11) ** -0.2)
            errors = {s: error * (1 + 0.002 * s) for s in (0, 1)}
            parts = Variance(
                1 - error, 1 - error, 2, 400, 1e-7, sd**2, 0.0, 399.0, 0.0, 400.0, 400.0
            )
            estimate = Estimate(1 - error, 1 - error - sd, 1 - error + sd, 0.001, 2, 0.9)
            estimate = replace(estimate, variance=parts if sd else None)
            points.append(Trained(f"vit {compute:g}", 500, "vit", compute, estimate, errors))
        return study_compute(points, "a study", chance=0.1).laws["vit"]

    widths = []
    for sd in (0.0, 0.03):
        low, high = law(sd).mean_interval([1e14], 0.9)
        widths.append(float(high[0] - low[0]))
    assert widths[0] < 0.03 and widths[1] > 0.05
