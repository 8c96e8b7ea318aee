"""The linear classifier at the end of every model."""

import keras

from keras_vit.layers.arguments import is_positive
from keras_vit.layers.dense import Dense

HEADS = ("head", "distillation_head")  # the names of a model's one classifier, or of its two


def classification_head(features, classes, activation, policy, name="head"):
    """Puts a zero-initialised Dense layer (and an activation) on features `(B, D)`.

    It computes in the weights' precision, so that logits and losses keep float32 under a mixed
    policy.

    Args:
        features: symbolic `(B, D)`.
        classes: number of outputs; None returns the features.
        activation: of the output; None for logits.
        policy: dtype policy of the model.
        name: of the layer.

    Returns:
        Symbolic `(B, classes)`.

    Raises:
        ValueError: if `classes` is neither None nor positive.
    """
    if classes is None:
        return features
    if not is_positive(classes):
        raise ValueError(
            f"classes is {classes!r}; give a positive int, or None for a model without a head."
        )
    return Dense(
        int(classes),
        activation=activation,
        kernel_initializer="zeros",
        dtype=policy.variable_dtype,
        name=name,
    )(features)


def distilled_head(pair, classes, activation, policy):
    """Puts a head on the class token and one on the distillation token, and averages their logits.

    Args:
        pair: symbolic features `(B, D)` of the two tokens.
        classes, activation, policy: as in `classification_head`; without classes the features are
            averaged.

    Returns:
        Symbolic `(B, classes)`.

    Reference:
        Touvron et al., "Training data-efficient image transformers", arXiv 2012.12877.
    """
    logits = [
        classification_head(features, classes, None, policy, name)
        for features, name in zip(pair, HEADS, strict=True)
    ]
    dtype = policy if classes is None else policy.variable_dtype
    x = keras.layers.Average(dtype=dtype, name="head_average")(logits)
    if classes is None or activation is None:
        return x
    return keras.layers.Activation(activation, dtype=dtype, name="head_activation")(x)
