"""A model's weights by their names below the model, as arrays."""

import keras

from keras_vit.layers.dense import Dense
from keras_vit.layers.trainable import weight_name


def weight_values(model):
    """Returns {name: array} of a model's weights, LoRA merged into its kernels; seeds left out.

    Raises:
        ValueError: for a quantised model, whose weights no other model can take.
    """
    refuse_quantised(model)
    values = {}
    for layer in model._flatten_layers(include_self=False):
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            name = weight_name(model, variable)
            if variable.name.startswith("lora_") or name.endswith("seed_generator_state"):
                continue
            if variable.name == "kernel" and isinstance(layer, Dense):
                variable = layer.merged_kernel()
            values[name] = keras.ops.convert_to_numpy(variable)
    return values


def refuse_quantised(model):
    """Raises ValueError if a layer of the model is quantised."""
    for layer in model._flatten_layers(include_self=False):
        if mode := getattr(layer, "quantization_mode", None):
            raise ValueError(
                f"The layer {layer.name!r} is quantised ({mode}), so that its weights go neither "
                "in nor out; use the model as it was before quantize()."
            )
