"""The drawn relations: solved from the pixels alone, and by nothing less than the relation."""

import numpy as np
import pytest

from studies.data import load
from studies.data.cropping import random_crop, random_flip
from studies.data.drawn import BLOCK
from studies.data.relations import COLOURS, KNOBS, Relations, glyphs
from studies.errors import UsageError

pytestmark = pytest.mark.once

BLOCKS = 60


@pytest.fixture(scope="module")
def drawn():
    """Images, labels, which are puzzles, and what is read in the images' 6x6 cells, see `read`."""
    parts = [Relations.draw("train", block) for block in range(BLOCKS)]
    images, labels = (np.concatenate(part) for part in zip(*parts))
    return images, labels, puzzles(images), *read(images)


def puzzles(images):
    """(N,) which are puzzles: they alone show white, a query's ground of eight bits at least."""
    return (images.min(-1) >= 224).sum((1, 2)) >= 8


def read(images):
    """Forms (N, 36, 4, 4) and colours (N, 36) of the cells, and the queries' cells (N,).

    Colours are those of the lit bits: 0 to 9, or -1 where there is none; of a query those that are not white.
    """
    cells = images[:, 4:28, 4:28].reshape(-1, 6, 4, 6, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    cells = cells.reshape(-1, 36, 4, 4, 3).astype(float)
    white = cells.min(-1) >= 224
    query = white.sum((2, 3)).argmax(1)
    bits = cells.max(-1) > 64  # noise stays below 32, and every colour is brighter somewhere
    rows = np.arange(len(cells))
    bits[rows, query] = ~white[rows, query]
    shade = (cells * bits[..., None]).sum((2, 3)) / bits.sum((2, 3)).clip(1)[..., None] - 15.5
    known = np.array([*COLOURS.values(), (0, 0, 0)], float)
    colours = ((shade[:, :, None] - known) ** 2).sum(-1).argmin(-1)
    return bits, np.where(bits.any((2, 3)) & (colours < 10), colours, -1), query


def matches(bits, query):
    """(N,) the cell that has the query's form, (N,) how many have."""
    rows = np.arange(len(bits))
    same = (bits == bits[rows, query][:, None]).all((2, 3))
    same[rows, query] = False
    return same.argmax(1), same.sum(1)


def test_the_answer_is_in_the_picture(drawn):
    _, labels, puzzle, *cells = drawn
    bits, colours, query = (part[puzzle] for part in cells)
    match, number = matches(bits, query)
    assert (number == 1).all()
    rows = np.arange(len(bits))
    np.testing.assert_array_equal(colours[rows, match], labels[puzzle])
    told = colours[rows, query] >= 0
    np.testing.assert_array_equal(colours[rows, query][told], labels[puzzle][told])


def test_knobs(drawn):
    """Crowds, distractors, queries that tell, and how far matches are from their queries."""
    _, _, puzzle, *cells = drawn
    assert puzzle.mean() == pytest.approx(1 - KNOBS.crowds, abs=4 * 0.5 / len(puzzle) ** 0.5)
    bits, colours, query = (part[puzzle] for part in cells)
    rows = np.arange(len(bits))
    told = colours[rows, query] >= 0
    assert told.mean() == pytest.approx(KNOBS.told, abs=4 * 0.5 / len(told) ** 0.5)
    match, _ = matches(bits, query)
    apart = np.abs(np.stack(np.divmod(query, 6)) - np.stack(np.divmod(match, 6))).max(0)
    steps = np.arange(1.0, 6)
    law = steps**-KNOBS.nearness / (steps**-KNOBS.nearness).sum()
    found = np.bincount(apart, minlength=6)[1:] / len(apart)
    np.testing.assert_allclose(found, law, atol=4 * 0.5 / len(apart) ** 0.5)
    # Outside the query, every colour is there, once or twice.
    colours[rows, query] = -1
    number = (colours >= 0).sum(1) - 1
    least, most = KNOBS.distractors
    assert sorted(set(number)) == list(range(least, most + 1))
    counts = np.stack([(colours == c).sum(1) for c in range(10)], axis=1)
    assert counts.min() == 1 and counts.max() == 2


def test_a_crowds_class_is_the_form_that_most_have(drawn):
    """One glyph in each of 4x4 rooms, at any pixel of it, and of them most have the class's form."""
    images, labels, puzzle, *_ = drawn
    images, labels = images[~puzzle], labels[~puzzle]
    lit = (images.max(-1) > 64).reshape(-1, 4, 8, 4, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 8, 8)
    assert (lit.sum((1, 2)) == 8).all()
    windows = np.lib.stride_tricks.sliding_window_view(lit, (4, 4), (1, 2)).reshape(-1, 25, 16)
    same = (windows[:, :, None] == glyphs(10).reshape(10, 16)).all(-1)
    assert (same.sum((1, 2)) == 1).all()
    place, form = np.divmod(same.reshape(-1, 250).argmax(1), 10)
    np.testing.assert_allclose(np.bincount(place, minlength=25) / len(place), 1 / 25, atol=0.005)
    form = form.reshape(-1, 16)
    number = np.stack([(form == label).sum(1) for label in range(10)], axis=1)
    assert (number.argmax(1) == labels).mean() > 0.99
    own = form == labels[:, None]
    assert own.mean() == pytest.approx(KNOBS.own, abs=4 * 0.5 / own.size**0.5)
    others = np.bincount(((form - labels[:, None]) % 10)[~own], minlength=10)[1:] / (~own).sum()
    np.testing.assert_allclose(others, 1 / 9, atol=0.01)
    # Neither colours nor how bright which part of the image is say anything.
    parts = images.reshape(-1, 4, 8, 4, 8, 3)
    assert linear_probe(parts.mean((2, 4)).reshape(len(images), -1), labels) < 0.13


def test_crowds_are_a_draw_apart_from_the_class(drawn):
    _, labels, puzzle, *_ = drawn
    counts = np.bincount(labels[~puzzle], minlength=10) / (~puzzle).sum()
    np.testing.assert_allclose(counts, 0.1, atol=4 * 0.3 / (~puzzle).sum() ** 0.5)


def linear_probe(features, labels):
    """The accuracy of least squares on the second half, fitted on the first."""
    half = len(labels) // 2
    features = np.column_stack([features, np.ones(len(labels))]).astype(float)
    targets = np.eye(10)[labels]
    weights = np.linalg.lstsq(features[:half], targets[:half], rcond=None)[0]
    return ((features[half:] @ weights).argmax(1) == labels[half:]).mean()


def test_counting_does_not_tell_the_class(drawn):
    """Colours, forms, and forms in colours, counted: all a guess where the query does not tell."""
    images, labels, puzzle, bits, colours, query = drawn
    rows = np.arange(len(bits))
    asked = puzzle & (colours[rows, query] < 0)
    kinds = np.unique(bits.reshape(len(bits), 36, 16) @ (1 << np.arange(16)), return_inverse=True)
    forms = kinds[1].reshape(len(bits), 36)
    for cells in (colours + 1, forms, forms * 12 + colours + 1):
        values = np.unique(cells[asked])
        counts = np.stack([(cells[asked] == value).sum(1) for value in values], axis=1)
        assert linear_probe(counts, labels[asked]) < 0.13
    assert linear_probe(images[asked].mean((1, 2)), labels[asked]) < 0.13


def test_crops_and_mirrors_keep_the_class(drawn):
    """No glyph is ever cut, so what was to be seen is to be seen at another place, or mirrored."""
    images = drawn[0][drawn[2]][:500]
    lit = (images.max(-1) > 64).sum((1, 2))
    for change in (random_crop, random_flip):
        changed = change(images, np.random.default_rng(0))
        assert (changed != images).any()
        np.testing.assert_array_equal((changed.max(-1) > 64).sum((1, 2)), lit)


def test_glyphs_are_as_bright_as_each_other_and_differ():
    forms = glyphs(40).reshape(40, 16)
    assert (forms.sum(1) == 8).all()
    apart = (forms[:, None] != forms).sum(-1)
    assert apart[~np.eye(40, dtype=bool)].min() >= 6
    # Those of the classes fill their squares, so that none is another one moved, nor mirrored.
    classes = glyphs(10)
    for axis in (1, 2):
        assert classes.any(3 - axis)[:, [0, -1]].all()
    mirrored = classes[:, None, :, ::-1] == classes
    assert not mirrored.all((2, 3))[~np.eye(10, dtype=bool)].any()


def test_larger_images_have_larger_bits():
    images, labels = Relations.draw("train", 0, (64, 64))
    assert images.shape == (BLOCK, 64, 64, 3)
    bits = (images.max(-1) > 64).reshape(-1, 32, 2, 32, 2)
    assert (bits == bits[:, :, :1, :, :1]).all()
    small, same = Relations.draw("train", 0)
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_array_equal(bits[:, :, 0, :, 0], small.max(-1) > 64)


def test_other_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be drawn in 28x28 pixels, .* a multiple of it"):
        load("relations:1000", 28, cache=tmp_path)
    assert not list(tmp_path.iterdir())
