"""Times: from finished trials where there are any, with all that a trial does besides its steps."""

import pytest

from studies.machine.devices import cpu_name
from studies.records.store import ResultsStore, new_record
from studies.running import estimate
from studies.running.costs import Cost, Costs
from studies.running.estimate import (
    ASSUMED_RATE,
    COMPILING,
    START_SECONDS,
    Estimator,
    duration,
    records_of,
)
from studies.study.chain import Finetuning
from studies.study.recipe import Recipe
from studies.study.trial import Extra, Training
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once

COST = Cost(flops=1_000_000, params=1)
COUNTS = {"validation": 600, "test": 1000}
RECIPE = Recipe(steps=100, batch_size=10, validations=5)
# 100 steps of 10 images at three forward passes each; 600 validation images at five points and once
# more for few-shot; 1,000 test images.
PASSES = 3 * 1000 + 6 * 600 + 1000


@pytest.fixture(autouse=True)
def four_cores_without_gpu(monkeypatch):
    monkeypatch.setattr(estimate, "cores", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(estimate, "on_gpu", lambda: False)


def record(**changes):
    machine = {"device": f"cpu ({cpu_name()})", "threads": 1, "backend": "jax"}
    return {**machine, "flops": COST.flops, "images_per_second": 50.0, **changes}


def test_without_records_it_is_work_at_an_assumed_speed_and_the_start():
    seconds = Estimator([], 2, COUNTS).seconds(trial(recipe=RECIPE), COST)
    expected = PASSES * 1e6 / (2 * ASSUMED_RATE) + START_SECONDS["tensorflow"]
    assert seconds == pytest.approx(expected)


def test_speeds_of_finished_trials_count():
    each = trial(recipe=RECIPE, backend="jax")
    # 50 images a second in training are 150 forward passes a second.
    known = Estimator([record(), record(images_per_second=None)], 1, COUNTS)
    assert known.seconds(each, COST) == pytest.approx(PASSES / 150 + START_SECONDS["jax"])
    # Another model of twice the FLOPs on the same backend: half as fast.
    larger = known.seconds(each, Cost(2 * COST.flops, 1))
    assert larger == pytest.approx(2 * PASSES / 150 + START_SECONDS["jax"])
    for other in (record(threads=4), record(device="cpu (abacus)"), record(backend="torch")):
        assert Estimator([other], 1, COUNTS).seconds(each, COST) < 30, other


@pytest.mark.parametrize("devices", [1, 2])
def test_records_of_a_folder_count_for_as_many_devices(tmp_path, devices):
    each = trial(recipe=RECIPE, backend="jax", devices=devices)
    cpu = f"cpu ({cpu_name()})"
    found = record(device=cpu if devices == 1 else f"{devices} x {cpu}")
    (tmp_path / "study").mkdir()
    ResultsStore(tmp_path / "study" / "trials.jsonl").append(
        {**new_record(each), "status": "done", **found}
    )
    known = Estimator(records_of(tmp_path), 1, COUNTS, devices=devices)
    assert known.seconds(each, COST) == pytest.approx(PASSES / 150 + START_SECONDS["jax"])
    assert not Estimator(records_of(tmp_path), 1, COUNTS, devices=3).knows(each, COST)


@pytest.mark.parametrize(
    ("threads", "workers", "trials", "expected"),
    [
        (1, 1, 6, 6.0),
        (1, 2, 6, 3.0),
        (1, 100, 6, 1.5),  # four cores
        (2, 4, 6, 3.0),  # two trials of two threads fill them
        (1, 4, 1, 1.0),  # one trial is not shared out
        (1, 4, 0, 0.0),
    ],
)
def test_trials_at_a_time_share_the_cores(threads, workers, trials, expected):
    estimator = Estimator([], threads, COUNTS)
    each = [trial(recipe=RECIPE, seed=seed) for seed in range(trials)]
    one = estimator.seconds(trial(recipe=RECIPE), COST)
    assert estimator.total(each, {"done": COST}, workers) == pytest.approx(expected * one)


def test_what_several_trials_need_is_counted_once_and_what_is_trained_not_at_all():
    before = trial(recipe=RECIPE, size=100)
    start = Training(**{name: getattr(before, name) for name in Training.model_fields})
    rates = RECIPE.model_copy(update={"learning_rates": (0.1, 0.2)})
    chained = {"start": start, "finetuning": Finetuning()}
    one = trial(recipe=RECIPE, **chained)
    two = trial(recipe=rates, **chained)
    neighbours = Extra(name="neighbours", kind="nearest_neighbours")
    trials = [one, two, trial(recipe=rates, extra=neighbours, **chained)]
    rate = 1e6 / ASSUMED_RATE
    begin = START_SECONDS["tensorflow"]
    training, evaluation = 3 * 1000 + 5 * 600, 600 + 1000
    each = Estimator([], 1, COUNTS).each(trials, {"done": COST})
    assert each == pytest.approx(
        [
            begin * (1 + COMPILING) + (2 * training + evaluation) * rate,  # with the pre-training
            begin + (2 * training + evaluation) * rate,  # two learning rates compile once
            begin + evaluation * rate,  # an evaluation of what the second has trained
        ]
    )
    done = Estimator([], 1, COUNTS, trained=lambda each: each.training_id == start.training_id)
    assert done.each(trials, {"done": COST})[0] == pytest.approx(
        begin + (training + evaluation) * rate
    )
    assert done.each(trials, {"done": COST}, anew=True) == pytest.approx(each)


def test_a_pre_training_costs_what_its_own_images_cost():
    larger, many = Cost(4 * COST.flops, 1), {"validation": 6000}
    start = trial(recipe=RECIPE, image_shape=(16, 16, 3), data_fingerprint="1")
    one = trial(
        recipe=RECIPE,
        start=Training(**{name: getattr(start, name) for name in Training.model_fields}),
        finetuning=Finetuning(),
    )
    costs = Costs({"done": COST}, {("done", (16, 16, 3), 3): larger})
    assert (costs.of(one), costs.of(start)) == (COST, larger)
    (seconds,) = Estimator([], 1, COUNTS, {"1": many}).each([one], costs)
    passes = 4 * (3 * 1000 + 5 * 6000) + PASSES
    begin = START_SECONDS["tensorflow"] * (1 + COMPILING)
    assert seconds == pytest.approx(begin + passes * 1e6 / ASSUMED_RATE)


def test_durations_as_people_say_them():
    told = [duration(seconds) for seconds in (0.2, 59.4, 59.6, 3500, 3599, 5400, 200_000)]
    assert told == ["0 s", "59 s", "1 min", "58 min", "1 h 00 min", "1 h 30 min", "2.3 days"]
