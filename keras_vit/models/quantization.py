"""Quantised models in files: their configuration must build quantised layers again."""

import keras


def quantized_dtype(model, dtype):
    """Returns the serialised dtype policy with which a model is built as it is now.

    `model.quantize` changes the policies of the Dense layers and leaves the model's own arguments
    alone, so that a file would load into layers that are not quantised.

    Args:
        model: a `VisionTransformer` or `ResNet`.
        dtype: the serialised policy that the model was built with.

    Raises:
        ValueError: if only some of its Dense layers are quantised: one policy cannot say which.
    """
    policies = [
        layer.dtype_policy
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Dense)
    ]
    modes = {policy.name.split("_from_")[0] for policy in policies if policy.quantization_mode}
    if not modes:
        return dtype
    if len(modes) > 1 or not all(policy.quantization_mode for policy in policies):
        raise ValueError(
            "Only some of the model's Dense layers are quantised, or in different ways, which its "
            "configuration cannot say; quantise all of them alike to save the model."
        )
    (mode,) = modes
    source = keras.dtype_policies.deserialize(dtype).name.split("_from_")[-1]
    return keras.dtype_policies.serialize(keras.dtype_policies.get(f"{mode}_from_{source}"))


def float_policy(policy):
    """Returns the policy without its quantisation.

    Models are built in floating point and quantised afterwards: Keras gives layers that cannot
    compute in int8 themselves (convolutions, layers of layers) no way to have such a policy.
    """
    return keras.dtype_policies.get(policy.name.split("_from_")[-1])


def quantize_as(model, policy):
    """Quantises a freshly built model if the policy that was asked for says so."""
    if policy.quantization_mode:
        model.quantize(policy.quantization_mode)
