"""Whether a model computes what a checkpoint was trained to compute, as far as names do not tell."""

from collections.abc import Mapping

from keras_vit.layers.activations import get_activation
from keras_vit.weights.checkpoint import Checkpoint
from keras_vit.weights.description import differences
from keras_vit.weights.rules import PLAIN, ROTARY, blocks_of


def check_agreement(
    arguments: Mapping, checkpoint: Checkpoint, head: str, allow_activation_mismatch: bool
) -> None:
    """Raises ValueError where a checkpoint says that it is for another model.

    Args:
        arguments: of the model's constructor.
        checkpoint: what was read.
        head: as in `load_weights`; "replace" makes what concerns the head alone not matter.
        allow_activation_mismatch: let another activation pass.
    """
    check_obstacles(checkpoint, head)
    _check_rotary(arguments, checkpoint)
    said = checkpoint.description
    origin = f"{checkpoint.path} ({checkpoint.format.source})"
    if not allow_activation_mismatch:
        _check_activation(arguments, checkpoint)
    aside = ("activation", *(("classifier",) if head == "replace" else ()))
    names = [name for name in differences(arguments, said) if name not in aside]
    if names:
        wanted = ", ".join(f"{name}={said.arguments[name]!r}" for name in names)
        hint = ', or leave its head out: head="replace"' if names == ["classifier"] else ""
        actual = ", ".join(f"{name}={arguments[name]!r}" for name in names)
        raise ValueError(
            f"{origin} does not fit the model: it says {wanted} in {said.place}, and the model has "
            f"{actual}; build the model with {wanted}"
            f"{hint}."
        )


def check_obstacles(checkpoint: Checkpoint, head: str) -> None:
    """Raises ValueError where a checkpoint says that it is for what no model here computes."""
    said = checkpoint.description
    origin = f"{checkpoint.path} ({checkpoint.format.source})"
    if said.obstacles:
        raise ValueError(
            f"{origin} says in {said.place} {' and '.join(said.obstacles)}, which no model here "
            "computes."
        )
    if head == "load" and said.head_obstacles:
        raise ValueError(
            f"{origin} has {' and '.join(said.head_obstacles)}, which no model here computes; "
            'head="replace" loads all but its head.'
        )


def _check_rotary(arguments, checkpoint):
    """Raises ValueError where one turns queries and keys and the other does not, or may not."""
    turning = blocks_of(arguments) == ROTARY
    said = checkpoint.description.arguments.get("rotary")
    theirs = ROTARY in checkpoint.format.blocks and (said is None or said["coordinates"] != "none")
    if turning and not theirs:
        reason = "has no rotary positions, and the model has"
    elif theirs and not turning:
        certain = said is not None or PLAIN not in checkpoint.format.blocks
        reason = f"{'has' if certain else 'may have'} rotary positions, and the model has none"
    else:
        return
    raise ValueError(
        f"{checkpoint.path} ({checkpoint.format.title}) {reason}; from_checkpoint builds the model "
        "that it belongs to."
    )


def _check_activation(arguments, checkpoint):
    wanted, actual = checkpoint.activation, arguments.get("activation")
    if wanted is None or _function(wanted) == _function(actual):
        return
    if "activation" in checkpoint.description.arguments:
        reason = f"{checkpoint.description.place} says activation={wanted!r}"
    else:
        reason = f"{checkpoint.format.source}'s files mean activation={wanted!r} unless they name another"
    raise ValueError(
        f"{checkpoint.path} does not fit the model's activation {actual!r}: {reason}. Build the "
        f"model with activation={wanted!r} or, if you know that these weights were trained with "
        f"{actual!r}, load them with load_weights (not create_model) and "
        "allow_activation_mismatch=True."
    )


def _function(activation):
    """What is compared: "swish" and "silu" are one function."""
    return get_activation(activation) if isinstance(activation, str) else activation
