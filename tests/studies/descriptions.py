"""Small studies and trials for the tests of the driver."""

from pathlib import Path

import numpy as np
from PIL import Image

from studies.data import describe
from studies.study.entries import ModelEntry
from studies.study.recipe import Recipe
from studies.study.trial import Training, Trial

TINY = {"hidden_size": 8, "num_layers": 1, "mlp_dim": 8, "num_heads": 2}


def on_digits(backend: str, recipe: Recipe, image_size: int | None = None, **changes) -> Training:
    """The training of a tiny ViT with dropout on 40 digits."""
    info = describe("digits", image_size)
    fields = {
        "dataset": "digits",
        "image_size": image_size,
        "data_fingerprint": info.fingerprint,
        "image_shape": info.image_shape,
        "num_classes": info.num_classes,
        "size": 40,
        "seed": 1,
        "backend": backend,
        "model": ModelEntry(name="vit", base="ViT-Ti/4", overrides={**TINY, "dropout_rate": 0.2}),
        "recipe": recipe,
    }
    return Training(**{**fields, **changes})


def trial(name: str = "done", **changes) -> Trial:
    """A trial whose model's name tells the fake trial process what to do."""
    fields = {
        "study": "test",
        "dataset": "none",
        "data_fingerprint": "0",
        "image_shape": (8, 8, 3),
        "num_classes": 3,
        "size": 10,
        "seed": 0,
        "backend": "tensorflow",
        "model": ModelEntry(name=name, base="ViT-Ti/4", overrides=TINY),
        "recipe": Recipe(steps=4, batch_size=4),
    }
    return Trial(**{**fields, **changes})


def image_folder(path: Path, classes: int = 3, images: int = 12) -> str:
    """Draw a folder of tiny images and return its name as a data set."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        (path / f"class{label}").mkdir(parents=True)
        for index in range(images):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / f"class{label}" / f"{index}.png")
    return f"folder:{path}"


def study_file(path: Path, dataset: str, models: tuple[str, ...] = ("done",), **fields) -> Path:
    """Write a study of tiny ViTs, one for each name."""
    top = {"question": '"Does it run?"', "dataset": f'"{dataset}"', "image_size": 8}
    top |= {"sizes": [3, 6], "seeds": 1, "backends": ["tensorflow"], **fields}
    lines = [f"{key} = {value}" for key, value in top.items()]
    lines += ["[recipe]", "steps = 4", "batch_size = 4", "validations = 2"]
    lines += ["[evaluation]", "shots = [1]", "fewshot_seeds = 1"]
    overrides = ", ".join(f"{key} = {value}" for key, value in TINY.items())
    for name in models:
        lines += [f"[models.{name}]", 'base = "ViT-Ti/4"', f"overrides = {{ {overrides} }}"]
    path.write_text("\n".join(lines).replace("'", '"') + "\n")
    return path
