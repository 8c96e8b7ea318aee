"""Models by name."""

import contextlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace

from keras_vit.layers.arguments import check_choice
from keras_vit.layers.initial_values import to_be_assigned
from keras_vit.layers.resample import INTERPOLATIONS
from keras_vit.models.image_model import ImageModel
from keras_vit.models.options import chosen, names
from keras_vit.models.positions import Positions
from keras_vit.models.resnet import ResNet
from keras_vit.models.seeding import seed_weights
from keras_vit.models.variants import get_variant
from keras_vit.models.vit import VisionTransformer
from keras_vit.weights.adapting import tell
from keras_vit.weights.checkpoint import read_checkpoint
from keras_vit.weights.loading import assign_checkpoint, warn_of_unknown_images
from keras_vit.weights.published import PUBLISHED_WEIGHTS, weights_path

FAMILIES: dict[str, type[ImageModel]] = {"vit": VisionTransformer, "resnet": ResNet}
DEFAULT_CLASSES = 1000


def create_model(
    variant,
    input_shape=(224, 224, 3),
    classes=DEFAULT_CLASSES,
    classifier_activation=None,
    weights=None,
    seed=None,
    interpolation=None,
    name=None,
    **overrides,
):
    """Creates a model by the name that the paper gives it.

    Args:
        variant: such as `"ViT-B/16"`, `"R50+ViT-B/16"`, `"BiT-R50x1"` (see `list_models`); any
            patch size may stand in a ViT's name.
        input_shape: `(H, W, C)`; None for H and W takes images of any size (that the patches fill).
        classes: number of outputs; None gives the representation (no head).
        classifier_activation: of the output; None for logits.
        weights: None for random initial weights; the name of published ones, such as
            `"augreg-imagenet21k"` (downloaded to Keras' cache; `keras_vit.weights.published` lists
            them), or the path of a checkpoint that `load_weights` reads. The weights decide
            activation, epsilon, classifier, representation layer and kind of position embedding
            where `overrides` do not, one by one or in a group. If `classes` is not the number of
            classes that they were trained with, the head is new (zeros) and a representation layer
            is left out, as in the paper's fine-tuning; `classes=None` keeps that layer.
        seed: int; the same seed gives the same initial weights on every backend. None draws new
            ones.
        interpolation: of the weights' position embeddings where `input_shape` gives another grid,
            and in the graph where it is open: `"bilinear"` (the authors'), `"bicubic"` (Hugging
            Face's) or `"bicubic_antialias"` (timm's); see `resample_position_embedding`. None is
            that of `position_embedding` where it is a `Positions` with another than bilinear, else
            the one of the project that the weights are from. The model remembers it.
        name: of the model; None names it after the variant. Two models in one functional model need
            two names.
        **overrides: arguments of `VisionTransformer` or `ResNet` that differ from the variant's,
            single fields of `tokens` and `block` among them.

    Returns:
        A built `keras.Model`.

    Raises:
        ValueError: for an unknown name, an argument that the model does not have, a value that
            does not fit, or weights that do not.
        OSError: if published weights cannot be downloaded; it says what to do by hand.

    Example:
        >>> model = keras_vit.create_model("ViT-Ti/16", classes=10, seed=0)
        >>> small = keras_vit.create_model("ViT-Ti/4", input_shape=(32, 32, 3), num_layers=4)
    """
    kind = get_variant(variant)
    check_choice("interpolation", interpolation, (*INTERPOLATIONS, None))
    model_class = FAMILIES[kind.family]
    allowed = _arguments_of(model_class)
    for override in overrides:
        if override not in allowed:
            raise ValueError(
                f"{variant} has no argument {override!r}; it takes {', '.join(sorted(allowed))}."
            )
    checkpoint, implied = None, {}
    if weights is not None:
        checkpoint = read_checkpoint(weights_path(weights, variant))
        implied = checkpoint.implied_arguments()
        if classes is not None and classes != checkpoint.classes:
            implied["representation_size"] = None
        own = chosen(model_class.GROUPS, overrides)  # single values would replace the groups'
        implied = {k: value for k, value in implied.items() if k in allowed and k not in own}
    arguments = {"name": name or kind.default_name, **kind.config, **implied, **overrides}
    # All published ones were trained on square images.
    square = str(weights) in PUBLISHED_WEIGHTS
    grid = None if checkpoint is None else checkpoint.position_grid(square)
    positions = Positions.of(arguments.get("position_embedding", "learned"))
    if interpolation is None:
        usual = "bilinear" if checkpoint is None else checkpoint.interpolation
        interpolation = positions.interpolation if _is_said(overrides) else usual
    if kind.family == "vit" and isinstance(input_shape, list | tuple):
        positions = replace(positions, interpolation=interpolation)
        arguments["position_embedding"] = positions.for_images(input_shape, grid)
    with contextlib.nullcontext() if seed is None else to_be_assigned():
        model = model_class(
            input_shape=input_shape,
            classes=classes,
            classifier_activation=classifier_activation,
            **arguments,
        )
    if seed is not None:
        seed_weights(model, seed)
    if checkpoint is not None:
        same_head = classes is not None and classes == checkpoint.classes
        head = "load" if same_head else "replace"
        assign_checkpoint(model, checkpoint, head, interpolation, grid if square else None)
        tell(checkpoint.path, checkpoint.notes, stacklevel=2)
        warn_of_unknown_images(model, weights, stacklevel=2)
        if classes == DEFAULT_CLASSES and not same_head:
            # The default, unasked for, must not pass for a trained head.
            warnings.warn(
                f"The head of {variant} is new (zeros): the weights {weights!r} have "
                f"{checkpoint.classes or 'no'} classes, the model {classes}.",
                stacklevel=2,
            )
    return model


def _is_said(overrides):
    """Whether they say how positions are interpolated, and not the kind of positions alone."""
    given = overrides.get("position_embedding")
    if isinstance(given, Mapping):
        return "interpolation" in given
    return Positions.of(given or "learned").interpolation != Positions().interpolation


def _arguments_of(model_class):
    """The names of what a model can be built with, the fields of its groups among them."""
    parameters = inspect.signature(model_class).parameters.values()
    own = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "name"]
    return [*own, *(field for group in model_class.GROUPS.values() for field in names(group))]
