"""What `fit` is fed: the batches themselves, in the order of the steps, with their shapes known."""

import time

import keras
import numpy as np
import pytest

from studies.data import Augmentation, Batches
from studies.data.dataset import Split
from studies.training.feed import feed


@pytest.fixture
def batches(rng):
    split = Split(rng.integers(0, 256, (20, 8, 6, 3), np.uint8), rng.integers(0, 4, 20))
    return Batches(
        split, np.arange(20), batch_size=7, seed=0, augmentation=Augmentation("crop_flip")
    )


def test_it_gives_the_batches_of_its_steps_in_order(batches):
    data, _ = feed(batches, 3, 8)
    assert len(data) == 5  # `fit` ends an epoch there, and says so if batches are missing
    got = list(data.as_numpy_iterator() if keras.backend.backend() == "tensorflow" else data)
    assert len(got) == 5
    for step, (images, labels) in enumerate(got, start=3):
        wanted_images, wanted_labels = batches.batch(step)
        np.testing.assert_array_equal(images, wanted_images)
        np.testing.assert_array_equal(labels, wanted_labels)
        assert (images.dtype, labels.dtype) == (np.float32, np.int32)


def test_a_compiled_step_knows_the_shapes(batches, backend):
    data, _ = feed(batches, 0, 2)
    if backend == "tensorflow":  # elsewhere a batch is an array and brings its shape along
        shapes = [tuple(spec.shape) for spec in data.element_spec]
    else:
        shapes = [array.shape for array in data[0]]
    assert shapes == [(7, 8, 6, 3), (7,)]


def test_an_error_in_reading_reaches_the_caller():
    class Broken:
        def batch(self, step):
            if step == 2:
                raise OSError("the disk is gone")
            return np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int32)

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(Exception, match="the disk is gone"):
        model.fit(feed(Broken(), 0, 4)[0], shuffle=False, verbose=0)


class Slow:
    """Batches that take time to read."""

    def __init__(self, seconds):
        self.seconds = seconds

    def batch(self, step):
        time.sleep(self.seconds)
        return np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int32)


def test_it_says_how_long_it_was_waited_for():
    """Where nothing is done with batches, all of their reading is waited for."""
    data, waited = feed(Slow(0.02), 0, 10)
    began = time.perf_counter()
    for _ in data:
        pass
    assert 0.8 * 10 * 0.02 < waited() <= time.perf_counter() - began


def test_what_is_read_ahead_is_not_waited_for():
    data, waited = feed(Slow(0.02), 0, 10)
    for _ in data:
        time.sleep(0.06)
    ahead = keras.backend.backend() == "tensorflow"
    assert (waited() < 0.15) if ahead else (waited() >= 0.2)
