"""Attention distances and positions: by hand, and against the library's own function."""

import numpy as np
import pytest

from studies.evaluation import Inputs
from studies.evaluation.attention import (
    Options,
    evaluate,
    mean_distances,
    patch_distances,
    positions,
)

pytestmark = pytest.mark.once


def test_heads_that_look_at_themselves_at_a_neighbour_and_everywhere():
    """Three patches in a row, 5 pixels wide, after a class token."""
    attention = np.zeros((1, 2, 3, 4, 4))
    attention[:, :, 0] = np.eye(4)
    attention[:, :, 1, 1:, 2] = 0.5  # half of it on the middle patch, the rest on the class token
    attention[:, :, 1, :, 0] = 0.5
    attention[:, :, 2] = 0.25
    found = evaluate(
        Inputs(num_classes=2, attention=[attention], grid=(1, 3), patch_size=(7, 5)), Options()
    )
    middle, everywhere = 5 * (1 + 0 + 1) / 3, 5 * (0 + 1 + 2 + 1 + 0 + 1 + 2 + 1 + 0) / 9
    expected = {
        "attention_distance": (middle + everywhere) / 3,
        "attention_distance_uniform": everywhere,
        "attention_distance_1": (middle + everywhere) / 3,
        "attention_distance_1_1": 0.0,
        "attention_distance_1_2": middle,
        "attention_distance_1_3": everywhere,
    }
    assert found == pytest.approx(expected)


def test_distances_are_those_of_the_library_however_the_images_come(rng):
    from keras_vit.inspection import attention_distance

    scores = rng.random((3, 7, 2, 13, 13)) ** 4
    scores /= scores.sum(axis=-1, keepdims=True)
    scores[0, 0, 0, 4] = np.eye(13)[0]  # a query that attends to the class token alone
    apart = patch_distances((3, 4), (8.0, 4.0))
    expected = attention_distance(scores, (3, 4), (8.0, 4.0))
    for parts in ([scores], [scores[:, :4], scores[:, 4:6], scores[:, 6:]]):
        np.testing.assert_allclose(mean_distances(parts, apart), expected, rtol=1e-5)


def test_embeddings_that_fall_off_with_distance_are_near():
    rows, columns = np.indices((4, 5))
    places = np.stack([rows.ravel(), columns.ravel()], axis=1)
    centres = np.exp(-np.sum((places[:, None] - places[None]) ** 2, axis=-1) / 4)  # (20, 20)
    found = positions(centres, (4, 5))
    assert found["position_nearness"] > 0.8
    shuffled = positions(centres[np.random.default_rng(0).permutation(20)], (4, 5))
    assert abs(shuffled["position_nearness"]) < 0.3


def test_embeddings_of_rows_alone():
    """Similarity 1 within a row and 0 elsewhere: two indicators, whose correlation is known."""
    found = positions(np.repeat(np.eye(3), 3, axis=0), (3, 3))
    # Of 36 pairs 9 are in one row and 9 in one column, and none in both.
    expected = (0 - 0.25 * 0.25) / (0.25 * 0.75)
    assert found["position_rows"] == pytest.approx(1.0)
    assert found["position_columns"] == pytest.approx(expected)


def test_what_a_grid_leaves_open_is_left_out():
    rng = np.random.default_rng(0)
    assert set(positions(rng.normal(size=(4, 3)), (1, 4))) == {"position_nearness"}
    assert positions(np.ones((6, 3)), (2, 3)) == {}
    assert positions(np.ones((1, 3)), (1, 1)) == {}
