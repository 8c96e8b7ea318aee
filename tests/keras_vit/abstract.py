"""Models without memory for their weights, where their shapes are all that a test asks for."""

from collections.abc import Callable

import keras

import keras_vit


def abstract_model(variant: str, **arguments) -> keras.Model:
    """What `create_model` builds, its weights known by their shapes alone."""
    return abstract(lambda: keras_vit.create_model(variant, **arguments))


def abstract(build: Callable[[], keras.Model]) -> keras.Model:
    """What `build` builds, its weights known by their shapes alone."""
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    # Keras remembers uninitialised weights and would give them memory at the next occasion.
    keras.utils.clear_session(free_memory=False)
    return model
