"""The wheel holds both packages and their command, and reading the variant table costs no backend."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BACKENDS = ("tensorflow", "jax", "torch")

pytestmark = pytest.mark.once


def python(code: str) -> str:
    """Runs code in a fresh interpreter at the checkout's root; gives its output."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_version_is_the_projects():
    said = re.search('^__version__ = "(.*)"$', (ROOT / "keras_vit/__init__.py").read_text(), re.M)
    assert said and said[1] == PROJECT["version"]


def test_the_wheel_holds_both_packages_and_the_command(tmp_path):
    # Built from a copy: setuptools leaves `build` and `*.egg-info` beside what it builds.
    source = tmp_path / "source"
    source.mkdir()
    tracked = ["pyproject.toml", "README.md", "LICENSE"]
    for package in ("keras_vit", "studies"):
        tracked += [str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*.py")]
    files = [
        p for p in (ROOT / "studies").rglob("*") if p.suffix in (".toml", ".json", ".csv", ".css")
    ]
    data = [str(p.relative_to(ROOT)) for p in files]
    tracked += data
    for name in tracked:
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())

    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr

    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"keras_vit-{PROJECT['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = next(archive.read(n) for n in names if n.endswith("/entry_points.txt"))
    assert {n for n in names if ".dist-info/" not in n} == {n for n in tracked if "/" in n}
    assert len(data) >= 6  # the built-in studies, the priors of forecasts, real curves
    assert b"vit-studies = studies.command_line.app:main" in entry_points
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)


def test_listing_models_loads_no_backend():
    heavy = python(
        "import sys, keras_vit; assert 'ViT-B/16' in keras_vit.list_models(); "
        f"print([m for m in ('keras', *{BACKENDS}) if m in sys.modules])"
    )
    assert heavy.strip() == "[]"


def test_the_library_needs_keras_and_numpy_only():
    names = {requirement.split(">")[0] for requirement in PROJECT["dependencies"]}
    assert names == {"keras", "numpy"}


def test_the_library_never_imports_the_studies():
    for file in (ROOT / "keras_vit").rglob("*.py"):
        for line in file.read_text().splitlines():
            assert not line.strip().startswith(("import studies", "from studies")), file


def test_every_direct_dependency_is_pinned():
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {p.split("==")[0].lower().replace("_", "-") for p in pins if "==" in p}
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + [r for name in extras if name != "all" for r in extras[name]]
    for requirement in wanted:
        name = re.split(r"[>=\[]", requirement)[0].strip().lower().replace("_", "-")
        assert name in pinned, f"{name} has no pin in constraints.txt"
    assert all("://" not in p for p in pins)
    assert all(p.count("==") == 1 for p in pins if not p.startswith("#"))


def test_all_means_every_other_extra():
    extras = dict(PROJECT["optional-dependencies"])
    (everything,) = extras.pop("all")
    assert everything == f"keras-vit[{','.join(extras)}]"


def test_the_studies_import_what_their_extra_asks_for():
    modules = {
        "markdown-it-py": "markdown_it",
        "pillow": "PIL",
        "scikit-learn": "sklearn",
        "tensorflow-datasets": "tensorflow_datasets",
    }
    indirect = {"importlib_resources"}  # imported, but not declared, by TensorFlow Datasets
    source = "\n".join(file.read_text() for file in (ROOT / "studies").rglob("*.py"))
    for requirement in PROJECT["optional-dependencies"]["studies"]:
        name = requirement.split(">")[0]
        module = modules.get(name, name)
        imported = f"import {module}" in source or f"from {module}" in source
        assert imported != (name in indirect), name
