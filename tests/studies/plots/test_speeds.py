"""The picture of a bench: nothing of it is outside."""

import pytest

from studies.plots.speeds import speeds

pytestmark = pytest.mark.once


def _row(model, contender):
    case = {"mode": "train", "model": model, "image_size": 224, "batch_size": 8}
    speed = {"images_per_second": 5.0, "lower_quartile": 4.0, "upper_quartile": 6.0}
    return {**case, **speed, "contender": contender, "ratio": "" if contender == "ours" else 1.25}


@pytest.mark.parametrize("models", [["ViT-S/16"], ["ViT-S/16", "small"]])
def test_one_panel_is_wide_enough_for_a_long_title(models):
    rows = [_row(model, contender) for model in models for contender in ("ours", "theirs")]
    title = "torch, mixed_bfloat16, cpu (Some(R) Long Name of a Processor) amx, 2 threads"
    figure = speeds(rows, title)
    figure.canvas.draw()
    words = figure.get_suptitle()
    assert words.replace("\n", " ").startswith(title)
    extent = figure._suptitle.get_window_extent()
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width
    texts = [text.get_text().strip() for ax in figure.axes for text in ax.texts]
    assert texts == ["1.25 x"] * len(models)
