"""What executors on other machines must do besides: train as this machine does."""

import pytest

from studies.data import describe
from studies.executors.local import LocalExecutor
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from tests.studies.descriptions import TINY, image_folder, trial
from tests.studies.executors.contract import ExecutorContract


class ElsewhereContract(ExecutorContract):
    """Trials that are brought to their machine by an engine."""

    @pytest.fixture(scope="class")
    def real(self, tmp_path_factory):
        """A trial that trains, and its record on this machine."""
        path = tmp_path_factory.mktemp("here")
        dataset = image_folder(path / "images")
        each = trial(
            dataset=dataset,
            data_fingerprint=describe(dataset, 8).fingerprint,
            image_size=8,
            size=6,
            backend="torch",  # the one that starts soonest
            model=ModelEntry(name="vit", base="ViT-Ti/4", overrides={**TINY, "dropout_rate": 0.1}),
            recipe=Recipe(steps=3, batch_size=4, validations=2),
            evaluation=Evaluation(shots=(1,)),
        )
        return each, record(LocalExecutor(1, 1), each, path)

    def test_a_trial_has_the_bits_that_it_has_locally(self, real, tmp_path):
        each, here = real
        elsewhere = record(self.make(1, 1, None), each, tmp_path)
        assert here["status"] == "done"
        for key in ("weights_sha256", "metrics", "history", "threads", "cores", "device"):
            assert elsewhere[key] == here[key]


def record(executor, each, path):
    records = []
    executor.run([each], path, path / "logs", lambda _, event: records.append(event.get("record")))
    return records[-1]
