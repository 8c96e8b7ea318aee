"""Laws on log axes: named, with their points, labelled whatever the errors are."""

import pandas as pd
import pytest

from studies.plots.laws import error_laws
from tests.studies.plots.frames import LAWS, PowerLaw, drawn, frame_of, means_and_seeds
from tests.studies.synthetic import make_records, make_study

pytestmark = pytest.mark.once


def test_error_laws_are_log_log_and_name_the_law():
    frame = frame_of(make_records(make_study()))
    _, seeds = means_and_seeds(frame)
    ax = error_laws(seeds, {"vit-s": LAWS["vit-s"]}, ["vit-s", "bit-s"])
    texts = drawn(ax)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert f"vit-s: {LAWS['vit-s'].summary()}" in texts and "bit-s: no law" in texts


def test_equal_errors_have_labels_and_lie_inside():
    seeds = pd.DataFrame([("a", size, 0.75) for size in (100, 200, 400)])
    ax = error_laws(
        seeds.set_axis(["model", "size", "value"], axis=1), {"a": PowerLaw(0.25, 0.0)}, ["a"]
    )
    drawn(ax)
    low, high = ax.get_ylim()
    assert low < 0.25 < high
    shown = [t for t in ax.get_yticks() if low <= t <= high]
    assert len(shown) >= 3
    assert all(label.get_text() for label in ax.get_yticklabels())
