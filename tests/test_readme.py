"""Executes the code blocks of README.md: nobody who copies one is the first to run it."""

import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text())
MODELS = tomllib.loads(
    (ROOT / "studies" / "study" / "definitions" / "data-scale.toml").read_text()
)["models"]
# Appended to `run`: one trial of two steps instead of the reader's hours, on the backend that starts soonest.
TINY = (
    f"--sizes 20 --seeds 1 --backend torch --models {next(iter(MODELS))} "
    "--set recipe.steps=2 --set recipe.validations=1 --set recipe.batch_size=4 "
    "--set evaluation.shots=[1] --set evaluation.fewshot_seeds=1"
)


def commands() -> list[str]:
    """Every command of the README's shell blocks, continued lines joined."""
    text = "".join(code for language, code in BLOCKS if language == "sh")
    lines = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.once
def test_what_is_quoted_of_a_report_is_in_it():
    def words(text):
        return " ".join(text.replace("*", "").split())

    quotes = re.findall(
        r'"([^"|]+)"[^"|]*?\(results/([^/)]+)/report.md\)', (ROOT / "README.md").read_text()
    )
    assert [study for _, study in quotes] == ["data-scale-fashion_mnist", "data-scale-emoji"]
    for quote, study in quotes:
        report = words((ROOT / "results" / study / "report.md").read_text())
        for part in words(quote).split(" ... "):
            assert part.rstrip(".") in report


@pytest.mark.once
def test_every_block_is_of_a_kind_that_is_tested():
    # The study file in TOML is compared with what `init` writes by tests/studies/study/test_fields.py.
    assert {language for language, _ in BLOCKS} <= {"python", "sh", "toml", "bibtex"}


def test_python_blocks_run(tmp_path, monkeypatch):
    """All of them in one namespace, since later blocks go on with the model of the earlier.

    Three things differ from a reader's run: "Ti" has two blocks instead of twelve, which saves
    minutes of compiling, the download gives a file of random weights in the authors' layout, and
    committed results stand for those of `run`.
    """
    import keras

    import keras_vit
    from keras_vit.models import variants

    width, _, mlp_dim, heads = variants.VIT_SIZES["Ti"]
    monkeypatch.setitem(variants.VIT_SIZES, "Ti", (width, 2, mlp_dim, heads))
    published = tmp_path / "published.npz"
    model = keras_vit.create_model("ViT-Ti/16", classes=5, representation_size=width, seed=0)
    keras_vit.export_weights(model, published, target="google")
    monkeypatch.setattr(keras.utils, "get_file", lambda *args, **kwargs: str(published))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "data-scale").symlink_to(ROOT / "results" / "quick")
    namespace: dict = {"__name__": "readme"}
    for number, (language, code) in enumerate(BLOCKS):
        if language == "python":
            exec(compile(code, f"README block {number}", "exec"), namespace)


def shortened(arguments):
    """The arguments of a `run` with TINY's in the place of those that it has too."""
    tiny, kept, words = shlex.split(TINY), [], iter(arguments)
    for word in words:
        if word in tiny and word.startswith("--") and word != "--set":
            next(words)  # its value
        else:
            kept.append(word)
    return [*kept, *tiny]


@pytest.mark.once
@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make ")])
def test_make_targets_exist(command):
    result = subprocess.run([*shlex.split(command), "-n"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.once
def test_extras_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(project["optional-dependencies"])
    named = [c for c in commands() if c.startswith("pip install")]
    assert named
    for command in named:
        for extras in re.findall(r"\[([\w,]+)\]", command):
            assert set(extras.split(",")) <= known, command


@pytest.mark.once
@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "results/README.md"])
def test_links_to_files_lead_somewhere(page):
    file = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", file.read_text()):
        if "://" not in target:
            assert (file.parent / target).exists(), f"{page} links to {target}"


@pytest.mark.once
@pytest.mark.timeout(1200)  # six processes load a backend, beside whatever else runs
def test_studies_commands_run_on_an_image_folder(tmp_path, rng):
    """In the README's order, on drawn pictures; `run` gets a tiny recipe and one model."""
    for label in ("cat", "dog"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(300):
            pixels = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    shutil.copytree(tmp_path / "photos" / "cat", tmp_path / "new-photos")

    import keras_vit

    vit = keras_vit.VisionTransformer((32, 32, 3), 8, 1, 8, 16, num_heads=2, classes=2)
    vit.save(tmp_path / "vit.keras")  # for `inspect`; the README's own is saved by another test

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "torch"}
    ours = [c for c in commands() if c.startswith("python -m studies ")]
    assert any(c.startswith("python -m studies run") for c in ours)
    for command in ours:
        arguments = shlex.split(command)[1:]
        if arguments[2] == "run":
            arguments = shortened(arguments)
        arguments = [
            found
            for word in arguments
            for found in (sorted(glob.glob(word, root_dir=tmp_path)) if "*" in word else [word])
        ]  # as a shell does
        # These take minutes, a cluster, or a bucket, and have tests of their own.
        if arguments[2] in ("advise", "bench") or "--executor" in arguments or "s3://" in command:
            arguments += ["--help"]
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"

    folder = tmp_path / "runs" / "data-scale"
    (files,) = re.findall(
        r"^\| file \|.*?\n\n", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    table = re.findall(r"^\| `(.+)` \|", files, re.MULTILINE)
    promised = [name for row in table for name in row.split("`, `")]
    assert "report.md" in promised
    for name in promised:
        assert (folder / name).exists(), f"{name} is in the README's table and not in {folder}"
    assert list((folder / "figures").glob("*.png"))
    assert len((tmp_path / "classes.csv").read_text().splitlines()) == 301
