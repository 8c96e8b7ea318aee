"""Results elsewhere: a copy here, whose changes are in storage when they must not be lost."""

import json

import numpy as np
import pytest

from studies.errors import UsageError
from studies.machine.cloud import Bucket
from studies.records import transfer
from studies.records.place import Elsewhere, Here, opened
from studies.records.store import ResultsStore
from studies.training.checkpoint import CheckpointFolder

pytestmark = pytest.mark.once


def copies_of(url, tmp_path):
    """Makes copies of one place, as commands on several machines have."""

    def copy():
        path = tmp_path / f"copy{len(list(tmp_path.glob('copy*')))}"
        path.mkdir()
        return Elsewhere(Bucket(url), path)

    return copy


@pytest.fixture
def copies(s3, tmp_path):
    return copies_of(f"{s3}/{tmp_path.name}", tmp_path)


def stored(place):
    return sorted(place._bucket.stamps(""))


def write(place, name, content):
    path = place.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_one_stores_another_fetches_also_when_it_changes_or_goes(copies):
    one, other = copies(), copies()
    study, model = write(one, "mine/study.toml", b"1"), write(one, "mine/models/a.keras", b"2")
    one.store(study, model.parent)
    other.fetch("mine")
    assert (other.path / "mine" / "models" / "a.keras").read_bytes() == b"2"
    study.write_bytes(b"longer")
    model.unlink()
    one.store(study, model.parent)
    assert stored(one) == ["mine/study.toml"]
    other.fetch("mine", "nothing")
    assert (other.path / "mine" / "study.toml").read_bytes() == b"longer"
    assert not (other.path / "mine" / "models" / "a.keras").exists()
    assert other.names() == ["mine"] and other.storage("mine").read("study.toml") == b"longer"


def test_only_what_has_changed_goes_over_the_wire(copies, monkeypatch):
    one, other = copies(), copies()
    one.store(write(one, "mine/a", b"1"), write(one, "mine/b", b"2"))
    other.fetch("mine")
    moved = []
    read, put = Bucket.read_many, Bucket.write
    monkeypatch.setattr(Bucket, "read_many", lambda b, names: moved.extend(names) or read(b, names))
    monkeypatch.setattr(Bucket, "write", lambda b, name, c: moved.append(name) or put(b, name, c))
    one.store(write(one, "mine/b", b"three"), one.path / "mine")
    other.fetch("mine")
    other.store(other.path / "mine")
    assert moved == ["mine/b", "mine/b"]


def test_records_are_objects_that_are_put_once(copies):
    one = copies()
    store = ResultsStore(one.path / "mine" / "trials.jsonl")
    for number in range(3):
        store.append({"trial_id": f"{number}", "status": "done"})
        one.store(store.path)
    one.store(store.path, one.path / "mine")
    names = [f"mine/trials/{number:08d}.json" for number in (1, 2, 3)]
    assert stored(one) == names
    assert json.loads(one._bucket.read(names[1]))["trial_id"] == "1"
    other = copies()
    other.fetch("mine")
    assert (other.path / "mine" / "trials.jsonl").read_bytes() == store.path.read_bytes()
    more = ResultsStore(other.path / "mine" / "trials.jsonl")
    more.append({"trial_id": "1", "status": "failed"})
    other.store(more.path)
    # The first one has been taken over and does not know it: what it puts replaces nothing.
    store.append({"trial_id": "7", "status": "done"})
    one.store(store.path)
    third = copies()
    third.fetch("mine")
    records = ResultsStore(third.path / "mine" / "trials.jsonl").records()
    assert [(r["trial_id"], r["status"]) for r in records] == [
        *[("0", "done"), ("1", "failed"), ("2", "done"), ("7", "done")]
    ]


def test_a_training_goes_on_elsewhere_with_the_bits_of_its_checkpoint(copies, rng):
    one = copies()
    folder = CheckpointFolder(one.path / ".checkpoints" / "abc")
    weights = rng.normal(size=(3, 4)).astype(np.float32)
    for number in (1, 2, 3):
        folder.save_state(number, {"number": number}, {"model": [weights * number]})
        one.store(folder.folder)
    assert len(stored(one)) == 2, "as many as are kept here"
    (folder.folder / "lock").touch()
    (folder.folder / ".state.tmp").touch()
    one.store(folder.folder)
    other = copies()
    other.fetch(".checkpoints/abc")
    state = CheckpointFolder(other.path / ".checkpoints" / "abc").newest_state()
    assert state.meta == {"number": 3} and np.array_equal(state.arrays["model"][0], weights * 3)
    folder.save_final({}, {"best": [weights]})
    one.store(folder.folder)
    assert stored(one) == [".checkpoints/abc/final.ckpt"]


def test_what_no_command_reads_and_what_would_leave_the_copy_stays_where_it_is(copies):
    place = copies()
    for name in ("mine/logs/a.log", "mine/.lease/1.json", "mine/tensorboard/x/y", "mine/a"):
        place._bucket.write(name, b"-")
    place._bucket.stamps, real = (
        lambda folder: {**real(folder), "../../out": "1"},
        place._bucket.stamps,
    )
    place.fetch("mine")
    assert [p.name for p in place.path.rglob("*") if p.is_file()] == ["a"]
    assert not (place.path.parent / "out").exists()


def test_objects_of_others_among_the_records_are_left_alone(copies):
    one = copies()
    others = [f"mine/trials/{name}.json" for name in ("notes", "7", "00000001 (1)", "٠٠٠٠٠٠٠٩")]
    for name in others:
        one._bucket.write(name, b'{"trial_id": "not ours"}')
    store = ResultsStore(one.path / "mine" / "trials.jsonl")
    for number in range(2):
        one.fetch("mine")
        store.append({"trial_id": f"{number}", "status": "done"})
        one.store(store.path)
    assert stored(one) == sorted(
        [*others, "mine/trials/00000001.json", "mine/trials/00000002.json"]
    )
    other = copies()
    other.fetch("mine")
    records = ResultsStore(other.path / "mine" / "trials.jsonl").records()
    assert [record["trial_id"] for record in records] == ["0", "1"]


def test_records_that_cannot_be_read_are_not_records_that_are_not_there(copies, monkeypatch):
    one, other = copies(), copies()
    store = ResultsStore(one.path / "mine" / "trials.jsonl")
    for number in range(2):
        store.append({"trial_id": f"{number}", "status": "done"})
    one.store(store.path, write(one, "mine/study.toml", b"1"))
    ask = other._bucket._fs._cat_file

    async def refused(path, *arguments, **options):  # as of one that was moved to an archive
        if path.endswith("2.json"):
            raise PermissionError("Access Denied")
        return await ask(path, *arguments, **options)

    monkeypatch.setattr(other._bucket._fs, "_cat_file", refused)
    with pytest.raises(
        UsageError, match=r"cannot read s3://.* \(Access Denied\): see to .*permission"
    ):
        other.fetch("mine")


def test_a_folder_is_its_own_copy(tmp_path):
    with opened(tmp_path / "runs") as place:
        assert isinstance(place, Here) and place.path == tmp_path / "runs"
        place.check()
        place.fetch("mine")
        place.store(tmp_path / "runs" / "mine")
        assert not place.path.exists() and place.names() == []


def test_errors_name_the_url_and_the_copy_goes_with_the_command(s3):
    with (
        pytest.raises(UsageError, match=r"^s3://bucket/runs/mine is bad$"),
        opened("s3://bucket/runs") as place,
    ):
        copy = place.path
        raise UsageError(f"{copy / 'mine'} is bad")
    assert not copy.exists()


def test_a_place_that_cannot_be_written_or_read_is_one_sentence(s3, monkeypatch):
    with (
        pytest.raises(
            UsageError, match=r"cannot write to the results folder s3://nowhere/runs \(.*not"
        ),
        opened("s3://nowhere/runs") as place,
    ):
        place.check()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with (
        pytest.raises(
            UsageError, match=r"cannot read s3://bucket/runs \(.*credentials\).*--results"
        ),
        opened("s3://bucket/runs") as place,
    ):
        place.fetch("mine")


@pytest.fixture
def machines(tmp_path):
    """The place is in this process's memory."""
    return copies_of(f"memory:/{tmp_path}", tmp_path)


def trained(place, threads, weights):
    """Leave what a training leaves that came to its end on some machine."""
    folder = CheckpointFolder(place.path / ".checkpoints" / "abc")
    write(place, ".checkpoints/abc/threads.json", b'{"threads": %d, "cores": 2}' % threads)
    folder.save_final({"threads": threads}, {"best": [weights]})
    place.store(folder.folder)
    return folder


@pytest.mark.parametrize("large", [2**20, 100])
def test_of_two_machines_that_finish_the_same_training_one_is_believed(
    machines, large, monkeypatch, rng
):
    monkeypatch.setattr(transfer, "LARGE_BYTES", large)
    one, other, third = machines(), machines(), machines()
    first, second = (rng.normal(size=(9, 40)).astype(np.float32) for _ in range(2))
    folders = [trained(one, 1, first), trained(other, 2, second)]
    one.store(folders[0].folder)
    third.fetch(".checkpoints/abc")
    folders.append(CheckpointFolder(third.path / ".checkpoints" / "abc"))
    for folder in folders:
        assert np.array_equal(folder.final().arrays["best"][0], first)
        assert b'"threads": 1' in (folder.folder / "threads.json").read_bytes()


def test_an_end_that_is_damaged_is_replaced_by_who_has_seen_it(machines, rng):
    first, one, other = machines(), machines(), machines()
    weights = rng.normal(size=(3, 4)).astype(np.float32)
    trained(first, 1, 3 * weights)
    first._bucket.write(".checkpoints/abc/final.ckpt", b"damaged")
    for place in (one, other):
        place.fetch(".checkpoints/abc")
        assert (place.path / ".checkpoints/abc/final.ckpt").read_bytes() == b"damaged"
    trained(other, 1, weights)
    folder = trained(one, 1, 2 * weights)
    assert np.array_equal(folder.final().arrays["best"][0], weights), "another was sooner"


def test_however_large_models_are_little_of_them_is_in_memory(machines, monkeypatch):
    monkeypatch.setattr(transfer, "LARGE_BYTES", 1000)
    monkeypatch.setattr(transfer, "BYTES_AT_ONCE", 3000)
    held = []
    read, put = Bucket.read_many, Bucket.write

    def read_many(bucket, names):
        found = read(bucket, names)
        held.append(sum(map(len, found.values())))
        return found

    def write_one(bucket, name, content):
        held.append(len(content))
        put(bucket, name, content)

    monkeypatch.setattr(Bucket, "read_many", read_many)
    monkeypatch.setattr(Bucket, "write", write_one)
    one, other = machines(), machines()
    names = [f"mine/models/{number}.keras" for number in range(5)]
    names += [f"mine/outcomes/{number}.npz" for number in range(20)]
    for name in names:
        write(one, name, name.encode() * (800 if "models" in name else 20))
    one.store(one.path / "mine")
    other.fetch("mine")
    for name in names:
        assert (other.path / name).read_bytes() == (one.path / name).read_bytes()
    assert held and max(held) <= 3000
    assert sum(held) < 2 * 20 * 20 * len(names[-1]) + 1, "models are not among it"
    assert not list(other.path.rglob(".*")), "nothing is left of the way"
