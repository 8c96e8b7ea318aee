"""Panels with shared axes: each holds its own data, labels stand once a row and column."""

import io

import numpy as np
import pandas as pd
import pytest

from studies.plots.facets import backend_curves, fewshot_curves, training_curves
from tests.studies.plots.frames import frame_of, means_and_seeds
from tests.studies.synthetic import SIZES, make_records, make_study

pytestmark = pytest.mark.once

MODELS = ["vit-s", "bit-s", "vit-m"]


@pytest.fixture(scope="module")
def records():
    return make_records(make_study())


def fewshot_frames(records, shots):
    frame = frame_of(records)
    parts = [means_and_seeds(frame, f"fewshot_{count}") for count in shots]
    return [
        pd.concat([part[i].assign(shots=count) for part, count in zip(parts, shots, strict=True)])
        for i in (0, 1)
    ]


def lines(ax):
    """What is drawn in an Axes: x and y of every line that has points."""
    return [(line.get_xdata(), line.get_ydata()) for line in ax.lines if len(line.get_xdata()) > 1]


def rendered(figure):
    figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []


def test_few_shot_panels_hold_their_own_means_and_seeds(records):
    means, seeds = fewshot_frames(records, [1, 5, 10])
    figure = fewshot_curves(means, seeds, MODELS, "mean and 90 % interval, 3 seeds")
    assert rendered(figure) == MODELS
    titles = ["1 image a class", "5 images a class", "10 images a class"]
    assert [ax.get_title() for ax in figure.axes[:3]] == titles
    for ax, count in zip(figure.axes, (1, 5, 10), strict=False):
        mine = means[(means["shots"] == count) & (means["model"] == "bit-s")]
        assert any(np.array_equal(y, mine["mean"]) for _, y in lines(ax))
        points = np.concatenate(
            [c.get_offsets() for c in ax.collections if c.get_offsets().size > 2]
        )
        values = seeds[seeds["shots"] == count]["value"]
        np.testing.assert_allclose(sorted(points[:, 1]), sorted(values))
    shown = {ax.get_ylim() for ax in figure.axes[:3]}
    assert len(shown) == 1


def test_few_shot_at_a_single_size_shows_intervals(records):
    one = [r for r in records if r["size"] == 500]
    means, seeds = fewshot_frames(one, [1, 5])
    figure = fewshot_curves(means, seeds, MODELS)
    rendered(figure)
    mine = means[(means["shots"] == 1) & (means["model"] == "vit-s")].iloc[0]
    segments = [
        s
        for c in figure.axes[0].collections
        if hasattr(c, "get_segments")
        for s in c.get_segments()
    ]
    assert any(np.allclose(sorted(s[:, 1]), [mine["low"], mine["high"]]) for s in segments)


def test_training_panels_share_their_ranges_and_label_the_axis_once(records):
    figure = training_curves(records, [500, 50000], MODELS)
    assert rendered(figure) == MODELS
    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim() and left.get_xlim() == right.get_xlim()
    assert left.get_ylabel() == "validation accuracy (%)" and not right.get_ylabel()
    assert [ax.get_title() for ax in figure.axes] == [
        *("500 training images", "50k training images"),
    ]
    for ax, size in ((left, 500), (right, 50000)):
        assert len(lines(ax)) == 9  # one a seed
        expected = [
            [entry["val_top1"] for entry in r["history"]] for r in records if r["size"] == size
        ]
        assert sorted(y.tolist() for _, y in lines(ax)) == sorted(expected)


def test_backends_lie_on_top_of_each_other():
    backends = ["tensorflow", "jax", "torch"]
    study = make_study(["vit-s", "bit-s"], SIZES[:1], 1, backends)
    figure = backend_curves(make_records(study), [("vit-s", 500, 0), ("bit-s", 500, 0)])
    assert rendered(figure) == backends
    assert [ax.get_title() for ax in figure.axes] == [
        *("vit-s, 500 images, seed 0", "bit-s, 500 images, seed 0"),
    ]
    assert [len(lines(ax)) for ax in figure.axes] == [3, 3]


def test_a_record_without_history_does_not_hurt(records):
    bare = {"model": "vit-m", "size": 500, "seed": 7, "backend": "tensorflow", "history": None}
    figure = training_curves([*records[:1], bare], [500], MODELS)
    assert rendered(figure) == ["vit-s"]
