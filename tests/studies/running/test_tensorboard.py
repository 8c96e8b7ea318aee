"""Event files are read by TensorFlow, whose format they are; nothing of it is needed to write them."""

import pytest

from studies.records.place import Here
from studies.running.runner import Plan
from studies.running.tensorboard import EventFile, TensorBoard
from studies.study.chain import Finetuning
from studies.study.file import resolve
from studies.study.trial import Training
from studies.training.events import Events
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once


def read(path):
    """Events as TensorFlow reads them, which checks every CRC."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    raw = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [event_pb2.Event.FromString(record) for record in raw]


def points(path):
    return {
        (value.tag, event.step): value.simple_value
        for event in read(path)
        for value in event.summary.value
    }


def test_what_is_added_is_read_back(tmp_path):
    file = EventFile(tmp_path / "curve")
    steps = (0, 1, 127, 128, 300, 10**9)
    for step in steps:
        file.add(step, {"loss/training": 0.5 + step, "späte Größe": -2.0})
    events = read(file.path)
    assert events[0].file_version == "brain.Event:2"
    assert [event.step for event in events[1:]] == list(steps)
    assert all(event.wall_time > 1.7e9 for event in events)
    for step in steps:
        assert points(file.path)["loss/training", step] == pytest.approx(0.5 + step)
        assert points(file.path)["späte Größe", step] == -2.0


def test_a_trial_has_its_curves_and_ends_with_its_metrics(tmp_path):
    plan = Plan(resolve("quick", {}), Here(tmp_path), [], {}, {})
    each, other = trial(), trial(seed=1)
    board = TensorBoard()
    board.start(plan, [each, other], 1)
    board.event(each, {"event": "start", "step": 0, "steps": 4})
    point = {"loss": 2.0, "top1": 0.25, "val_loss": float("nan"), "val_top1": 0.5}
    board.event(each, {"event": "progress", "step": 2, **point, "images_per_second": 8.0})
    metrics = {"test_top1": 0.75, "test_loss": None}
    board.event(each, {"event": "record", "record": {"status": "done", "metrics": metrics}})
    board.event(other, {"event": "record", "record": {"status": "failed", "reason": "NaN"}})
    board.stop()
    (path,) = (tmp_path / "quick" / "tensorboard").glob("*/events.out.tfevents.*")
    assert path.parent.name.startswith("done-10-s0-tensorflow-")
    assert points(path) == {
        ("loss/training", 2): 2.0,
        ("accuracy/training", 2): 0.25,
        ("accuracy/validation", 2): 0.5,
        ("speed/images_per_second", 2): 8.0,
        ("end/test_top1", 4): 0.75,
    }


def test_each_learning_rate_has_curves_of_its_own(tmp_path):
    """Of two rates with four steps each the last step is the eighth."""
    plan = Plan(resolve("quick", {}), Here(tmp_path), [], {}, {})
    board = TensorBoard()
    board.start(plan, [trial()], 1)
    rates = trial(recipe=trial().recipe.model_copy(update={"learning_rates": (0.01, 0.1)}))
    told = Events(rates, [rates], lambda event: board.event(trial(), event))
    for rate in (0.01, 0.1):
        started, report = told.part(rates, rate)
        started(0)
        for step in (2, 4):
            report({"step": step, "val_top1": 0.5}, 8.0)
    board.event(trial(), {"event": "record", "record": {"metrics": {"test_top1": 0.75}}})
    (folder,) = (tmp_path / "quick" / "tensorboard").iterdir()
    for part in ("rate-0.01", "rate-0.1"):
        (path,) = (folder / part).iterdir()
        steps = [step for tag, step in points(path) if tag == "accuracy/validation"]
        assert steps == [2, 4]
    (path,) = folder.glob("events*")
    assert points(path) == {("end/test_top1", 8): 0.75}


def test_a_chain_s_trainings_are_told_apart():
    last = trial(
        start=Training(**{name: getattr(trial(), name) for name in Training.model_fields}),
        finetuning=Finetuning(),
    )
    found = []
    told = Events(last, last.chain, found.append)
    for each in last.chain:
        told.part(each, 0.1)[1]({"step": 4}, 8.0)
    assert [(e["part"], e["part_step"], e["step"]) for e in found] == [
        ("pretraining", 4, 4),
        ("finetuning", 4, 8),
    ]
    alone = trial()
    Events(alone, [alone], found.append).part(alone, 0.1)[1]({"step": 2}, 8.0)
    assert "part" not in found[-1]


def test_a_trial_that_goes_on_adds_a_file(tmp_path):
    plan = Plan(resolve("quick", {}), Here(tmp_path), [], {}, {})
    for step in (2, 4):
        board = TensorBoard()
        board.start(plan, [trial()], 1)
        board.event(trial(), {"event": "progress", "step": step, "val_top1": 0.5})
    folder = tmp_path / "quick" / "tensorboard"
    found = {key for path in folder.glob("*/*") for key in points(path)}
    assert found == {("accuracy/validation", 2), ("accuracy/validation", 4)}
    assert len(list(folder.iterdir())) == 1
