"""Random checkpoints in the other projects' layouts, written down from their sources by hand.

Nothing here leans on `keras_vit.weights`. Each function returns `{name: array}`, under the names and in the
shapes of the project that it is named after.

References: google-research/vision_transformer (vit_jax/models_vit.py, models_resnet.py);
google-research/big_vision (models/vit.py, models/bit_paper.py); google-research/big_transfer
(bit_pytorch/models.py, `load_from`); huggingface/pytorch-image-models (timm/models/vision_transformer.py,
vision_transformer_hybrid.py, resnetv2.py, timm/layers/attention_pool.py).
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

Arrays = dict[str, np.ndarray]

VIT = dict(
    input_shape=(8, 12, 3),
    patch_size=(4, 2),
    num_layers=2,
    hidden_size=8,
    mlp_dim=12,
    num_heads=2,
    classes=3,
)
GRID = (2, 6)


def outputs(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The model's outputs as an array; on JAX compiled as a whole, which is quicker than op by op."""
    if keras.backend.backend() == "jax":
        return np.asarray(model.predict_on_batch(images))
    return keras.ops.convert_to_numpy(model(images))


class Draw:
    """Draws arrays by kind of weight: norms' scales near one, all else near zero."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def __call__(self, *shape: int, mean: float = 0.0, scale: float = 0.3) -> np.ndarray:
        return (mean + scale * self.rng.standard_normal(shape)).astype("float32")

    def norm(self, width: int) -> Arrays:
        return {"scale": self(width, mean=1.0), "bias": self(width)}

    def dense(self, inputs: int, outputs: int) -> Arrays:
        return {"kernel": self(inputs, outputs), "bias": self(outputs)}

    def attention(self, width: int, heads: int) -> Arrays:
        size, result = width // heads, {}
        for name in ("query", "key", "value"):
            result[f"{name}/kernel"] = self(width, heads, size)
            result[f"{name}/bias"] = self(heads, size)
        return result | {"out/kernel": self(heads, size, width), "out/bias": self(width)}

    def mlp(self, width: int, hidden: int) -> Arrays:
        return under("Dense_0", self.dense(width, hidden)) | under(
            "Dense_1", self.dense(hidden, width)
        )


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def vit_jax(
    rng: np.random.Generator,
    *,
    width: int = 8,
    layers: int = 2,
    hidden: int = 12,
    heads: int = 2,
    patch: tuple[int, int] = (4, 2),
    channels: int = 3,
    grid: tuple[int, int] = GRID,
    classes: int | None = 3,
    representation: int | None = None,
    classifier: str = "token",
) -> Arrays:
    """The published layout, whose blocks count their sublayers through: 0, 1, 2, 3."""
    draw = Draw(rng)
    result = under("embedding", {"kernel": draw(*patch, channels, width), "bias": draw(width)})
    prefix = 1 if classifier == "token" else 0
    if prefix:
        result["cls"] = draw(1, 1, width)
    positions = draw(1, prefix + grid[0] * grid[1], width)
    result["Transformer/posembed_input/pos_embedding"] = positions
    for i in range(layers):
        block = under("LayerNorm_0", draw.norm(width)) | under("LayerNorm_2", draw.norm(width))
        block |= under("MultiHeadDotProductAttention_1", draw.attention(width, heads))
        block |= under("MlpBlock_3", draw.mlp(width, hidden))
        result |= under(f"Transformer/encoderblock_{i}", block)
    result |= under("Transformer/encoder_norm", draw.norm(width))
    if classifier == "map":
        head = {"probe": draw(1, 1, width)} | under("LayerNorm_0", draw.norm(width))
        head |= under("MultiHeadDotProductAttention_0", draw.attention(width, heads))
        result |= under("MAPHead_0", head | under("MlpBlock_0", draw.mlp(width, hidden)))
    if representation is not None:
        result |= under("pre_logits", draw.dense(width, representation))
    if classes is not None:
        result |= under("head", draw.dense(representation or width, classes))
    return result


def linen(arrays: Arrays) -> Arrays:
    """The same weights as newer Flax code names them: each kind of sublayer counts from 0."""
    renamed = {
        "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0",
        "LayerNorm_2": "LayerNorm_1",
        "MlpBlock_3": "MlpBlock_0",
    }
    return {
        "/".join(renamed.get(part, part) for part in name.split("/")): array
        for name, array in arrays.items()
    }


def big_vision(arrays: Arrays, scanned: bool = False) -> Arrays:
    """The same weights in big_vision's layout; positions without the class token's entry.

    With a class token, what the old layout adds to it is added to the token itself.
    """
    result = linen(arrays)
    positions = result.pop("Transformer/posembed_input/pos_embedding", None)
    if positions is not None and "cls" in result:
        result["cls"] = result["cls"] + positions[:, :1]
        positions = positions[:, 1:]
    if positions is not None:
        result["pos_embedding"] = positions
    if scanned:
        first = "Transformer/encoderblock_0/"
        inner = [name.removeprefix(first) for name in result if name.startswith(first)]
        depth = sum(name.endswith("LayerNorm_0/scale") for name in result if "encoderblock" in name)
        for name in inner:
            blocks = [result.pop(f"Transformer/encoderblock_{i}/{name}") for i in range(depth)]
            result[f"Transformer/encoderblock/{name}"] = np.stack(blocks)
    return {f"params/{name}": array for name, array in result.items()}


def hybrid_stem(rng: np.random.Generator, block_counts: Sequence[int], flat: bool) -> Arrays:
    """vit_jax's ResNet stem; older files keep GroupNorm arrays as (1, 1, 1, C)."""
    draw = Draw(rng)

    def norm(width: int) -> Arrays:
        arrays = draw.norm(width)
        return arrays if flat else {name: a.reshape(1, 1, 1, -1) for name, a in arrays.items()}

    result = {"conv_root/kernel": draw(7, 7, 3, 64), **under("gn_root", norm(64))}
    inputs = 64
    for s, count in enumerate(block_counts, 1):
        width = 64 * 2 ** (s - 1)
        for u in range(1, count + 1):
            unit = {
                "conv1/kernel": draw(1, 1, inputs, width),
                "conv2/kernel": draw(3, 3, width, width),
                "conv3/kernel": draw(1, 1, width, 4 * width),
            }
            for n, size in ((1, width), (2, width), (3, 4 * width)):
                unit |= under(f"gn{n}", norm(size))
            if u == 1:
                unit["conv_proj/kernel"] = draw(1, 1, inputs, 4 * width)
                unit |= under("gn_proj", norm(4 * width))
            result |= under(f"block{s}/unit{u}", unit)
            inputs = 4 * width
    return result


def big_transfer(rng: np.random.Generator, block_counts: Sequence[int], width: int = 8) -> Arrays:
    """BiT as dumped from TensorFlow, which is how the files are published."""
    draw = Draw(rng)

    def norm(size: int) -> Arrays:
        return {"group_norm/gamma": draw(size, mean=1.0), "group_norm/beta": draw(size)}

    result = {"root_block/standardized_conv2d/kernel": draw(7, 7, 3, width)}
    inputs = width
    for s, count in enumerate(block_counts, 1):
        middle = width * 2 ** (s - 1)
        for u in range(1, count + 1):
            unit = {
                "a/standardized_conv2d/kernel": draw(1, 1, inputs, middle),
                "b/standardized_conv2d/kernel": draw(3, 3, middle, middle),
                "c/standardized_conv2d/kernel": draw(1, 1, middle, 4 * middle),
            }
            for letter, size in (("a", inputs), ("b", middle), ("c", middle)):
                unit |= under(letter, norm(size))
            if u == 1:
                unit["a/proj/standardized_conv2d/kernel"] = draw(1, 1, inputs, 4 * middle)
            result |= under(f"block{s}/unit{u:02d}", unit)
            inputs = 4 * middle
    result |= norm(inputs)
    result |= {"head/conv2d/kernel": draw(1, 1, inputs, 5), "head/conv2d/bias": draw(5)}
    return under("resnet", result)


def bit_reference(arrays: Arrays) -> Arrays:
    """The same weights under the names of the NumPy reference (and, but for the root, big_vision's)."""
    result = {}
    for name, array in arrays.items():
        parts = name.split("/")[1:]
        leaf = {"gamma": "scale", "beta": "bias"}.get(parts[-1], parts[-1])
        if parts[0] == "root_block":
            result["conv_root/kernel"] = array
        elif parts[0] == "group_norm":
            result[f"norm-pre-head/{leaf}"] = array
        elif parts[0] == "head":
            result[f"head/{leaf}"] = array.reshape(array.shape[-2:]) if array.ndim > 1 else array
        else:
            number = "abc".index(parts[2]) + 1
            unit = f"{parts[0]}/unit{int(parts[1].removeprefix('unit'))}"
            kind = "conv_proj" if parts[3] == "proj" else None
            kind = kind or (f"gn{number}" if parts[3] == "group_norm" else f"conv{number}")
            result[f"{unit}/{kind}/{leaf}"] = array
    return result


def bit_big_vision(arrays: Arrays) -> Arrays:
    """The same weights in big_vision's layout, with GroupNorm arrays (1, 1, 1, C)."""
    result = {}
    for name, array in bit_reference(arrays).items():
        parts = name.split("/")
        if parts[0] == "conv_root":
            name = "root_block/conv_root/kernel"
        if parts[0].startswith("block"):
            name = "/".join([parts[0], f"unit{int(parts[1][4:]):02d}", *parts[2:]])
        norm = "/gn" in name or name.startswith("norm-pre-head")
        result[f"params/{name}"] = array.reshape(1, 1, 1, -1) if norm else array
    return result


def timm_vit(arrays: Arrays) -> Arrays:
    """Published weights (vit_jax's names) as timm's VisionTransformer keeps them."""
    width = arrays["embedding/bias"].shape[0]
    result = {
        "patch_embed.proj.weight": arrays["embedding/kernel"].transpose(3, 2, 0, 1),
        "patch_embed.proj.bias": arrays["embedding/bias"],
        "pos_embed": arrays["Transformer/posembed_input/pos_embedding"],
        "norm.weight": arrays["Transformer/encoder_norm/scale"],
        "norm.bias": arrays["Transformer/encoder_norm/bias"],
    }
    if "cls" in arrays:
        result["cls_token"] = arrays["cls"]
    if "head/kernel" in arrays:
        result |= linear("head", arrays["head/kernel"], arrays["head/bias"])
    count = sum(name.endswith("LayerNorm_2/scale") for name in arrays)
    for i in range(count):
        block, root = f"blocks.{i}", f"Transformer/encoderblock_{i}"
        attention = f"{root}/MultiHeadDotProductAttention_1"
        projections = [
            [arrays[f"{attention}/{n}/{leaf}"] for n in ("query", "key", "value")]
            for leaf in ("kernel", "bias")
        ]
        kernel = np.concatenate([k.reshape(width, width) for k in projections[0]], axis=1)
        bias = np.concatenate([b.reshape(width) for b in projections[1]])
        result |= linear(f"{block}.attn.qkv", kernel, bias)
        out = arrays[f"{attention}/out/kernel"].reshape(width, width)
        result |= linear(f"{block}.attn.proj", out, arrays[f"{attention}/out/bias"])
        for ours, theirs in (("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_2")):
            result[f"{block}.{ours}.weight"] = arrays[f"{root}/{theirs}/scale"]
            result[f"{block}.{ours}.bias"] = arrays[f"{root}/{theirs}/bias"]
        for n in (0, 1):
            mlp = f"{root}/MlpBlock_3/Dense_{n}"
            result |= linear(
                f"{block}.mlp.fc{n + 1}", arrays[f"{mlp}/kernel"], arrays[f"{mlp}/bias"]
            )
    if "MAPHead_0/probe" in arrays:
        head = {n.removeprefix("MAPHead_0/"): a for n, a in arrays.items()}
        attention = "MultiHeadDotProductAttention_0"

        def flat(*names: str) -> tuple[np.ndarray, np.ndarray]:
            kernels = [head[f"{attention}/{n}/kernel"].reshape(width, width) for n in names]
            biases = [head[f"{attention}/{n}/bias"].reshape(width) for n in names]
            return np.concatenate(kernels, axis=1), np.concatenate(biases)

        result["attn_pool.latent"] = head["probe"]
        result |= linear("attn_pool.q", *flat("query"))
        result |= linear("attn_pool.kv", *flat("key", "value"))
        result |= linear("attn_pool.proj", *flat("out"))
        result["attn_pool.norm.weight"] = head["LayerNorm_0/scale"]
        result["attn_pool.norm.bias"] = head["LayerNorm_0/bias"]
        for n in (0, 1):
            mlp = f"MlpBlock_0/Dense_{n}"
            result |= linear(f"attn_pool.mlp.fc{n + 1}", head[f"{mlp}/kernel"], head[f"{mlp}/bias"])
    return result | timm_stem(arrays)


def timm_stem(arrays: Arrays) -> Arrays:
    """The hybrids' stem in timm: without stages it lies directly below the backbone."""
    if "conv_root/kernel" not in arrays:
        return {}
    backbone = "patch_embed.backbone"
    stages = any(name.startswith("block1/") for name in arrays)
    root = f"{backbone}.stem" if stages else backbone
    result = {f"{root}.conv.weight": arrays["conv_root/kernel"].transpose(3, 2, 0, 1)}
    result[f"{root}.norm.weight"] = arrays["gn_root/scale"].reshape(-1)
    result[f"{root}.norm.bias"] = arrays["gn_root/bias"].reshape(-1)
    for name, array in arrays.items():
        parts = name.split("/")
        if not parts[0].startswith("block"):
            continue
        stage, unit = int(parts[0][5:]) - 1, int(parts[1][4:]) - 1
        layer = {"conv_proj": "downsample.conv", "gn_proj": "downsample.norm"}.get(parts[2])
        layer = layer or parts[2].replace("gn", "norm")
        leaf = {"scale": "weight", "kernel": "weight", "bias": "bias"}[parts[3]]
        array = array.transpose(3, 2, 0, 1) if parts[3] == "kernel" else array.reshape(-1)
        result[f"{backbone}.stages.{stage}.blocks.{unit}.{layer}.{leaf}"] = array
    return result


def timm_bit(arrays: Arrays) -> Arrays:
    """BiT as timm's ResNetV2 keeps it; its classifier is a 1x1 convolution."""
    result = {}
    for name, array in bit_reference(arrays).items():
        parts = name.split("/")
        leaf = {"scale": "weight", "kernel": "weight", "bias": "bias"}[parts[-1]]
        if parts[0] == "conv_root":
            result["stem.conv.weight"] = array.transpose(3, 2, 0, 1)
        elif parts[0] == "norm-pre-head":
            result[f"norm.{leaf}"] = array
        elif parts[0] == "head":
            result[f"head.fc.{leaf}"] = array.T[:, :, None, None] if array.ndim == 2 else array
        else:
            stage, unit = int(parts[0][5:]) - 1, int(parts[1][4:]) - 1
            layer = parts[2].replace("gn", "norm").replace("conv_proj", "downsample.conv")
            array = array.transpose(3, 2, 0, 1) if parts[-1] == "kernel" else array
            result[f"stages.{stage}.blocks.{unit}.{layer}.{leaf}"] = array
    return result


def linear(name: str, kernel: np.ndarray, bias: np.ndarray) -> Arrays:
    return {f"{name}.weight": kernel.T, f"{name}.bias": bias}
