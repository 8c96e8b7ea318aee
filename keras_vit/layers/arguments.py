"""Checks of constructor arguments that several layers and models share.

Numbers may be NumPy's. What keeps them stores plain ones, so that configurations are JSON.
"""

from numbers import Integral, Real

import numpy as np

ATTENTION_PARTS = ("query", "key", "value")


def plain_numbers(value):
    """Returns NumPy's scalars as Python's numbers, in tuples and dictionaries too.

    Not in what is more than these, such as the `defaultdict` of a functional model's nodes, of which
    a plain copy is another thing to those who look for plain ones (TensorFlow's tracking).
    """
    if type(value) is tuple:
        return tuple(map(plain_numbers, value))
    if type(value) is dict:
        return {key: plain_numbers(item) for key, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def is_number(value):
    """Returns whether `value` is a real number, also one of NumPy's."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_positive(value):
    """Returns whether `value` is a positive int, also one of NumPy's."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def one_or_several(value):
    """Returns names or patterns as a tuple; a string is one of them, not its letters."""
    return (value,) if isinstance(value, str) else tuple(value)


def check_choice(name, value, choices):
    """Raises ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; use one of {', '.join(map(repr, choices))}.")


def check_positive(**values):
    """Raises ValueError unless every value is a positive int."""
    for name, value in values.items():
        if not is_positive(value):
            raise ValueError(f"{name} is {value!r}; give a positive int.")


def check_positive_number(**values):
    """Raises ValueError unless every value is a positive, finite number."""
    for name, value in values.items():
        if not is_number(value) or not 0 < value < float("inf"):
            raise ValueError(f"{name} is {value!r}; give a positive number.")


def check_rate(**values):
    """Raises ValueError unless every value is a number in [0, 1)."""
    for name, value in values.items():
        if not is_number(value) or not 0 <= value < 1:
            raise ValueError(f"{name} is {value!r}; give a number from 0 to below 1.")


def check_count(**values):
    """Raises ValueError unless every value is an int that is not negative."""
    for name, value in values.items():
        if not is_positive(value) and not (value == 0 and isinstance(value, Integral)):
            raise ValueError(f"{name} is {value!r}; give an int from 0 on.")


def check_number(**values):
    """Raises ValueError unless every value is a number."""
    for name, value in values.items():
        if not is_number(value):
            raise ValueError(f"{name} is {value!r}; give a number.")


def check_biased(name, value):
    """Returns which of query, key and value have a bias, as True, False or a tuple of their names.

    Raises:
        ValueError: for another value.
    """
    if isinstance(value, bool):
        return value
    parts = one_or_several(value or ())
    if not parts or not set(parts) <= set(ATTENTION_PARTS):
        raise ValueError(
            f"{name} is {value!r}; use True, False or some of {', '.join(ATTENTION_PARTS)}."
        )
    kept = tuple(part for part in ATTENTION_PARTS if part in parts)
    return True if kept == ATTENTION_PARTS else kept


def check_epsilon(**values):
    """Raises ValueError unless every value is a number that is not negative."""
    for name, value in values.items():
        if not is_number(value) or not value >= 0:
            raise ValueError(f"{name} is {value!r}; give a small positive number such as 1e-6.")


def check_flag(**values):
    """Raises ValueError unless every value is a bool."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}; use True or False.")


def check_block_counts(name, value):
    """Returns the units of each stage as a tuple; raises ValueError unless they are positive ints."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} is {value!r}; give the units of each stage, as in (3, 4, 6, 3).")
    check_positive(**{f"{name}[{index}]": count for index, count in enumerate(value)})
    return tuple(int(count) for count in value)


def check_input_shape(input_shape, data_format):
    """Returns an input shape as a tuple: height and width are positive ints or None, for any.

    Raises:
        ValueError: if the shape has another rank or unknown channels.
    """
    check_choice("data_format", data_format, ("channels_last", "channels_first"))
    sides = tuple(input_shape) if isinstance(input_shape, list | tuple) else ()
    channels = len(sides) - 1 if data_format == "channels_last" else 0
    fits = [is_positive(n) or (n is None and i != channels) for i, n in enumerate(sides)]
    if len(sides) != 3 or not all(fits):
        order = "(H, W, C)" if data_format == "channels_last" else "(C, H, W)"
        raise ValueError(
            f"input_shape is {input_shape!r}; give three positive ints {order}, or None for H or W "
            "that may be any."
        )
    return tuple(None if side is None else int(side) for side in sides)
