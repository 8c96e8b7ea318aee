"""What a call of `fit` reads: the batches of some global steps, the same ones on every backend.

On TensorFlow a thread reads ahead while a step is computed. On JAX and torch the steps' own thread reads
between two of them; JAX may still be at work on those before, as it is told of steps in advance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np


class BatchSource(Protocol):
    """Training batches as a pure function of the global step (`studies.data.Batches`)."""

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]: ...


def feed(batches: BatchSource, start: int, stop: int) -> tuple[Any, Callable[[], float]]:
    """The batches of the global steps from `start` up to `stop`, for one call of `fit`.

    Args:
        batches: where they come from.
        start, stop: global steps, `start < stop`.

    Returns:
        what `fit` takes, and a function that says how many seconds it has waited for batches so far:
        those that passed between the asking for a batch and its being there. On JAX it is the most that
        it can have been, since the device may have been busy all the same.
    """
    steps = StepRange(batches, start, stop)
    if keras.backend.backend() == "tensorflow":
        return _as_tensorflow_dataset(steps)
    return steps, lambda: steps.seconds


class StepRange(keras.utils.PyDataset):
    """Global steps as a Keras data set, read in order by one thread.

    Attributes:
        seconds: that were spent on reading.
    """

    def __init__(self, batches: BatchSource, start: int, stop: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.batches = batches
        self.start = start
        self.stop = stop
        self.seconds = 0.0

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        began = time.perf_counter()
        batch = self.batches.batch(self.start + index)
        self.seconds += time.perf_counter() - began
        return batch


def _as_tensorflow_dataset(steps: StepRange) -> tuple[Any, Callable[[], float]]:
    # Keras would make nearly the same of it, but with tf.data's autotuning, whose thread takes up to
    # two seconds to end: at each validation point, that was a third of a small model's training
    # time. And with a generator, which costs a third of a millisecond a batch more than a function.
    import tensorflow as tf

    signature = tuple(tf.TensorSpec(array.shape, array.dtype) for array in steps[0])
    waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)

    def read(index: Any) -> Any:
        arrays = tf.numpy_function(steps.__getitem__, [index], [spec.dtype for spec in signature])
        return tuple(tf.ensure_shape(array, spec.shape) for array, spec in zip(arrays, signature))

    def take(asked: Any, batch: Any) -> Any:
        waited.assign_add(tf.timestamp() - asked)
        return batch

    options = tf.data.Options()
    options.autotune.enabled = False
    numbers = tf.data.Dataset.range(len(steps))
    # The clock is read when a batch is asked for, then the batch is waited for: zip asks in this order.
    asked = numbers.map(lambda index: tf.timestamp())
    data = tf.data.Dataset.zip((asked, numbers.map(read).prefetch(2))).map(take)
    return data.with_options(options), lambda: float(waited.numpy())
