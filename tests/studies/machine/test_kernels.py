"""Kernels of a trial: what the user has set stays, and what the installed XLA does not know is left out."""

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from studies.machine import xla
from studies.machine.kernels import choose_kernels

pytestmark = pytest.mark.once
FLAG = "--xla_cpu_experimental_ynn_fusion_type"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Has jaxlib be a folder whose library is of some bytes, or not there."""
    monkeypatch.setenv("XLA_FLAGS", "")

    def install(content):
        spec = None
        if content is not None:
            (tmp_path / "libjax_common.so").write_bytes(content)
            spec = ModuleSpec("jaxlib", None, is_package=True)
            spec.submodule_search_locations = [str(tmp_path)]
        monkeypatch.setattr(xla, "find_spec", lambda name: spec if name == "jaxlib" else None)

    return install


@pytest.mark.parametrize(
    ("content", "backend", "flags"),
    [
        (b"\0one\0xla_cpu_experimental_ynn_fusion_type\0", "jax", f"{FLAG}="),
        (b"\0one\0xla_cpu_experimental_ynn_fusion_type\0", "tensorflow", ""),
        (b"\0one\0xla_cpu_another\0", "jax", ""),
        (None, "jax", ""),
    ],
)
def test_kernels_are_chosen_where_xla_knows_how(installed, content, backend, flags):
    installed(content)
    choose_kernels(backend, "ViT-Ti/16", {})
    assert os.environ["XLA_FLAGS"] == flags


def test_what_the_user_has_set_stays(installed, monkeypatch):
    installed(b"xla_cpu_experimental_ynn_fusion_type")
    monkeypatch.setenv("XLA_FLAGS", f"--xla_a=1 {FLAG}=DOT")
    choose_kernels("jax", "ViT-Ti/16", {})
    assert os.environ["XLA_FLAGS"] == f"--xla_a=1 {FLAG}=DOT"


def test_the_installed_jax_computes_with_it():
    """An XLA that does not know a flag ends the process."""
    code = (
        "import os; from studies.machine.kernels import choose_kernels;"
        "choose_kernels('jax', 'ViT-Ti/16', {});"
        f"assert '{FLAG}=' in os.environ['XLA_FLAGS']; import jax; print(jax.numpy.ones(3).sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "3.0\n"), done.stderr


@pytest.mark.parametrize(
    ("backend", "base", "width", "given", "expected"),
    [
        ("tensorflow", "BiT-R50x1", None, None, "1"),
        ("tensorflow", "BiT-R50x1", 0.125, None, "1"),
        ("tensorflow", "BiT-R50x1", 0.09375, None, "0"),  # 6 channels, of which it ends the process
        ("tensorflow", "R+ViT-Ti/16", None, None, "1"),
        ("tensorflow", "ViT-Ti/16", None, None, None),
        ("tensorflow", "BiT-R50x1", None, "0", "0"),
        ("torch", "BiT-R50x1", None, None, None),
    ],
)
def test_convolutions_on_tensorflow_are_onednn_s(
    monkeypatch, backend, base, width, given, expected
):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if given is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
    choose_kernels(backend, base, {} if width is None else {"width_factor": width})
    assert os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None) == expected


def test_they_are_chosen_before_a_backend_is_loaded():
    """TensorFlow reads the variable while it loads."""
    code = (
        "import sys; from studies.machine.kernels import choose_kernels;"
        "choose_kernels('tensorflow', 'BiT-R50x1', {}); import studies.training.trial;"
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
