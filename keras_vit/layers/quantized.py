"""How the Dense layers inside a layer or a model are quantised, for its configuration."""

import keras

USUAL = {
    "int8": keras.quantizers.Int8QuantizationConfig,
    "float8": keras.quantizers.Float8QuantizationConfig,
}


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
    ways = [(_mode(dense), _comparable(_config(dense))) for dense in quantised]
    if len(quantised) < len(inside) or any(way != ways[0] for way in ways):
        raise ValueError(
            f"Only some of the Dense layers of {layer.name!r} are quantised, or in different ways, "
            "which its configuration cannot say; quantise all of them alike to save it."
        )
    return _mode(quantised[0]), _config(quantised[0])


def quantize_arguments(mode, config=None):
    """Returns the arguments of Keras' `quantize` that give layers of this mode and config."""
    if config is not None:
        return {"config": config}
    kind, _, block_size = mode.partition("/")
    if kind == "int4" and block_size:
        return {"config": keras.quantizers.Int4QuantizationConfig(block_size=int(block_size))}
    return {"mode": kind}


def read_quantization(config):
    """Returns Keras' config of what a configuration has of one, or None."""
    return keras.saving.deserialize_keras_object(with_tuples(config))


def with_tuples(config):
    """Returns a config as a dictionary, with the tuples that Keras asks for and JSON does not have."""
    if isinstance(config, dict):
        return {key: with_tuples(value) for key, value in config.items()}
    return tuple(config) if isinstance(config, list) else config


def dense_layers_inside(layer):
    """Returns the Dense layers that a layer or model consists of, not counting itself."""
    inside = layer._flatten_layers(include_self=False)
    return [each for each in inside if isinstance(each, keras.layers.Dense)]


def _mode(dense):
    return dense.dtype_policy.name.split("_from_")[0]


def _config(dense):
    """The config of a layer, if it is another than that of all layers of its mode."""
    config = dense.quantization_config
    if config is None:  # it was built so, by its policy
        return None
    usual = quantize_arguments(_mode(dense))
    if "config" not in usual:
        usual = {"config": USUAL[usual["mode"]]()} if usual["mode"] in USUAL else {}
    return None if _comparable(config) == _comparable(usual.get("config")) else config


def _comparable(config):
    """A config as a dictionary, without what Keras adds while it writes a file (of shared objects)."""
    if isinstance(config, list | tuple):
        return tuple(map(_comparable, config))
    if isinstance(config, dict):
        return {k: _comparable(value) for k, value in config.items() if k != "shared_object_id"}
    if config is None or isinstance(config, str | int | float):
        return config
    return _comparable(keras.saving.serialize_keras_object(config))
