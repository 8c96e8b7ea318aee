"""Given weights that read images as the studies prepare them."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

import keras_vit
from keras_vit.models.preprocessing import Preprocessing
from studies.errors import TrialError


def read_as_studies_prepare(model: keras.Model) -> None:
    """Have a model with given weights read images in [-1, 1], as trainings and evaluations give them here.

    Weights may be of images with another mean and deviation (ImageNet's, CLIP's). The difference is one
    factor and one summand a channel, which the embedding of the patches takes in: outputs are those of the
    weights for images that are prepared as theirs were. Of grey images, for which the kernel is the sum over
    the colours, the channels' means are taken.

    Args:
        model: a ViT or ResNet; its weights and `preprocessing` change where they have to.

    Raises:
        TrialError: the weights are of other images, and the model has nothing that could take that in.
    """
    known: Preprocessing | None = model.preprocessing
    if known is None:
        return
    deviation = np.asarray(known.deviation, np.float64)
    factor = 0.5 / deviation
    summand = (0.5 - np.asarray(known.mean, np.float64)) / deviation
    if np.allclose(factor, 1.0) and np.allclose(summand, 0.0):
        return
    embedding = next((e for e in model.layers if isinstance(e, keras_vit.PatchEmbedding)), None)
    positions = next((e for e in model.layers if isinstance(e, keras_vit.AddPositionEmbs)), None)
    if embedding is None or model.arguments.get("stem_block_counts") is not None:
        raise _other_images(known, "a model that begins with padded convolutions")
    projection = embedding.projection
    kernel = keras.ops.convert_to_numpy(projection.kernel).astype(np.float64)  # (P * P * C, D)
    channels = kernel.shape[0] // int(np.prod(embedding.patch_size))
    if channels != len(factor):
        factor, summand = (np.full(channels, each.mean()) for each in (factor, summand))
    by_channel = kernel.reshape(-1, channels, kernel.shape[1])
    shift = np.einsum("pcd,c->d", by_channel, summand)
    if projection.use_bias:
        projection.bias.assign(keras.ops.convert_to_numpy(projection.bias) + shift)
    elif positions is not None and positions.kind == "learned":
        table = keras.ops.convert_to_numpy(positions.position_embedding).astype(np.float64)
        table[:, positions.num_prefix_tokens :] += shift
        positions.position_embedding.assign(table)
    else:
        what = "a model without a bias of its patches and without learned positions"
        raise _other_images(known, what)
    projection.kernel.assign((by_channel * factor[:, None]).reshape(kernel.shape))
    half = (0.5,) * channels
    model.preprocessing = replace(known, mean=half, deviation=half)


def _other_images(known: Preprocessing, what: str) -> TrialError:
    return TrialError(
        f"The weights are of images with the mean {known.mean} and deviation {known.deviation}, and images "
        f"here are in [-1, 1], which {what} cannot make up for: give others."
    )
