"""Memory and speed against the number of images."""

import numpy as np
import pytest

from studies.plots.growth import growth

pytestmark = pytest.mark.once


def row(images, memory, speed):
    names = ("images", "train_anon_mib", "images_per_second")
    return {name: str(value) for name, value in zip(names, (images, memory, speed), strict=True)}


def test_growth_is_from_the_first_size_beside_what_is_allowed():
    rows = {
        "shapes": [row(10_000, 270, 1500), row(100_000, 271.5, 1400), row(2_000_000, 280, 1450)],
        "folder": [row(10_000, 260, 1800)],
    }
    memory, speed = growth(rows, 24, "A machine").axes
    shapes, folder, allowed = memory.lines
    np.testing.assert_allclose(shapes.get_ydata(), [0, 1.5, 10])
    np.testing.assert_allclose(folder.get_ydata(), [0])
    # 24 bytes for each of 1,990,000 further images.
    assert allowed.get_ydata()[-1] == pytest.approx(45.5475, abs=1e-3)
    assert allowed.get_ydata()[0] == 0 and allowed.get_xdata()[0] == pytest.approx(10_000)
    assert memory.get_ylim()[1] > 45.6 and memory.get_xscale() == speed.get_xscale() == "log"
    assert {text.get_text() for text in memory.texts} == {
        *("shapes\nfrom 270 MiB", "folder\nfrom 260 MiB", "24 bytes an image")
    }
    np.testing.assert_allclose(speed.lines[0].get_ydata(), [1500, 1400, 1450])
    assert speed.get_ylim()[0] == 0
    assert len({line.get_color() for line in memory.lines}) == 3
