"""What a call of `fit` reads: the batches of some global steps, the same ones on every backend."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import numpy as np


class BatchSource(Protocol):
    """Training batches as a pure function of the global step (`studies.data.Batches`)."""

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]: ...


def feed(batches: BatchSource, start: int, stop: int) -> Any:
    """The batches of the global steps from `start` up to `stop`, for one call of `fit`.

    Args:
        batches: where they come from.
        start, stop: global steps, `start < stop`.
    """
    steps = StepRange(batches, start, stop)
    return _as_tensorflow_dataset(steps) if keras.backend.backend() == "tensorflow" else steps


class StepRange(keras.utils.PyDataset):
    """Global steps as a Keras data set, read in order by one thread."""

    def __init__(self, batches: BatchSource, start: int, stop: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        self.batches = batches
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.batches.batch(self.start + index)


def _as_tensorflow_dataset(steps: StepRange) -> Any:
    # Keras would make nearly the same of it, but with tf.data's autotuning, whose thread takes up to
    # two seconds to end: at each validation point, that was a third of a small model's training
    # time. And with a generator, which costs a third of a millisecond a batch more than a function.
    import tensorflow as tf

    signature = tuple(tf.TensorSpec(array.shape, array.dtype) for array in steps[0])

    def read(index: Any) -> Any:
        arrays = tf.numpy_function(steps.__getitem__, [index], [spec.dtype for spec in signature])
        return tuple(tf.ensure_shape(array, spec.shape) for array, spec in zip(arrays, signature))

    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.range(len(steps)).map(read).prefetch(2).with_options(options)
