"""The note of `plan` and `run` where weights that records are of are gone."""

import pytest

from studies.machine.cloud import Bucket
from studies.records.checkpoints import checkpoint_folder
from studies.records.place import Elsewhere, Here
from studies.running import retrained
from studies.running.runner import Plan
from studies.study.chain import Finetuning
from studies.study.trial import Extra
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once


@pytest.fixture(params=["folder", "url"])
def place(request, tmp_path):
    if request.param == "folder":
        return Here(tmp_path)
    return Elsewhere(Bucket(f"memory:/{tmp_path}"), tmp_path)


def plan(place, trials, done):
    records = {each.trial_id: {"status": "done"} for each in done}
    return Plan(None, place, trials, None, records)


def leave_end(place, training):
    folder = checkpoint_folder(place.path, training)
    folder.mkdir(parents=True)
    (folder / "final.ckpt").write_bytes(b"weights")
    place.store(folder)


def test_an_evaluation_that_was_added_needs_weights_that_are_gone(place):
    done = [trial(size=size) for size in (10, 20)]
    extra = Extra(name="probe", kind="linear_probe")
    added = [each.model_copy(update={"extra": extra}) for each in done]
    never = trial(size=30)
    assert retrained.advice(plan(place, [*done, never], done)) == "", "nothing of it was finished"
    told = retrained.advice(plan(place, [*done, *added, never], done))
    assert told.startswith("the weights of 2 finished trainings are gone: they are trained again")
    assert str(place.address(place.path / ".checkpoints")) in told
    leave_end(place, done[0])
    told = retrained.advice(plan(place, [*done, *added], done))
    assert told.startswith("the weights of 1 finished training are gone: it is trained again")
    leave_end(place, done[1])
    assert retrained.advice(plan(place, [*done, *added], done)) == ""


def test_a_fine_tuning_that_was_added_needs_those_of_its_start(place):
    start = trial().chain[0]
    one, other = (trial(size=size, start=start, finetuning=Finetuning()) for size in (5, 10))
    told = retrained.advice(plan(place, [one, other], [one]))
    assert told.startswith("the weights of 1 finished training are gone: it is trained again")
    leave_end(place, start)
    assert retrained.advice(plan(place, [one, other], [one])) == ""
