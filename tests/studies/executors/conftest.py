"""What the tests of all executors share.

Clusters of theirs ask for a token, as those of other people should; Ray reads this when it loads.
"""

import os
import secrets

import pytest

from studies.data import describe
from studies.executors.local import LocalExecutor
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from tests.studies.descriptions import TINY, image_folder, trial
from tests.studies.executors.elsewhere import record

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@pytest.fixture(scope="session")
def folder_here(tmp_path_factory):
    """The results of `trained_here`."""
    return tmp_path_factory.mktemp("here")


@pytest.fixture(scope="session")
def trained_here(folder_here):
    """A trial that trains, and its record on this machine."""
    path = folder_here
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
