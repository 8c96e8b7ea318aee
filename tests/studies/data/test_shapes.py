"""The drawn figures: varied, of one piece, told by neither colour nor place, the same on any processor."""

import os
import subprocess
import sys

import numpy as np
import pytest

from studies.data import shapes
from studies.data.drawn import BLOCK
from studies.data.figures import FIGURES, blob
from studies.data.shapes import Shapes

pytestmark = pytest.mark.once

draw = Shapes.draw


def test_images_are_neither_dark_nor_flat():
    images = draw("train", 0)[0]
    assert 70 < images.mean() < 150 and images.std() > 50


def test_neither_colour_nor_a_template_tells_the_class():
    """The nearest mean colour is a guess, and the nearest mean image is wrong far more than right."""
    train = [draw("train", block) for block in range(20)]
    test = [draw("test", block) for block in range(10)]
    (a, x), (b, y) = ([np.concatenate(p) for p in zip(*part)] for part in (train, test))

    def nearest_mean(values, others):
        means = np.stack([values[x == label].mean(0) for label in range(10)])
        return ((others @ means.T - (means**2).sum(1) / 2).argmax(1) == y).mean()

    assert nearest_mean(a.mean((1, 2)), b.mean((1, 2))) < 0.15
    flat = (images.reshape(len(images), -1).astype(float) for images in (a, b))
    assert nearest_mean(*flat) < 0.3


def test_another_size_is_drawn_at_that_size():
    images, classes = draw("train", 0, (48, 64))
    assert images.shape == (BLOCK, 48, 64, 3)
    np.testing.assert_array_equal(classes, draw("train", 0)[1])
    doubled = draw("train", 0, (64, 64))[0].reshape(BLOCK, 32, 2, 32, 2, 3).mean((2, 4))
    # The same figures at the same places: what differs is noise and the edges' smoothness.
    apart = np.abs(doubled - draw("train", 0)[0]).mean()
    assert apart < np.abs(doubled - np.roll(draw("train", 0)[0], 1, axis=0)).mean() / 3


def test_a_processor_without_vector_instructions_draws_the_same():
    """NumPy's float32 sines differ in the last bit from one instruction set to another."""
    code = (
        "import hashlib; from studies.data.shapes import Shapes; "
        "print([hashlib.sha256(Shapes.draw(split, 0, (48, 64))[0]).hexdigest() for split in "
        "('train', 'validation', 'test')])"
    )
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])  # chosen at run time
    plain = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    drawn = subprocess.check_output([sys.executable, "-c", code], env=plain, text=True)
    assert drawn == subprocess.check_output([sys.executable, "-c", code], text=True)


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_figure_is_one_piece_within_reach(name):
    from scipy.ndimage import label

    axis = np.linspace(-1.5, 1.5, 151, dtype=np.float32)
    inside = FIGURES[name](*np.meshgrid(axis, axis)) < 0
    area = inside.mean() * 9
    assert label(inside, np.ones((3, 3)))[1] == 1
    assert 0.5 < area < 2.6  # in squared radii
    v, u = np.nonzero(inside)
    assert np.hypot(axis[u], axis[v]).max() < 1.35


def some_blobs():
    axis = np.linspace(-2, 2, 161, dtype=np.float32)
    edges = shapes._EDGES.reshape(-1, 2, shapes.WAVES)[::50]
    u, v = (np.broadcast_to(c, (len(edges), *c.shape)) for c in np.meshgrid(axis, axis))
    return u, v, blob(u, v, edges), edges


def test_a_blob_is_one_piece_within_reach():
    from scipy.ndimage import label

    u, v, distances, _ = some_blobs()
    for distance in distances:
        inside = distance < 0
        assert label(inside, np.ones((3, 3)))[1] == 1
        assert 1.5 < inside.mean() * 16 < 3.0  # squared radii: no larger than the other figures
    assert np.hypot(u, v)[distances < 0].max() < 2


def test_a_blobs_edge_is_the_fourier_series_of_its_radius():
    u, v, distances, edges = some_blobs()
    angle = np.arctan2(v, u)[..., None].astype(float)
    waves = np.arange(2, shapes.WAVES + 2)
    cosines, sines = edges[:, None, None, 0], edges[:, None, None, 1]
    edge = 0.8 + (cosines * np.cos(angle * waves) + sines * np.sin(angle * waves)).sum(-1)
    apart = np.hypot(u, v) - edge
    outside = np.hypot(u, v) > 0.2  # nearer to the middle a direction means nothing
    assert (np.sign(distances) == np.sign(apart))[outside & (np.abs(apart) > 1e-3)].all()


def test_more_images_go_on_meeting_more_of_the_blobs():
    """What makes accuracy rise with images: the part of a class's images never met before."""
    part = np.diff(np.concatenate([[0], shapes._UP_TO]))
    assert part.sum() == pytest.approx(1) and len(part) == shapes.BLOBS
    np.testing.assert_allclose(part[0] / part, np.arange(1, shapes.BLOBS + 1))
    chance = shapes.SELDOM * part / 10  # of each blob of a class, in one image of any class
    unmet = [float((part * (1 - chance) ** n).sum()) for n in (500, 5000, 50_000)]
    assert unmet[0] > 0.7 and 0.3 < unmet[1] < 0.5 and unmet[2] < 0.15
