"""`check` and the head of `plan` and `run`, on folders as people have them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from studies.command_line import app as cli
from studies.running import costs
from studies.running.costs import Cost
from tests.studies.data.test_folder import add

pytestmark = pytest.mark.once
ROOT = Path(__file__).parents[3]


def measure(entries, image_shape, num_classes, backend, further=None):
    """Counting FLOPs builds models, which takes longer than all of these tests."""
    return {entry.name: Cost(flops=15_000_000, params=250_000) for entry in entries}


@pytest.fixture
def studies(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(costs, "measure", measure)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    add(folder / "cats", 30, size=(40, 20))
    add(folder / "dogs", 20, size=(30, 30), first=100)
    return folder


def test_a_folder_in_order(studies, photos):
    code, out, _ = studies("check", "folder:photos")
    assert code == 0
    assert out.splitlines()[:3] == [
        "folder:photos: 50 images in 2 classes: cats 30, dogs 20",
        "  no splits: each seed draws its own validation and test images",
        "  pixels: width 30 to 40 (median 40), height 20 to 30 (median 20); crop cuts 50 % of the median "
        "image away, --fit pad keeps all",
    ]


def test_a_study_is_suggested_that_run_takes(studies, photos):
    given = ("--fit", "pad", "--groups", "(cats|dogs)/00", "--image-size", "16")
    code, out, _ = studies("check", "folder:photos", *given)
    told, command = out.splitlines()[-2:]
    assert code == 0
    assert re.match(
        r"suggestion: images of 16x16, sizes [\d, ]+, \d seeds, [\d,]+( to [\d,]+)? steps: \d+ trials "
        r"in about .+; 38 kB of images and [\d.]+ MB of models on disk$",  # 50 x 16 x 16 x 3 bytes
        told,
    )
    assert command == (
        "  python -m studies run data-scale --dataset folder:photos --image-size 16 --fit pad "
        "--groups '(cats|dogs)/00'"
    )
    sizes = [
        int(n.replace(",", "")) for n in re.findall(r"(\d[\d,]*)(?=, )", told.split("seeds")[0])
    ]
    assert len(sizes) >= 4
    code, out, _ = studies("plan", *shlex.split(command)[4:])
    for size in sizes[1:]:  # the first number is that of the pixels
        assert re.search(rf"vit-s +{size} ", out)


def test_everything_that_is_odd_is_told_at_once(studies, photos):
    for number in range(248):
        (photos / "cats" / f"{number}.svg").write_text("")
    (photos / "__MACOSX").mkdir()
    (photos / "dogs" / "linked").symlink_to(photos / "cats")
    for number in range(25):
        (photos / "dogs" / f"broken{number:02}.jpg").write_bytes(b"broken")
    add(photos / "dogs", 1, size=(40, 20), first=5)
    (photos / "groups.csv").write_text("file,group\ncats/000.png,x\ncats/001.png,x\n")
    code, out, err = studies("check", "folder:photos")
    assert code == 1 and "Traceback" not in err
    for line in (
        "  left alone: 248 .svg, 1 __MACOSX, 1 linked folder",
        "  cannot be read (refused; --skip-broken leaves them out): 25 images",
        *(f"    dogs/broken{n:02}.jpg: it is not an image that Pillow knows" for n in range(25)),
        "  the same pixels as another image, at 32x32: 1 image",
        "  the same pixels under two labels: 1 image",
        "    cats/005.png (cats) = dogs/005.png (dogs)",
        "  images that belong together: 1 group of 2; 49 images in no group",
    ):
        assert line in out.splitlines(), line
    assert str(photos) not in out.replace("folder:photos", "")
    code, out, _ = studies("check", "folder:photos", "--skip-broken")
    assert code == 0 and "cannot be read (left out): 25 images" in out


def test_splits_and_classes_that_lack_images(studies, tmp_path):
    for split, classes in (("train", "abc"), ("val", "ab"), ("test", "ac")):
        for number, name in enumerate(classes):
            add(tmp_path / "photos" / split / name, 4, first=20 * number + 100 * (split == "val"))
    code, out, _ = studies("check", "folder:photos")
    assert code == 0
    assert "  splits: train 12, validation 8, test 8" in out.splitlines()
    assert "  classes without validation images: c" in out.splitlines()
    assert "  classes without test images: b" in out.splitlines()
    assert "  the same pixels in two splits: 8 images" in out.splitlines()
    assert "    train: train/a/000.png = test: test/a/000.png" in out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder:nowhere", "does not exist or is no folder"),
        ("photos", "did you mean folder:photos?"),
        ("csv:nowhere.csv", "cannot be read"),
    ],
)
def test_what_run_would_refuse_ends_with_1(studies, photos, name, words):
    code, out, err = studies("check", name)
    assert code == 1 and words in out and "Traceback" not in err
    assert out.startswith(f"{name}: run would refuse it.") and len(out.splitlines()) == 1


def test_wrong_use_ends_with_2(studies, photos):
    for arguments in (["folder:photos", "--fit", "stretch"], ["--image-size", "32"]):
        assert studies("check", *arguments)[0] == 2


def test_other_data_sets_are_checked_too(studies):
    code, out, _ = studies("check", "shapes:1000", "--image-size", "8")
    assert code == 0
    assert out.splitlines()[0].startswith("shapes:1000: 8,000 images in 10 classes: disc 800, ")
    assert "  splits: train 1,000, validation 2,000, test 5,000" in out.splitlines()


def test_a_pipe_gets_no_more_than_lines(photos, tmp_path):
    """Nothing on stderr but what is prepared; names that are not text do no harm."""
    with open(os.fsencode(photos) + b"/cats/\xff.png", "wb"):
        pass
    done = subprocess.run(
        [sys.executable, "-m", "studies", "check", f"folder:{photos}"],
        cwd=ROOT,
        env={**os.environ, "KERAS_VIT_CACHE": str(tmp_path / "cache"), "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and r"cats/\udcff.png: the file is empty" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("Preparing folder:") and line.endswith("(once) ...")
