"""Fitting position embeddings: grids of any shape, with and without the class token's entry."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from keras_vit.weights.position import fit_position_embedding

pytestmark = pytest.mark.once


def table(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=(1, count, 3)).astype("float32")


@pytest.mark.parametrize("old", [(3, 3), (2, 5), (6, 2)])
@pytest.mark.parametrize("new", [(4, 4), (5, 2), (2, 7)])
def test_authors_interpolation_between_any_grids(rng, old, new):
    source = table(rng, 1 + old[0] * old[1])
    result = fit_position_embedding(source, new, 1, old_grid=old)
    zoom = (new[0] / old[0], new[1] / old[1], 1)
    patches = scipy.ndimage.zoom(source[0, 1:].reshape(*old, 3).astype("float64"), zoom, order=1)
    np.testing.assert_array_equal(result[:, 0], source[:, 0])
    np.testing.assert_allclose(result[0, 1:], patches.reshape(-1, 3), atol=1e-6)


def test_square_grid_is_worked_out(rng):
    source = table(rng, 10)
    result = fit_position_embedding(source, (2, 4), 1)
    expected = fit_position_embedding(source, (2, 4), 1, old_grid=(3, 3))
    np.testing.assert_array_equal(result, expected)


def test_smaller_grid_of_the_same_proportions_is_worked_out(rng):
    source = table(rng, 18)  # 3 x 6
    result = fit_position_embedding(source, (4, 8), 0, slots=(0, 1))
    expected = fit_position_embedding(source, (4, 8), 0, (3, 6), slots=(0, 1))
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("antialias", [False, True])
def test_others_interpolations_are_pytorchs(rng, antialias):
    source = table(rng, 26)
    name = "bicubic_antialias" if antialias else "bicubic"
    result = fit_position_embedding(source, (3, 2), 1, interpolation=name)
    grid = torch.from_numpy(source[:, 1:].reshape(1, 5, 5, 3)).double().permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(grid, (3, 2), mode="bicubic", antialias=antialias)
    expected = expected.permute(0, 2, 3, 1).reshape(1, 6, 3).numpy()
    np.testing.assert_allclose(result[:, 1:], expected, atol=1e-6)


def test_same_grid_is_unchanged(rng):
    source = table(rng, 13)
    assert fit_position_embedding(source, (3, 4), 1) is source


def test_no_entry_for_the_class_token_becomes_zero(rng):
    source = table(rng, 12)
    result = fit_position_embedding(source, (3, 4), 1, slots=(0, 1))
    np.testing.assert_array_equal(result[:, 0], 0)
    np.testing.assert_array_equal(result[:, 1:], source)


def test_entry_of_a_missing_class_token_is_dropped(rng):
    source = table(rng, 10)
    result = fit_position_embedding(source, (3, 3), 0, slots=(0, 1))
    np.testing.assert_array_equal(result, source[:, 1:])


def test_expectation_gives_way_to_what_fits(rng):
    """timm files with a class token may still have no entry for it."""
    source = table(rng, 9)
    result = fit_position_embedding(source, (3, 3), 1, slots=(1, 0))
    np.testing.assert_array_equal(result[:, 1:], source)


@pytest.mark.parametrize(
    ("count", "new", "old", "message"),
    [
        (17, (2, 8), None, r"load_weights \(not create_model\).* grid=\(2, 8\) or grid=\(4, 4\)"),
        (8, (3, 3), None, r"fill no square grid; load them with load_weights \(not"),
        (8, (3, 3), (2, 5), r"8 position embeddings, which do not fill a grid of 2 x 5"),
    ],
)
def test_grids_that_cannot_be_told(rng, count, new, old, message):
    with pytest.raises(ValueError, match=message):
        fit_position_embedding(table(rng, count), new, 1, old)
