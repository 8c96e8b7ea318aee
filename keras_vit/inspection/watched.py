"""The model that says what the blocks of another attend to, compiled once a model."""

import functools
import itertools
import weakref

import keras
import numpy as np
from keras import ops

from keras_vit.layers.pooling import AttentionPooling
from keras_vit.layers.transformer_block import PreNormBlock
from keras_vit.models.inside import (
    call,
    call_of,
    calls_in,
    depends,
    given,
    model_inside,
    tokens_before_patches,
)
from keras_vit.models.vit import VisionTransformer

# They hold the layers of a model and not the model, so that they go when it goes.
_KNOWN: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def watched_model(model, function):
    """Returns the `Watched` of a model: the same one until the model changes.

    What is compiled does not see layers that were quantised or given low-rank updates afterwards.

    Args:
        model: a `VisionTransformer`, or a functional or `Sequential` model with one, or its layers,
            inside.
        function: that asks, for messages.

    Raises:
        ValueError: for another kind of model.
    """
    vit = model_inside(model, function, (VisionTransformer,), apart=True)
    state = [(id(weight), weight.path, weight.dtype) for weight in model.weights]
    state += [layer.dtype_policy.name for layer in model._flatten_layers()]
    known, watched = _KNOWN.get(model, (None, None))
    if known != state:
        watched = Watched(model, vit, function)
        _KNOWN[model] = state, watched
    return watched


class Watched(keras.Model):
    """What the blocks of a ViT attend to, and what a probe in its pooling does.

    A model of its own, since `predict` compiles on JAX and TensorFlow, and records no gradients
    on PyTorch; the layers are called, and otherwise left alone.
    """

    def __init__(self, model, vit, function):
        super().__init__(name="watched")  # TensorFlow refuses the default "__watched"
        inputs, images = given(model, vit, function)
        if len(inputs) != 1:
            raise ValueError(
                f"The images of {vit.name} come from {len(inputs)} inputs of {model.name!r}; ask for "
                f"what is inside: {call(function, model, vit)}."
            )
        self.image_shape = tuple(inputs[0].shape[1:])
        self.before = None if model is vit else keras.Model(inputs[0], images)
        layers = {layer.name: layer for layer in vit.layers}
        blocks = _blocks_in_a_row(vit)
        if not blocks or "patch_embedding" not in layers:
            missing = "'patch_embedding'" if blocks else "blocks"
            raise ValueError(f"{vit.name!r} does not have the {missing} of a ViT.")
        embedding = layers["patch_embedding"]
        embedded = call_of(vit, embedding, function)
        patches = embedded.output_tensors[0]
        self.grid = None
        if not embedding.as_grid:
            self.grid = embedding.patches.grid_of(embedded.input_tensors[0].shape)
        self.prefix = tokens_before_patches(vit)
        first = embedding.data_format == "channels_first" or "channels_last" in layers
        self.axes = slice(2, 4) if first else slice(1, 3)
        self.pooling = layers.get("pooling")
        self.kind = (
            "distilled"
            if "distillation_pooling" in layers
            else getattr(self.pooling, "kind", "map")
        )
        end = blocks[-1].output_tensors[0]
        if isinstance(self.pooling, AttentionPooling):
            end = call_of(vit, self.pooling, function).input_tensors[0]
        self.graph = keras.Model(vit.inputs[0], [end, patches])  # which the model is not part of
        self.built = True

    def call(self, images):
        if self.before is not None:
            images = self.before(images)
        scores: list = []
        end, patches = self.graph._run_through_graph(
            [ops.convert_to_tensor(images, self.graph.inputs[0].dtype)],
            functools.partial(_watching, scores),
        )
        grid = ops.shape(patches)[1:3] if self.grid is None else self.grid
        sides = ops.stack([*grid, *ops.shape(images)[self.axes]])
        batch = ops.shape(images)[0]
        outputs = {
            "scores": ops.stack(scores, axis=1),  # (B, L, heads, N, N)
            "sides": ops.tile(ops.cast(sides, "int32")[None], (batch, 1)),  # (B, 4)
        }
        if isinstance(self.pooling, AttentionPooling):
            _, weights = self.pooling.attend(end)
            outputs["probe"] = ops.cast(weights, "float32")  # (B, heads, 1, patches)
        return outputs

    def read(self, outputs):
        """How much of each token the classifier reads: array `(B, N)`, one in all an image."""
        (batch, *_, number), prefix = outputs["scores"].shape, self.prefix
        if "probe" in outputs:
            return np.pad(outputs["probe"][:, :, 0].mean(axis=1), ((0, 0), (prefix, 0)))
        first, patches = np.eye(number)[0], (np.arange(number) >= prefix) / (number - prefix)
        read = {
            "token": first,
            "gap": patches,
            "token_gap": (first + patches) / 2,
            "distilled": (first + np.eye(number)[1]) / 2,
        }[self.kind]
        return np.tile(read[None], (batch, 1)).astype("float32")


def _blocks_in_a_row(vit):
    """The calls of the blocks, each of which has the tokens of the one before, changed or not.

    Raises:
        ValueError: where they stand otherwise.
    """
    calls = [node for node in calls_in(vit) if isinstance(node.operation, PreNormBlock)]
    for first, second in itertools.pairwise(calls):
        before, after = first.output_tensors[0], second.input_tensors[0]
        numbers = {before.shape[1], after.shape[1]} - {None}  # of tokens, where they are known
        if not depends(after, before) or len(numbers) > 1:
            raise ValueError(
                f"{vit.name!r} gives to {second.operation.name!r} not the tokens of "
                f"{first.operation.name!r}; attention is followed through blocks in a row alone."
            )
    return calls


def _watching(scores, operation):
    """What is called instead of an operation: a block whose attention weights go to a list."""
    if not isinstance(operation, PreNormBlock):
        return operation

    def block(*args, **kwargs):
        x, weights = operation(*args, **{**kwargs, "return_attention_scores": True})
        scores.append(ops.cast(weights, "float32"))
        return (x, weights) if kwargs.get("return_attention_scores") else x

    return block
