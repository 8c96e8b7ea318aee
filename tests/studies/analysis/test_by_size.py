import math

import numpy as np
import pandas as pd
import pytest

from studies.analysis import Source, accuracy, difference, differences_by_size, means_by_size
from studies.analysis.by_size import (
    BALANCED,
    contrast_estimates,
    difference_estimates,
    mean_estimates,
)
from tests.studies.analysis.simulated import outcomes

pytestmark = pytest.mark.once


@pytest.fixture
def kept(rng):
    """Outcomes of two models at 50 of 100 images, three seeds, two classes."""
    label = np.repeat([0, 1], [150, 50])
    return {
        (model, "jax", 50): [outcomes(rng.random(200) < p, s, label=label) for s in range(3)]
        for model, p in (("a", 0.9), ("b", 0.8))
    }


def frame_of(kept):
    return pd.DataFrame(
        [
            {
                "model": model,
                "backend": backend,
                "size": size,
                "seed": each.seed,
                "test_top1": each.correct.mean(),
                "val_top1": 0.5 + 0.1 * each.seed,
            }
            for (model, backend, size), several in kept.items()
            for each in several
        ]
    )


def source_of(kept, pool=100):
    return Source(lambda *key: kept.get(key, ()), pool)


def test_outcomes_give_the_intervals_of_single_images(kept):
    frame, source = frame_of(kept), source_of(kept)
    found = mean_estimates(frame, "test_top1", source=source)
    assert found["a", "jax", 50] == accuracy(kept["a", "jax", 50], overlap=0.5)
    found = mean_estimates(frame, BALANCED, level=0.8, source=source)
    assert found["b", "jax", 50] == accuracy(kept["b", "jax", 50], True, 0.5, level=0.8)
    found = difference_estimates(frame, "a", "b", BALANCED, source=source)
    assert found == {50: difference(kept["a", "jax", 50], kept["b", "jax", 50], True, 0.5)}
    (row,) = differences_by_size(frame, "a", "b", "test_top1", source=source).to_dict("records")
    assert row["low"] < row["mean"] < row["high"] and row["n"] == 3 and row["paired"]


def test_other_metrics_and_trials_without_outcomes_have_seeds_alone(kept):
    frame, source = frame_of(kept), source_of({})
    for metric, given in (("val_top1", source_of(kept)), ("test_top1", source)):
        for estimate in mean_estimates(frame, metric, source=given).values():
            assert "over seeds alone" in estimate.note and estimate.seeds == 3
    (estimate,) = difference_estimates(frame, "a", "b", "test_top1", source=source).values()
    assert "over seeds alone" in estimate.note
    assert mean_estimates(frame, BALANCED, source=source) == {}


def test_models_without_a_common_seed_are_compared_by_their_means(kept):
    kept["b", "jax", 50] = [
        outcomes(each.correct, each.seed + 7, label=each.label) for each in kept["b", "jax", 50]
    ]
    found = difference_estimates(frame_of(kept), "a", "b", "test_top1", source=source_of(kept))
    assert not found[50].paired and "over seeds alone" in found[50].note


def test_equal_seeds_make_no_exact_number():
    frame = pd.DataFrame(
        {"model": list("aabb"), "backend": "jax", "size": 9, "seed": [0, 1] * 2, "test_top1": 0.5}
    )
    (row,) = differences_by_size(frame, "a", "b", "test_top1").to_dict("records")
    assert row["mean"] == 0.0 and math.isnan(row["low"]) and math.isnan(row["high"])
    (row,) = differences_by_size(frame, "a", "b", "test_top1", images=100).to_dict("records")
    assert row["low"] < 0.0 < row["high"]
    means = means_by_size(frame, "test_top1", images=100)
    assert (means["low"] < means["mean"]).all() and (means["mean"] < means["high"]).all()


def test_frames_by_size():
    frame = pd.DataFrame(
        {
            "model": ["a", "a", "b", "b", "b"],
            "size": [500, 500, 500, 500, 1000],
            "seed": [0, 1, 0, 1, 0],
            "backend": "jax",
            "test_top1": [0.5, 0.6, 0.4, 0.5, 0.7],
        }
    )
    means = means_by_size(frame, "test_top1")
    assert means[["model", "size", "n"]].to_numpy().tolist() == [
        ["a", 500, 2],
        ["b", 500, 2],
        ["b", 1000, 1],
    ]
    assert means["mean"].tolist() == pytest.approx([0.55, 0.45, 0.7])
    table = differences_by_size(frame, "a", "b", "test_top1")
    assert table["size"].tolist() == [500] and table["mean"].tolist() == pytest.approx([0.1])
    # Two seeds 0.1 apart at 0.55: t(1; 95 %) = 6.31375, half width 0.315688, in logits 1.275506.
    assert means["high"][0] == pytest.approx(1 / (1 + math.exp(-0.200671 - 1.275506)), abs=1e-5)
    assert means_by_size(frame, "fewshot_5").empty
    assert differences_by_size(frame, "a", "c", "test_top1").empty


def test_differences_of_accuracies_stay_between_minus_1_and_1():
    frame = pd.DataFrame(
        {
            "model": ["a", "a", "b", "b"],
            "size": 500,
            "seed": [0, 1, 0, 1],
            "backend": "jax",
            "test_top1": [0.9, 0.5, 0.1, 0.3],  # differences 0.8 and 0.2: half width 1.9
        }
    )
    (row,) = differences_by_size(frame, "a", "b", "test_top1").to_dict("records")
    assert (row["low"], row["high"]) == (-1.0, 1.0) and row["mean"] == pytest.approx(0.5)
    # The estimate itself, which sentences are made of.
    found = difference_estimates(frame, "a", "b", "test_top1")[500]
    assert (found.low, found.high) == (-1.0, 1.0)
    weights = {"a": 0.5, "b": -0.25}  # between -0.25 and 0.5
    found = contrast_estimates(frame, weights, "test_top1")[500]
    assert (found.low, found.high) == (-0.25, 0.5)
