"""Rotary positions: angles by hand, and what makes them positions."""

import numpy as np
import pytest

import keras_vit
from keras_vit.layers.rotary import rotary_table
from tests.contracts import forward, numpy, randomise

GRID, PREFIX = (3, 4), 2


@pytest.mark.once
def test_angles_by_hand():
    """A grid of 1 x 2 patches and heads of 8 values: two frequencies, 1 and temperature^-1/2."""
    options = keras_vit.RotaryOptions("grid", 100.0, "halves", reference_grid=(1, 4))
    cosine, sine = rotary_table((1, 2), 8, options, num_prefix_tokens=1)
    assert cosine.shape == sine.shape == (3, 1, 8)
    # the token before the patches, the patch in column 0, that in column 1 of 2, which is 2 of 4
    angles = np.array([[0.0] * 4, [0.0] * 4, [0.0, 0.0, 2.0, 0.2]])
    np.testing.assert_allclose(cosine[:, 0], np.tile(np.cos(angles), 2), rtol=1e-6)
    np.testing.assert_allclose(sine[:, 0], np.tile(np.sin(angles), 2), rtol=1e-6)
    options = keras_vit.RotaryOptions("centred", 100.0, "neighbours")
    _, sine = rotary_table((1, 2), 8, options)
    # centres at -1/2 and 1/2 of the columns, at 0 of the only row
    angles = np.array([[0.0, 0.0, -np.pi, -0.1 * np.pi], [0.0, 0.0, np.pi, 0.1 * np.pi]])
    np.testing.assert_allclose(sine[:, 0], np.sin(np.repeat(angles, 2, axis=1)), atol=1e-6)


@pytest.mark.parametrize("layout", ["halves", "neighbours"])
@pytest.mark.parametrize("coordinates", ["grid", "centred"])
def test_scores_depend_on_the_offset_between_patches_alone(layout, coordinates):
    """All tokens are equal, so that nothing but positions tells them apart."""
    options = keras_vit.RotaryOptions(coordinates, 10.0, layout)
    attention = keras_vit.RotaryAttention(num_heads=2, grid=GRID, rotary=options)
    attention.build((None, PREFIX + 12, 16))
    randomise(attention)
    token = np.random.default_rng(0).normal(size=16)
    tokens = np.broadcast_to(token, (1, PREFIX + 12, 16)).astype("float32")
    _, scores = attention(tokens, return_attention_scores=True)
    scores = numpy(scores)[0]  # (heads, N, N)
    logits = np.log(scores)  # but for a constant of each row
    logits = logits - logits[:, :, :1]  # against the first token, which is not turned
    patches = logits[:, PREFIX:, PREFIX:].reshape(2, *GRID, *GRID)
    spread = np.ptp(patches)
    assert spread > 0.01
    differences = patches[:, 0, 0, 0, 1] - patches[:, 0, 0, 0, 0]
    for row, column in ((0, 1), (1, 0), (2, 2)):
        moved = patches[:, row, column, row, column + 1] - patches[:, row, column, row, column]
        np.testing.assert_allclose(moved, differences, atol=1e-4)
    # The tokens before the patches see each other without any positions.
    np.testing.assert_allclose(logits[:, :PREFIX, :PREFIX], 0, atol=1e-5)


def test_fused_attention_computes_the_same():
    results = []
    for fused in (True, False):
        attention = keras_vit.RotaryAttention(num_heads=2, grid=GRID, fused=fused)
        attention.build((None, PREFIX + 12, 16))
        randomise(attention)
        tokens = np.random.default_rng(0).normal(size=(2, PREFIX + 12, 16)).astype("float32")
        results.append(numpy(forward(attention, tokens)))
    np.testing.assert_allclose(*results, atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="whose width 4 divides, but it is 6"):
        keras_vit.RotaryAttention(num_heads=2, grid=GRID).build((None, 12, 12))
    with pytest.raises(ValueError, match="3 x 4 patches need at least 12 tokens"):
        keras_vit.RotaryAttention(num_heads=2, grid=GRID).build((None, 11, 16))
    with pytest.raises(ValueError, match="coordinates is 'polar'; use one of 'centred'"):
        keras_vit.RotaryOptions("polar")
    with pytest.raises(ValueError, match="'mlp', which is for gated MLPs"):
        keras_vit.RotaryBlock(num_heads=2, mlp_dim=8, grid=GRID, inner_norms=("mlp",))
    one = keras_vit.RotaryBlock(num_heads=2, mlp_dim=8, grid=GRID, inner_norms="attention")
    assert one.inner_norms == ("attention",) and one.attention.norm is not None
    with pytest.raises(ValueError, match="inner_norms is 'output'; use one of 'attention', 'mlp'"):
        keras_vit.RotaryBlock(num_heads=2, mlp_dim=8, grid=GRID, inner_norms=("output",))
