"""From a checkpoint to the model that it belongs to."""

import contextlib
import math
import os
from collections.abc import Iterable
from inspect import signature

from keras_vit.layers.arguments import check_input_shape
from keras_vit.layers.initial_values import to_be_assigned
from keras_vit.models.finetuning import FREE_ARGUMENTS
from keras_vit.models.positions import Positions
from keras_vit.models.resnet import ResNet
from keras_vit.models.rotary_vit import RotaryVisionTransformer
from keras_vit.models.variants import get_variant
from keras_vit.models.vit import VisionTransformer
from keras_vit.weights.adapting import tell
from keras_vit.weights.agreement import check_obstacles
from keras_vit.weights.checkpoint import Checkpoint, read_checkpoint
from keras_vit.weights.loading import adapted, assign_checkpoint, warn_of_unknown_images
from keras_vit.weights.published import published, weights_path
from keras_vit.weights.resnet_arguments import resnet_arguments
from keras_vit.weights.rules import PLAIN, POSITION, ROTARY, blocks_of
from keras_vit.weights.timm_architectures import timm_arguments, timm_obstacle


def from_checkpoint(
    path: str | os.PathLike,
    classes="checkpoint",
    input_shape: tuple[int, int, int] | None = None,
    like: str | None = None,
    source: str | None = None,
    adapt: bool = False,
    skip: str | Iterable[str] | None = None,
    **overrides,
):
    """Makes the model that a checkpoint belongs to, with its weights.

    Shapes, names, metadata and configuration say what the model is. A checkpoint of a model that
    cannot be computed exactly is refused with the reason.

    Args:
        path: an .npz, .safetensors or .weights.h5 file, or a folder with `config.json` and one or
            several (sharded) .safetensors files, such as a snapshot of a repository of Hugging
            Face's hub; or the name of published weights, such as `"dinov2"`, of the model that
            `like` names (`keras_vit.weights.hub` states their licences).
        classes: `"checkpoint"` takes the head that the checkpoint has; an int puts a new one
            (zeros) in its place; None leaves it out.
        input_shape: `(H, W, C)`, the images' size in pixels; None for the checkpoint's (224 for a
            BiT that does not say it), and None for H and W for images of any size. Position
            embeddings of another grid are interpolated as the checkpoint's project does it for
            these weights, also by `for_finetuning` later.
        like: what the model is like where nothing says the number of heads: a name of
            `create_model` (`"ViT-S/14"`) or timm's of an architecture
            (`"vit_small_patch14_dinov2"`).
        source: as in `load_weights`; None recognises it.
        adapt: also take what is not exactly the checkpoint's, and tell in a warning what was done:
            an `input_shape` with another number of channels, `classifier="gap"` or `"map"` in place
            of the class token, names below a prefix (`module.`, `backbone.`), a decoder left aside.
        skip: regular expressions; arrays in whose names one is found are left aside, and the
            weights there are new.
        **overrides: `classifier_activation`, `dropout_rate`, `attention_dropout_rate`,
            `stochastic_depth_rate`, `rematerialize`, `dtype` or `name` of the model; with `adapt`
            also `classifier`.

    Returns:
        A `VisionTransformer` (a hybrid too), for rotary positions and gated MLPs a
        `RotaryVisionTransformer`, for BiT a `ResNet`; `preprocessing_of` tells how to prepare its
        images.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: for a file that is no checkpoint of a Vision Transformer or BiT, or of one that
            no model here computes, or that leaves open what the model is.
        ImportError: for a .safetensors file without the package safetensors.

    Example:
        >>> model = keras_vit.from_checkpoint("dinov2", like="ViT-B/14")
        >>> features = model(keras_vit.preprocess_input(photos, model))
    """
    allowed = (*FREE_ARGUMENTS, *(("classifier",) if adapt else ()))
    for name in overrides:
        if name not in allowed:
            raise ValueError(
                f"{name!r} cannot differ from the checkpoint's; what can is {', '.join(allowed)}."
            )
    if isinstance(path, str) and published(path) and not os.path.exists(path):
        path, like = weights_path(path, str(like)), None
    checkpoint = read_checkpoint(path, source, adapt, skip)
    head = "load" if classes == "checkpoint" else "replace"
    check_obstacles(checkpoint, head)
    is_resnet = checkpoint.format.family == "resnet"
    arguments = (
        _resnet(checkpoint, like, overrides) if is_resnet else architecture(checkpoint, like)
    )
    grid = arguments.pop("grid", None)
    if input_shape is not None:
        arguments["input_shape"] = check_input_shape(input_shape, "channels_last")
        _check_channels(checkpoint, input_shape, adapt)
    if arguments["input_shape"] is None:
        raise ValueError(
            f"{path} does not say how large its images are; give input_shape=(H, W, C)."
        )
    if classes != "checkpoint":
        arguments["classes"] = classes
        if classes is not None and "representation_size" in arguments:
            arguments["representation_size"] = None
    if "classifier" in overrides:
        arguments["class_token"] = None  # as the other classifier needs it
    interpolation = checkpoint.interpolation
    if not is_resnet:
        positions = Positions(arguments["position_embedding"], interpolation=interpolation)
        arguments["position_embedding"] = positions.for_images(arguments["input_shape"], grid)
    plain = ResNet if is_resnet else VisionTransformer
    kind = plain if blocks_of(arguments) == PLAIN else RotaryVisionTransformer
    with contextlib.nullcontext() if skip else to_be_assigned():
        model = kind(data_format="channels_last", **{**arguments, **overrides})
    if adapt:
        checkpoint = adapted(checkpoint, model)
    assign_checkpoint(model, checkpoint, head, interpolation, grid)
    tell(checkpoint.path, checkpoint.notes, stacklevel=2)
    warn_of_unknown_images(model, path, stacklevel=2)
    return model


def architecture(checkpoint: Checkpoint, like: str | None = None) -> dict:
    """Returns the arguments of the VisionTransformer that a checkpoint belongs to, and its grid.

    Raises:
        ValueError: if there is no such model, or if something does not say what it is.
    """
    height, width, channels, hidden_size = checkpoint.patch
    hidden = checkpoint.value("block_0/mlp/hidden/kernel")
    if hidden is None:
        raise ValueError(f"{checkpoint.path} has no block whose MLP is known here.")
    implied = checkpoint.implied_arguments()
    heads = _heads(checkpoint, like, hidden_size)
    if implied["activation"] is None:
        raise ValueError(
            f"{checkpoint.path} does not tell its activation, which is not the same in all of "
            f"{checkpoint.format.title}; put the configuration beside it that belongs to it."
        )
    slots, grid = _grid(checkpoint)
    stem, reduction = _stem(checkpoint)
    size = None if grid is None else (grid[0] * height * reduction, grid[1] * width * reduction)
    arguments = {
        "input_shape": None if size is None else (*size, 3 if stem is not None else channels),
        "patch_size": (height, width),
        "stem_block_counts": stem,
        "num_layers": _count_blocks(checkpoint),
        "hidden_size": hidden_size,
        "mlp_dim": hidden.shape[1],
        "classes": checkpoint.classes,
        "class_slot": slots > 0 or checkpoint.slots == (0, 1),
        **implied,
        **heads,
        "grid": grid,
    }
    if blocks_of(arguments) == PLAIN:  # what is said of the others' blocks says that there is none
        said = {name: arguments.pop(name, None) for name in ("rotary", "gated", "inner_norms")}
        unsaid = "rotary" not in checkpoint.description.arguments and said["rotary"] is None
        if ROTARY in checkpoint.format.blocks and unsaid:
            raise ValueError(
                f"{checkpoint.path} does not tell its rotary positions; name what it is with timm's "
                "name, such as like='eva02_base_patch14_448', or put its config.json beside it."
            )
    return arguments


def _check_channels(checkpoint, input_shape, adapt):
    roots = (checkpoint.value(f"{name}/kernel") for name in ("root_conv", "stem_conv"))
    root = next((kernel for kernel in roots if kernel is not None), None)  # of a ResNet
    channels = checkpoint.patch[2] if root is None else root.shape[2]
    if input_shape[-1] == channels or (adapt and root is None):
        return
    how = "" if root is not None else ", or give adapt=True to sum or repeat the channels' weights"
    raise ValueError(
        f"{checkpoint.path} is for {channels} channels and input_shape={tuple(input_shape)} has "
        f"{input_shape[-1]}; convert the images{how}."
    )


def _resnet(checkpoint, like, overrides):
    """The arguments of the ResNet; none of its own but three may be another than the checkpoint's."""
    if like is not None:
        raise ValueError(
            f"{checkpoint.path} holds {checkpoint.format.title}, which tells all; leave like= out."
        )
    allowed = [name for name in FREE_ARGUMENTS if name in signature(ResNet).parameters]
    for name in overrides:
        if name not in allowed:
            raise ValueError(
                f"{checkpoint.path} holds {checkpoint.format.title}, for which {name!r} cannot be "
                f"given; what can is {', '.join(allowed)}."
            )
    return resnet_arguments(checkpoint)


def _heads(checkpoint, like, hidden_size):
    """Returns the number of heads, and what else `like` decides.

    A timm architecture that is not known here may compute something else under the same names.
    """
    known = checkpoint.description.arguments.get("num_heads")
    query = checkpoint.array("block_0/attention/query/kernel")
    if query is not None and query.ndim == 3:  # (D, heads, d)
        known = query.shape[1]
    if like is None:
        name = checkpoint.configurations["config.json"].get("architecture")
        if known is None or (name and not timm_arguments(name)):
            raise ValueError(_unknown(checkpoint))
        return {"num_heads": known}
    if obstacle := timm_obstacle(like):
        raise ValueError(f"like says {obstacle}, which no model here computes.")
    found = timm_arguments(like)
    if not found:
        config = get_variant(like).config
        if config.get("hidden_size") != hidden_size:
            raise ValueError(
                f"{checkpoint.path} is {hidden_size} wide and {like} {config.get('hidden_size')}; "
                "give another name as like=."
            )
        found = {"num_heads": config["num_heads"]}
    if known not in (None, found["num_heads"]):
        raise ValueError(
            f"{checkpoint.path} says that it has {known} heads, and {like} has "
            f"{found['num_heads']}; leave like= out, or give another name."
        )
    return found


def _unknown(checkpoint):
    name = checkpoint.configurations["config.json"].get("architecture")
    says = f"timm's {name!r} is not known here" if name else "nothing beside it says it"
    return (
        f"{checkpoint.path} does not tell its number of heads, and {says}; name a model that it "
        "is like, such as like='ViT-S/14' or timm's like='vit_small_patch14_dinov2'."
    )


def _grid(checkpoint):
    """Returns how many position embeddings are not patches', and the grid of the others or None."""
    positions = checkpoint.value(POSITION)
    if positions is None:
        return 0, checkpoint.grid
    count, slots = positions.shape[1], checkpoint.slots
    for slot in slots:
        side = math.isqrt(max(count - slot, 0))
        grid = checkpoint.grid or (side, side)
        if math.prod(grid) == count - slot > 0:
            return slot, grid
    return slots[0], None


def _stem(checkpoint):
    """Returns the blocks of the stages of a hybrid's stem and by how much it reduces the image."""
    if not checkpoint.has("stem_conv/kernel"):
        return None, 1
    stages: list[int] = []
    while checkpoint.has(f"stem_stage{len(stages) + 1}_unit1/conv1/kernel"):
        unit = 1
        while checkpoint.has(f"stem_stage{len(stages) + 1}_unit{unit + 1}/conv1/kernel"):
            unit += 1
        stages.append(unit)
    return tuple(stages), 4 * 2 ** max(len(stages) - 1, 0)


def _count_blocks(checkpoint):
    count = 0
    while checkpoint.has(f"block_{count}/mlp/hidden/kernel"):
        count += 1
    return count
