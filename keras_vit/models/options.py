"""Groups of a Vision Transformer's arguments that belong together: its tokens and its blocks.

Both are frozen and plain data. `TokenOptions` and `BlockOptions` hold what models differ in without
being another architecture; what is one has a class of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace

from keras_vit.layers.activations import activation_name
from keras_vit.layers.arguments import (
    check_biased,
    check_choice,
    check_count,
    check_epsilon,
    check_flag,
    check_number,
    check_rate,
    plain_numbers,
)

FINAL_NORMS = ("before", "after", "none")


@dataclass(frozen=True)
class TokenOptions:
    """The tokens before the patches: class token, distillation token, registers, in this order.

    Args:
        class_token: whether there is one; None has one where the classifier reads it.
        registers: number of tokens that no classifier reads.
        class_slot: whether these tokens have position embeddings. False adds the embeddings to
            the patches alone, before the tokens come.
        distilled: whether a distillation token follows the class token.

    Raises:
        ValueError: for a value of another kind.

    Example:
        >>> tokens = keras_vit.TokenOptions(registers=4, class_slot=False)
        >>> vit = keras_vit.VisionTransformer(tokens=tokens)

    Reference:
        Registers: arXiv 2309.16588. No class slot: arXiv 2204.07118 (DeiT III). Distillation
        token: arXiv 2012.12877.
    """

    class_token: bool | None = None
    registers: int = 0
    class_slot: bool = True
    distilled: bool = False

    def __post_init__(self):
        if self.class_token is not None:
            check_flag(class_token=self.class_token)
        check_flag(class_slot=self.class_slot, distilled=self.distilled)
        check_count(registers=self.registers)
        _keep_plain_numbers(self)


@dataclass(frozen=True)
class BlockOptions:
    """What the blocks compute, and the norms around them.

    Args:
        activation: of the MLPs: `"gelu_tanh"` (the authors'), `"gelu"` (the exact one, timm's and
            Hugging Face's), `"quick_gelu"` (OpenAI's CLIP) or any of Keras.
        epsilon: of the LayerNorms.
        layer_scale: what the learned factors of the residual branches' channels start at; None
            for no such factors.
        pre_norm: whether a LayerNorm stands before the first block.
        final_norm: the LayerNorm after the last block stands `"before"` the pooling, `"after"`
            it, or there is `"none"`.
        patch_bias: whether the patches' projection has a bias.
        qkv_bias: whether query, key and value have one, or the names of those that have, such as
            `("query", "value")`.
        dropout_rate: after the position embedding and each Dense layer but query, key, value.
        attention_dropout_rate: on the attention weights.
        stochastic_depth_rate: of the last block; it rises linearly from 0 at the first, and is 0
            where there is one block alone.

    Raises:
        ValueError: for a value that does not fit.

    Example:
        >>> block = keras_vit.BlockOptions(layer_scale=1e-5, stochastic_depth_rate=0.1)
        >>> vit = keras_vit.VisionTransformer(block=block)

    Reference:
        LayerScale: arXiv 2103.17239. Norm before the blocks, quick GELU: arXiv 2103.00020 (CLIP).
    """

    activation: str | Callable = "gelu_tanh"
    epsilon: float = 1e-6
    layer_scale: float | None = None
    pre_norm: bool = False
    final_norm: str = "before"
    patch_bias: bool = True
    qkv_bias: bool | tuple[str, ...] = True
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    stochastic_depth_rate: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "activation", activation_name(self.activation))
        check_epsilon(epsilon=self.epsilon)
        if self.layer_scale is not None:
            check_number(layer_scale=self.layer_scale)
            object.__setattr__(self, "layer_scale", float(self.layer_scale))
        check_flag(pre_norm=self.pre_norm, patch_bias=self.patch_bias)
        object.__setattr__(self, "qkv_bias", check_biased("qkv_bias", self.qkv_bias))
        check_choice("final_norm", self.final_norm, FINAL_NORMS)
        check_rate(
            dropout_rate=self.dropout_rate,
            attention_dropout_rate=self.attention_dropout_rate,
            stochastic_depth_rate=self.stochastic_depth_rate,
        )
        _keep_plain_numbers(self)


def collect(groups: Mapping[str, type], given: Mapping, options: Mapping) -> dict:
    """Returns the groups of a constructor's arguments, single values of them filled in.

    Args:
        groups: {argument: class of the group}.
        given: {argument: a group, a mapping of its fields, or None for the defaults}.
        options: fields of any of the groups by their name; they replace the group's.

    Raises:
        ValueError: for a group of another kind, or an option that no group has.
    """
    homes = {field: name for name, kind in groups.items() for field in names(kind)}
    for option in options:
        if option not in homes:
            raise ValueError(
                f"There is no argument {option!r}; single options are {_listed(homes)}."
            )
    result = {}
    for name, kind in groups.items():
        own = {field: value for field, value in options.items() if homes[field] == name}
        result[name] = replace(as_group(name, kind, given[name]), **own)
    return result


def as_group(name: str, kind: type, value):
    """Returns what was given for a group, itself, a mapping of its fields or None, as one.

    Raises:
        ValueError: for something else, or a field that it does not have.
    """
    if value is None:
        return kind()
    if isinstance(value, kind):
        return value
    if isinstance(value, Mapping):
        if unknown := [key for key in value if key not in names(kind)]:
            raise ValueError(f"{name} has no {unknown[0]!r}; it has {_listed(names(kind))}.")
        return kind(**value)
    raise ValueError(
        f"{name} is {value!r}; give a keras_vit.{kind.__name__}, or a dictionary of its fields."
    )


def chosen(groups: Mapping[str, type], given: Mapping) -> set[str]:
    """Returns the single options that somebody chose by giving a group of them.

    Args:
        groups: {argument: class of the group}.
        given: arguments, groups among them: of a mapping all fields were chosen, of an instance those
            that are not its defaults.
    """
    found: set[str] = set()
    for name, kind in groups.items():
        group = given.get(name)
        if isinstance(group, Mapping):
            found.update(group)
        elif isinstance(group, kind):
            usual = type(group)()
            own = names(type(group))
            found.update(field for field in own if getattr(group, field) != getattr(usual, field))
    return found


def names(kind: type) -> list[str]:
    """Returns the names of a group's fields."""
    return [field.name for field in fields(kind)]


def plain(group) -> dict:
    """Returns a group as a dictionary, which JSON can hold."""
    return asdict(group)


def _keep_plain_numbers(group):
    for name in names(type(group)):
        object.__setattr__(group, name, plain_numbers(getattr(group, name)))


def _listed(found):
    return ", ".join(found)
