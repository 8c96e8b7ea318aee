"""What the patch and position embeddings have learned (paper, section 4.5 and figure 7)."""

import numpy as np
from keras import ops

from keras_vit.layers.arguments import is_positive
from keras_vit.models.inside import model_inside
from keras_vit.models.vit import VisionTransformer


def position_similarity(model):
    """Returns the cosine similarity between the position embeddings of all pairs of patches.

    Args:
        model: a `VisionTransformer` with absolute position embeddings, or a model with one inside.

    Returns:
        float32 array `(h, w, h, w)` on the grid of h x w patches: `[i, j]` is the map of
        similarities of the patch in row i and column j. Prefix tokens are left out.

    Raises:
        ValueError: for another kind of model, or one that adds no position embeddings.

    Example:
        >>> keras_vit.inspection.position_similarity(model).shape
        (14, 14, 14, 14)

    Reference:
        arXiv 2010.11929, figures 7 and 10.
    """
    model = model_inside(model, "position_similarity", (VisionTransformer,))
    layer = model.get_layer("position_embedding")
    if layer.kind == "none":
        kind = model.positions.kind
        raise ValueError(
            f"The model has position_embedding={kind!r} and adds no embeddings to its patches; "
            "'learned', 'learned_2d' and 'sincos2d' do."
        )
    vectors = _numpy(layer.embeddings())[0, model.num_slots :].astype("float64")  # (N, D)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(norms, np.finfo("float64").tiny)
    return (unit @ unit.T).reshape(*model.grid, *model.grid).astype("float32")


def patch_filters(model, num_components=28):
    """Returns the first principal components of the filters of the patch embedding.

    The D filters are the samples: their mean is taken away, and the directions of the largest
    variance come first. A component's sign is arbitrary; here its largest value is positive.

    Args:
        model: a `VisionTransformer`, or a model with one inside. In a hybrid the filters see the
            stem's feature map, so that C is its number of channels.
        num_components: n; at most the number of filters and of values in a patch.

    Returns:
        float32 array `(n, ph, pw, C)`, each component of length 1, orthogonal to the others.

    Raises:
        ValueError: for another kind of model, or too many components.

    Example:
        >>> keras_vit.inspection.patch_filters(model, 28).shape
        (28, 16, 16, 3)

    Reference:
        arXiv 2010.11929, figure 7, left.
    """
    model = model_inside(model, "patch_filters", (VisionTransformer,))
    embedding = model.get_layer("patch_embedding")
    if embedding.projection.quantization_mode is not None:
        raise ValueError("The model is quantised; look at its filters before quantize().")
    kernel = _numpy(embedding.projection.kernel)  # (ph * pw * C, D)
    if not is_positive(num_components) or num_components > min(kernel.shape):
        raise ValueError(
            f"num_components is {num_components}; this model has {kernel.shape[1]} filters of "
            f"{kernel.shape[0]} values, so give 1 to {min(kernel.shape)}."
        )
    filters = kernel.T.astype("float64")
    _, _, components = np.linalg.svd(filters - filters.mean(axis=0), full_matrices=False)
    components = components[:num_components]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components = components * np.sign(largest)
    return components.reshape(num_components, *embedding.patch_size, -1).astype("float32")


def _numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))
