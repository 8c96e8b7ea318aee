"""Figures hold what they should: lines, bands, labels, units; and they leave pyplot alone."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from studies.analysis import Crossing, fit_scaling_law
from studies.plots.learning_curves import error_laws, fewshot_curves, learning_curves
from studies.plots.style import new_figure, short, styles
from studies.plots.training_curves import backend_curves, training_curves
from tests.studies.synthetic import SIZES, make_records, make_study

pytestmark = pytest.mark.once


def frame_of(records):
    return pd.DataFrame(
        [
            {key: r[key] for key in ("model", "size", "seed", "backend")} | r["metrics"]
            for r in records
        ]
    )


@pytest.fixture(scope="module")
def records():
    return make_records(make_study())


@pytest.fixture(scope="module")
def frame(records):
    return frame_of(records)


def law_of(frame, model):
    mine = frame[frame["model"] == model]
    return fit_scaling_law(
        mine["size"], 1 - mine["test_top1"], mine["seed"].to_list(), np.random.default_rng(0), 0.9
    )


def drawn(ax):
    """Renders the figure: what cannot be drawn fails here. Returns its visible texts."""
    ax.figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for text in [*ax.texts, *ax.get_legend().get_texts()]]


def test_learning_curves_show_means_units_and_sizes(frame):
    ax = learning_curves(frame, models=["vit-s", "bit-s", "vit-m"])
    texts = drawn(ax)
    assert ax.get_xscale() == "log"
    assert "training images" in ax.get_xlabel() and "%" in ax.get_ylabel()
    assert texts == ["vit-s", "bit-s", "vit-m"]
    assert ax.get_legend().get_title().get_text() == "mean and 90 % interval, 3 seeds"
    (line,) = (line for line in ax.lines if line.get_label() == "vit-s")
    assert line.get_xdata().tolist() == list(SIZES)
    mine = frame[(frame["model"] == "vit-s") & (frame["size"] == 500)]
    assert line.get_ydata()[0] == pytest.approx(mine["test_top1"].mean())
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels[:3] == ["500", "1k", "2k"]


def test_a_single_size_shows_its_interval_too(frame):
    """Student's t with two degrees of freedom at 90 %, on the logit scale: 2.92 standard errors."""
    one = frame[(frame["model"] == "vit-s") & (frame["size"] == 5000)]
    ax = learning_curves(one)
    (bars,) = ax.containers
    ((_, low), (_, high)) = bars[2][0].get_segments()[0]
    mean, error = one["test_top1"].mean(), one["test_top1"].std() / 3**0.5
    for bound, sign in ((low, -1), (high, 1)):
        told = np.log(bound / (1 - bound)) - np.log(mean / (1 - mean))
        assert told == pytest.approx(sign * 2.92 * error / (mean * (1 - mean)), rel=0.01)
    drawn(ax)


def test_a_measured_crossing_is_marked_with_its_interval(frame):
    found = Crossing(7651.0, 5000.0, 12000.0, "measured", "b")
    ax = learning_curves(frame, crossing=found, names=("vit-s", "bit-s"))
    assert "vit-s overtakes bit-s at 7.7k (5k to 12k)" in drawn(ax)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (100_000.0, np.inf, "(100k or more)"),
        (0.0, 300_000.0, "(or below 300k)"),
        (0.0, np.inf, "(interval open)"),
    ],
)
def test_open_intervals_are_told(frame, low, high, text):
    laws = {model: law_of(frame, model) for model in ("vit-s", "bit-s")}
    found = Crossing(200_000.0, low, high, "extrapolated", "a")
    ax = learning_curves(frame, laws=laws, crossing=found, names=("vit-s", "bit-s"))
    (told,) = (t for t in drawn(ax) if "overtakes" in t)
    assert told == f"forecast: bit-s overtakes vit-s at 200k {text}"
    assert ax.get_xlim()[1] > 200_000
    assert "forecast of the fitted law" in drawn(ax)


def test_a_crossing_without_interval_and_one_far_away(frame):
    near = learning_curves(frame, crossing=Crossing(7651.0, None, None, "measured", "b"))
    assert "curves cross at 7.7k" in drawn(near)
    far = learning_curves(frame, crossing=Crossing(9e9, None, None, "extrapolated", "b"))
    assert not any("9" in text for text in drawn(far))


CROSSINGS = {
    "measured": Crossing(7651.0, 5000.0, 12000.0, "measured", "b"),
    "at the left": Crossing(600.0, 0.0, 1500.0, "measured", "a"),
    "forecast": Crossing(200_000.0, 100_000.0, np.inf, "extrapolated", "b"),
    "none": Crossing(None, None, None, "none", "a"),
}


@pytest.mark.parametrize("noise", [0.03, 0.5])
@pytest.mark.parametrize("crossing", CROSSINGS.values(), ids=CROSSINGS)
def test_words_and_interval_of_the_crossing_and_the_legend_never_lie_on_data(crossing, noise):
    frame = frame_of(make_records(make_study(["vit-s", "bit-s"], seeds=2), noise))
    laws = {model: law_of(frame, model) for model in ("vit-s", "bit-s")}
    names = ("vit-s", "bit-s")
    title = "data-scale: fashion_mnist, 28x28x1"
    ax = learning_curves(frame, laws=laws, crossing=crossing, names=names, title=title)
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
    assert len(ax.texts) == (crossing.size is not None)
    curves = [line for line in ax.lines if line.get_transform() == ax.transData]
    lowest = min(
        *(line.get_window_extent(renderer).y0 for line in curves if len(line.get_xdata())),
        *(band.get_window_extent(renderer).y0 for band in ax.collections),
    )
    for bar in (line for line in ax.lines if line.get_gid() == "interval"):
        assert bar.get_window_extent(renderer).y1 < lowest


def test_one_seed_and_nothing_at_all(frame):
    one = learning_curves(frame[frame["seed"] == 0])
    drawn(one)
    assert one.get_legend().get_title().get_text() == "one seed, no interval"
    empty = learning_curves(frame[:0])
    assert [text.get_text() for text in empty.texts] == ["no finished trial yet"]


def test_error_laws_are_log_log_and_name_the_law(frame):
    laws = {"vit-s": law_of(frame, "vit-s")}
    ax = error_laws(frame, laws, models=["vit-s", "bit-s"])
    texts = drawn(ax)
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert f"vit-s: {laws['vit-s'].summary()}" in texts and "bit-s" in texts


def test_few_shot_panels(frame):
    axes = new_figure().subplots(1, 2)
    fewshot_curves(frame, [1, 5], axes)
    assert [ax.get_title() for ax in axes] == ["1 image a class", "5 images a class"]
    assert axes[1].get_legend() and not axes[0].get_legend()


def test_training_curves_have_one_line_a_seed(records):
    ax = training_curves(records, 500, ["vit-s", "bit-s", "vit-m"])
    assert len(ax.lines) == 9
    assert drawn(ax) == ["vit-s", "bit-s", "vit-m"]
    assert ax.get_xlabel() == "training step" and "%" in ax.get_ylabel()


def test_backends_lie_on_top_of_each_other():
    study = make_study(["vit-s"], [1000], 1, ["tensorflow", "jax", "torch"])
    ax = backend_curves(make_records(study), "vit-s", 1000, 0)
    assert [text.split(" (")[0] for text in drawn(ax)] == ["tensorflow", "jax", "torch"]


def test_records_without_history_do_not_hurt():
    ax = training_curves([{"model": "a", "size": 5, "seed": 0, "history": None}], 5)
    assert ax.get_legend() is None


def test_models_differ_in_more_than_colour():
    looks = list(styles([f"m{i}" for i in range(4)]).values())
    for attribute in ("colour", "marker", "line"):
        assert len({str(getattr(look, attribute)) for look in looks}) == 4


def test_short_sizes():
    assert [short(s) for s in (500, 1000, 1500, 7700, 50000, 1.2e6)] == [
        *("500", "1k", "1.5k", "7.7k", "50k", "1.2M"),
    ]


def test_pyplot_and_its_settings_are_left_alone(frame):
    before = dict(matplotlib.rcParams)
    learning_curves(frame)
    assert dict(matplotlib.rcParams) == before
    pyplot = __import__("sys").modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
