"""What a trial gets of a machine: a study says it, options change it, devices multiply it."""

import os

import pytest

from studies.errors import UsageError
from studies.executors import local as local_module
from studies.executors.choose import local
from studies.executors.environment import environment, threads_and_cores
from studies.executors.local import LocalExecutor
from studies.executors.ray import _places
from studies.executors.resources import Resources
from studies.machine import claims
from studies.machine import devices as devices_module
from studies.machine.devices import visible_gpus
from studies.records.place import Here
from studies.study import file as study_file
from tests.studies.descriptions import study_file as write
from tests.studies.descriptions import trial
from tests.studies.fake_trial import COMMAND

pytestmark = pytest.mark.once


def study(**content):
    models = {"vit": {"base": "ViT-Ti/4"}}
    return study_file.validate({"name": "x", "models": models, **content}, "a test")


@pytest.fixture
def four_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(local_module, "visible_gpus", lambda: ["0", "1", "2", "3"])
    monkeypatch.setattr(claims, "visible_gpus", lambda: ["0", "1", "2", "3"])
    monkeypatch.setattr(claims, "_folder", lambda kind: tmp_path / kind)


def test_a_study_says_it_and_options_change_it(tmp_path):
    path = write(tmp_path / "mine.toml", "none")
    path.write_text(path.read_text() + '[resources]\nthreads = 3\ngpus = 1\nmemory = "4GiB"\n')
    asked = Resources.on_a_cluster(study_file.resolve(str(path), {"devices": 2}))
    assert (asked.cpus, asked.all_gpus, asked.memory) == (6, 2, 4 * 2**30)
    assert str(asked) == "6 CPUs, 2 GPUs and 4.3 GB"
    given = {"threads": 1, "gpus": 0.5, "memory": "1GB"}
    asked = Resources.on_a_cluster(study_file.resolve(str(path), given))
    assert (asked.cpus, asked.all_gpus, asked.memory) == (1, 0.5, 10**9)
    assert Resources.on_a_cluster(study()) == Resources(1, 0, None)


def test_resources_are_in_no_id_and_devices_are_above_one():
    plain = trial()
    assert trial(devices=1, model_parallel=1).training_id == plain.training_id
    others = [trial(devices=2), trial(devices=4), trial(devices=4, model_parallel=2)]
    assert len({each.training_id for each in [plain, *others]}) == 4
    assert "resources" not in plain.model_dump_json()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"resources": {"threads": 0}}, r"resources\.threads must be at least 1, not 0"),
        ({"resources": {"gpus": 1.5}}, r"resources\.gpus 1\.5 must be 0, a part of 1, or a whole"),
        ({"resources": {"memory": "4"}}, r"resources\.memory 4 is no amount of memory: .*4GB"),
        ({"resources": {"memory": "9" * 400 + "GB"}}, "is more than any machine has"),
        ({"resources": {"cpus": 2}}, r"unknown field resources\.cpus.*threads, gpus, memory"),
        ({"devices": 0}, "devices must be at least 1, not 0"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_sentence(content, told):
    with pytest.raises(UsageError, match=told):
        study(**content)


@pytest.mark.parametrize("gpus", [0.5, 2])
def test_devices_have_a_gpu_each(gpus):
    with pytest.raises(UsageError, match=r"2 devices: each of them has one GPU, or none"):
        Resources(gpus=gpus, devices=2)


def test_threads_are_those_of_a_device_and_cores_those_of_all(tmp_path):
    each = trial(devices=4)
    assert threads_and_cores(each, tmp_path, 2) == (2, 8)
    variables = environment(each, 2, 8, shared=False)
    assert variables["OMP_NUM_THREADS"] == "2"


def test_a_ray_machine_has_room_by_all_devices():
    machine = {"CPU": 8.0, "GPU": 4.0, "memory": 10e9}
    assert _places(machine, Resources(threads=1, gpus=1, devices=2)) == 2
    assert _places(machine, Resources(threads=3, devices=2)) == 1
    assert _places(machine, Resources(threads=3, devices=3)) == 0


def test_threads_of_all_devices_have_cores(monkeypatch):
    monkeypatch.setattr(local_module, "cores", lambda: list(range(4)))
    assert LocalExecutor(1, 2, devices=2).threads == 2
    with pytest.raises(UsageError, match=r"here for each of 4 devices; choose at most 1"):
        LocalExecutor(1, 4, devices=4)


def test_cores_here_are_shared_out_among_devices(monkeypatch):
    monkeypatch.setattr(local_module, "cores", lambda: list(range(12)))
    assert LocalExecutor(2, devices=3).threads == 2
    assert LocalExecutor(9, devices=3).threads == 1


def run(executor, trials, folder):
    records = []
    executor.run(
        trials, Here(folder), folder / "logs", lambda t, e: records.append(e.get("record"))
    )
    return [record for record in records if record]


@pytest.mark.parametrize(
    ("devices", "gpus", "seen"),
    [(1, None, None), (1, 0, ""), (2, None, "0,1"), (1, 3, "0,1,2"), (2, 0, ""), (1, 0.5, "0")],
)
@pytest.mark.usefixtures("four_gpus")
def test_a_trial_here_sees_the_gpus_that_it_is_to_have(tmp_path, monkeypatch, devices, gpus, seen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    executor = LocalExecutor(1, 1, COMMAND, devices=devices, gpus=gpus)
    (record,) = run(executor, [trial(devices=devices)], tmp_path)
    assert record["gpus"] == seen


@pytest.mark.usefixtures("four_gpus")
def test_trials_at_a_time_share_the_gpus_out_by_themselves(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    held = claims.claim_gpus(1)  # by another run
    (record,) = run(LocalExecutor(2, 1, COMMAND), [trial()], tmp_path)
    assert held.chosen == ["0"] and record["gpus"] == "1"


@pytest.mark.usefixtures("four_gpus")
def test_trials_at_the_same_time_have_gpus_of_their_own(tmp_path):
    held = [claims.claim_gpus(2, tmp_path) for _ in range(2)]
    assert [claim.chosen for claim in held] == [["0", "1"], ["2", "3"]]
    assert claims.claim_gpus(2, tmp_path).chosen == ["0", "1"]  # there are no others
    held[1].release()
    assert claims.claim_gpus(2, tmp_path).chosen == ["2", "3"]
    assert claims.claim_gpus(0, tmp_path).chosen == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"resources": {"gpus": 5}}, "5 GPUs, and there are 4 here: ask for less with --gpus"),
        ({"resources": {"gpus": 1}, "devices": 8}, "8 GPUs, and there are 4 here"),
        ({"devices": 5}, "5 GPUs, and there are 4 here: .* or --devices"),
        (
            {"resources": {"memory": "9999TB"}},
            r"trials of 9999000\.0 GB, 2 at a time, are more than",
        ),
    ],
)
@pytest.mark.usefixtures("four_gpus")
def test_more_than_this_machine_has_is_refused(content, told):
    with pytest.raises(UsageError, match=told):
        local(study(**content), workers=2)


def test_gpus_have_cudas_numbers(monkeypatch, tmp_path):
    """A container may have the machine's third alone, which CUDA calls 0 there."""
    for name in ("nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setattr(devices_module, "on_gpu", lambda: True)
    monkeypatch.setattr(devices_module, "Path", lambda name: tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ["0"]


def test_gpus_are_those_that_are_not_hidden(monkeypatch):
    monkeypatch.setattr("studies.machine.devices.on_gpu", lambda: True)
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "2, GPU-8a")
    assert visible_gpus() == ["2", "GPU-8a"]
    monkeypatch.setattr("studies.machine.devices.on_gpu", lambda: False)
    assert visible_gpus() == []
