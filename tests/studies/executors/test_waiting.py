"""What waits for its turn: trials that would train the same as one at work."""

import pytest

from studies.executors.waiting import Waiting
from studies.records.place import Here
from studies.study.recipe import Evaluation
from studies.study.trial import Training
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once


def chain(seed: int, **start):
    """A fine-tuning, which differs, after a pre-training that all share."""
    fields = set(Training.model_fields)
    before = Training(**{k: v for k, v in trial().model_dump().items() if k in fields} | start)
    return trial(seed=seed, start=before)


def test_the_order_is_kept_but_for_those_that_would_train_the_same(tmp_path):
    trials = [trial(seed=0), trial(evaluation=Evaluation(shots=(2,))), trial(seed=1), trial(seed=2)]
    waiting = Waiting(trials, Here(tmp_path))
    assert waiting.take([], most=2) == [trials[0], trials[2]]
    assert waiting.take([trials[0]], most=5) == [trials[3]]
    assert waiting.take([trials[3]], most=0) == []
    assert waiting.take([trials[3]]) == [trials[1]] and not waiting


def test_a_pretraining_is_trained_by_one_and_used_by_all_others_at_a_time(tmp_path):
    trials = [chain(seed) for seed in range(3)]
    waiting = Waiting(trials, Here(tmp_path))
    assert waiting.take([], most=9) == trials[:1]
    assert waiting.take(trials[:1], most=9) == []
    end = tmp_path / ".checkpoints" / trials[0].start.training_id / "final.ckpt"
    end.parent.mkdir(parents=True)
    end.touch()
    assert waiting.take(trials[:1], most=9) == trials[1:]


def test_given_weights_are_trained_by_nobody(tmp_path):
    trials = [chain(seed, objective="none", weights="imagenet21k") for seed in range(3)]
    assert Waiting(trials, Here(tmp_path)).take([], most=9) == trials


def test_what_is_put_back_is_next(tmp_path):
    trials = [trial(seed=seed) for seed in range(3)]
    waiting = Waiting(trials, Here(tmp_path))
    (first,) = waiting.take([])
    waiting.put_back(first)
    assert len(waiting) == 3 and waiting.take([]) == [first]
