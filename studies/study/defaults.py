"""What a study takes where it says "auto": sizes and seeds that follow from the data."""

from __future__ import annotations

FEWEST, MOST = 4, 7  # sizes: four carry a scaling law, and more than seven tell little more
SMALLEST = 100  # images, and
PER_CLASS = 4  # images a class, below which a size teaches nobody anything
SMALL_TEST_SET = 2_000  # images


def default_sizes(train: int, num_classes: int) -> tuple[int, ...]:
    """Numbers of training images: all there are, half of them, and so on down.

    At least four wherever there are images for it, even if the smallest then has few of a class;
    rounded to two digits but for the last one.

    Args:
        train: number of training images.
        num_classes: no size is below one image a class.

    Example:
        >>> default_sizes(1000, 10)
        (120, 250, 500, 1000)
        >>> default_sizes(54000, 10)[-3:]
        (14000, 27000, 54000)
    """
    floor = max(SMALLEST, PER_CLASS * num_classes)
    number = FEWEST
    while number < MOST and train / 2**number >= floor:
        number += 1
    if train / 2 ** (number - 1) >= num_classes:
        smaller = [round(float(f"{train / 2**step:.2g}")) for step in range(1, number)]
    else:  # less than halves, from one image a class
        ratio = (train / num_classes) ** (1 / (number - 1))
        smaller = [round(train / ratio**step) for step in range(1, number)]
    return tuple(sorted({max(size, num_classes) for size in smaller} | {train}))


def default_seeds(test: int) -> int:
    """Number of seeds: five where the test set is so small that it adds much to the error, else three."""
    return 5 if test < SMALL_TEST_SET else 3
