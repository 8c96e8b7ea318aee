"""Published weights on Hugging Face's hub whose licence allows any use, by name.

References: the repositories' model cards, which state the licences.
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


_DINOV2 = {"ViT-S/14": "small", "ViT-B/14": "base", "ViT-L/14": "large"}
_DEIT = {"ViT-Ti/16": "tiny", "ViT-S/16": "small", "ViT-B/16": "base"}

HUB_WEIGHTS: dict[str, HubWeights] = {
    "dinov2": HubWeights(
        "Apache-2.0", {name: f"facebook/dinov2-{size}" for name, size in _DINOV2.items()}
    ),
    "dinov2-registers": HubWeights(
        "Apache-2.0",
        {name: f"facebook/dinov2-with-registers-{size}" for name, size in _DINOV2.items()},
    ),
    "deit-imagenet2012": HubWeights(
        "Apache-2.0", {name: f"facebook/deit-{size}-patch16-224" for name, size in _DEIT.items()}
    ),
    "deit-distilled-imagenet2012": HubWeights(
        "Apache-2.0",
        {name: f"facebook/deit-{size}-distilled-patch16-224" for name, size in _DEIT.items()},
    ),
    "deit3-imagenet21k+imagenet2012": HubWeights(
        "Apache-2.0",
        {
            "ViT-S/16": "timm/deit3_small_patch16_224.fb_in22k_ft_in1k",
            "ViT-M/16": "timm/deit3_medium_patch16_224.fb_in22k_ft_in1k",
            "ViT-B/16": "timm/deit3_base_patch16_224.fb_in22k_ft_in1k",
            "ViT-L/16": "timm/deit3_large_patch16_224.fb_in22k_ft_in1k",
            "ViT-H/14": "timm/deit3_huge_patch14_224.fb_in22k_ft_in1k",
        },
        _TIMM,
    ),
    "flexivit-imagenet2012": HubWeights(
        "Apache-2.0",
        {
            "ViT-S/16": "timm/flexivit_small.1200ep_in1k",
            "ViT-B/16": "timm/flexivit_base.1200ep_in1k",
            "ViT-L/16": "timm/flexivit_large.1200ep_in1k",
        },
        _TIMM,
    ),
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
    "clip-laion2b": HubWeights(
        "MIT",
        {
            "ViT-B/32": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            "ViT-L/14": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
            "ViT-H/14": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        },
    ),
}
