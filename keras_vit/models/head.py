"""The linear classifier at the end of every model."""

from keras_vit.layers.arguments import is_positive
from keras_vit.layers.dense import Dense


def classification_head(features, classes, activation, policy):
    """Puts a zero-initialised Dense layer (and an activation) on features `(B, D)`.

    It computes in the weights' precision, so that logits and losses keep float32 under a mixed
    policy.

    Args:
        features: symbolic `(B, D)`.
        classes: number of outputs; None returns the features.
        activation: of the output; None for logits.
        policy: dtype policy of the model.

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
        name="head",
    )(features)
