"""How the Dense layers inside a layer or a model are quantised, for its configuration."""

import keras


def quantization_inside(layer):
    """Returns how all Dense layers inside are quantised, `(mode, config)`; `(None, None)` for not.

    The mode is such as `"int8"` or `"int4/128"`. The config, a `keras.quantizers.QuantizationConfig`
    with the quantizers of weights and inputs, is None where it is the one that the mode stands for.

    Raises:
        ValueError: if not all are quantised alike.
    """
    inside = dense_layers_inside(layer)
    quantised = [dense for dense in inside if dense.dtype_policy.quantization_mode]
    if not quantised:
        return None, None
    ways = [_way(dense) for dense in quantised]
    if len(quantised) < len(inside) or any(way != ways[0] for way in ways):
        raise ValueError(
            f"Only some of the Dense layers of {layer.name!r} are quantised, or in different ways, "
            "which its configuration cannot say; quantise all of them alike to save it."
        )
    mode, config = ways[0]
    return mode, None if config is None else quantised[0].quantization_config


def quantize_arguments(mode, config=None):
    """Returns the arguments of Keras' `quantize` that give layers of this mode and config."""
    if config is not None:
        return {"config": config}
    kind, _, block_size = mode.partition("/")
    if kind == "int4" and block_size:
        return {"config": keras.quantizers.Int4QuantizationConfig(block_size=int(block_size))}
    return {"mode": kind}


def dense_layers_inside(layer):
    """Returns the Dense layers that a layer or model consists of, not counting itself."""
    inside = layer._flatten_layers(include_self=False)
    return [each for each in inside if isinstance(each, keras.layers.Dense)]


def _way(dense):
    """As `quantization_inside`, the config as a dictionary, which can be compared."""
    mode = dense.dtype_policy.name.split("_from_")[0]
    if dense.quantization_config is None:  # it was built so, by its policy
        return mode, None
    config = keras.saving.serialize_keras_object(dense.quantization_config)
    return mode, None if config == _usual(mode) else config


def _usual(mode):
    """The config, as a dictionary, of a layer that is quantised by its mode alone."""
    kinds = {"int8": keras.quantizers.Int8QuantizationConfig}
    kinds["float8"] = keras.quantizers.Float8QuantizationConfig
    arguments = quantize_arguments(mode)
    config = arguments.get("config") or kinds.get(arguments["mode"], lambda: None)()
    return keras.saving.serialize_keras_object(config)
