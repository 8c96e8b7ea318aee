"""What is known of a data set, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studies.data import Facts, Reading
    from studies.data.checks import Some

LISTED = 20  # pairs of images of a kind in a list
NAMED = 12  # classes that are counted one by one


def lines(name: str, facts: Facts, reading: Reading, listed: int = LISTED) -> list[str]:
    """The findings on a data set as text.

    Args:
        name: the data set's.
        facts: the findings.
        reading: how its images were read.
        listed: pairs of images of a kind that are named, beside all images that cannot be read; with 0
            none are, and only what may need a look is told.
    """
    from studies.data.listing import in_words

    found = [f"{name}: {_number(facts.images, 'image')} in {_classes(facts, bool(listed))}"]
    found += [_splits(facts)]
    if facts.widths and facts.heights:
        found.append(_sizes(facts, reading))
    if facts.left_out:
        found.append(f"left alone: {in_words(facts.left_out)}")
    if facts.broken.count:
        how = "left out" if reading.skip_broken else "refused; --skip-broken leaves them out"
        every = facts.broken.count if listed else 0
        found += _list(f"cannot be read ({how})", facts.broken, every, "{}: {}")
    if facts.twins:
        height, width, _ = facts.image_shape
        told = f"the same pixels as another image, at {width}x{height}"
        found.append(f"{told}: {_number(facts.twins, 'image')}")
    same = "{} = {}"
    found += _list("the same pixels in two splits", facts.twins_in_two_splits, listed, same)
    found += _list("the same pixels under two labels", facts.twins_of_two_labels, listed, same)
    for split, classes in facts.lacking.items():
        drawn = "" if split in facts.counts else ", as seed 0 draws them"
        found.append(f"classes without {split} images{drawn}: {_some(classes)}")
    if facts.groups:
        found.append(_groups(facts))
    found += facts.notes
    return [found[0], *(f"  {line}" for line in found[1:])]


def span(low: int, high: int) -> str:
    """Two numbers, or one where they are the same: "3 to 1,200"."""
    return f"{low:,} to {high:,}" if low < high else f"{low:,}"


def in_bytes(number: float) -> str:
    """Bytes as people say them.

    Example:
        >>> in_bytes(1536), in_bytes(25_300_000)
        ('1.5 kB', '25 MB')
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            whole = unit == "bytes" or number >= 10
            return f"{number:.0f} {unit}" if whole else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _classes(facts: Facts, each: bool) -> str:
    totals = [sum(counts) for counts in zip(*facts.counts.values(), strict=True)]
    number = _number(len(totals), "class", "classes")
    if each and len(totals) <= NAMED:
        return f"{number}: " + ", ".join(
            f"{name} {count:,}" for name, count in zip(facts.class_names, totals, strict=True)
        )
    return f"{number} of {span(min(totals), max(totals))}"


def _splits(facts: Facts) -> str:
    counts = {split: sum(counts) for split, counts in facts.counts.items()}
    given = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    missing = [split for split in ("validation", "test") if split not in counts]
    if len(missing) == 2:
        return "no splits: each seed draws its own validation and test images"
    return f"splits: {given}" + (
        f"; each seed draws its own {missing[0]} images" if missing else ""
    )


def _sizes(facts: Facts, reading: Reading) -> str:
    assert facts.widths and facts.heights
    told = "pixels: " + ", ".join(
        f"{what} {span(low, high)}" + (f" (median {middle:,})" if low < high else "")
        for what, (low, middle, high) in (("width", facts.widths), ("height", facts.heights))
    )
    if reading.fit == "crop" and facts.cut >= 0.005:
        told += f"; crop cuts {100 * facts.cut:.0f} % of the median image away, --fit pad keeps all"
    return told


def _groups(facts: Facts) -> str:
    assert facts.groups
    number, least, most = facts.groups
    told = f"images that belong together: {_number(number, 'group')}"
    if number:
        told += f" of {span(least, most)}"
    if facts.groups_in_two_splits:
        told += f"; {_number(facts.groups_in_two_splits, 'group')} in two splits"
    if facts.ungrouped:
        told += f"; {_number(facts.ungrouped, 'image')} in no group"
    return told


def _list(what: str, some: Some, listed: int, form: str) -> list[str]:
    if not some.count:
        return []
    shown = [f"  {form.format(*pair)}" for pair in some.first[:listed]]
    more = some.count - len(shown)
    rest = [f"  and {more:,} more"] if shown and more else []
    return [f"{what}: {_number(some.count, 'image')}", *shown, *rest]


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _number(number: int, thing: str, things: str | None = None) -> str:
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
