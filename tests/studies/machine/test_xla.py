"""Flags of XLA: what is set already stays, and what the installed XLA does not know is left out."""

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from studies.machine import xla

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
    xla.choose_kernels(backend)
    assert os.environ["XLA_FLAGS"] == flags


def test_what_the_user_has_set_stays(installed, monkeypatch):
    installed(b"xla_cpu_experimental_ynn_fusion_type")
    monkeypatch.setenv("XLA_FLAGS", f"--xla_a=1 {FLAG}=DOT")
    xla.choose_kernels("jax")
    assert os.environ["XLA_FLAGS"] == f"--xla_a=1 {FLAG}=DOT"


def test_the_installed_jax_computes_with_it():
    """An XLA that does not know a flag ends the process."""
    code = (
        "import os; from studies.machine.xla import choose_kernels; choose_kernels('jax');"
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
