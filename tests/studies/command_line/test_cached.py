"""`cache`: what lies prepared is listed and removed."""

import os
import shutil
import time

import pytest

from studies.command_line import app as cli
from studies.data import cache as cached
from studies.data import describe
from studies.data.cache import programs_folder

pytestmark = pytest.mark.once


@pytest.fixture
def studies(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    for size in (4, 8):
        describe("shapes:1000", size)
    (tmp_path / "cache" / "tfds" / "downloads").mkdir(parents=True)
    (tmp_path / "cache" / "tfds" / "downloads" / "x.gz").write_bytes(b"0" * 2_000_000)
    (tmp_path / "cache" / "costs").mkdir()

    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str]:
        code = cli.main(["cache", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def folders(tmp_path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "cache").iterdir() if p.is_dir())


def test_entries_are_listed_with_size_last_use_and_name(studies, tmp_path):
    code, out = studies()
    first, *lines = out.splitlines()
    assert code == 0 and first.startswith(f"{tmp_path / 'cache'}: 3 entries, ")
    assert len(lines) == 3
    (eight,) = [line for line in lines if "1.7 MB" in line]  # 8,000 images of 8x8x3, labels, groups
    assert (
        "shapes-1000-" in eight and "last used today" in eight and eight.endswith("  shapes:1000")
    )
    assert any("2.0 MB" in line and "downloads of TensorFlow Datasets" in line for line in lines)


def test_one_entry_is_removed_by_its_name(studies, tmp_path):
    name = next(n for n in folders(tmp_path) if n.startswith("shapes"))
    code, out = studies("--remove", name)
    assert code == 0 and f"removed {name}" in out
    assert name not in folders(tmp_path) and len(folders(tmp_path)) == 3
    describe("shapes:1000", 4), describe("shapes:1000", 8)
    assert len(folders(tmp_path)) == 4  # prepared again
    assert studies("--remove", "shapes:1000")[0] == 0
    assert folders(tmp_path) == ["costs", "tfds"]


def test_what_jax_compiled_for_the_user_counts(studies, tmp_path):
    own = programs_folder(tmp_path / "cache")
    for folder in (own, own.with_name("programs-of-another")):
        folder.mkdir()
        (folder / "step-cache").write_bytes(b"0" * 3_000_000)
    told = studies()[1]
    assert ": 4 entries, " in told and "programs-of-another" not in told
    (line,) = [line for line in told.splitlines() if line.endswith("programs that JAX compiled")]
    assert "3.0 MB" in line and own.name in line
    assert studies("--remove", own.name)[0] == 0 and not own.exists()


def test_all_are_removed(studies, tmp_path):
    assert studies("--remove", "all")[0] == 0
    assert folders(tmp_path) == ["costs"]
    assert "0 entries" in studies()[1]


def test_what_was_not_used_for_some_days_is_removed(studies, tmp_path):
    old = next(n for n in folders(tmp_path) if n.startswith("shapes"))
    past = time.time() - 40 * 86_400
    os.utime(tmp_path / "cache" / old / "used", (past, past))
    assert "last used 40 days ago" in studies()[1]
    code, out = studies("--unused-days", "30")
    assert code == 0 and out.splitlines()[0].startswith(f"removed {old}")
    assert len([n for n in folders(tmp_path) if n.startswith("shapes")]) == 1


@pytest.mark.parametrize("chosen", [("--remove", "all"), ("--unused-days", "0")])
def test_what_was_put_among_the_downloads_by_hand_goes_by_its_name_alone(studies, tmp_path, chosen):
    tfds = tmp_path / "cache" / "tfds"
    (tfds / "downloads" / "manual" / "set").mkdir(parents=True)
    (tfds / "downloads" / "manual" / "set" / "images.tar").write_bytes(b"0" * 5_000_000)
    (tfds / "things" / "1.0.0").mkdir(parents=True)
    (tfds / "note").write_text("x")
    code, out = studies(*chosen)
    assert code == 0 and "removed tfds (2.0 MB; downloads/manual stays)" in out
    files = [path.relative_to(tfds) for path in tfds.rglob("*") if path.is_file()]
    assert [str(file) for file in files] == ["downloads/manual/set/images.tar"]
    assert not (tfds / "things").exists() and folders(tmp_path) == ["costs", "tfds"]
    assert "removed tfds (5.0 MB)" in studies("--remove", "tfds")[1] and not tfds.exists()


def test_downloads_that_lie_elsewhere_stay_with_what_was_put_there(studies, tmp_path):
    tfds = tmp_path / "cache" / "tfds"
    (tfds / "downloads" / "manual").mkdir()
    (tfds / "downloads" / "manual" / "images.tar").write_text("x")
    (tfds / "downloads").rename(tmp_path / "large")
    (tfds / "downloads").symlink_to(tmp_path / "large")
    assert "downloads/manual stays" in studies("--remove", "all")[1]
    assert (tfds / "downloads" / "manual" / "images.tar").exists()
    assert (tmp_path / "large" / "x.gz").exists()
    assert "removed tfds" in studies("--remove", "tfds")[1]
    assert (tmp_path / "large" / "manual" / "images.tar").exists() and not tfds.exists()


def test_of_a_link_what_it_leads_to_stays(studies, tmp_path):
    place = tmp_path / "cache"
    for name in folders(tmp_path):
        (place / name).rename(tmp_path / name)
        (place / name).symlink_to(tmp_path / name)
    kept = sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(place))
    code, out = studies("--remove", "all")
    assert code == 0 and "3 removed, 0 bytes are free again" in out
    assert "removed tfds (0 bytes; what the link led to stays)" in out
    assert folders(tmp_path) == ["costs"]
    assert sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(place)) == kept


def test_the_rest_is_removed_where_one_cannot_be(studies, tmp_path):
    first, second, _ = (tmp_path / "cache" / n for n in folders(tmp_path) if n != "costs")
    for stuck in (first, second):
        lock = stuck.with_name(f".{stuck.name}.lock")
        lock.unlink(missing_ok=True)
        lock.mkdir()  # cannot be opened, whoever runs this
    code, out = studies("--remove", "all")
    left = [name for name in folders(tmp_path) if not name.startswith(".")]
    assert code == 2 and left == ["costs", first.name, second.name]
    assert "removed tfds (2.0 MB)" in out and "1 removed, 2.0 MB are free again" in out
    last = out.splitlines()[-1]
    assert f"{first.name} (Is a directory)" in last and f"{second.name} (Is a directory)" in last
    assert "keeps what cannot be removed" in last


def test_what_another_process_removes_meanwhile_is_no_trouble(studies, tmp_path, monkeypatch):
    def gone(call):
        def first_gone(folder, *arguments, **options):
            if folder.name == "tfds" and folder.exists():
                shutil.rmtree(folder)
            return call(folder, *arguments, **options)

        return first_gone

    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "cache" / "tfds", kept)
    with monkeypatch.context() as patch:  # while it is looked through
        patch.setattr(cached, "_entry", gone(cached._entry))
        code, out = studies()
        assert code == 0 and ": 2 entries, " in out and "tfds" not in out
    shutil.copytree(kept, tmp_path / "cache" / "tfds")
    with monkeypatch.context() as patch:  # while it is to be removed
        patch.setattr(cached, "lock_of", gone(cached.lock_of))
        code, out = studies("--remove", "all")
    assert code == 0 and "tfds" not in out and "2 removed, 2.2 MB are free again" in out
    assert folders(tmp_path) == ["costs"]


def test_what_another_process_removes_in_part_meanwhile_is_no_trouble(
    studies, tmp_path, monkeypatch
):
    def unlink(path, *arguments, call=os.unlink, **options):
        call(path, *arguments, **options)
        if str(path).endswith(".npy"):  # as for whoever comes second
            raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr("os.unlink", unlink)
    assert studies("--remove", "all")[0] == 0 and folders(tmp_path) == ["costs"]


def test_other_names_are_refused(studies, tmp_path):
    (tmp_path / "precious").mkdir()
    for name in ("../precious", "costs", "shapes-1000-0", ""):
        code, out = studies("--remove", name)
        assert code == 2 and "holds no" in out and "choose all, or one of" in out
    assert (tmp_path / "precious").exists() and len(folders(tmp_path)) == 4
