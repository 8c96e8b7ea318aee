"""The image size of folders whose user says none."""

import pytest
from PIL import Image

from studies.data import default_image_size
from studies.errors import UsageError

pytestmark = pytest.mark.once


def folder(path, sizes):
    """Two classes with one image of each size (width, height)."""
    for label in ("a", "b"):
        (path / label).mkdir(parents=True)
        for number, size in enumerate(sizes):
            Image.new("L", size).save(path / label / f"{number}.png")
    return f"folder:{path}"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)], 32),
        ([(47, 500)], 32),  # the short side counts
        ([(48, 500)], 64),
        ([(640, 480), (640, 480), (20, 20)], 64),  # the median
    ],
)
def test_small_images_get_32_pixels_and_others_64(tmp_path, sizes, expected):
    assert default_image_size(folder(tmp_path, sizes)) == expected


def test_damaged_files_are_left_to_the_preparation(tmp_path):
    name = folder(tmp_path, [(20, 20)] * 2)
    (tmp_path / "a" / "0.png").write_bytes(b"no image")
    assert default_image_size(name) == 32


def test_data_with_a_size_of_their_own_keep_it():
    assert default_image_size("shapes") is None
    assert default_image_size("fashion_mnist") is None


def test_a_folder_that_is_none_is_named():
    with pytest.raises(UsageError, match="'/no/such' does not exist"):
        default_image_size("folder:/no/such")
