"""How much a model computes for one image."""

import inspect
import math

import keras
import numpy as np

from keras_vit.layers.attention import MultiHeadAttention
from keras_vit.layers.position_embedding import AddPositionEmbs
from keras_vit.layers.register_tokens import RegisterTokens
from keras_vit.layers.relative_position import RelativePositionBias


def flops(model):
    """Counts the floating point operations of one forward pass for one image.

    Convolutions, Dense layers and the two products of attention count, a multiply-add as two;
    norms, activations and additions do not. Neither do products that a model or a layer without
    weights computes with `keras.ops`, nor what low-rank updates (LoRA) and quantisation add.

    Args:
        model: a built `keras.Model` with one input of known shape, these models or any other that
            multiplies in Keras' convolutions, Dense, EinsumDense and attention layers.

    Returns:
        int, operations.

    Raises:
        ValueError: for anything but a built model with one input, if the input's shape is not
            known but for the batch, or for a layer whose multiplications are not known.

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
    counted: list[tuple[keras.layers.Layer, int | None]] = []
    layers = [layer for layer in model._flatten_layers() if _counter(layer) is not None]
    for layer in layers:
        # The shapes are seen as the model calls its layers, so that a layer used twice counts
        # twice and any architecture is understood. Keras calls either of the two.
        signature, count = inspect.signature(layer.call), _counter(layer)
        for name in ("call", "quantized_call"):
            wrapper = _counting(layer, getattr(layer, name), signature, count, counted)
            object.__setattr__(layer, name, wrapper)

    def forward(x):
        counted.clear()  # on PyTorch, Keras begins anew where a layer does not run without numbers
        return model.call(x, training=False)

    try:
        _Trace(forward, dtype=model.dtype_policy)(
            keras.KerasTensor((1, *shape), dtype=model.inputs[0].dtype)
        )
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
            object.__delattr__(layer, "quantized_call")
    for layer, operations in reversed(counted):  # an outer layer comes after those inside it
        if operations is None:
            raise ValueError(
                f"flops does not know what the {type(layer).__name__} {layer.name!r} multiplies; "
                "it counts convolutions, Dense, EinsumDense and the attention layers with dot "
                "products."
            )
    return sum(operations for _, operations in counted if operations is not None)


class _Trace(keras.layers.Layer):
    """Runs a function on the backend's abstract tensors: shapes are computed, numbers are not."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


def _counting(layer, call, signature, count, counted):
    def wrapper(*args, **kwargs):
        outputs = call(*args, **kwargs)
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        counted.append((layer, count(layer, signature.bind(*args, **kwargs).arguments, first)))
        return outputs

    return wrapper


def _counter(layer):
    """Returns the function that counts a layer's own operations; None where it has none.

    Its arguments are the layer, those of its `call` by name, and the output. It returns None if it
    does not know.
    """
    for kinds, count in _COUNTERS:
        if isinstance(layer, kinds):
            return count
    return _elementwise if _own_matrices(layer) else None


def _own_matrices(layer):
    """Returns the shapes of those weights, not counting sublayers', that are more than a vector."""
    shapes = []
    for weight in layer._trainable_variables + layer._non_trainable_variables:
        shape = list(weight.shape)
        while shape and shape[0] == 1:
            shape.pop(0)
        if len(shape) > 1:
            shapes.append(tuple(shape))
    return shapes


def _elementwise(layer, arguments, output):
    """A layer that nothing is known of: its weights may be added or scale, but no more."""
    shape = tuple(output.shape)
    try:
        fits = [np.broadcast_shapes(own, shape) == shape for own in _own_matrices(layer)]
    except ValueError:
        return None
    return 0 if all(fits) else None


def _unknown(layer, arguments, output):
    return None


def _first(arguments):
    return next(iter(arguments.values()))


def _dense(layer, arguments, output):
    return 2 * math.prod(output.shape) * _first(arguments).shape[-1]


def _einsum_dense(layer, arguments, output):
    operands, kept = layer.equation.split("->")
    before, _, after = operands.split(",")[0].partition("...")
    shape = tuple(_first(arguments).shape)
    sizes = [*zip(before, shape, strict=False)]
    sizes += zip(after, shape[len(shape) - len(after) :], strict=True)
    summed = math.prod(size for letter, size in sizes if letter not in kept)
    return 2 * math.prod(output.shape) * summed


def _convolution(layer, arguments, output):
    return 2 * math.prod(output.shape) * math.prod(layer.kernel.shape[:-1])


def _transposed_convolution(layer, arguments, output):
    # The kernel (..., outputs, inputs) is spread from every value of the input.
    return 2 * math.prod(_first(arguments).shape) * math.prod(layer.kernel.shape[:-1])


def _depthwise(layer, arguments, output):
    return 2 * math.prod(output.shape) * math.prod(layer.kernel_size)


def _separable(layer, arguments, output):
    pixels = math.prod(output.shape) // layer.filters
    channels = math.prod(layer.depthwise_kernel.shape[-2:])
    return 2 * pixels * channels * (math.prod(layer.kernel_size) + layer.filters)


def _our_attention(layer, arguments, output):
    query, value = arguments["query"], arguments.get("value")
    length = (query if value is None else value).shape[1]
    return 4 * math.prod(query.shape) * length


def _multi_head_attention(layer, arguments, output):
    queries = math.prod(arguments["query"].shape[:-1])
    attended = math.prod(arguments["value"].shape[axis] for axis in layer.attention_axes)
    return 2 * queries * attended * layer.num_heads * (layer.key_dim + layer.value_dim)


def _grouped_attention(layer, arguments, output):
    queries = math.prod(arguments["query"].shape[:-1])
    return 4 * queries * arguments["value"].shape[1] * layer.num_query_heads * layer.head_dim


def _attention(layer, arguments, output):
    if layer.score_mode != "dot":
        return None
    query, value = _first(arguments)[:2]
    return 2 * math.prod(query.shape[:-1]) * value.shape[1] * (query.shape[-1] + value.shape[-1])


_L = keras.layers

# The first kind that a layer belongs to decides.
_COUNTERS = (
    (_L.Dense, _dense),
    (_L.EinsumDense, _einsum_dense),
    ((_L.Conv1D, _L.Conv2D, _L.Conv3D), _convolution),
    ((_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose), _transposed_convolution),
    ((_L.DepthwiseConv1D, _L.DepthwiseConv2D), _depthwise),
    ((_L.SeparableConv1D, _L.SeparableConv2D), _separable),
    (MultiHeadAttention, _our_attention),
    (_L.MultiHeadAttention, _multi_head_attention),
    (_L.GroupQueryAttention, _grouped_attention),
    ((_L.AdditiveAttention, _L.ReversibleEmbedding, _L.RNN, _L.Dot), _unknown),
    (_L.Attention, _attention),
    # Looked up, added or put beside
    ((_L.Embedding, AddPositionEmbs, RelativePositionBias, RegisterTokens), None),
)
