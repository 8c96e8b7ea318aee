"""What every exported layer and model must do, written once.

`tests/test_contracts.py` runs each function below over each case of `cases()`; a class that
`keras_vit.__all__` exports without a case here fails the suite. A new layer or model therefore
needs one line in `cases()` and nothing else.
"""

import inspect
import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import ops

import keras_vit

# What every Keras layer accepts and may therefore add to a config.
KERAS_ARGUMENTS = {"name", "trainable", "dtype", "activity_regularizer"}


@dataclass(frozen=True)
class Case:
    """One way to construct an exported class, and the shape of an input without the batch."""

    cls: str
    shape: tuple[int, ...]
    arguments: dict = field(default_factory=dict)
    masks: bool = False  # takes a mask (B, N) and hands one on
    trains: bool = True  # has weights to train

    def make(self, **more) -> keras.layers.Layer:
        return getattr(keras_vit, self.cls)(**{**self.arguments, **more})

    def inputs(self, batch: int = 2) -> np.ndarray:
        return np.random.default_rng(1).normal(size=(batch, *self.shape)).astype("float32")

    @property
    def is_model(self) -> bool:
        return issubclass(getattr(keras_vit, self.cls), keras.Model)

    @property
    def id(self) -> str:
        return "-".join([self.cls, *(f"{k}={v}" for k, v in self.arguments.items() if k in SHOWN)])


SHOWN = {
    "stem_block_counts",
    "kind",
    "classifier",
    "position_embedding",
    "stem",
    "data_format",
    "classes",
}
SHOWN |= {"relative_position_grid", "bottleneck", "explicit_padding", "as_grid"}


def exported_classes() -> set[str]:
    """The names of all layers and models in `keras_vit.__all__`."""
    exported = {name: getattr(keras_vit, name) for name in keras_vit.__all__}
    layers = keras.layers.Layer
    return {n for n, v in exported.items() if inspect.isclass(v) and issubclass(v, layers)}


def cases() -> list[Case]:
    """At least one case for every exported class."""
    vit = dict(
        input_shape=(8, 12, 3),
        patch_size=4,
        num_layers=2,
        hidden_size=8,
        mlp_dim=16,
        num_heads=2,
        classes=3,
        block=keras_vit.BlockOptions(
            dropout_rate=0.1, attention_dropout_rate=0.1, stochastic_depth_rate=0.1
        ),
    )
    rest = {**vit, "num_layers": 1}
    first = {"input_shape": (3, 8, 12), "data_format": "channels_first"}
    small = dict(
        input_shape=(8, 12, 3),
        block_counts=(1, 1),
        width_factor=0.125,
        groups=4,
        stem="small",
        classes=3,
    )
    image, tokens = (8, 12, 3), (7, 8)
    return [
        Case("Patches", image, {"patch_size": (4, 3)}, trains=False),
        Case(
            "Patches",
            (3, 8, 12),
            {"patch_size": 4, "data_format": "channels_first"},
            trains=False,
        ),
        Case("ClassToken", tokens, masks=True),
        Case("RegisterTokens", tokens, {"number": 2}, masks=True),
        Case("LayerScale", tokens, {"initial_value": 0.1}, masks=True),
        *(
            Case(
                "AddPositionEmbs",
                tokens,
                {"kind": kind, "grid": (2, 3)},
                masks=True,
                trains=kind.startswith("learned"),
            )
            for kind in ("learned", "learned_2d", "sincos2d", "none")
        ),
        Case("TransformerBlock", tokens, {"num_heads": 2, "mlp_dim": 16}, masks=True),
        Case(
            "TransformerBlock",
            tokens,
            {
                "num_heads": 2,
                "mlp_dim": 16,
                "dropout_rate": 0.1,
                "attention_dropout_rate": 0.1,
                "stochastic_depth_rate": 0.1,
                "activation": "gelu",
                "relative_position_grid": (2, 3),
            },
            masks=True,
        ),
        Case(
            "TransformerBlock",
            tokens,
            {"num_heads": 2, "mlp_dim": 16, "layer_scale": 0.1, "qkv_bias": False},
            masks=True,
        ),
        Case("PatchEmbedding", image, {"hidden_size": 8, "patch_size": 4}),
        Case("PatchEmbedding", image, {"hidden_size": 8, "patch_size": 4, "use_bias": False}),
        Case("PatchEmbedding", image, {"hidden_size": 8, "patch_size": 4, "as_grid": True}),
        Case("MultiHeadAttention", tokens, {"num_heads": 2}),
        Case("MultiHeadAttention", tokens, {"num_heads": 2, "relative_position_grid": (2, 3)}),
        Case("MultiHeadAttention", tokens, {"num_heads": 2, "qkv_bias": False}),
        Case("RotaryAttention", tokens, {"num_heads": 2, "grid": (2, 3), "qkv_bias": ("query",)}),
        Case("GatedMlp", tokens, {"mlp_dim": 16, "dropout_rate": 0.1}),
        Case("GatedMlp", tokens, {"mlp_dim": 16, "inner_norm": True}),
        Case(
            "RotaryBlock",
            tokens,
            {
                "num_heads": 2,
                "mlp_dim": 16,
                "grid": (2, 3),
                "rotary": keras_vit.RotaryOptions("grid", 10.0, "neighbours", (4, 4)),
                "gated": True,
                "inner_norms": ("attention", "mlp"),
                "qkv_bias": ("query", "value"),
                "layer_scale": 0.1,
            },
            masks=True,
        ),
        Case("RotaryBlock", tokens, {"num_heads": 2, "mlp_dim": 16, "grid": (2, 3)}, masks=True),
        Case("MlpBlock", tokens, {"mlp_dim": 16, "dropout_rate": 0.1}),
        Case("StochasticDepth", tokens, {"rate": 0.1}, masks=True, trains=False),
        Case("TokenPooling", tokens, {"kind": "token"}, trains=False),
        Case("TokenPooling", tokens, {"kind": "gap"}, trains=False),
        Case("TokenPooling", tokens, {"kind": "token_gap", "num_prefix_tokens": 2}, trains=False),
        Case("TokenGrid", tokens, {"grid": (2, 3)}, trains=False),
        Case("AttentionPooling", tokens, {"num_heads": 2, "mlp_dim": 16}),
        Case("AttentionPooling", tokens, {"num_heads": 2, "mlp_dim": 16, "num_prefix_tokens": 2}),
        Case("StandardizedConv2D", image, {"filters": 4, "kernel_size": 3, "strides": 2}),
        Case(
            "StandardizedConv2D",
            image,
            {"filters": 4, "kernel_size": 3, "strides": 2, "explicit_padding": True},
        ),
        Case("GroupNormalization", (8, 12, 6), {"groups": 2}),
        *(
            Case(unit, (8, 12, 4), {"filters": 4, "strides": 2, "groups": 2, "bottleneck": kind})
            for unit in ("PreActivationUnit", "PostActivationUnit")
            for kind in (True, False)
        ),
        Case("VisionTransformer", image, vit),
        Case("VisionTransformer", (3, 8, 12), {**rest, **first}),
        Case("VisionTransformer", image, {**rest, "classes": None}),
        Case(
            "VisionTransformer",
            image,
            {**rest, "classifier": "gap", "position_embedding": "learned_2d"},
        ),
        Case(
            "VisionTransformer",
            image,
            {**rest, "classifier": "map", "position_embedding": "sincos2d"},
        ),
        Case(
            "VisionTransformer",
            image,
            {**rest, "position_embedding": "relative", "representation_size": 6},
        ),
        Case(
            "VisionTransformer",
            image,
            {
                **rest,
                "classifier": "token_gap",
                "tokens": keras_vit.TokenOptions(class_token=True, registers=2, class_slot=False),
                "block": keras_vit.BlockOptions(layer_scale=0.1, final_norm="after"),
            },
        ),
        Case(
            "VisionTransformer",
            image,
            {
                **rest,
                "classifier": "distilled",
                "tokens": keras_vit.TokenOptions(class_token=True, distilled=True),
                "block": keras_vit.BlockOptions(
                    activation="quick_gelu", pre_norm=True, patch_bias=False, qkv_bias=False
                ),
            },
        ),
        Case(
            "VisionTransformer",
            image,
            {
                **rest,
                "classifier": "map",
                "tokens": keras_vit.TokenOptions(class_token=False, registers=1),
                "block": keras_vit.BlockOptions(final_norm="none"),
            },
        ),
        Case(
            "RotaryVisionTransformer",
            image,
            {
                **rest,
                "tokens": keras_vit.TokenOptions(class_token=True, registers=2),
                "block": keras_vit.RotaryBlockOptions(
                    layer_scale=0.1, qkv_bias=("query", "value"), dropout_rate=0.1
                ),
            },
        ),
        Case(
            "RotaryVisionTransformer",
            image,
            {
                **rest,
                "classifier": "gap",
                "position_embedding": "learned",
                "block": keras_vit.RotaryBlockOptions(
                    rotary=keras_vit.RotaryOptions("grid", 1e4, "neighbours", (4, 4)),
                    gated=True,
                    activation="silu",
                    inner_norms=("mlp",),
                ),
            },
        ),
        Case(
            "VisionTransformer",
            (32, 32, 3),
            {**rest, "input_shape": (32, 32, 3), "patch_size": 2, "stem_block_counts": (1,)},
        ),
        Case("ResNet", image, small),
        Case("ResNet", image, {**small, "bottleneck": False, "classes": None}),
        Case("ResNet", (3, 8, 12), {**small, **first, "stem": "imagenet"}),
    ]


def shapes_agree(case: Case) -> None:
    """Symbolic and eager shapes and dtypes are the same, also for an unknown batch size."""
    layer, images = case.make(), case.inputs(5)
    symbolic = layer(keras.KerasTensor((None, *case.shape)))
    assert bool(layer.trainable_weights) == case.trains
    # What was built for any batch size runs for this one.
    eager = forward(layer, images)
    assert symbolic.shape == (None, *eager.shape[1:])
    assert len(eager) == len(images)
    assert keras.backend.standardize_dtype(eager.dtype) == symbolic.dtype
    assert layer.compute_output_shape(images.shape) == tuple(eager.shape)
    assert layer.compute_output_shape((None, *case.shape))[1:] == tuple(eager.shape[1:])


def config_round_trip(case: Case) -> None:
    """from_config(get_config()) gives the same config, and the config survives JSON."""
    layer = case.make(name="its_name")
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(keras_plain(config))))
    assert keras_plain(again.get_config()) == keras_plain(config)
    assert again.name == "its_name"


def config_holds_constructor_arguments(case: Case) -> None:
    """get_config has every constructor argument, as given, and nothing derived from them."""
    layer = case.make()
    config = layer.get_config()
    mro = type(layer).__mro__
    ours = [b for b in mro if b.__module__.startswith("keras_vit") and "__init__" in vars(b)]
    required = {name for base in ours for name in constructor_arguments(base)}
    # Keras' bases add arguments of theirs where `**kwargs` are handed on to them.
    allowed = {name for base in mro for name in constructor_arguments(base)}
    allowed = required if case.is_model else allowed
    assert required <= set(config), f"missing in the config: {required - set(config)}"
    derived = set(config) - allowed - KERAS_ARGUMENTS
    assert not derived, f"derived values in the config: {derived}"
    for key, value in case.arguments.items():
        if is_dataclass(value):
            value = asdict(value)
        pair = [value, value]  # one number stands for both sides
        assert keras_plain(config[key]) in (keras_plain(value), pair), key


def constructor_arguments(cls: type) -> set[str]:
    """The names that a class' own constructor takes."""
    parameters = inspect.signature(cls.__init__).parameters.values()
    named = {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    return named - {"self"} - KERAS_ARGUMENTS


def numpy_numbers_are_numbers(case: Case) -> None:
    """NumPy's scalars do as arguments, and the config holds plain numbers all the same."""
    cls = getattr(keras_vit, case.cls)
    seeds = {name: 3 for name in constructor_arguments(cls) if name == "seed"}
    layer = cls(**as_numpy({**case.arguments, **seeds}))
    ours, expected = (
        json.loads(json.dumps(each.get_config()), parse_float=lambda text: round(float(text), 6))
        for each in (layer, case.make(name=layer.name, **seeds))
    )
    assert ours == expected


def as_numpy(value):
    """Numbers as NumPy's scalars, in tuples, dictionaries and groups of arguments too."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return np.int64(value) if isinstance(value, int) else np.float32(value)
    if isinstance(value, tuple):
        return tuple(map(as_numpy, value))
    if isinstance(value, dict):
        return {key: as_numpy(item) for key, item in value.items()}
    if is_dataclass(value):
        return replace(value, **as_numpy({f.name: getattr(value, f.name) for f in fields(value)}))
    return value


def file_round_trip(case: Case, folder: Path) -> None:
    """A saved `.keras` file loads in safe mode, unaided, and computes the same."""
    model, inputs = as_model(case), case.inputs()
    randomise(model)
    path = folder / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    assert type(loaded) is type(model)
    expected = numpy(forward(model, inputs))
    np.testing.assert_array_equal(numpy(forward(loaded, inputs)), expected)
    weights = folder / "model.weights.h5"
    model.save_weights(weights)
    other = as_model(case)
    other.load_weights(weights)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy(theirs), numpy(ours), err_msg=ours.path)


def what_trains_is_kept(case: Case, folder: Path) -> None:
    """In a model of others, a file keeps what is frozen, all or any part; and all unfreezes."""
    total = len(built(case).trainable_weights)
    for state in ("frozen before it was built", "frozen", "every other weight", "unfrozen"):
        layer, kept = case.make(), {"every other weight": -(-total // 2), "unfrozen": total}
        if state == "frozen before it was built":
            layer.trainable = False
        inputs = keras.Input(case.shape)
        outputs = keras.layers.Reshape((-1,))(layer(inputs))
        model = keras.Model(inputs, keras.layers.Dense(1, name="own")(outputs))
        weights = list(layer.trainable_weights)
        if state == "unfrozen":
            for weight in weights[::2]:
                weight.trainable = False  # without the layer's flag
        layer.trainable = state == "unfrozen"
        if state == "every other weight":
            for weight in weights[::2]:
                weight.trainable = True
        names = [weight.path for weight in model.trainable_weights]
        assert len(names) == kept.get(state, 0) + 2, state  # two of the Dense layer
        model.save(folder / "model.keras")
        loaded = keras.saving.load_model(folder / "model.keras")
        for copy in (loaded, keras.models.clone_model(model)):
            assert [weight.path for weight in copy.trainable_weights] == names, state
            again = copy.get_layer(layer.name)
            assert keras_plain(again.get_config()) == keras_plain(layer.get_config())
            again.trainable = True
            assert len(copy.trainable_weights) == total + 2, state


def training_changes_every_weight(case: Case, **compile_arguments) -> None:
    """One step of `fit` moves every trainable weight and leaves the others alone."""
    model, inputs = as_model(case), case.inputs(4)
    randomise(model)
    before = {weight.path: numpy(weight) for weight in model.weights}
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse", **compile_arguments)
    targets = np.random.default_rng(2).normal(size=(4, *model.output_shape[1:]))
    loss = model.fit(inputs, targets, batch_size=4, epochs=1, verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    still = {w.path for w in model.trainable_weights if np.array_equal(numpy(w), before[w.path])}
    # A constant added to every key cancels in the softmax: its gradient is zero, always.
    still = {path for path in still if not path.endswith("key/bias")}
    assert not still, f"not trained: {still}"
    fixed = [w for w in model.non_trainable_weights if "seed" not in w.path]
    assert all(np.array_equal(numpy(w), before[w.path]) for w in fixed)


def inference_draws_no_random_numbers(case: Case) -> None:
    """Without `training` a call leaves the seeds alone and equals `training=False`."""
    layer, inputs = built(case), case.inputs()
    seeds = [numpy(v) for v in layer.variables if "seed" in v.path]
    result = numpy(forward(layer, inputs))
    if seeds:
        np.testing.assert_array_equal(numpy(forward(layer, inputs, training=False)), result)
    after = [numpy(v) for v in layer.variables if "seed" in v.path]
    np.testing.assert_array_equal(seeds, after)


def low_precision(case: Case, policy: str, tolerance: float) -> None:
    """Computes in the policy's dtype, keeps float32 weights, and stays close to float32."""
    exact, low, inputs = built(case), built(case, dtype=policy), case.inputs()
    randomise(exact)
    low.set_weights(exact.get_weights())
    output = forward(low, inputs)
    # A model's logits stay in float32, so that the loss is computed in it.
    has_head = case.is_model and case.arguments["classes"] is not None
    expected_dtype = "float32" if has_head else policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(output.dtype) == expected_dtype
    assert {w.dtype for w in low.weights if "seed" not in w.path} <= {"float32"}
    assert policies(low) == {policy}
    expected = numpy(forward(exact, inputs))
    error = np.abs(numpy(output).astype("float32") - expected).max()
    assert error <= tolerance * max(1.0, np.abs(expected).max())


def policies(layer: keras.layers.Layer) -> set[str]:
    """The dtype policies of a layer and all below it but a classification head."""
    heads = ("head", "distillation_head", "head_average")
    below = [sub for sub in layer._flatten_layers() if sub.name not in heads]
    return {s.dtype_policy.name for s in below if not isinstance(s, keras.layers.InputLayer)}


def mask_is_handed_on(case: Case) -> None:
    """A Keras mask reaches the output, and leaves the shape of the output alone."""
    layer = case.make()
    assert layer.supports_masking
    inputs = case.inputs()
    inputs[:, 5:] = 0
    masked = keras.layers.Masking()(inputs)
    output = layer(masked)
    assert output.shape[:2] == output._keras_mask.shape
    number = output.shape[1] - 2
    mask = numpy(output._keras_mask)
    assert mask[:, :number].all() and not mask[:, number:].any()


def names_do_not_depend_on_the_past(case: Case) -> None:
    """Weights have names that are unique below the layer and the same in any process."""
    first = own_paths(case)
    keras.layers.LayerNormalization().build((None, 1))
    assert own_paths(case) == first
    assert len(set(first)) == len(first)
    for path in first:
        numbered = [part for part in path.split("/") if part.rstrip("0123456789") in AUTOMATIC]
        assert not numbered, f"{path} holds a name that Keras numbers by what was built before"


# Names that Keras gives to layers that were built without one.
AUTOMATIC = {"dense_", "layer_normalization_", "group_normalization_", "conv2d_", "dropout_"}
AUTOMATIC |= {"multi_head_attention_", "mlp_block_", "transformer_block_", "standardized_conv2d_"}


def own_paths(case: Case) -> list[str]:
    """The paths of the weights below the layer or model itself."""
    layer = built(case)
    prefix = layer.name + "/"
    return [weight.path.removeprefix(prefix) for weight in layer.weights]


def as_model(case: Case) -> keras.Model:
    """The case itself where it is a model, else a functional model around it."""
    if case.is_model:
        return case.make()
    inputs = keras.Input(case.shape)
    return keras.Model(inputs, case.make()(inputs))


def built(case: Case, **more) -> keras.layers.Layer:
    """The layer with its weights."""
    layer = case.make(**more)
    layer(keras.KerasTensor((None, *case.shape)))
    return layer


def forward(layer: keras.layers.Layer, inputs: np.ndarray, **arguments):
    """Calls the layer; on JAX as one program, since one compilation is quicker than one an op."""
    if keras.backend.backend() != "jax":
        return layer(inputs, **arguments)
    import jax

    return jax.jit(lambda x: layer(x, **arguments))(inputs)


def randomise(layer: keras.layers.Layer) -> None:
    """Gives every weight values that matter: zero heads and biases would hide mistakes."""
    rng = np.random.default_rng(3)
    for weight in layer.weights:
        if "seed" not in weight.path:
            values = rng.normal(scale=0.3, size=weight.shape)
            weight.assign(values.astype("float32"))  # JAX would compile the rounding for each shape


def keras_plain(value):
    """Tuples as lists and policies as dictionaries, as JSON would have them."""
    if isinstance(value, list | tuple):
        return [keras_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: keras_plain(item) for key, item in value.items()}
    return value


def numpy(tensor) -> np.ndarray:
    return np.array(ops.convert_to_numpy(tensor))
