"""Logits against Hugging Face's ViT and BiT: tiny random models, weights copied one by one."""

import keras
import numpy as np
import pytest
import torch
from transformers import BitConfig, BitForImageClassification, ViTConfig, ViTForImageClassification

import keras_vit
from tests.contracts import forward


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Every weight and bias away from its start, so that a forgotten one shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            norm = "norm" in name and name.endswith("weight")
            weight.copy_(1 + 0.2 * noise if norm else 0.2 * noise)
    return module.eval()


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy() for name, weight in module.state_dict().items()}


def assign(layer: keras.layers.Layer, kernel: np.ndarray, bias: np.ndarray | None = None) -> None:
    layer.set_weights([kernel] if bias is None else [kernel, bias])


@pytest.mark.parametrize(("activation", "theirs"), [("gelu", "gelu"), ("gelu_tanh", "gelu_new")])
def test_vit(rng, activation, theirs):
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        image_size=(12, 8),
        patch_size=(4, 2),
        hidden_act=theirs,
        layer_norm_eps=1e-6,
        num_labels=7,
    )
    source = randomised(ViTForImageClassification(config))
    weights = arrays(source)
    model = keras_vit.VisionTransformer(
        input_shape=(12, 8, 3),
        patch_size=(4, 2),
        num_layers=3,
        hidden_size=24,
        mlp_dim=40,
        num_heads=4,
        classes=7,
        activation=activation,
    )
    used = set()

    def take(name: str) -> np.ndarray:
        used.add(name)
        return weights[name]

    def dense(layer: keras.layers.Layer, name: str) -> None:
        assign(layer, take(f"{name}.weight").T, take(f"{name}.bias"))

    def norm(layer: keras.layers.Layer, name: str) -> None:
        assign(layer, take(f"{name}.weight"), take(f"{name}.bias"))

    patches = "vit.embeddings.patch_embeddings.projection"
    kernel = take(f"{patches}.weight").transpose(2, 3, 1, 0)  # (D, C, h, w) to (h, w, C, D)
    assign(
        model.get_layer("patch_embedding").projection,
        kernel.reshape(-1, 24),
        take(f"{patches}.bias"),
    )
    assign(model.get_layer("class_token"), take("vit.embeddings.cls_token"))
    assign(model.get_layer("position_embedding"), take("vit.embeddings.position_embeddings"))
    for i in range(3):
        block, prefix = model.get_layer(f"block_{i}"), f"vit.layers.{i}"
        norm(block.attention_norm, f"{prefix}.layernorm_before")
        norm(block.mlp_norm, f"{prefix}.layernorm_after")
        dense(block.attention.query, f"{prefix}.attention.q_proj")
        dense(block.attention.key, f"{prefix}.attention.k_proj")
        dense(block.attention.value, f"{prefix}.attention.v_proj")
        dense(block.attention.output_dense, f"{prefix}.attention.o_proj")
        dense(block.mlp.hidden, f"{prefix}.mlp.fc1")
        dense(block.mlp.output_dense, f"{prefix}.mlp.fc2")
    norm(model.get_layer("encoder_norm"), "vit.layernorm")
    dense(model.get_layer("head"), "classifier")
    assert used == set(weights)

    images = rng.normal(size=(3, 12, 8, 3)).astype("float32")
    with torch.no_grad():
        expected = source(torch.from_numpy(images.transpose(0, 3, 1, 2))).logits.numpy()
    result = keras.ops.convert_to_numpy(forward(model, images))
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_bit(rng):
    config = BitConfig(
        embedding_size=16,
        hidden_sizes=[64, 128],
        depths=[2, 1],
        num_groups=4,
        num_labels=7,
        layer_type="preactivation",
    )
    source = randomised(BitForImageClassification(config))
    for module in source.modules():
        if type(module).__name__ == "WeightStandardizedConv2d":
            module.eps = 1e-10  # as in the authors' code
    weights = arrays(source)
    model = keras_vit.ResNet(
        input_shape=(40, 32, 3), block_counts=(2, 1), width_factor=0.25, groups=4, classes=7
    )
    used = set()

    def take(name: str) -> np.ndarray:
        used.add(name)
        return weights[name]

    def conv(layer: keras.layers.Layer, name: str) -> None:
        assign(layer, take(f"{name}.weight").transpose(2, 3, 1, 0))

    def norm(layer: keras.layers.Layer, name: str) -> None:
        assign(layer, take(f"{name}.weight"), take(f"{name}.bias"))

    conv(model.get_layer("root_conv"), "bit.embedder.convolution")
    for stage, count in enumerate((2, 1)):
        for unit in range(count):
            ours = model.get_layer(f"stage{stage + 1}_unit{unit + 1}")
            theirs = f"bit.encoder.stages.{stage}.layers.{unit}"
            for number in range(3):
                conv(ours.convs[number], f"{theirs}.conv{number + 1}")
                norm(ours.norms[number], f"{theirs}.norm{number + 1}")
            if unit == 0:
                conv(ours.projection, f"{theirs}.downsample.conv")
    norm(model.get_layer("final_norm"), "bit.norm")
    head = (take("classifier.1.weight").T, take("classifier.1.bias"))
    assign(model.get_layer("head"), *head)
    assert used == set(weights)

    images = rng.normal(size=(2, 40, 32, 3)).astype("float32")
    with torch.no_grad():
        expected = source(torch.from_numpy(images.transpose(0, 3, 1, 2))).logits.numpy()
    result = keras.ops.convert_to_numpy(forward(model, images))
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(result, expected, atol=1e-5)
