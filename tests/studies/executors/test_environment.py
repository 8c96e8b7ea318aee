"""What a trial's process finds in its environment."""

import pytest

from studies.executors.environment import environment
from tests.studies.descriptions import trial

pytestmark = pytest.mark.once
FOLDER = "JAX_COMPILATION_CACHE_DIR"


def test_what_jax_compiles_is_kept_for_trials_of_as_many_threads(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    each = trial(backend="jax")
    folders = {
        environment(each, tmp_path, threads, cores, False)[FOLDER]
        for threads, cores in ((1, 1), (2, 2), (1, 2), (1, 1))
    }
    assert len(folders) == 3
    assert all(folder.startswith(f"{tmp_path}/.checkpoints/compiled/") for folder in folders)
    assert FOLDER not in environment(trial(backend="torch"), tmp_path, 1, 1, False)


def test_a_folder_of_the_users_own_stays(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, "/elsewhere")
    assert environment(trial(backend="jax"), tmp_path, 1, 1, False)[FOLDER] == "/elsewhere"
