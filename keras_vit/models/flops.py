"""How much a model computes for one image."""

import math

import keras

from keras_vit.layers.attention import MultiHeadAttention


def flops(model):
    """Counts the floating point operations of one forward pass for one image.

    Convolutions, Dense layers and the two products of attention count, a multiply-add as two;
    norms, activations and additions do not.

    Args:
        model: a built `keras.Model` with one input of known shape, these models or any other that
            consists of Keras' convolutions, Dense, EinsumDense and attention layers.

    Returns:
        int, operations.

    Raises:
        ValueError: for anything but a built model with one input, or if the input's shape is not
            known but for the batch.

    Example:
        >>> keras_vit.flops(keras_vit.create_model("ViT-B/16")) / 1e9
        35.1...
    """
    shape = getattr(model, "input_shape", None) if isinstance(model, keras.Model) else None
    if not isinstance(shape, tuple):
        raise ValueError(
            "flops takes a built keras.Model with one input, such as create_model returns; this "
            f"{type(model).__name__} is none."
        )
    shape = shape[1:]
    if None in shape:
        raise ValueError(f"The model's input shape {shape} has unknown sides; flops needs all.")
    counted: list[int] = []
    layers = [layer for layer in model._flatten_layers() if _counter(layer) is not None]
    for layer in layers:
        # The shapes are seen as the model calls its layers, so that a layer used twice counts
        # twice and any architecture is understood.
        object.__setattr__(layer, "call", _counting(layer, layer.call, _counter(layer), counted))
    try:
        _Trace(lambda x: model.call(x, training=False), dtype=model.dtype_policy)(
            keras.KerasTensor((1, *shape), dtype=model.inputs[0].dtype)
        )
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
    return sum(counted)


class _Trace(keras.layers.Layer):
    """Runs a function on the backend's abstract tensors: shapes are computed, numbers are not."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


def _counting(layer, call, count, counted):
    def wrapper(*args, **kwargs):
        outputs = call(*args, **kwargs)
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        inputs = [x for x in (*args, *kwargs.values()) if hasattr(x, "shape")]
        counted.append(count(layer, inputs, first))
        return outputs

    return wrapper


def _counter(layer):
    if isinstance(layer, keras.layers.Dense):
        return _dense
    if isinstance(layer, keras.layers.EinsumDense):
        return _einsum_dense
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return _depthwise
    if isinstance(layer, (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)):
        return _convolution
    if isinstance(layer, (MultiHeadAttention, keras.layers.MultiHeadAttention)):
        return _attention_products
    return None


def _dense(layer, inputs, output):
    return 2 * math.prod(output.shape) * inputs[0].shape[-1]


def _einsum_dense(layer, inputs, output):
    _, right = layer.equation.replace("...", "").split("->")[0].split(",")
    sizes = dict(zip(right, layer.full_output_shape and layer._kernel.shape, strict=True))
    kept = layer.equation.split("->")[1]
    summed = math.prod(size for letter, size in sizes.items() if letter not in kept)
    return 2 * math.prod(output.shape) * summed


def _convolution(layer, inputs, output):
    return 2 * math.prod(output.shape) * math.prod(layer.kernel.shape[:-1])


def _depthwise(layer, inputs, output):
    return 2 * math.prod(output.shape) * math.prod(layer.kernel_size)


def _attention_products(layer, inputs, output):
    query, value = inputs[0], inputs[1] if len(inputs) > 1 else inputs[0]
    return 4 * math.prod(query.shape[:2]) * value.shape[1] * output.shape[-1]
