"""Rows of measurements: written whole or not at all, and read as they were."""

import pytest

from studies.bench.csv_rows import read_rows, write_rows

pytestmark = pytest.mark.once


def test_rows_come_back_as_text(tmp_path):
    path = tmp_path / "new" / "rows.csv"
    write_rows(path, ("a", "b"), [{"a": 1, "b": "x, y"}, {"a": 2.5, "b": ""}])
    assert path.read_bytes() == b'a,b\n1,"x, y"\n2.5,\n'
    assert read_rows(path) == [{"a": "1", "b": "x, y"}, {"a": "2.5", "b": ""}]
    assert read_rows(tmp_path / "none.csv") == []


def test_what_ends_in_the_middle_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "rows.csv"
    write_rows(path, ("a",), [{"a": 1}])

    def broken():
        yield {"a": 2}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, ("a",), broken())
    assert [row["a"] for row in read_rows(path)] == ["1"]
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]
