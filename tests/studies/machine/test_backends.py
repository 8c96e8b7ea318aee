"""Which backend is taken where nobody chose one."""

import json

import pytest

from studies.errors import UsageError
from studies.machine import backends

pytestmark = pytest.mark.once


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Lets a test say which backends are installed; nobody has chosen one yet."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def only(*names):
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name: object() if name in names else None
        )

    return only


def test_the_environment_comes_before_keras_own_and_that_before_what_is_there(
    installed, monkeypatch, tmp_path
):
    installed("jax", "torch")
    assert backends.default_backend() == "jax"
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    assert backends.default_backend() == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert backends.default_backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(UsageError, match="tensorflow is not installed"):
        backends.default_backend()


@pytest.mark.parametrize("content", ["", "[]", '{"backend": "numpy"}'])
def test_a_configuration_that_says_nothing_useful_is_passed_over(installed, tmp_path, content):
    installed("tensorflow", "torch")
    (tmp_path / "keras.json").write_text(content)
    assert backends.default_backend() == "tensorflow"


def test_without_any_backend_one_is_advised(installed):
    installed()
    with pytest.raises(UsageError, match=r"pip install 'keras-vit\[tensorflow\]'"):
        backends.default_backend()
