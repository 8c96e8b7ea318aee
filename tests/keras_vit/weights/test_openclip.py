"""OpenCLIP's image towers: their layout by hand, against a forward pass of the tests' own."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_vit
from tests.keras_vit.weights import files, oracles
from tests.keras_vit.weights import timm_reference as timm

TOP = {
    "patch_embed.proj": "visual.conv1",
    "norm_pre": "visual.ln_pre",
    "norm": "visual.ln_post",
}
BLOCK = {
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.qkv.": "attn.in_proj_",
    "attn.proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def openclip(arrays: files.Arrays) -> files.Arrays:
    """timm's weights of a CLIP tower under OpenCLIP's names, a text tower beside them."""
    result = {
        "visual.class_embedding": arrays["cls_token"][0, 0],
        "visual.positional_embedding": arrays["pos_embed"][0],
        "visual.proj": np.ascontiguousarray(arrays["head.weight"].T),
        "logit_scale": np.float32(3)[None],
        "transformer.resblocks.0.ln_1.weight": np.ones(4, "float32"),
        "token_embedding.weight": np.ones((9, 4), "float32"),
    }
    for name, array in arrays.items():
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            for theirs, ours in BLOCK.items():
                rest = rest.replace(theirs, ours)
            result[f"visual.transformer.resblocks.{index}.{rest}"] = array
        elif (layer := name.rpartition(".")[0]) in TOP:
            result[f"{TOP[layer]}.{name.rpartition('.')[2]}"] = array
    return result


def write(folder, arrays, vision: dict, **model):
    save_file(arrays, str(folder / "open_clip_model.safetensors"))
    vision = {"image_size": [12, 8], "layers": 2, "width": 8, "patch_size": 4, **vision}
    config = {"model_cfg": {"embed_dim": 3, "vision_cfg": vision, **model}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("quick, depth", [(False, 2), (True, 2), (False, 12)])
def test_image_tower(rng, tmp_path, quick, depth):
    arrays = timm.draw(rng, pre_norm=True, depth=depth)
    arrays["head.bias"][:] = 0
    vision = {"head_width": 4, "layers": depth}
    folder = write(tmp_path, openclip(arrays), vision, quick_gelu=quick)
    images = oracles.images(rng, 2, 12, 8, 3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Nothing beside")
        model = keras_vit.from_checkpoint(folder)
    activation = "quick_gelu" if quick else "gelu"
    expected = timm.forward(arrays, images, epsilon=1e-5, activation=activation)
    oracles.assert_close(files.outputs(model, images), expected, 1e-5 if depth == 2 else 1e-4)


@pytest.mark.once
def test_towers_of_another_kind_are_refused(rng, tmp_path):
    arrays = openclip(timm.draw(rng, pre_norm=True))
    folder = write(tmp_path, arrays, {"attentional_pool": True})
    with pytest.raises(ValueError, match="attentional_pool=True, which no model here computes"):
        keras_vit.from_checkpoint(folder)
    (tmp_path / "open_clip_config.json").unlink()
    with pytest.raises(ValueError, match="does not tell its activation"):
        keras_vit.from_checkpoint(folder, like="test_vit")
