"""How the Dense layers inside a layer or a model are quantised, for its configuration."""

import keras


def quantization_inside(layer):
    """Returns how all Dense layers inside are quantised, `"int8"` or `"int4/128"`; None for not.

    Raises:
        ValueError: if not all are quantised alike.
    """
    policies = [dense.dtype_policy for dense in dense_layers_inside(layer)]
    modes = {policy.name.split("_from_")[0] for policy in policies if policy.quantization_mode}
    if not modes:
        return None
    if len(modes) > 1 or not all(policy.quantization_mode for policy in policies):
        raise ValueError(
            f"Only some of the Dense layers of {layer.name!r} are quantised, or in different ways, "
            "which its configuration cannot say; quantise all of them alike to save it."
        )
    return modes.pop()


def quantize_arguments(mode):
    """Returns the arguments of Keras' `quantize` that give layers of this mode."""
    kind, _, block_size = mode.partition("/")
    if kind == "int4" and block_size:
        return {"config": keras.quantizers.Int4QuantizationConfig(block_size=int(block_size))}
    return {"mode": kind}


def dense_layers_inside(layer):
    """Returns the Dense layers that a layer or model consists of, not counting itself."""
    inside = layer._flatten_layers(include_self=False)
    return [each for each in inside if isinstance(each, keras.layers.Dense)]
