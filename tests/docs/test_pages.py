"""The pages' code runs as it is shown, top to bottom, on the backend of this pass."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit.models import variants
from tests.test_readme import TINY

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = {str(p.relative_to(DOCS)): BLOCK.findall(p.read_text()) for p in DOCS.rglob("*.md")}
CODE = sorted(page for page, blocks in PAGES.items() if any(kind == "python" for kind, _ in blocks))


def draw_photos(folder: Path, number: int) -> None:
    rng = np.random.default_rng(0)
    for label, colour in (("cat", (200, 120, 80)), ("dog", (60, 90, 190))):
        (folder / label).mkdir(parents=True)
        for index in range(1, number + 1):
            pixels = np.clip(rng.normal(colour, 20, (40, 48, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / label / f"{index:03}.jpg")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Two blocks in place of twelve, random weights in place of published ones, drawn photos."""
    import keras

    width, _, mlp_dim, heads = variants.VIT_SIZES["Ti"]
    monkeypatch.setitem(variants.VIT_SIZES, "Ti", (width, 2, mlp_dim, heads))
    monkeypatch.chdir(tmp_path)
    draw_photos(tmp_path / "photos", 8)

    def published(*args, **kwargs):
        path = tmp_path / "published.npz"
        if not path.exists():
            model = keras_vit.create_model("ViT-Ti/16", classes=5, seed=0)
            keras_vit.export_weights(model, path, target="google")
        return str(path)

    def snapshot(repository):
        """A DINOv2 of two narrow blocks, as transformers writes it."""
        import transformers

        size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = transformers.Dinov2Config(**size, patch_size=14, image_size=56, mlp_ratio=2)
        transformers.Dinov2Model(config).save_pretrained(tmp_path / repository)
        return str(tmp_path / repository)

    monkeypatch.setattr(keras.utils, "get_file", published)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)


@pytest.mark.once
def test_every_block_is_of_a_kind_that_is_tested():
    kinds = {kind for blocks in PAGES.values() for kind, _ in blocks}
    assert kinds <= {"python", "sh", "text"}


@pytest.mark.parametrize("page", CODE)
def test_the_code_of_a_page_runs(page, small):
    namespace: dict = {"__name__": "page"}
    for number, (kind, code) in enumerate(PAGES[page]):
        if kind == "python":
            exec(compile(code, f"{page}, block {number}", "exec"), namespace)


@pytest.mark.once
@pytest.mark.timeout(900)  # some processes load a backend
def test_the_commands_of_the_study_run_in_their_order(tmp_path):
    """`run` gets one model and two steps in place of the reader's hours."""
    draw_photos(tmp_path / "photos", 300)
    text = "".join(code for kind, code in PAGES["tutorials/study.md"] if kind == "sh")
    commands = text.splitlines()
    assert len(commands) == 6
    for command in commands:
        python, *arguments = shlex.split(command)
        assert python == "python"
        if arguments[2] == "run":
            arguments += shlex.split(TINY)
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(DOCS.parent), "KERAS_BACKEND": "torch"},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert (tmp_path / "runs" / "data-scale" / "report.md").exists()
