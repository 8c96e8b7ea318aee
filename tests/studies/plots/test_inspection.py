"""What the figures of a look inside show, read back from their Axes."""

import numpy as np
import pytest

from studies.plots import inspection as plots

pytestmark = pytest.mark.once


def shown(ax) -> np.ndarray:
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def test_attention_maps_darken_what_is_not_attended_to(rng):
    images = rng.uniform(-1, 1, size=(4, 6, 8, 3))
    maps = rng.uniform(size=(4, 6, 8))
    axes = plots.attention_maps(images, maps)
    assert len(axes) == 8
    assert [ax.get_title() for ax in axes] == ["input", "attention"] * 3 + ["", ""]
    for index in range(4):
        picture = (images[index] + 1) / 2
        np.testing.assert_allclose(shown(axes[2 * index]), picture)
        np.testing.assert_allclose(shown(axes[2 * index + 1]), picture * maps[index][..., None])


def test_grey_images_are_drawn_grey(rng):
    axes = plots.attention_maps(rng.uniform(-1, 1, size=(1, 6, 8, 1)), np.ones((1, 6, 8)))
    assert shown(axes[0]).shape == (6, 8) and axes[0].images[0].get_cmap().name == "gray"


def test_filters_are_tiles_with_zero_in_the_middle():
    filters = np.zeros((5, 2, 3, 3))
    filters[0, 0, 0] = [1, -1, 0]
    filters[4, 1, 2] = [0.5, 0, 0]  # scaled on its own
    ax = plots.patch_filters(filters)
    mosaic = shown(ax)
    assert mosaic.shape == (2 * 3 - 1, 3 * 4 - 1, 3)  # 2 rows of 3 tiles, one cell between them
    np.testing.assert_allclose(mosaic[0, 0], [1, 0, 0.5])
    np.testing.assert_allclose(mosaic[1, 0], 0.5)
    np.testing.assert_allclose(mosaic[3 + 1, 4 + 2], [1, 0.5, 0.5])  # the fifth: row 1, column 1
    np.testing.assert_allclose(mosaic[2], 1)  # the gap
    # Five frames, the last around the fifth tile: white at a tile's edge does not run into the gap.
    assert len(ax.patches) == 5
    np.testing.assert_allclose(ax.patches[4].get_xy(), (4 - 0.5, 3 - 0.5))
    assert (ax.patches[4].get_width(), ax.patches[4].get_height()) == (3, 2)
    with pytest.raises(ValueError, match="have 64 channels"):
        plots.patch_filters(np.zeros((5, 1, 1, 64)))


def test_28_filters_stand_as_in_the_paper():
    assert shown(plots.patch_filters(np.ones((28, 2, 2, 1)))).shape == (4 * 3 - 1, 7 * 3 - 1)


def test_similarity_is_a_map_at_each_patch(rng):
    similarity = rng.uniform(-1, 1, size=(2, 3, 2, 3))
    ax = plots.position_similarity(similarity, title="7 epochs")
    mosaic = np.ma.filled(ax.collections[0].get_array(), np.nan)
    assert mosaic.shape == (2 * 3 - 1, 3 * 4 - 1)
    np.testing.assert_allclose(mosaic[3:5, 8:11], similarity[1, 2])
    assert np.isnan(mosaic[2]).all()
    assert ax.get_title() == "7 epochs"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3"]
    assert ax.get_xticks().tolist() == [1.5, 5.5, 9.5]  # the middle of each map


def test_distance_is_a_point_for_each_head_and_block():
    distance = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    ax = plots.attention_distance(distance)
    assert len(ax.lines) == 2
    for head, line in enumerate(ax.lines):
        np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
        np.testing.assert_allclose(line.get_ydata(), distance[:, head])
    assert ax.get_ylim()[0] == 0


def test_uniform_attention_is_drawn_where_it_would_be():
    """The mean distance in a unit square is (2 + sqrt 2 + 5 ln(1 + sqrt 2)) / 15."""
    ax = plots.attention_distance(np.ones((2, 8)), image_size=(100, 100))
    expected = 100 * (2 + np.sqrt(2) + 5 * np.log(1 + np.sqrt(2))) / 15
    np.testing.assert_allclose(ax.lines[0].get_ydata()[0], expected, rtol=0.002)
    # The legend lies above all points.
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["uniform attention"]
