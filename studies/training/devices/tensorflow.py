"""Several devices on TensorFlow: a mirrored copy of the model on each, by `tf.distribute`."""

from __future__ import annotations

import contextlib
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from studies.errors import TrialError
from studies.study.trial import Training
from studies.training.devices import Devices, too_few
from studies.training.seeds import states


class MirroredDevices(Devices):
    """One replica a device; what Keras leaves to each replica and is the batch's is put right.

    Keras clips each replica's part of the gradient, before they are summed, and gives all replicas the
    same random numbers.

    Reference:
        https://www.tensorflow.org/api_docs/python/tf/distribute/MirroredStrategy
    """

    def __enter__(self) -> Self:
        self._strategy = _strategy(self.count)
        return self

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        return self._strategy.scope()

    def prepare(self, model: keras.Model, training: Training) -> None:
        optimizer = model.optimizer
        apply = optimizer.apply

        def apply_sum(grads: Any, trainable_variables: Any = None) -> None:
            # Each replica's loss is divided by their number, so that the sum is the batch's gradient.
            context = tf.distribute.get_replica_context()
            apply(context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads)), trainable_variables)

        optimizer.apply = apply_sum
        # They are sums already; of float16 the optimizer is one that scales the loss, around the real one.
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        inner._all_reduce_sum_gradients = lambda pairs: pairs

    def callbacks(self, seed: int, epoch: int, start: int, end: int) -> list[Any]:
        return [_OwnRandomNumbers(self)]

    def copies(self, variable: Any) -> list[Any]:
        value = variable.value
        return list(value.values) if isinstance(value, tf.distribute.DistributedValues) else [value]


class _OwnRandomNumbers(keras.callbacks.Callback):
    """Lets each replica have random numbers of its own, which follow from the first one's state.

    Their states advance alike: what a checkpoint holds of the first is enough for all.
    """

    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self._devices = devices

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch:
            return
        for state in states(self.model):
            first, *others = self._devices.copies(state)
            key, position = first.numpy()
            for replica, other in enumerate(others, start=1):
                own = np.random.SeedSequence([int(key), replica]).generate_state(1)[0]
                other.assign(np.asarray([own & 0x7FFFFFFF, position], first.dtype.as_numpy_dtype))


def _strategy(count: int) -> tf.distribute.Strategy:
    """A strategy over the first GPUs, or, where there are none, over parts of the processor."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if len(gpus) < count:
            raise TrialError(too_few(count, len(gpus)))
        return tf.distribute.MirroredStrategy([f"/gpu:{index}" for index in range(count)])
    (cpu,) = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) < count:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        try:
            tf.config.set_logical_device_configuration(cpu, parts)
        except RuntimeError:
            raise TrialError(too_few(count, len(tf.config.list_logical_devices("CPU")))) from None
    # Without collective operations, whose numbers the strategies of a process would share.
    return tf.distribute.MirroredStrategy(
        [f"/cpu:{index}" for index in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
