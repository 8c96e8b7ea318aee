"""What no trained model's weights are: infinite, not a number, or a head of nothing but zeros."""

import warnings

import numpy as np

from keras_vit.weights.rules import HEAD, REPRESENTATION

_NAMES_SHOWN = 5


def check_finite(arrays: dict[str, np.ndarray], what: str) -> None:
    """Raises ValueError if an array holds an infinite value or none at all (NaN).

    Args:
        arrays: `{name: array}`, the names as the user knows them.
        what: whose they are, for the message.
    """
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        more = f" and {len(bad) - _NAMES_SHOWN} more" if len(bad) > _NAMES_SHOWN else ""
        raise ValueError(
            f"{what} has values that are infinite or not a number (NaN) in "
            f"{', '.join(bad[:_NAMES_SHOWN])}{more}, as after a training that diverged or an "
            "overflow in half precision; take an earlier checkpoint."
        )


def warn_of_zero_head(values: dict[str, np.ndarray], what: str, stacklevel: int) -> None:
    """Warns where every image gets the same output: a new head that has not been trained yet.

    Args:
        values: arrays by our names, of those weights that are read or written.
        what: whose they are, for the message.
        stacklevel: of the warning, counted from the caller of this function.
    """
    for kernel, layer in ((HEAD[0], "head"), (REPRESENTATION[0], "representation layer")):
        if kernel in values and not np.any(values[kernel]):
            warnings.warn(
                f"The {layer} of {what} is all zeros, as for_finetuning makes a new one: until it "
                "is trained, every image gets the same output.",
                stacklevel=stacklevel + 1,
            )
