"""Learning curves and laws hold what they should: lines, bands, baseline, labels, units."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg

from studies.analysis import Crossing
from studies.plots.learning_curves import Line, learning_curves
from studies.plots.style import XAxis
from tests.studies.plots.frames import LAWS, drawn, frame_of, means_and_seeds
from tests.studies.synthetic import SIZES, make_records, make_study

pytestmark = pytest.mark.once

MODELS = ["vit-s", "bit-s", "vit-m"]
COMMONEST = Line(0.1, "always the commonest class (10.0 %)")


@pytest.fixture(scope="module")
def frame():
    return frame_of(make_records(make_study()))


def curves(frame, models=MODELS, **options):
    chosen = frame[frame["model"].isin(models)]
    return learning_curves(*means_and_seeds(chosen), models, **options)


def line_of(ax, label):
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return line


def test_means_units_and_sizes(frame):
    ax = curves(frame, caption="mean and 90 % interval, 3 seeds")
    assert drawn(ax) == MODELS
    assert ax.get_xscale() == "log"
    assert "training images" in ax.get_xlabel() and ax.get_ylabel() == "test accuracy (%)"
    assert ax.get_legend().get_title().get_text() == "mean and 90 % interval, 3 seeds"
    line = line_of(ax, "vit-s")
    assert line.get_xdata().tolist() == list(SIZES)
    mine = frame[(frame["model"] == "vit-s") & (frame["size"] == 500)]
    assert line.get_ydata()[0] == pytest.approx(mine["test_top1"].mean())
    assert [label.get_text() for label in ax.get_xticklabels()][:3] == ["500", "1k", "2k"]


def test_every_single_seed_is_a_point(frame):
    ax = curves(frame[frame["model"] == "vit-s"], ["vit-s"])
    points = np.concatenate([c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1])
    mine = frame[frame["model"] == "vit-s"]
    expected = sorted(zip(mine["size"], mine["test_top1"], strict=True))
    np.testing.assert_allclose(sorted(map(tuple, points)), expected, rtol=1e-6)


def test_a_single_size_has_a_row_a_model(frame):
    one = frame[frame["size"] == 5000]
    ax = curves(one, baseline=COMMONEST, caption="mean and 90 % interval, 3 seeds")
    assert "mean and 90 % interval, 3 seeds" in drawn(ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == MODELS
    assert "5,000 training images" in ax.get_title() and ax.get_xlabel() == "test accuracy (%)"
    means, _ = means_and_seeds(one)
    mine = means[means["model"] == "bit-s"].iloc[0]
    bars = [line for line in ax.lines if list(line.get_ydata()) == [1, 1]]
    assert list(bars[0].get_xdata()) == [mine["low"], mine["high"]]


def test_a_curve_of_one_point_has_a_bar_for_its_interval(frame):
    started = frame[(frame["model"] == "vit-s") | (frame["size"] == 500)]
    ax = curves(started, ["vit-s", "bit-s"])
    means, _ = means_and_seeds(started[started["model"] == "bit-s"])
    row = means.iloc[0]
    bars = [line.get_ydata().tolist() for line in ax.lines if list(line.get_xdata()) == [500, 500]]
    assert len(bars) == 1 and row["low"] < row["high"]
    assert bars[0] == pytest.approx([row["low"], row["high"]])


def test_the_baseline_is_where_it_is_when_the_curves_come_near(frame):
    ax = curves(frame, baseline=Line(0.55, "guessing"))
    assert line_of(ax, "guessing").get_ydata()[0] == 0.55
    low, high = ax.get_ylim()
    assert low < 0.55 < high
    assert not [line for line in ax.lines if line.get_gid() == "break"]


def test_a_baseline_far_below_lies_under_a_break_and_is_labelled_with_its_value(frame):
    large = frame[frame["size"] >= 5000]
    ax = curves(large, baseline=COMMONEST)
    drawn(ax)
    place = line_of(ax, COMMONEST.label).get_ydata()[0]
    means, _ = means_and_seeds(large)
    assert ax.get_ylim()[0] < place < means["low"].min()
    ticks = dict(
        zip(ax.get_yticks(), [text.get_text() for text in ax.get_yticklabels()], strict=True)
    )
    assert ticks.pop(place) == "10"
    assert all(float(text) == pytest.approx(100 * tick) for tick, text in ticks.items())
    breaks = [line for line in ax.lines if line.get_gid() == "break"]
    assert len(breaks) == 2
    share = (place - ax.get_ylim()[0]) / np.diff(ax.get_ylim())[0]
    assert all(line.get_ydata()[0] > share for line in breaks)


def test_what_is_marked_is_hollow_and_the_legend_says_why(frame):
    ax = curves(frame, marks={("vit-s", 500): "learned nothing", ("vit-s", 50000): "undertrained"})
    texts = drawn(ax)
    assert {"vit-s (undertrained)", "hollow: learned nothing or undertrained"} <= set(texts)
    (hollow,) = (
        line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())
    )
    assert hollow.get_xdata().tolist() == [500, 50000]
    assert not any("hollow" in text for text in drawn(curves(frame)))


def test_a_single_size_marks_its_models(frame):
    ax = curves(frame[frame["size"] == 5000], marks={("bit-s", 5000): "undertrained"})
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["vit-s", "bit-s (undertrained)", "vit-m"]


def test_a_forecast_starts_at_the_law_has_a_band_and_a_labelled_end(frame):
    ax = curves(frame, laws=LAWS)
    texts = drawn(ax)
    assert "forecast of the fitted law" in texts
    assert "100k" in [label.get_text() for label in ax.get_xticklabels()]
    for law in LAWS.values():
        dotted = [
            line
            for line in ax.lines
            if line.get_linestyle() == ":"
            and len(line.get_xdata())
            and np.isclose(line.get_ydata()[0], 1 - law.predict([50000])[0])
        ]
        assert len(dotted) == 1 and dotted[0].get_xdata()[0] == pytest.approx(50000)
        low, high = (1 - end[0] for end in law.mean_interval([100000], 0.9))
        ends = [c.get_paths()[0].vertices for c in ax.collections if len(c.get_paths()) == 1]
        assert any(
            np.isclose(v[:, 0], 100000).any()
            and np.isclose(v[:, 1], low).any()
            and np.isclose(v[:, 1], high).any()
            for v in ends
        )
        assert f"{100 * (1 - law.predict([100000])[0]):.1f} %" in texts


def test_labels_of_equal_ends_do_not_lie_on_each_other(frame):
    twins = pd.concat([frame[frame["model"] == "vit-s"].assign(model=m) for m in MODELS])
    ax = curves(twins, laws=dict.fromkeys(MODELS, LAWS["vit-s"]))
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    boxes = [
        text.get_window_extent(canvas.get_renderer())
        for text in ax.texts
        if text.get_gid() == "end"
    ]
    assert len(boxes) == 3
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])


def test_a_measured_crossing_is_marked_with_its_interval(frame):
    found = Crossing(7651.0, 5000.0, 12000.0, "measured", "b")
    ax = curves(frame, crossing=found, names=("vit-s", "bit-s"))
    assert "vit-s overtakes bit-s at 7.7k (5k to 12k)" in drawn(ax)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(100_000.0, np.inf, "(100k or more)"), (0.0, 300_000.0, "(or below 300k)")],
)
def test_open_intervals_are_told(frame, low, high, text):
    found = Crossing(200_000.0, low, high, "extrapolated", "a")
    ax = curves(frame, laws=LAWS, crossing=found, names=("vit-s", "bit-s"))
    (told,) = (t for t in drawn(ax) if "overtakes" in t)
    assert told == f"forecast: bit-s overtakes vit-s at 200k {text}"
    assert ax.get_xlim()[1] > 200_000


def test_a_crossing_without_interval_and_one_far_away(frame):
    near = curves(frame, crossing=Crossing(7651.0, None, None, "measured", "b"))
    assert "curves cross at 7.7k" in drawn(near)
    far = curves(frame, crossing=Crossing(9e9, None, None, "extrapolated", "b"))
    assert not any("9" in text for text in drawn(far))


CROSSINGS = {
    "measured": Crossing(7651.0, 5000.0, 12000.0, "measured", "b"),
    "at the left": Crossing(600.0, 0.0, 1500.0, "measured", "a"),
    "forecast": Crossing(200_000.0, 100_000.0, np.inf, "extrapolated", "b"),
    "none": None,
}


@pytest.mark.parametrize("noise", [0.03, 0.5])
@pytest.mark.parametrize("crossing", CROSSINGS.values(), ids=CROSSINGS)
def test_words_and_interval_of_the_crossing_and_the_legend_never_lie_on_data(crossing, noise):
    frame = frame_of(make_records(make_study(["vit-s", "bit-s"], seeds=2), noise))
    names = ("vit-s", "bit-s")
    title = "data-scale: fashion_mnist, 28x28x1"
    ax = curves(
        frame, list(names), laws=LAWS, crossing=crossing, names=names, title=title,
        baseline=COMMONEST, caption="mean and 90 % interval, 2 seeds",
    )  # fmt: skip
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    inside, whole = ax.get_window_extent(renderer), ax.figure.bbox
    words = [ax.get_legend(), ax.title, ax.xaxis.label, *ax.texts]
    boxes = [word.get_window_extent(renderer) for word in words]
    for box in boxes:
        assert not box.overlaps(inside)
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1
        assert whole.y0 <= box.y0 and box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes if other is not box)
    assert len([t for t in ax.texts if t.get_gid() == "crossing"]) == (crossing is not None)
    curves_ = [line for line in ax.lines if line.get_transform() == ax.transData]
    lowest = min(
        *(line.get_window_extent(renderer).y0 for line in curves_ if len(line.get_xdata())),
        *(band.get_window_extent(renderer).y0 for band in ax.collections),
    )
    for bar in (line for line in ax.lines if line.get_gid() == "interval"):
        assert bar.get_window_extent(renderer).y1 < lowest


def test_nothing_at_all(frame):
    empty = curves(frame[:0])
    assert [text.get_text() for text in empty.texts] == ["no finished trial yet"]


def test_pyplot_and_its_settings_are_left_alone(frame):
    settings, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    curves(frame)
    assert dict(matplotlib.rcParams) == settings and pyplot.get_fignums() == figures


FRACTIONS = XAxis("rate of dropout", "linear")


def test_the_mark_of_a_level_between_whole_numbers_is_its_own(frame):
    """0.25 is no 0: the curve's name has the mark of its last level."""
    levels = frame[frame["model"] == "vit-s"].copy()
    levels["size"] = levels["size"].map(dict(zip(SIZES, np.linspace(0, 0.9, 7), strict=True)))
    last = levels["size"].max()
    ax = curves(levels, ["vit-s"], axis=FRACTIONS, marks={("vit-s", last): "undertrained"})
    assert "vit-s (undertrained)" in drawn(ax)
    ax = curves(levels, ["vit-s"], axis=FRACTIONS, marks={("vit-s", 0.0): "undertrained"})
    assert "vit-s (undertrained)" not in drawn(ax)


def test_a_line_across_that_is_marked_has_hollow_points_and_a_name_that_says_why(frame):
    means, seeds = means_and_seeds(frame[frame["model"].isin(["vit-s", "bit-s"])])
    across = means["model"] == "bit-s"
    means.loc[across, "size"] = np.nan
    means = means[~across | (means["mean"] == means.loc[across, "mean"].max())]
    seeds = seeds[seeds["model"] == "vit-s"]

    def made(marks):
        return learning_curves(means, seeds, ["vit-s", "bit-s"], marks=marks)

    ax = made({("bit-s", float("nan")): "undertrained"})
    assert {"bit-s (undertrained)", "vit-s", "hollow: undertrained"} == set(drawn(ax))
    hollow = [
        line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())
    ]
    assert hollow and all(
        y == means.loc[means["model"] == "bit-s", "mean"].item()
        for line in hollow
        for y in line.get_ydata()
    )
    assert set(drawn(made({}))) == {"bit-s", "vit-s"}
