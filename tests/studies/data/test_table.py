"""Tables of files and labels."""

import numpy as np
import pytest
from PIL import Image

from studies.data import Options, describe, load
from studies.data.table import list_table
from studies.errors import UsageError

pytestmark = pytest.mark.once


@pytest.fixture
def table(tmp_path):
    """Twelve grey images, whose value is their number, and a function that writes a table of them."""
    (tmp_path / "images").mkdir()
    for value in range(12):
        Image.new("RGB", (8, 8), (value,) * 3).save(tmp_path / "images" / f"{value:02}.png")

    def write(*lines, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(lines) + "\n", encoding=encoding)
        return f"csv:{path}"

    return write


def rows(columns="{file},{label}", splits=("train",) * 12):
    return [
        columns.format(file=f"images/{n:02}.png", label="ab"[n % 2], split=splits[n], group=n // 4)
        for n in range(12)
    ]


def test_labels_come_from_the_table(table, tmp_path):
    data = load(table("file,label", *rows()), 8, cache=tmp_path / "cache")
    assert data.info.class_names == ("a", "b") and list(data.pools) == ["train"]
    pixels = data.pools["train"].images[:, 0, 0, 0]
    assert pixels.tolist() == list(range(12))
    assert data.pools["train"].labels.tolist() == [0, 1] * 6
    assert data.names()[3] == "images/03.png"


def test_columns_may_stand_in_any_order_and_more_of_them(table):
    name = table('Label;"FILE";note', *rows("{label};{file};x"), "", encoding="utf-8-sig")
    listing = list_table(name, Options())
    assert listing.class_names == ["a", "b"] and listing.labels["train"].tolist() == [0, 1] * 6


def test_splits_and_groups_come_from_columns(table, tmp_path):
    splits = ("train",) * 6 + ("Val",) * 2 + ("testing",) * 4
    lines = rows("{file},{label},{split},{group}", splits)
    listing = list_table(table("file,label,split,group", *lines), Options())
    assert {split: len(files) for split, files in listing.files.items()} == {
        "train": 6,
        "validation": 2,
        "test": 4,
    }
    assert listing.groups["train"].tolist() == [0] * 4 + [1] * 2
    assert listing.groups["validation"].tolist() == [1, 1]
    lines[0] = lines[0].removesuffix("0")
    listing = list_table(table("file,label,split,group", *lines), Options())
    assert listing.groups["train"].tolist() == [-1] + [0] * 3 + [1] * 2
    by_path = list_table(table("file,label", *rows()), Options(groups=r"/(\d)"))
    assert by_path.groups["train"].tolist() == [0] * 10 + [1] * 2


def test_a_moved_table_is_the_same_data(table, tmp_path):
    first = describe(table("file,label", *rows()), 8, cache=tmp_path / "cache")
    (tmp_path / "moved").mkdir()
    for name in ("labels.csv", "images"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    again = describe(f"csv:{tmp_path / 'moved' / 'labels.csv'}", 8, cache=tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert len([p for p in (tmp_path / "cache").iterdir() if p.is_dir()]) == 1


def test_missing_files_are_unreadable_ones(table, tmp_path):
    lines = [*rows(), "images/99.png,a", "images,b"]
    with pytest.raises(
        UsageError,
        match=r"has 2 images that cannot be read: images \(.+\), images/99\.png \(No such file",
    ):
        load(table("file,label", *lines), 8, cache=tmp_path / "cache")
    data = load(table("file,label", *lines), 8, Options(skip_broken=True), tmp_path / "cache")
    assert len(data.pools["train"]) == 12


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "has no column file or label"),
        (["file,label"], "has no rows"),
        (["path,label", "a.png,a"], r"no column file \(path, label\): .* must name the columns"),
        (["file,label", "a.png,a", "b.png,"], "Row 3 of the table .* has no label"),
        (["file,label", "a.png,a", ",b"], "Row 3 of the table .* has no file"),
        (["file,label", "a.png,a"], r"only one label in train \(a\)"),
        (["file,label,split", "a.png,a,holdout"], "the split 'holdout': choose train, validation"),
        (["file,label,split", "a.png,a,train", "b.png,b,"], "b.png the split ''"),
        (["file,label,split", "a.png,a,test"], "no row whose split is train"),
        (
            ["file,label,split", "a.png,a,train", "b.png,b,train", "c.png,c,val"],
            "label 'c' in the split validation .* not among those in train",
        ),
        (["file,label", '"a.png,a'], r"cannot be read \(it is not CSV"),
    ],
)
def test_wrong_tables_are_refused_in_a_sentence(table, tmp_path, lines, words):
    with pytest.raises(
        UsageError, match=words.replace("cannot be read .*", "cannot be read .")
    ) as e:
        load(table(*lines), 8, cache=tmp_path / "cache")
    assert "\n" not in str(e.value) and not (tmp_path / "cache").exists()


def test_tables_that_are_none_are_refused(table, tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        load(f"csv:{tmp_path / 'nowhere.csv'}", 8)
    with pytest.raises(UsageError, match=r"cannot be read \(it is not CSV in UTF-8\)"):
        load(table("file,label", "b\xe4r.png,a", encoding="latin-1"), 8)
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)"):
        load(f"csv:{tmp_path}", 8)


def test_groups_of_a_table_are_part_of_the_data(table, tmp_path):
    prints = set()
    for column in ("", ",group"):
        lines = rows("{file},{label}")
        if column:
            lines = [f"{line},{'x' if n in (0, 2) else ''}" for n, line in enumerate(lines)]
        data = load(table(f"file,label{column}", *lines), 8, cache=tmp_path / "cache")
        prints.add(data.info.fingerprint)
        assert len(np.unique(data.pools["train"].groups)) == (11 if column else 12)
    assert len(prints) == 2
