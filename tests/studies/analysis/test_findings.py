import numpy as np
import pandas as pd
import pytest

from studies.analysis import Source, accuracy
from studies.analysis.findings import compared_pairs, find
from studies.analysis.undertrained import Training
from tests.studies.analysis.simulated import outcomes

pytestmark = pytest.mark.once

SIZES = (100, 200, 400)


def study(rng, models, label, seeds=3):
    """Outcomes by (model, backend, size) of models with an accuracy by size, and their frame."""
    kept = {}
    for model, accuracies in models.items():
        for size, p in zip(SIZES, accuracies, strict=True):
            p = np.broadcast_to(p, len(label))
            kept[model, "jax", size] = [
                outcomes(rng.random(len(label)) < p, s, label=label) for s in range(seeds)
            ]
    rows = [
        {"model": m, "backend": b, "size": size, "seed": o.seed, "test_top1": o.correct.mean()}
        for (m, b, size), several in kept.items()
        for o in several
    ]
    return kept, pd.DataFrame(rows)


def test_verdicts_by_size_from_outcomes(rng):
    label = np.repeat(np.arange(4), 250)
    kept, frame = study(rng, {"vit": (0.3, 0.6, 0.8), "resnet": (0.5, 0.7, 0.8)}, label)
    source = Source(lambda *key: kept.get(key, ()), 1000)
    found = find(frame, ["vit", "resnet"], [("vit", "resnet")], "s", 4, source=source)
    assert found.metric == "test_top1" and not found.uneven and found.baseline == 0.25
    assert found.estimates["vit", 200] == accuracy(kept["vit", "jax", 200], overlap=0.2)
    assert found.means["low"].tolist() == [e.low for _, e in sorted(found.estimates.items())]
    (pair,) = found.pairs
    assert [v.leader for v in pair.verdicts.values()] == ["resnet", "resnet", None]
    assert pair.verdict == pair.verdicts[400] and pair.verdict.undecided
    assert found.barred == {} and not found.laws
    assert all("4 sizes or more" in found.without_law[model] for model in ("vit", "resnet"))
    row = pair.differences.iloc[0]
    assert row["size"] == 100 and row["high"] == pair.verdicts[100].difference.high


def test_uneven_classes_are_led_by_balanced_accuracy(rng):
    label = np.repeat([0, 1], [900, 100])
    # Always "ok" for half of the seeds' rare class: 94 % right, 70 % balanced.
    good, bad = np.where(label == 0, 0.9, 0.9), np.where(label == 0, 1.0, 0.0)
    kept, frame = study(rng, {"vit": (good,) * 3, "resnet": (bad,) * 3}, label)
    source = Source(lambda *key: kept.get(key, ()), 1000)
    found = find(frame, ["vit", "resnet"], [("vit", "resnet")], "s", 2, source=source)
    assert found.metric == "test_balanced" and found.uneven and found.baseline == 0.5
    assert found.estimates["resnet", 400].mean == 0.5
    assert found.barred == {("resnet", size): ("learned nothing",) for size in SIZES}
    assert found.pairs[0].verdict.barred == {"resnet": ("learned nothing",)}
    assert found.pairs[0].verdict.leader is None
    top1 = find(frame, ["vit", "resnet"], [("vit", "resnet")], "s", 2, "test_top1", source=source)
    # Nine tenths are "ok": neither 90 % accuracy is above that baseline.
    assert top1.baseline == 0.9 and set(top1.barred) == {
        (m, s) for m in ("vit", "resnet") for s in SIZES
    }


def test_an_undertrained_model_gets_no_verdict(rng):
    label = np.repeat(np.arange(4), 250)
    kept, frame = study(rng, {"vit": (0.3, 0.6, 0.8), "resnet": (0.5, 0.7, 0.95)}, label)
    source = Source(lambda *key: kept.get(key, ()), 1000)
    short = {("vit", 400): Training(True, "saw each image once", 0.1, 0.0, 0.1, 1.0)}
    found = find(
        frame, ["vit", "resnet"], [("vit", "resnet")], "s", 4, source=source, training=short
    )
    assert found.pairs[0].verdict.barred == {"vit": ("undertrained",)}
    assert found.pairs[0].verdicts[200].leader == "resnet"


def test_records_without_outcomes_are_judged_over_seeds_alone(rng):
    label = np.repeat(np.arange(4), 250)
    _, frame = study(rng, {"vit": (0.3, 0.6, 0.8), "resnet": (0.5, 0.7, 0.95)}, label)
    found = find(frame, ["vit", "resnet"], [("vit", "resnet")], "s", 4, images=1000)
    assert found.metric == "test_top1" and found.baseline == 0.25
    assert all("over seeds alone" in e.note for e in found.estimates.values())
    assert found.pairs[0].verdict.leader == "resnet"


def test_one_seed_without_outcomes_names_nobody(rng):
    _, frame = study(rng, {"a": (0.3, 0.5, 0.9), "b": (0.5, 0.5, 0.5)}, np.zeros(100, int), seeds=1)
    found = find(frame, ["a", "b"], [("a", "b")], "s", images=100)
    assert found.pairs[0].verdict.undecided and np.isnan(found.baseline) and found.barred == {}


def test_nothing_finished():
    frame = pd.DataFrame(columns=["model", "backend", "size", "seed", "test_top1"])
    found = find(frame, ["a", "b"], [("a", "b")], "s", 4)
    assert found.means.empty and found.pairs == [] and found.without_law["a"] == "no finished trial"


def test_vits_are_compared_with_resnets_matched_ones_first():
    families = {"vit-m": "vit", "vit-s": "vit", "bit-s": "resnet"}
    flops = {"vit-m": 30.0, "vit-s": 20.0, "bit-s": 21.0}
    assert compared_pairs(families, flops) == [("vit-s", "bit-s"), ("vit-m", "bit-s")]


def test_a_law_is_no_surer_than_the_test_set_lets_it_be(rng):
    """Seeds that agree on 100 shared images still leave the test set's own error of 4 points."""
    sizes, label = (100, 200, 400, 800), np.repeat(np.arange(4), 25)
    kept, rows = {}, []
    for size, p in zip(sizes, (0.5, 0.6, 0.7, 0.8), strict=True):
        right_ones = np.arange(100) % 25 < 25 * p
        kept["vit", "jax", size] = [outcomes(right_ones, s, label=label) for s in range(3)]
        rows += [("vit", "jax", size, s, right_ones.mean()) for s in range(3)]
    frame = pd.DataFrame(rows, columns=["model", "backend", "size", "seed", "test_top1"])
    source = Source(lambda *key: kept.get(key, ()), 10_000)
    found = find(frame, ["vit"], [], "s", 4, source=source)
    low, high = found.laws["vit"].mean_interval([800], 0.9)
    measured = found.estimates["vit", 800]
    assert measured.high - measured.low > 0.1
    # Relative to the error, as the law has it, no narrower than what stands beside it in the report.
    beside = np.log((1 - measured.low) / (1 - measured.high))
    assert np.log(high[0] / low[0]) >= beside - 1e-9
