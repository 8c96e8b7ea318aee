"""Published weights on Hugging Face's hub whose licence allows any use, by name.

References: the repositories' model cards, which state the licences, and for those of timm also
huggingface/pytorch-image-models, timm/models/vision_transformer.py and deit.py.
"""

from dataclasses import dataclass

ENDPOINT_VARIABLE = "HF_ENDPOINT"  # as huggingface_hub reads it
ENDPOINT = "https://huggingface.co"
_TRANSFORMERS = ("config.json", "preprocessor_config.json", "model.safetensors")
_TIMM = ("config.json", "model.safetensors")


@dataclass(frozen=True)
class HubWeights:
    """A family of checkpoints.

    Args:
        licence: of the weights, as the model cards say.
        repositories: by the name of the model that they are of.
        files: in each of them.
    """

    licence: str
    repositories: dict[str, str]
    files: tuple[str, ...] = _TRANSFORMERS


_SIZES = {"S": "small", "B": "base", "L": "large"}
_DEIT = {"ViT-Ti/16": "tiny", "ViT-S/16": "small", "ViT-B/16": "base"}


def _timm(licence, names):
    repositories = {name: f"timm/{repository}" for name, repository in names.items()}
    return HubWeights(licence, repositories, _TIMM)


HUB_WEIGHTS: dict[str, HubWeights] = {
    "dinov2": _timm(
        "Apache-2.0",
        {f"ViT-{key}/14": f"vit_{size}_patch14_dinov2.lvd142m" for key, size in _SIZES.items()},
    ),
    "dinov2-registers": _timm(
        "Apache-2.0",
        {
            f"ViT-{key}/14": f"vit_{size}_patch14_reg4_dinov2.lvd142m"
            for key, size in _SIZES.items()
        },
    ),
    "deit-imagenet2012": _timm(
        "Apache-2.0", {name: f"deit_{size}_patch16_224.fb_in1k" for name, size in _DEIT.items()}
    ),
    "deit-distilled-imagenet2012": _timm(
        "Apache-2.0",
        {name: f"deit_{size}_distilled_patch16_224.fb_in1k" for name, size in _DEIT.items()},
    ),
    "deit3-imagenet21k+imagenet2012": _timm(
        "Apache-2.0",
        {
            "ViT-S/16": "deit3_small_patch16_224.fb_in22k_ft_in1k",
            "ViT-M/16": "deit3_medium_patch16_224.fb_in22k_ft_in1k",
            "ViT-B/16": "deit3_base_patch16_224.fb_in22k_ft_in1k",
            "ViT-L/16": "deit3_large_patch16_224.fb_in22k_ft_in1k",
            "ViT-H/14": "deit3_huge_patch14_224.fb_in22k_ft_in1k",
        },
    ),
    "flexivit-imagenet2012": _timm(
        "Apache-2.0",
        {f"ViT-{key}/16": f"flexivit_{size}.1200ep_in1k" for key, size in _SIZES.items()},
    ),
    # Google's own, whose configuration has the GELU that they were trained with
    "siglip": HubWeights(
        "Apache-2.0",
        {
            "ViT-B/16": "google/siglip-base-patch16-224",
            "ViT-L/16": "google/siglip-large-patch16-256",
            "ViT-So400m/14": "google/siglip-so400m-patch14-224",
        },
    ),
    "siglip2": HubWeights(
        "Apache-2.0",
        {
            "ViT-B/16": "google/siglip2-base-patch16-224",
            "ViT-L/16": "google/siglip2-large-patch16-256",
            "ViT-So400m/14": "google/siglip2-so400m-patch14-224",
        },
    ),
    "clip-laion2b": _timm(  # the image towers alone, of LAION's repositories
        "MIT",
        {
            "ViT-B/32": "vit_base_patch32_clip_224.laion2b",
            "ViT-L/14": "vit_large_patch14_clip_224.laion2b",
            "ViT-H/14": "vit_huge_patch14_clip_224.laion2b",
        },
    ),
}
