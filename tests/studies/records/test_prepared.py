"""Prepared data in storage: put once, brought where they are lacking, and what they are called."""

import json

import pytest

from studies.data import describe, load, reopen
from studies.errors import UsageError
from studies.machine.cloud import Bucket
from studies.records.place import Here, opened
from studies.records.prepared import fingerprints, restore, share
from studies.study.trial import Data, Extra
from tests.studies.descriptions import image_folder, trial

pytestmark = pytest.mark.once


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """The caches of several machines, by their numbers."""

    def use(number):
        cache = tmp_path / f"cache{number}"
        monkeypatch.setenv("KERAS_VIT_CACHE", str(cache))
        return cache

    return use


@pytest.fixture
def each(caches, tmp_path):
    """A trial on images that lie, and are prepared, on machine 0 alone."""
    caches(0)
    dataset = image_folder(tmp_path / "images")
    return trial(dataset=dataset, data_fingerprint=describe(dataset, 8).fingerprint)


def test_another_machine_has_the_same_images_without_their_files(each, caches, s3, tmp_path):
    whole = load(each.dataset, 8)
    with opened(f"{s3}/{tmp_path.name}") as place:
        share(place, [each, each])
    (tmp_path / "images").rename(tmp_path / "gone")
    caches(1)
    assert reopen(each.dataset, each.data_fingerprint) is None
    with opened(f"{s3}/{tmp_path.name}") as place:
        restore(place, each)
        restore(place, each)
    there = reopen(each.dataset, each.data_fingerprint)
    assert there.info == whole.info and there.names() == whole.names()
    for split, pool in whole.pools.items():
        assert (there.pools[split].images == pool.images).all()
        assert (there.pools[split].labels == pool.labels).all()


def test_they_are_put_once_and_only_where_machines_do_not_see_files(
    each, s3, tmp_path, monkeypatch
):
    put = []
    upload = Bucket.upload
    monkeypatch.setattr(
        Bucket, "upload", lambda b, name, path: put.append(name) or upload(b, name, path)
    )
    share(Here(tmp_path / "runs"), [each])
    assert put == [] and not (tmp_path / "runs").exists()
    for _ in range(2):
        with opened(f"{s3}/{tmp_path.name}") as place:
            share(place, [each])
    assert len(put) == len(set(put)) > 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "damaged: their digest"),
        (lambda content: content[:-1], "is damaged"),
        (None, "key does not exist"),
    ],
)
def test_what_is_not_what_it_is_called_does_not_come_into_the_cache(
    each, caches, s3, tmp_path, damage, told
):
    bucket = Bucket(f"{s3}/{tmp_path.name}/.data")
    with opened(f"{s3}/{tmp_path.name}") as place:
        share(place, [each])
        name = f"{each.data_fingerprint}/train_images.npy"
        if damage:
            bucket.write(name, damage(bucket.read(name)))
        else:
            bucket.remove(name)
        cache = caches(1)
        with pytest.raises(UsageError, match=rf"cannot be brought here \(.*{told}.*remove them"):
            restore(place, each)
    assert not list(cache.glob("[!.]*"))


def test_a_description_that_leads_elsewhere_is_refused(each, caches, s3, tmp_path):
    bucket = Bucket(f"{s3}/{tmp_path.name}/.data")
    with opened(f"{s3}/{tmp_path.name}") as place:
        share(place, [each])
        name = f"{each.data_fingerprint}/info.json"
        info = json.loads(bucket.read(name))
        bucket.write(name, json.dumps({**info, "files": {"../../out": 1}}).encode())
        caches(1)
        with pytest.raises(UsageError, match="files elsewhere"):
            restore(place, each)


def test_what_is_not_there_is_left_to_the_trial(each, caches, s3, tmp_path):
    caches(1)
    with opened(f"{s3}/{tmp_path.name}") as place:
        restore(place, each)
        share(place, [each])  # nor can it be put from where it is not
        assert place.bucket(".data").names("") == []


def test_all_data_that_a_trial_opens_are_named_once():
    other = Data(dataset="x", data_fingerprint="b", image_shape=(8, 8, 3), num_classes=3)
    start = trial(data_fingerprint="a")
    extra = Extra(name="probe", kind="linear_probe", data=other)
    assert fingerprints(trial(data_fingerprint="c", start=start, extra=extra)) == ["a", "c", "b"]
    assert fingerprints(trial(data_fingerprint="a", start=start)) == ["a"]
