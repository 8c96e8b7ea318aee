"""ClassToken: its place, its start at zero and the mask it extends."""

import keras
import numpy as np
from keras import ops

import keras_vit

NUMPY = ops.convert_to_numpy


def test_the_token_comes_first_and_starts_at_zero(rng):
    tokens = rng.normal(size=(2, 3, 4)).astype("float32")
    result = NUMPY(keras_vit.ClassToken()(tokens))
    assert result.shape == (2, 4, 4)
    np.testing.assert_array_equal(result[:, 0], 0)
    np.testing.assert_array_equal(result[:, 1:], tokens)


def test_every_image_gets_the_same_learned_token(rng):
    layer = keras_vit.ClassToken()
    layer.build((None, 3, 4))
    (weight,) = layer.trainable_weights
    weight.assign(rng.normal(size=weight.shape))
    result = NUMPY(layer(np.zeros((5, 3, 4), "float32")))
    np.testing.assert_array_equal(result[:, 0], np.tile(NUMPY(weight).reshape(1, 4), (5, 1)))


def test_a_mask_grows_by_one_token_that_is_never_masked():
    tokens = np.array([[[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]]], "float32")
    masked = keras.layers.Masking()(tokens)
    extended = keras_vit.ClassToken()(masked)
    mask = NUMPY(extended._keras_mask)
    assert mask.tolist() == [[True, True, False, True]]


def test_without_a_mask_there_is_none_afterwards():
    layer = keras_vit.ClassToken()
    assert layer.supports_masking
    assert layer.compute_mask(np.zeros((1, 2, 3), "float32"), None) is None
