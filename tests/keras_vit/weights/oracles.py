"""Tiny random models of transformers, saved as it saves them, and what they compute."""

import logging
from pathlib import Path

import numpy as np
import torch
import transformers

logging.getLogger("transformers").setLevel(logging.ERROR)
transformers.utils.logging.disable_progress_bar()

SIZES = dict(
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    image_size=(12, 8),
    patch_size=4,
)


def sizes(**overrides) -> dict:
    """Arguments of a tiny configuration; None leaves one out."""
    return {name: v for name, v in {**SIZES, **overrides}.items() if v is not None}


def randomised(module: torch.nn.Module, scale: float = 0.2) -> torch.nn.Module:
    """Every weight and bias away from its start, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            norm = "norm" in name and name.endswith("weight")
            weight.copy_(1 + scale * noise if norm else scale * noise)
    return module.eval()


def saved(module: torch.nn.Module, folder: Path, **how) -> torch.nn.Module:
    """Randomises a model and saves it with its configuration."""
    randomised(module).save_pretrained(folder, **how)
    return module


def images(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype("float32")


def outputs(module: torch.nn.Module, images: np.ndarray, field: str, **call) -> np.ndarray:
    """A field of what the model returns for channels-last images."""
    with torch.no_grad():
        result = module(torch.from_numpy(images.transpose(0, 3, 1, 2)), **call)
    return getattr(result, field).numpy()


def assert_close(ours: np.ndarray, theirs: np.ndarray, tolerance: float = 1e-5) -> None:
    """Within a part of the largest number, which must be worth comparing."""
    assert ours.shape == theirs.shape
    largest = np.abs(theirs).max()
    assert largest > 0.1
    assert np.abs(ours - theirs).max() <= tolerance * largest
