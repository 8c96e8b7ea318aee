"""Random numbers of a model (dropout, stochastic depth, corruption) as a function of what is seeded."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np


class Reseed(keras.callbacks.Callback):
    """Starts every epoch's random numbers from (seed, epoch) alone."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        reseed(self.model, self.seed, epoch)


def reseed(model: keras.Model, *key: int) -> None:
    """Set the states of all of a model's random generators anew.

    Args:
        model: a built model.
        key: integers >= 0 that decide them.
    """
    if keras.backend.backend() == "torch":
        # There dropout draws from the global generator; elsewhere from the layers' own states,
        # and TensorFlow would forget its compiled kernels at the setting of its global seed.
        keras.utils.set_random_seed(_draw(*key, 0, size=1)[0])
    for index, state in enumerate(states(model), start=1):
        state.assign(np.asarray(_draw(*key, index, size=2), state.dtype))


def states(model: keras.Model) -> list[Any]:
    """The variables that hold a key and a position in its random numbers."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers for the initial values of a weight, the same on every backend.

    Args:
        seed: of the trial.
        name: of the weight.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def _draw(*key: int, size: int) -> list[int]:
    # 31 bits: torch keeps the states of generators in signed integers.
    words = np.random.SeedSequence(key).generate_state(size)
    return [int(word) & 0x7FFFFFFF for word in words]
