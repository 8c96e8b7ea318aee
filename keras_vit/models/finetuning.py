"""From a pre-trained model to one for another task and resolution (paper, section 3.2)."""

import keras
import numpy as np

from keras_vit.layers.arguments import (
    check_choice,
    check_input_shape,
    check_positive,
    is_number,
    plain_numbers,
)
from keras_vit.layers.initial_values import cast, to_be_assigned
from keras_vit.layers.position_embedding import AddPositionEmbs
from keras_vit.layers.relative_position import RelativePositionBias
from keras_vit.layers.resample import INTERPOLATIONS, resample_position_embedding
from keras_vit.models.inside import own_model
from keras_vit.models.positions import Positions
from keras_vit.models.vit import VisionTransformer
from keras_vit.models.weight_values import weight_name, weight_values

# What may differ from the pre-trained model without touching a weight.
FREE_ARGUMENTS = (
    *("classifier_activation", "dropout_rate", "attention_dropout_rate"),
    *("stochastic_depth_rate", "rematerialize", "dtype", "name"),
)


def for_finetuning(model, classes, input_shape=None, interpolation=None, **overrides):
    """Makes a model for another task from a pre-trained one, which stays as it is.

    The head and the representation layer before it give way to one zero-initialised head. Position
    embeddings (and the table of relative positions) are interpolated to the new grid of patches.
    All other weights are copied, and what is not overridden stays as the model has it: rates of dropout
    and stochastic depth, and the activation of the output. After a model with
    `classifier_activation="softmax"` the new one gives probabilities, too: give
    `classifier_activation=None` for logits, or train it with a loss that has `from_logits=False`.

    Args:
        model: a `VisionTransformer` (hybrids too) or `ResNet`, with or without a head; of one
            inside another model, give that one.
        classes: number of outputs of the new head; None for a model without one.
        input_shape: `(H, W, C)` (`(C, H, W)` with channels first) in pixels; None keeps the
            model's. The patch size stays, so that a larger image has more patches. None for H and
            W makes a model for images of any size, which keeps the grid and interpolates in the
            graph.
        interpolation: `"bilinear"` (the authors'), `"bicubic"` (Hugging Face's) or
            `"bicubic_antialias"` (timm's); see `resample_position_embedding`. None is the model's
            own: that of the project that its weights are from, else bilinear. The new model
            remembers it.
        **overrides: `classifier_activation`, `dropout_rate`, `attention_dropout_rate`,
            `stochastic_depth_rate`, `rematerialize`, `dtype` or `name` of the new model.

    Returns:
        A new, trainable model of the same class.

    Raises:
        ValueError: for another kind of model, a quantised one, another number of channels, an
            argument that would change weights, or an image that the patches do not fill.

    Example:
        >>> model = keras_vit.for_finetuning(pretrained, classes=10, input_shape=(384, 384, 3))

    Reference:
        arXiv 2010.11929, sections 3.2 and B.1.1.
    """
    own_model(model, "for_finetuning")
    values = weight_values(model)
    config = model.arguments
    input_shape = config["input_shape"] if input_shape is None else input_shape
    input_shape = check_input_shape(input_shape, config["data_format"])
    check_choice("interpolation", interpolation, (*INTERPOLATIONS, None))
    _check(config, input_shape, overrides)
    config |= {"classes": classes, "input_shape": input_shape, **overrides}
    if "representation_size" in config:
        config["representation_size"] = None
    values = {
        name: value
        for name, value in values.items()
        if name.split("/")[0] not in ("head", "distillation_head", "pre_logits")
    }
    if isinstance(model, VisionTransformer):
        own = model.positions
        interpolation = interpolation or own.interpolation
        positions = Positions(own.kind, interpolation=interpolation)
        config["position_embedding"] = positions.for_images(input_shape, model.grid)
    with to_be_assigned():
        new = type(model)(**config)
    new.preprocessing = model.preprocessing
    if isinstance(model, VisionTransformer):
        values = _on_new_grid(model, new, values, interpolation)
    for variable in new.variables:
        name = weight_name(new, variable)
        if name in values:
            variable.assign(cast(values.pop(name), variable.dtype))
    if values:
        raise ValueError(f"These weights have no place in the new model: {', '.join(values)}.")
    return new


def finetuning_recipe(steps, learning_rate, warmup_steps=0, momentum=0.9, clip_norm=1.0):
    """Returns the optimizer and the learning rates with which the paper fine-tunes.

    SGD with momentum, the learning rate falling to zero along a cosine, gradients clipped to a
    global norm, no weight decay. The paper's other choices, with a batch of 512 images at 384
    pixels; it takes the learning rate that is best on a held-out part of the training images:

    ====================================  ======  =======================
    data set                              steps   learning rates tried
    ====================================  ======  =======================
    ImageNet                              20,000  0.003, 0.01, 0.03, 0.06
    CIFAR-10, CIFAR-100                   10,000  0.001, 0.003, 0.01, 0.03
    Oxford-IIIT Pets, Oxford Flowers-102  500     0.001, 0.003, 0.01, 0.03
    VTAB (19 tasks)                       2,500   0.01
    ====================================  ======  =======================

    Args:
        steps: number of training steps.
        learning_rate: its highest value; or a schedule of Keras, which is taken as it is.
        warmup_steps: steps of the linear rise before the cosine, out of `steps`.
        momentum: of SGD.
        clip_norm: largest global norm of the gradients; None does not clip.

    Returns:
        `(optimizer, schedule)`: a `keras.optimizers.SGD` for `model.compile`, and the
        `LearningRateSchedule` it follows.

    Raises:
        ValueError: unless `steps` is a positive int, `learning_rate` positive or a schedule, and
            `0 <= warmup_steps < steps` (0 with a schedule).

    Example:
        >>> optimizer, schedule = keras_vit.finetuning_recipe(steps=500, learning_rate=0.003)
        >>> model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    Reference:
        arXiv 2010.11929, section B.1.1 and table 4.
    """
    schedule = _schedule(steps, learning_rate, warmup_steps)
    optimizer = keras.optimizers.SGD(
        schedule, momentum=plain_numbers(momentum), global_clipnorm=plain_numbers(clip_norm)
    )
    return optimizer, schedule


def _schedule(steps, learning_rate, warmup_steps):
    check_positive(steps=steps)
    steps = int(steps)
    if not is_number(warmup_steps) or not 0 <= warmup_steps < steps:
        raise ValueError(
            f"warmup_steps is {warmup_steps!r} of {steps} steps; give at least 0 and fewer than "
            "there are steps."
        )
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        if warmup_steps:
            raise ValueError(
                f"warmup_steps={warmup_steps} has no place in the schedule that learning_rate is; "
                "leave it out, or give the highest rate as a number."
            )
        return learning_rate
    if not is_number(learning_rate) or not learning_rate > 0:
        raise ValueError(
            f"learning_rate is {learning_rate!r}; give a positive number or a "
            "keras.optimizers.schedules.LearningRateSchedule."
        )
    rate, warmup_steps = plain_numbers(learning_rate), plain_numbers(warmup_steps)
    rising = {"warmup_target": rate, "warmup_steps": warmup_steps} if warmup_steps else {}
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else rate, decay_steps=steps - warmup_steps, **rising
    )


def _check(config, input_shape, overrides):
    for name in overrides:
        if name not in FREE_ARGUMENTS or (name not in config and name not in ("dtype", "name")):
            raise ValueError(
                f"{name!r} cannot change for fine-tuning; what can is "
                f"{', '.join(n for n in FREE_ARGUMENTS if n in config)}."
            )
    if keras.dtype_policies.get(overrides.get("dtype")).quantization_mode:
        raise ValueError(
            f"dtype={overrides['dtype']!r} is quantised and cannot be trained; call quantize() "
            "after fine-tuning."
        )
    axis = -1 if config["data_format"] == "channels_last" else 0
    old, new = config["input_shape"][axis], input_shape[axis]
    if old != new:
        raise ValueError(
            f"The model was trained on {old} channels and input_shape={input_shape} has {new}; "
            "convert the images."
        )


def _on_new_grid(old, new, values, interpolation):
    """Interpolates the position embeddings among `values` from the grid of `old` to `new`'s."""
    if old.grid == new.grid:
        return values
    values = dict(values)
    for layer in new._flatten_layers(include_self=False):
        if not isinstance(layer, AddPositionEmbs | RelativePositionBias):
            continue
        for variable in layer.weights:
            name = weight_name(new, variable)
            values[name] = _resample(
                variable.name, values[name], old.grid, new.grid, old.num_slots, interpolation
            )
    return values


def _resample(kind, value, old, new, prefix, interpolation):
    """One weight of a position embedding on the grid `new` instead of `old`."""
    if kind == "position_embedding":
        return resample_position_embedding(value, old, new, prefix, interpolation)
    if kind == "row_embedding":
        return resample_position_embedding(value[None], (old[0], 1), (new[0], 1), 0, interpolation)[
            0
        ]
    if kind == "column_embedding":
        return resample_position_embedding(value[None], (1, old[1]), (1, new[1]), 0, interpolation)[
            0
        ]
    if kind == "bias_table":  # (heads, offsets + 3): the entries of prefix tokens come last
        (rows, columns), (new_rows, new_columns) = old, new
        offsets, rest = value[:, :-3].T, value[:, -3:]
        offsets = resample_position_embedding(
            offsets[None],
            (2 * rows - 1, 2 * columns - 1),
            (2 * new_rows - 1, 2 * new_columns - 1),
            0,
            interpolation,
        )[0]
        return np.concatenate([offsets.T, rest], axis=1)
    return value  # prefix tokens have no place in the grid
