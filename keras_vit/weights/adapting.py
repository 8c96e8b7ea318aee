"""Loose loading: what of a checkpoint may be left aside or changed when it is asked for.

Each adaptation is told in a warning. What is not in this list is an error as ever.
"""

import re
import warnings
from collections.abc import Callable, Iterable

import numpy as np

DECODER = re.compile(r"(?:^|[./])decoder|(?:^|[./])mask_token")
_NAMES_SHOWN = 3
_DEPTH = 3  # how many parts of a name a prefix may have


def find_prefix(names: Iterable[str], recognised: Callable[[list[str]], bool]) -> str | None:
    """Returns the shortest prefix below which the names are those of a known format.

    Args:
        names: of a file's arrays, such as "module.backbone.cls_token".
        recognised: whether names are those of a known format.

    Returns:
        The prefix with its dot or slash; "" where none is needed; None where none helps.
    """
    names = list(names)
    if recognised(names):
        return ""
    found: set[str] = set()
    for name in names:
        ends = [match.end() for match in re.finditer(r"[./]", name)][:_DEPTH]
        found.update(name[:end] for end in ends)
    for prefix in sorted(found, key=lambda prefix: (len(prefix), prefix)):
        if recognised([name.removeprefix(prefix) for name in names if name.startswith(prefix)]):
            return prefix
    return None


def fit_channels(kernel: np.ndarray, patch: tuple[int, int], channels: int) -> np.ndarray:
    """Returns the kernel of the patches for another number of channels.

    One channel takes the sum over all, as a grey image has the same value in each; more than there
    are repeats them and scales, so that the sum over channels stays as it is.

    Args:
        kernel: `(ph * pw * C, D)`.
        patch: `(ph, pw)`.
        channels: the number wanted.

    Returns:
        `(ph * pw * channels, D)`.

    Reference:
        huggingface/pytorch-image-models, timm/models/_manipulate.py (`adapt_input_conv`).
    """
    parts = kernel.reshape(*patch, -1, kernel.shape[-1])  # (ph, pw, C, D)
    own = parts.shape[2]
    if channels == 1:
        parts = parts.sum(axis=2, keepdims=True)
    else:
        parts = np.take(parts, np.arange(channels) % own, axis=2) * (own / channels)
    return parts.reshape(-1, kernel.shape[-1]).astype(kernel.dtype)


def skipping(skip: str | Iterable[str] | None) -> Callable[[str], bool]:
    """Returns whether a name is to be left aside.

    Args:
        skip: a regular expression, or several, searched for in the name; None leaves none aside.

    Raises:
        ValueError: for what is no regular expression.
    """
    patterns = [skip] if isinstance(skip, str) else list(skip or ())
    try:
        compiled = [re.compile(pattern) for pattern in patterns]
    except (re.error, TypeError) as error:
        raise ValueError(f"skip is {skip!r}; give a regular expression or several.") from error
    return lambda name: any(pattern.search(name) for pattern in compiled)


def left_aside(what: str, names: Iterable[str]) -> str:
    """Returns a sentence part about arrays that are not read, by their names in the file."""
    names = sorted(names)
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{what} left aside ({', '.join(names[:_NAMES_SHOWN])}{more})"


def tell(path: str, notes: Iterable[str], stacklevel: int) -> None:
    """Warns of all adaptations at once; `stacklevel` is counted from the caller of this function."""
    if notes := list(notes):
        warnings.warn(f"{path} was adapted: {'; '.join(notes)}.", stacklevel=stacklevel + 1)
