"""Contenders that are PyTorch modules, in a plain training loop: those of transformers and timm.

A step gives the loss as a number, or the logits as an array, like Keras' own.
Half precision is PyTorch's autocast.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import torch

from keras_vit.models.variants import get_variant
from studies.bench.cases import Case
from studies.bench.worker import Runner, some_batch

RATE = 1e-4  # Adam's
DTYPES = {"float32": None, "mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}


def hugging_face(case: Case, overrides: dict[str, Any]) -> Runner:
    """The ViT or BiT of transformers."""
    _without_operators_of_torchvision()
    import transformers as hf

    sizes = {**get_variant(case.base).config, **case.overrides}
    if case.base.startswith("BiT"):
        config = hf.BitConfig(
            depths=sizes["block_counts"],
            width_factor=sizes["width_factor"],
            num_labels=case.classes,
        )
        model = hf.BitForImageClassification(config)
    else:
        config = hf.ViTConfig(
            hidden_size=sizes["hidden_size"],
            num_hidden_layers=sizes["num_layers"],
            num_attention_heads=sizes["num_heads"],
            intermediate_size=sizes["mlp_dim"],
            image_size=case.shape[0],
            patch_size=sizes["patch_size"],
            num_labels=case.classes,
        )
        model = hf.ViTForImageClassification(config)
    return _runner(model, lambda images: model(images).logits, case)


def timm(case: Case, overrides: dict[str, Any]) -> Runner:
    """timm's ViT, also beside a CPU build of PyTorch."""
    _without_operators_of_torchvision()
    from timm.models import VisionTransformer

    sizes = {**get_variant(case.base).config, **case.overrides}
    model = VisionTransformer(
        img_size=case.shape[0],
        patch_size=sizes["patch_size"],
        embed_dim=sizes["hidden_size"],
        depth=sizes["num_layers"],
        num_heads=sizes["num_heads"],
        mlp_ratio=sizes["mlp_dim"] / sizes["hidden_size"],
        num_classes=case.classes,
    )
    return _runner(model, torch.compile(model) if overrides.get("compile") else model, case)


def _without_operators_of_torchvision() -> None:
    """Lets timm and transformers import torchvision beside a CPU build of PyTorch.

    It describes its CUDA operators to PyTorch as it is imported, and fails where PyTorch has none. No
    model here takes any of them.
    """
    name = "torchvision._meta_registrations"
    sys.modules[name] = types.ModuleType(name)


def _runner(model: Any, logits_of: Any, case: Case) -> Runner:
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(place).train(case.mode == "train")
    images, labels = (
        torch.from_numpy(array).to(place) for array in some_batch(case, channels_first=True)
    )
    labels = labels.long()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    half = DTYPES[case.dtype]
    scaler = torch.amp.GradScaler(place.type, enabled=half is torch.float16)

    def forward() -> Any:
        with torch.autocast(place.type, half, enabled=half is not None):
            return logits_of(images).float()

    def turn(steps: int) -> None:
        for _ in range(steps):
            if case.mode == "train":
                loss = torch.nn.functional.cross_entropy(forward(), labels)
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                loss.item()
            else:
                with torch.inference_mode():
                    forward().cpu().numpy()

    return Runner(turn, sum(weight.numel() for weight in model.parameters()))
