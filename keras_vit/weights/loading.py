"""Loading published weights into a model."""

import os
import warnings
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from keras_vit.layers.arguments import check_choice
from keras_vit.layers.initial_values import cast
from keras_vit.layers.patches import as_pair
from keras_vit.layers.resample import INTERPOLATIONS
from keras_vit.models.inside import own_model
from keras_vit.models.resnet import ResNet
from keras_vit.models.vit import VisionTransformer
from keras_vit.models.weight_values import refuse_quantised, weight_name
from keras_vit.weights.adapting import fit_channels, tell
from keras_vit.weights.agreement import check_agreement
from keras_vit.weights.checkpoint import Checkpoint, read_checkpoint
from keras_vit.weights.image_settings import preprocessing_beside
from keras_vit.weights.position import fit_position_embedding, fold_slots, slots_and_grid
from keras_vit.weights.rules import (
    CLASS_TOKEN,
    DISTILLATION_HEAD,
    HEAD,
    PATCH_KERNEL,
    POSITION,
    REPRESENTATION,
    Sizes,
    Slot,
    take_part,
    their_shape,
)
from keras_vit.weights.soundness import check_finite, warn_of_zero_head

HEADS = ("load", "replace")
_NAMES_SHOWN = 40  # of each kind in the error about names


def load_weights(
    model,
    path: str | os.PathLike,
    source: str | None = None,
    head: str = "load",
    interpolation: str | None = None,
    grid: tuple[int, int] | None = None,
    allow_activation_mismatch: bool = False,
    adapt: bool = False,
    skip: str | Iterable[str] | None = None,
) -> None:
    """Loads a checkpoint of the authors, timm, Hugging Face, OpenCLIP or keras-hub into a model.

    Every weight of the model must be in the file and the other way round, in the right shape; else
    one error lists what is not, and the model stays as it was. Position embeddings of another grid
    are interpolated. A head of nothing but zeros, which classifies nothing, is loaded with a
    warning. How images were prepared (`preprocessing_of`) is taken from the file or what lies beside
    it; where nothing says it, what was known of the model stays, or a warning says so.

    Args:
        model: a `VisionTransformer` or `ResNet`.
        path: an .npz, .safetensors or .weights.h5 file, or the folder of a transformers model or a
            keras-hub preset. Pickles (.bin, .pth) are refused.
        source: "google" (vit_jax, big_vision, BiT), "timm", "huggingface", "openclip" or
            "keras_hub"; None recognises it by the names in the file.
        head: "load", or "replace": the model keeps its own head, and the representation layer is
            loaded only where both have it in the same shape.
        interpolation: of position embeddings of another grid: "bilinear" (the authors'), "bicubic"
            (Hugging Face's) or "bicubic_antialias" (timm's); see `resample_position_embedding`.
            None is the model's own, which is bilinear unless it was made from a checkpoint whose
            project has another, or with a `Positions` that has.
        grid: `(rows, columns)` of the file's position embeddings. Needed only where they fill no
            square grid, or a square one and the model's too.
        allow_activation_mismatch: load although the model computes another activation than the
            weights were trained with.
        adapt: load what does not fit exactly, and tell in a warning what was done: another number
            of channels (summed for one, repeated for more), a class token that the model has not,
            names below a prefix (`module.`, `backbone.`), a decoder left aside.
        skip: regular expressions; arrays in whose names one is found are left aside, and the
            model keeps the weights that it has there.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: for a file that is no checkpoint, does not fit, has values that are not finite,
            means another activation (its format's where the file says nothing), or says in its
            metadata or configuration that it is for a model with other heads, pooling, epsilon,
            groups and the like; for a model that is quantised or has LoRA.
        ImportError: for a .safetensors file without the package safetensors.

    Example:
        >>> model = keras_vit.create_model("ViT-B/16", classes=10)
        >>> keras_vit.load_weights(model, "ViT-B_16.npz", head="replace")

    Reference:
        `keras_vit.weights` has one table of names for each format.
    """
    own_model(model, "load_weights")
    check_choice("head", head, HEADS)
    checkpoint = read_checkpoint(path, source, adapt, skip)
    if adapt:
        checkpoint = adapted(checkpoint, model)
    if interpolation is None and isinstance(model, VisionTransformer):
        interpolation = model.positions.interpolation
    interpolation = interpolation or "bilinear"
    assign_checkpoint(model, checkpoint, head, interpolation, grid, allow_activation_mismatch)
    warn_of_unknown_images(model, path, stacklevel=2)
    tell(checkpoint.path, checkpoint.notes, stacklevel=2)


def assign_checkpoint(
    model,
    checkpoint: Checkpoint,
    head: str = "load",
    interpolation: str = "bilinear",
    grid: tuple[int, int] | None = None,
    allow_activation_mismatch: bool = False,
) -> None:
    """Gives a model the weights of a checkpoint that has been read; see `load_weights`."""
    family = "resnet" if isinstance(model, ResNet) else "vit"
    if family != checkpoint.format.family:
        raise ValueError(
            f"{checkpoint.path} holds a {_FAMILY_NAMES[checkpoint.format.family]}, but the model is "
            f"a {_FAMILY_NAMES[family]}."
        )
    _check_model_is_plain(model)
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    if grid is not None:
        grid = as_pair(grid, "grid")
    config = plain_arguments(model)
    check_agreement(config, checkpoint, head, allow_activation_mismatch)
    variables = named_weights(model)
    places = _places(model, variables, checkpoint, head)
    values, entries = {}, None
    where = f"{checkpoint.path} ({checkpoint.format.source})"
    for ours, slot in places.items():
        array = take_part(checkpoint.arrays[slot.name], slot.part)
        value = slot.layout.to_ours(array, model_sizes(config))
        if ours == POSITION:
            old = grid or checkpoint.grid
            count, _ = slots_and_grid(value.shape[1], model.grid, old, checkpoint.slots)
            entries = value[:, :count]
            value = fit_position_embedding(
                value, model.grid, model.num_slots, old, checkpoint.slots, interpolation
            )
        values[ours] = value
    if entries is not None and not model.num_slots:
        fold_slots(values, entries)
    check_finite({_origin(checkpoint, places[ours].name): values[ours] for ours in values}, where)
    warn_of_zero_head(values, where, stacklevel=3)
    axis = -1 if config["data_format"] == "channels_last" else 0
    images = preprocessing_beside(checkpoint, config["input_shape"][axis])
    # Nothing is assigned before everything fits.
    for ours, value in values.items():
        variable = variables[ours]
        variable.assign(cast(np.ascontiguousarray(value), variable.dtype))
    if images is not None:  # else what was known of the model goes on
        model.preprocessing = images


def warn_of_unknown_images(model, path: str | os.PathLike, stacklevel: int) -> None:
    """Warns where nothing says how the images of a model's weights were prepared.

    Args:
        model: which has been given weights.
        path: they are from.
        stacklevel: counted from the caller of this function.
    """
    if model.preprocessing is None:
        warnings.warn(
            f"Nothing beside {path} says how its images were prepared: preprocess_input maps them "
            "to [-1, 1].",
            stacklevel=stacklevel + 1,
        )


def adapted(checkpoint: Checkpoint, model) -> Checkpoint:
    """Returns a checkpoint as the model takes it: without a class token, with other channels."""
    arrays, notes, said = dict(checkpoint.arrays), list(checkpoint.notes), checkpoint.description
    token = checkpoint.format.slot(CLASS_TOKEN)
    if token is not None and token.name in arrays and not model.arguments.get("class_token", True):
        del arrays[token.name]
        notes.append("its class token left aside, which the model has not")
        told = {name: value for name, value in said.arguments.items() if name != "classifier"}
        said = replace(said, arguments=told, head_obstacles=())
    kernel = checkpoint.format.slot(PATCH_KERNEL)
    if kernel is not None and kernel.name in arrays and isinstance(model, VisionTransformer):
        height, width, channels, _ = checkpoint.patch
        wanted = model.get_layer("patch_embedding").projection.kernel.shape[0] // (height * width)
        if channels != wanted and (height, width) == tuple(model.arguments["patch_size"]):
            sizes = model_sizes(model.arguments)
            ours = kernel.layout.to_ours(arrays[kernel.name], sizes)
            ours = fit_channels(ours, (height, width), wanted)
            arrays[kernel.name] = kernel.layout.to_theirs(ours, sizes)
            how = "summed" if wanted == 1 else "repeated"
            notes.append(f"its {channels} channels {how} to {wanted}")
    return replace(checkpoint, arrays=arrays, notes=tuple(notes), description=said)


def named_weights(model) -> dict:
    """Returns the model's weights by their name below the model."""
    return {weight_name(model, variable): variable for variable in model.weights}


def plain_arguments(model) -> dict:
    """Returns the arguments of a model's constructor, of its position embeddings the kind alone."""
    arguments = model.arguments
    if isinstance(model, VisionTransformer):
        arguments["position_embedding"] = model.positions.kind
    return arguments


def model_sizes(config: dict) -> Sizes:
    """Returns what the layouts need to know of a model."""
    return Sizes(config.get("num_heads", 1), tuple(config.get("patch_size", (1, 1))))


_FAMILY_NAMES = {"vit": "VisionTransformer", "resnet": "ResNet (BiT)"}


def _check_model_is_plain(model):
    refuse_quantised(model)
    if any(getattr(layer, "lora_enabled", False) for layer in model._flatten_layers()):
        raise ValueError(
            f"The model {model.name} has low-rank updates (LoRA), which no checkpoint has; load "
            "the weights first and call enable_lora afterwards."
        )


def _places(model, variables, checkpoint, head) -> dict[str, Slot]:
    """Returns where each weight of the model lies in the file, or raises one error with all names."""
    sizes, arrays = model_sizes(model.arguments), checkpoint.arrays
    slots = {ours: checkpoint.format.slot(ours) for ours in variables}
    slots = {
        ours: slot
        for ours, slot in slots.items()
        if not checkpoint.skips(ours) and (slot is None or not checkpoint.skips(slot.name))
    }
    nameless = [ours for ours, slot in slots.items() if slot is None]
    given = set(arrays)
    if head == "replace":
        for ours in (*HEAD, *DISTILLATION_HEAD, *REPRESENTATION):
            slot = checkpoint.format.slot(ours)
            if slot is None:
                continue
            given.discard(slot.name)
            variable = variables.get(ours)
            keep = variable is not None and ours in REPRESENTATION and slot.name in arrays
            if keep and arrays[slot.name].shape == their_shape(slot, variable.shape, sizes):
                given.add(slot.name)
            else:
                slots.pop(ours, None)
                nameless = [name for name in nameless if name != ours]
    missing, misshaped, wanted = [], [], set()
    for ours, slot in slots.items():
        if slot is None:
            continue
        wanted.add(slot.name)
        if slot.name not in given:
            missing.append(slot.name)
            continue
        shape = arrays[slot.name].shape
        expected = their_shape(slot, tuple(variables[ours].shape), sizes)
        if ours == POSITION:  # another length is interpolated
            fits = len(shape) == len(expected) and shape[-1] == expected[-1]
        else:
            fits = shape == expected
        if not fits:
            misshaped.append(f"{_origin(checkpoint, slot.name)} is {shape}, needs {expected}")
    unexpected = [_origin(checkpoint, name) for name in sorted(given - wanted)]
    if missing or unexpected or misshaped or nameless:
        lists = {
            "missing in the file": list(dict.fromkeys(missing)),
            "unexpected in the file": unexpected,
            "of the wrong shape": list(dict.fromkeys(misshaped)),
            f"of the model without a name in {checkpoint.format.source}'s files": nameless,
        }
        raise ValueError(_names_error(model, checkpoint, lists, head))
    return {ours: slot for ours, slot in slots.items() if slot is not None}


def _origin(checkpoint, name):
    return checkpoint.origins.get(name, name)


def _names_error(model, checkpoint, lists, head):
    text = f"{checkpoint.path} ({checkpoint.format.source}) does not fit the model {model.name}."
    for kind, names in lists.items():
        if names:
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            text += f"\n  {len(names)} {kind}: {', '.join(names[:_NAMES_SHOWN])}{more}"
    if head == "load" and _only_the_head(checkpoint, lists):
        text += '\nOnly the head differs: head="replace" keeps the model\'s own.'
    return text


def _only_the_head(checkpoint, lists):
    slots = [checkpoint.format.slot(ours) for ours in (*HEAD, *DISTILLATION_HEAD, *REPRESENTATION)]
    names = [slot.name for slot in slots if slot is not None]
    origins = tuple({*names, *(_origin(checkpoint, name) for name in names)})
    return all(name.split(" is ")[0] in origins for found in lists.values() for name in found)
