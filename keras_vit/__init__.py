"""Vision Transformers for Keras 3, on TensorFlow, JAX and PyTorch.

Names are resolved when first used, so that `keras_vit.list_models` and the variant table can be
read without loading a backend.
"""

import importlib

from keras_vit.registration import register_classes

_HOMES = {
    "Patches": "layers.patches",
    "ClassToken": "layers.class_token",
    "AddPositionEmbs": "layers.position_embedding",
    "TransformerBlock": "layers.transformer_block",
    "RegisterTokens": "layers.register_tokens",
    "LayerScale": "layers.layer_scale",
    "RotaryAttention": "layers.rotary",
    "RotaryOptions": "layers.rotary",
    "RotaryBlock": "layers.rotary_block",
    "GatedMlp": "layers.gated_mlp",
    "PatchEmbedding": "layers.patch_embedding",
    "MultiHeadAttention": "layers.attention",
    "MlpBlock": "layers.mlp",
    "StochasticDepth": "layers.stochastic_depth",
    "TokenPooling": "layers.pooling",
    "AttentionPooling": "layers.pooling",
    "TokenGrid": "layers.token_grid",
    "StandardizedConv2D": "layers.std_conv",
    "GroupNormalization": "layers.group_norm",
    "PreActivationUnit": "layers.residual_unit",
    "PostActivationUnit": "layers.residual_unit",
    "resample_position_embedding": "layers.resample",
    "Positions": "models.positions",
    "VisionTransformer": "models.vit",
    "TokenOptions": "models.options",
    "BlockOptions": "models.options",
    "RotaryVisionTransformer": "models.rotary_vit",
    "RotaryBlockOptions": "models.rotary_vit",
    "ResNet": "models.resnet",
    "create_model": "models.registry",
    "preprocess_input": "models.preprocess",
    "preprocessing_of": "models.preprocess",
    "Preprocessing": "models.preprocessing",
    "list_models": "models.variants",
    "flops": "models.flops",
    "from_checkpoint": "weights.from_checkpoint",
    "load_weights": "weights.loading",
    "export_weights": "weights.exporting",
    "features": "models.features",
    "for_finetuning": "models.finetuning",
    "finetuning_recipe": "models.finetuning",
    "layerwise_learning_rates": "models.layerwise",
    "GroupedOptimizer": "optimizers.grouped",
    "FusedAdam": "optimizers.fused_adam",
    "FusedAdamW": "optimizers.fused_adam",
    "layout_map": "models.distribution",
    "enable_lora": "models.parameter_efficient",
    "train_only_head_and_norms": "models.parameter_efficient",
}
_SUBPACKAGES = ("inspection", "pretraining")

__version__ = "0.2.0"
__all__ = sorted([*_HOMES, *_SUBPACKAGES])


def __getattr__(name):
    if name in _SUBPACKAGES:
        return importlib.import_module(f"keras_vit.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_vit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"keras_vit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


register_classes()
