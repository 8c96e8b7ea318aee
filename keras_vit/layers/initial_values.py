"""Initial weights, made by NumPy and not by the backend.

JAX compiles a program for each shape of each of Keras' initializers, zeros among them: for a small model
that takes longer than anything else about it. What a layer here is given as an initializer stays Keras' own
object, and its configuration with it; only its values come from NumPy.
"""

import contextlib
import contextvars
import math
from typing import TYPE_CHECKING

import keras
import numpy as np

if TYPE_CHECKING:
    from keras.layers import Layer as _Base
else:
    _Base = object

_kinds = keras.initializers
CONSTANT = (_kinds.Zeros, _kinds.Ones, _kinds.Constant)
RANDOM = (
    *(_kinds.RandomNormal, _kinds.VarianceScaling, _kinds.GlorotNormal, _kinds.GlorotUniform),
    *(_kinds.HeNormal, _kinds.HeUniform, _kinds.LecunNormal, _kinds.LecunUniform),
)
# Keras has loaded ml_dtypes, by which NumPy knows the last.
_DTYPES = {name: np.dtype(name) for name in ("float32", "float16", "bfloat16")}
_to_be_assigned = contextvars.ContextVar("to_be_assigned", default=False)


class StartsFromNumpy(_Base):
    """A layer whose weights start from values that NumPy makes. It stands before Keras' own class."""

    def add_weight(self, *args, initializer=None, **kwargs):
        return super().add_weight(*args, initializer=from_numpy(initializer), **kwargs)


@contextlib.contextmanager
def to_be_assigned():
    """Within it random weights start at zero, since whoever makes them assigns all of them next."""
    token = _to_be_assigned.set(True)
    try:
        yield
    finally:
        _to_be_assigned.reset(token)


def from_numpy(initializer):
    """Returns an initializer with the same values, or the same distribution, made by NumPy.

    `keras.utils.set_random_seed` decides the random ones, alike on every backend.

    Args:
        initializer: anything that `keras.initializers.get` takes. A class that is not Keras' own, and
            an initializer with a seed of its own, whose values are Keras', are returned as they are;
            so is everything where a distribution is set, for each device to make its part alone.
    """
    initializer = _kinds.get(initializer)
    kind = type(initializer)
    if kind in RANDOM and _to_be_assigned.get():
        initializer, kind = _kinds.Zeros(), _kinds.Zeros
    if keras.distribution.distribution() is not None:
        return initializer
    if kind in CONSTANT or (kind in RANDOM and initializer.get_config()["seed"] is None):
        return _FromNumpy(initializer)
    return initializer


def draw(initializer, shape, rng, uniform=None):
    """Returns what one of the `CONSTANT` or `RANDOM` kinds gives, as an array of float32, else None.

    Args:
        initializer: of Keras, or a subclass.
        shape: of the array.
        rng: a NumPy `Generator`; equal ones give equal values.
        uniform: draws uniform numbers, from `(rng, shape, limit)`; None is `_uniform`.
    """
    if isinstance(initializer, _kinds.Zeros):
        return np.zeros(shape, "float32")
    if isinstance(initializer, _kinds.Ones):
        return np.ones(shape, "float32")
    if isinstance(initializer, _kinds.Constant):
        return np.full(shape, initializer.value, "float32")
    if isinstance(initializer, _kinds.RandomNormal):
        return _normal(rng, shape, initializer.stddev) + np.float32(initializer.mean)
    if isinstance(initializer, _kinds.VarianceScaling):
        return _variance_scaling(initializer, shape, rng, uniform or _uniform)
    return None


def cast(values, dtype):
    """Returns an array of floats in the dtype of a weight where NumPy can say it, else as it is.

    Each backend would round alike, but JAX would compile a program for each shape.
    """
    return values.astype(_DTYPES.get(dtype, values.dtype), copy=False)


class _FromNumpy:
    """What Keras calls for the values of a new weight, maybe more than once."""

    def __init__(self, initializer):
        self.initializer = initializer

    def __call__(self, shape, dtype=None):
        if dtype not in _DTYPES:
            return self.initializer(shape, dtype)
        rng = np.random.default_rng(getattr(self.initializer, "seed", 0))
        values = draw(self.initializer, tuple(shape), rng, _single_uniform)
        return keras.ops.convert_to_tensor(cast(values, dtype), dtype)


def _variance_scaling(initializer, shape, rng, uniform):
    fan_in, fan_out = _fans(shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    variance = initializer.scale / max(1.0, fan[initializer.mode])
    if initializer.distribution == "uniform":
        return uniform(rng, shape, math.sqrt(3 * variance))
    if initializer.distribution == "untruncated_normal":
        return _normal(rng, shape, math.sqrt(variance))
    return _truncated_normal(rng, shape, math.sqrt(variance))


def _fans(shape):
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


def _uniform(rng, shape, limit):
    """From numbers in double precision, on which the weights of every seed rest."""
    values = np.empty(shape, "float32")
    for row in values.reshape(shape[0], -1):  # NumPy draws float64: never all of a kernel at once
        row[:] = rng.uniform(-limit, limit, len(row))
    return values


def _single_uniform(rng, shape, limit):
    """In less than half the time of `_uniform`."""
    values = rng.random(shape, "float32")
    values *= np.float32(2 * limit)
    values -= np.float32(limit)
    return values


def _normal(rng, shape, stddev):
    return rng.standard_normal(shape, "float32") * np.float32(stddev)


def _truncated_normal(rng, shape, stddev):
    """A normal cut at two standard deviations, widened so that its own is `stddev`."""
    values = rng.standard_normal(math.prod(shape), "float32")
    while len(outside := np.flatnonzero(np.abs(values) > 2)):
        values[outside] = rng.standard_normal(len(outside), "float32")
    return (values * np.float32(stddev / 0.87962566103423978)).reshape(shape)
