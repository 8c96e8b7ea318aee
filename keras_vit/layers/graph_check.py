"""A sentence for what only a running graph knows: one of the few places that import a backend."""

import keras


def check_in_graph(holds, message: list) -> None:
    """Ends a running TensorFlow graph unless a scalar tensor is true.

    On the other backends nothing is left to see: sizes are known when a graph is traced.

    Args:
        holds: scalar tensor, bool.
        message: strings and scalar tensors, which are shown one after the other.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.debugging.Assert(holds, message)
