"""Which images train, validate and test: the source's own splits where it has them, else cut by seed.

What a source offers under a split's name is honoured, whatever the seed. What it lacks is cut out of its
training images, stratified and with groups kept whole, anew for every seed: which images happen to be
tested on is chance like the initial weights, and belongs into the same interval.

- neither validation nor test: test 20 %, validation 10 % of all images;
- validation only: 10 % of the training images, at most 10,000;
- test only: 20 % of the training images, at most 10,000.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from studies.data.subsets import Entropy, are_alone, index_type, stratified_cut
from studies.errors import UsageError

SPLITS = ("train", "validation", "test")
NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}  # what data sets call them, in letters of either case; of two, TensorFlow Datasets' first one counts
VALIDATION_PART, TEST_PART, AT_MOST = 0.1, 0.2, 10_000


def split_called(name: str) -> str | None:
    """The split that goes by a name: "train", "validation", "test" or, for any other name, None."""
    return next((split for split, names in NAMES.items() if name.lower() in names), None)


def check_splits(name: str, labels: Mapping[str, np.ndarray]) -> None:
    """Raises UsageError where a split that a source offers has no images."""
    for split in SPLITS:
        if split in labels and len(labels[split]) == 0:
            raise UsageError(
                f"The data set {name} has a {split} split without images: add some, remove the "
                f"split's folder, or choose another data set."
            )


def plan_splits(
    name: str,
    labels: Mapping[str, np.ndarray],
    entropy: Entropy,
    groups: np.ndarray | None = None,
) -> dict[str, tuple[str, np.ndarray]]:
    """Decides for each split where its images come from.

    Args:
        name: the data set's name, for messages.
        labels: (N,) integers for every split that the source has ("train", and perhaps
            "validation" and "test").
        entropy: integers >= 0 that decide what is cut: those of the data and of the seed.
        groups: (N_train,) integers, equal for training images that belong together.

    Returns:
        for each of "train", "validation", "test": the source's split and the indices into it,
        increasing.

    Raises:
        UsageError: a split has no images, or there are too few to cut the missing splits from.
    """
    check_splits(name, labels)
    plan = {split: (split, _all_of(labels[split])) for split in SPLITS if split in labels}
    whole = len(labels["train"])
    if groups is not None and are_alone(groups):
        groups = None
    limit = AT_MOST if "validation" in labels or "test" in labels else whole
    # Test first: the more important one has the choice where images are few.
    for number, (split, part) in enumerate((("test", TEST_PART), ("validation", VALIDATION_PART))):
        if split in labels:
            continue
        left = plan["train"][1]
        count = min(max(round(part * whole), 1), limit)
        own, theirs = labels["train"], groups
        if len(left) < whole:  # copies of what is left, as small as they can be
            own = own[left].astype(left.dtype)
            theirs = None if groups is None else groups[left]
        staying = 2 if split == "test" and "validation" not in labels else 1
        rest, cut = stratified_cut(own, count, [*entropy, number], theirs, staying)
        del own, theirs
        if len(cut) == 0:
            raise UsageError(
                f"The data set {name} has too few images ({whole} for training) to cut a {split} "
                f"split from them: give every class at least 3 images that do not belong together."
            )
        plan["train"] = ("train", left[rest])
        plan[split] = ("train", left[cut])
    return plan


def _all_of(labels: np.ndarray) -> np.ndarray:
    return np.arange(len(labels), dtype=index_type(len(labels)))
