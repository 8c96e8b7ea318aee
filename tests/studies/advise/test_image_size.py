"""Images that the patches of given weights divide, or one sentence on why there are none."""

import pytest

from studies.advise.design import MODELS, Question, from_scratch
from studies.advise.image_size import fitting, patch
from studies.advise.weights import Start
from studies.errors import UsageError
from studies.records.place import Here

pytestmark = pytest.mark.once


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes the study of a folder whose images get a size by default, or one that is asked for."""

    def make(default, asked=None):
        monkeypatch.setattr("studies.data.default_image_size", lambda *_: default)
        return from_scratch(Question("digits", Here(tmp_path), reading={"image_size": asked}))

    return make


def weights(*bases):
    return [Start(f"w{number}", "w", base, {}) for number, base in enumerate(bases)]


@pytest.mark.parametrize(
    ("default", "bases", "size"),
    [
        (64, ("ViT-S/14",), 112),  # as vit-s has patches of 8 there
        (32, ("ViT-S/14",), 56),  # and of 4 here
        (64, ("ViT-B/16", "BiT-R50x1", "R50+ViT-B/16", "ViT-B/32"), None),
        (32, ("ViT-B/16",), None),
        (None, ("ViT-B/16",), 16),  # digits have 8x8 of their own
        (None, ("ViT-Ti/8",), None),
        (64, ("ViT-S/14", "ViT-B/32"), 224),
    ],
)
def test_the_size_is_the_next_that_all_patches_divide(study, default, bases, size):
    plain = study(default)
    found, told = fitting(plain, weights(*bases), None)
    assert found.image_size == size
    if size is None:
        assert (found, told) == (plain, "")
        return
    assert told.startswith(f"images are of {size}x{size}, not of ") and told.count("\n") == 0
    forms = [found.models[name].for_images(size, size) for name in MODELS]
    sides = [patch(base, {}) for base in bases] + [patch(f.base, f.overrides) for f in forms]
    assert all(size % side == 0 for pair in sides for side in pair)


def test_patches_of_a_file_count_as_it_has_them(study):
    given = [Start("w", "w.npz", "ViT-B/16", {"patch_size": [8, 24]})]
    found, told = fitting(study(64), given, None)
    assert found.image_size == 72 and "the patches of w (24x8) do not divide" in told


def test_where_there_is_no_such_size_it_is_said_what_to_do(study):
    with pytest.raises(UsageError, match=r"no image size from 64 to 224 .*w0 \(14x14\).*--name"):
        fitting(study(64), weights("ViT-S/14", "ViT-S/27"), None)
    with pytest.raises(UsageError, match=r"--image-size 100: .* do not divide it; 112 would do"):
        fitting(study(64, asked=100), weights("ViT-S/14"), None)
    assert fitting(study(64, asked=112), weights("ViT-S/14"), None)[1] == ""


def test_all_models_see_images_that_the_weights_can(session, monkeypatch):
    given = []
    monkeypatch.setattr("studies.advise.session.starts", lambda *_: given)
    plain = session(36_000)
    assert plain.resized == "" and plain.study.data.image_shape == (8, 8, 1)
    given += weights("ViT-S/14")
    made = session(36_000)
    assert "the patches of w0 (14x14) do not divide" in made.resized
    assert made.study.data.image_shape == (28, 28, 1)
    made.go()
    assert {trial.image_shape for trial in made.machine.ran} == {(28, 28, 1)}
    # What was begun goes on, with these weights and without, and takes no others.
    assert session(36_000).study.data.image_shape == (28, 28, 1)
    given[:] = weights("ViT-S/16")
    with pytest.raises(UsageError, match=r"images of 28x28, .*w0 \(16x16\).*--name"):
        session(36_000)
    given.clear()
    assert session(36_000).study.data.image_shape == (28, 28, 1)
