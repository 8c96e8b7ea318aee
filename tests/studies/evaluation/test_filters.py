"""Shares of the filters' variance: by hand, and of the components that the library finds."""

import numpy as np
import pytest

from studies.evaluation import Inputs
from studies.evaluation.filters import Options, evaluate

pytestmark = pytest.mark.once


def of(filters, *components):
    return evaluate(Inputs(num_classes=2, filters=filters), Options(components=components))


def test_filters_along_three_axes_by_hand():
    """Variances 16, 4 and 1 of 21, about a mean that is not zero."""
    filters = 5.0 + np.concatenate([np.diag([4, 2, 1]), -np.diag([4, 2, 1])])
    found = of(filters, 1, 2, 3)
    expected = {
        "filters_share_1": 16 / 21,
        "filters_share_2": 20 / 21,  # three are all there are
        "filters_rank": 21**2 / (16**2 + 4**2 + 1),
    }
    assert found == pytest.approx(expected)


def test_filters_that_are_all_alike_have_no_variance_to_share():
    assert of(np.ones((8, 16)), 1) == {}


def test_the_shares_are_of_the_components_that_the_library_shows(rng):
    import keras

    import keras_vit
    from keras_vit.inspection import patch_filters

    model = keras_vit.VisionTransformer((8, 8, 1), 4, 1, 24, 16, num_heads=2)
    kernel = model.get_layer("patch_embedding").projection.kernel
    kernel.assign(rng.normal(size=kernel.shape) * np.arange(1, 17)[:, None])
    filters = keras.ops.convert_to_numpy(kernel).T
    components = patch_filters(model, 4).reshape(4, -1)
    centred = filters - filters.mean(axis=0)
    along = np.sum((centred @ components.T) ** 2) / np.sum(centred**2)
    assert of(filters, 4)["filters_share_4"] == pytest.approx(along, rel=1e-5)
