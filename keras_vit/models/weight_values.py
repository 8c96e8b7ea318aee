"""A model's weights by their names below the model, as arrays."""

import keras


def weight_name(model, variable):
    """Returns a weight's name below its model, such as `block_0/attention/query/kernel`."""
    # A `keras.name_scope` around the model's making is part of every path, the model's own too.
    scope = model.path.rpartition(model.name)[0]
    return variable.path.removeprefix(scope).removeprefix(f"{model.name}/")


def weight_values(model):
    """Returns {name: array} of a model's weights, LoRA merged into its kernels; seeds left out.

    Raises:
        ValueError: for a quantised model, whose weights no other model can take.
    """
    refuse_quantised(model)
    values = {}
    for layer in model._flatten_layers(include_self=False):
        lora = getattr(layer, "lora_enabled", False)
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            name = weight_name(model, variable)
            if variable.name.startswith("lora_") or name.endswith("seed_generator_state"):
                continue
            value = layer.kernel if lora and variable.name == "kernel" else variable
            values[name] = keras.ops.convert_to_numpy(value)
    return values


def refuse_quantised(model):
    """Raises ValueError if a layer of the model is quantised."""
    for layer in model._flatten_layers(include_self=False):
        if mode := getattr(layer, "quantization_mode", None):
            raise ValueError(
                f"The layer {layer.name!r} is quantised ({mode}), so that its weights go neither "
                "in nor out; use the model as it was before quantize()."
            )
