"""TransformerBlock: masks, attention scores, dropout of all kinds, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_vit
from keras_vit.layers.fused_attention import fused_attention_pays
from tests.keras_vit.gradients import value_and_gradient

NUMPY = ops.convert_to_numpy


def randomised(block: keras.layers.Layer, shape: tuple, rng: np.random.Generator):
    """Builds the block and makes every weight, the biases too, matter."""
    block.build(shape)
    for weight in block.weights:
        if "seed" not in weight.path:
            weight.assign(rng.normal(scale=0.5, size=weight.shape).astype("float32"))
    return block


@pytest.fixture
def tokens(rng) -> np.ndarray:
    return rng.normal(size=(2, 5, 8)).astype("float32")


def test_attention_scores_are_probabilities_and_leave_the_output_alone(tokens, rng):
    block = randomised(keras_vit.TransformerBlock(2, 16), tokens.shape, rng)
    plain = NUMPY(block(tokens))
    output, scores = block(tokens, return_attention_scores=True)
    scores = NUMPY(scores)
    assert scores.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-5)
    assert (scores >= 0).all()
    assert scores.std() > 0.01
    np.testing.assert_allclose(NUMPY(output), plain, atol=1e-5)


@pytest.mark.parametrize("per_query", [False, True], ids=["keys (B,N)", "pairs (B,N,N)"])
def test_masked_tokens_do_not_influence_the_others(tokens, rng, per_query):
    block = randomised(keras_vit.TransformerBlock(2, 16), tokens.shape, rng)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 1, 1]], bool)
    noise = rng.normal(size=tokens.shape)
    changed = np.where(mask[..., None], tokens, tokens + noise).astype("float32")
    attention_mask = np.repeat(mask[:, None], 5, axis=1) if per_query else mask
    before, scores = block(tokens, attention_mask=attention_mask, return_attention_scores=True)
    after = block(changed, attention_mask=attention_mask)
    np.testing.assert_allclose(NUMPY(before)[mask], NUMPY(after)[mask], atol=1e-6)
    np.testing.assert_array_less(
        NUMPY(scores)[np.broadcast_to(~mask[:, None, None], (2, 2, 5, 5))], 1e-6
    )
    # Without the mask the change does reach the others: the test above is not empty.
    assert np.abs(NUMPY(block(tokens)) - NUMPY(block(changed)))[mask].max() > 1e-3


def test_masked_scores_without_being_asked_for_them(tokens, rng):
    block = randomised(keras_vit.TransformerBlock(2, 16), tokens.shape, rng)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 1, 1]], bool)
    with_scores, _ = block(tokens, attention_mask=mask, return_attention_scores=True)
    without = block(tokens, attention_mask=mask)
    np.testing.assert_allclose(NUMPY(without), NUMPY(with_scores), atol=1e-5)


def test_a_keras_mask_acts_like_attention_mask(tokens, rng):
    block = randomised(keras_vit.TransformerBlock(2, 16), tokens.shape, rng)
    hidden = tokens.copy()
    hidden[:, 3:] = 0
    mask = np.array([[1, 1, 1, 0, 0]] * 2, bool)
    carried = block(keras.layers.Masking()(hidden))
    expected = NUMPY(block(hidden, attention_mask=mask))
    np.testing.assert_allclose(NUMPY(carried)[:, :3], expected[:, :3], atol=1e-5)
    assert NUMPY(carried._keras_mask).tolist() == mask.tolist()


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: keras_vit.TransformerBlock(2, 16), ("masked",)),
        (lambda: keras_vit.TransformerBlock(2, 16), ("masked", "pairs")),
        (lambda: keras_vit.MultiHeadAttention(2), ("masked", "pairs")),
        (lambda: keras_vit.MultiHeadAttention(2), ("plain", "masked")),
        (lambda: keras_vit.MultiHeadAttention(2), ("plain", "masked", "pairs")),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_predict_obeys_a_mask_that_its_input_carries(tokens, rng, make, names, tmp_path, backend):
    """On JAX the tokens are tracers there; beside another tensor the mask has another name."""
    layer = randomised(make(), tokens.shape, rng)
    there = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1]], bool)
    pairs = (rng.random((2, 5, 5)) < 0.7) | np.eye(5, dtype=bool)
    values = {"plain": tokens, "masked": tokens * there[..., None], "pairs": pairs}
    values = {name: values[name] for name in names}
    inputs = {name: keras.Input(value.shape[1:], name=name) for name, value in values.items()}

    def call(tensors, **mask):
        tensors = dict(tensors)
        if "pairs" in tensors:
            mask = {"attention_mask": tensors.pop("pairs"), **mask}
        return layer(*tensors.values(), **mask)

    carried = {**inputs, "masked": keras.layers.Masking()(inputs["masked"])}
    keras.Model(inputs, call(carried)).save(tmp_path / "masked.keras")
    model = keras.saving.load_model(tmp_path / "masked.keras")
    model.compile(jit_compile=backend == "jax")
    result = model.predict(values, verbose=0)
    allowed = there[:, None] & (pairs if "pairs" in names else True)
    np.testing.assert_allclose(result, NUMPY(call(values, attention_mask=allowed)), atol=1e-5)
    assert np.abs(result - NUMPY(call(values))).max() > 1e-3


def test_a_recomputed_block_obeys_a_mask_beside_another(tokens, rng):
    there = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1]], bool)
    pairs = np.tril(np.ones((2, 5, 5), bool)) | there[:, None]
    block = randomised(keras_vit.TransformerBlock(2, 16, rematerialize=True), tokens.shape, rng)
    hidden = tokens * there[..., None]
    carried = keras.layers.Masking()(hidden)
    result = NUMPY(block(carried, attention_mask=pairs, training=True))
    expected = NUMPY(block(hidden, attention_mask=pairs & there[:, None]))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert np.abs(result - NUMPY(block(hidden, attention_mask=pairs))).max() > 1e-3


def test_a_block_can_be_left_out_and_is_scaled_where_it_is_not(rng):
    rate, batch = 0.25, 2000
    block = randomised(
        keras_vit.TransformerBlock(1, 4, stochastic_depth_rate=rate), (None, 1, 4), rng
    )
    tokens = np.repeat(rng.normal(size=(1, 1, 4)).astype("float32"), batch, axis=0)
    result = NUMPY(block(tokens, training=True))[:, 0]
    # Two residual branches, each kept or dropped per image: four different outcomes.
    outcomes, counts = np.unique(np.round(result, 3), axis=0, return_counts=True)
    assert len(outcomes) == 4
    expected = batch * np.array([(1 - rate) ** 2, rate * (1 - rate), rate * (1 - rate), rate**2])
    deviations = 4 * np.sqrt(expected * (1 - expected / batch))
    assert (np.abs(np.sort(counts)[::-1] - np.sort(expected)[::-1]) < deviations).all()
    untouched = np.abs(result - tokens[:, 0]).max(axis=1) < 1e-6
    assert abs(untouched.mean() - rate**2) < 0.03


def test_stochastic_depth_keeps_the_expectation_of_the_last_branch(rng):
    block = randomised(
        keras_vit.TransformerBlock(1, 4, stochastic_depth_rate=0.5), (None, 1, 4), rng
    )
    for weight in block.weights:
        if "attention" in weight.path and ("out" in weight.path):
            weight.assign(np.zeros(weight.shape))  # only the MLP branch is left
    tokens = np.repeat(rng.normal(size=(1, 1, 4)).astype("float32"), 4000, axis=0)
    still = NUMPY(block(tokens, training=False))[0, 0]
    mean = NUMPY(block(tokens, training=True))[:, 0].mean(axis=0)
    spread = np.abs(still - tokens[0, 0])
    np.testing.assert_array_less(np.abs(mean - still), 5 * spread / np.sqrt(4000) + 1e-3)


@pytest.mark.parametrize(
    "rates",
    [{"dropout_rate": 0.5}, {"attention_dropout_rate": 0.5}, {"stochastic_depth_rate": 0.5}],
    ids=lambda rates: next(iter(rates)),
)
def test_dropout_acts_in_training_only(tokens, rng, rates):
    block = randomised(keras_vit.TransformerBlock(2, 16, **rates), tokens.shape, rng)
    plain = keras_vit.TransformerBlock(2, 16)
    plain.build(tokens.shape)
    plain.set_weights([NUMPY(w) for w in block.weights if "seed" not in w.path])
    expected = NUMPY(plain(tokens))
    np.testing.assert_allclose(NUMPY(block(tokens)), expected, atol=1e-5)
    np.testing.assert_allclose(NUMPY(block(tokens, training=False)), expected, atol=1e-5)
    wide = np.repeat(tokens, 8, axis=0)
    first, second = (NUMPY(block(wide, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_allclose(NUMPY(block(tokens)), expected, atol=1e-5)


def test_attention_dropout_removes_the_asked_share_of_the_scores(rng):
    block = randomised(
        keras_vit.TransformerBlock(2, 4, attention_dropout_rate=0.3), (None, 12, 4), rng
    )
    tokens = rng.normal(size=(60, 12, 4)).astype("float32")
    _, still = block(tokens, return_attention_scores=True, training=False)
    _, scores = block(tokens, return_attention_scores=True, training=True)
    np.testing.assert_allclose(NUMPY(still).sum(axis=-1), 1, atol=1e-5)
    # The scores handed out are the probabilities; dropout acts on a copy of them.
    np.testing.assert_allclose(NUMPY(scores), NUMPY(still), atol=1e-5)


def test_equal_seeds_drop_equally(tokens):
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        block = keras_vit.TransformerBlock(
            2, 16, dropout_rate=0.2, attention_dropout_rate=0.2, stochastic_depth_rate=0.2
        )
        results.append([NUMPY(block(tokens, training=True)) for _ in range(2)])
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"num_heads": 3}, "num_heads"),
        ({"num_heads": 0}, "num_heads"),
        ({"mlp_dim": 0}, "mlp_dim"),
        ({"dropout_rate": 1.5}, "dropout_rate"),
        ({"attention_dropout_rate": -0.1}, "attention_dropout_rate"),
        ({"stochastic_depth_rate": 1.0}, "stochastic_depth_rate"),
        ({"activation": "gelu_tahn"}, "gelu_tahn"),
        ({"relative_position_grid": (2, 3)}, "grid"),
    ],
    ids=lambda value: str(value),
)
def test_wrong_arguments_are_named(tokens, arguments, named):
    with pytest.raises(ValueError, match=named):
        keras_vit.TransformerBlock(**{"num_heads": 2, "mlp_dim": 16, **arguments})(tokens)


@pytest.mark.parametrize("masked", [False, True])
def test_fused_attention_computes_the_same(tokens, rng, masked):
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 1, 1]], bool) if masked else None
    plain = randomised(keras_vit.MultiHeadAttention(2, fused=False), tokens.shape, rng)
    fused = keras_vit.MultiHeadAttention(2, fused=True)
    fused.build(tokens.shape)
    fused.set_weights(plain.get_weights())
    x, weights = ops.convert_to_tensor(tokens), rng.normal(size=tokens.shape).astype("float32")
    results, expected = (
        value_and_gradient(lambda x: layer(x, attention_mask=mask), x, weights)  # noqa: B023
        for layer in (fused, plain)
    )
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, wanted, atol=1e-5)


def test_one_kernel_is_taken_on_pytorchs_cpu_where_it_pays(backend, monkeypatch):
    """Not where its backward pass is slow, nor in float16, where its finite mask would be too near."""
    monkeypatch.setattr("keras_vit.layers.fused_attention.device_kind", lambda: "cpu")
    found = {
        (dtype, training): fused_attention_pays(dtype, training)
        for dtype in ("float32", "bfloat16", "float16")
        for training in (False, True)
    }
    paid = {("float32", False), ("float32", True), ("bfloat16", False)}
    assert {key for key, pays in found.items() if pays} == (paid if backend == "torch" else set())


@pytest.mark.parametrize(
    ("device", "asked", "fused"),
    [("cpu", None, None), ("gpu", None, {"flash_attention": None}), ("tpu", None, None)]
    + [("gpu", True, {"flash_attention": None}), ("tpu", True, {"flash_attention": False})],
)
def test_fused_attention_is_chosen_on_a_gpu_and_right_on_a_tpu(
    tokens, monkeypatch, device, asked, fused
):
    """Keras' flash attention on TPUs is causal and does not scale: it must never be taken."""
    seen = []

    def dot_product_attention(query, key, value, mask=None, **options):
        seen.append(options)
        return query

    monkeypatch.setattr("keras_vit.layers.fused_attention.device_kind", lambda: device)
    monkeypatch.setattr("keras.ops.dot_product_attention", dot_product_attention)
    keras_vit.MultiHeadAttention(2, fused=asked)(tokens)
    assert seen == ([] if fused is None else [fused])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_an_image_without_any_token_stays_finite(tokens, policy):
    block = keras_vit.TransformerBlock(2, 16, dtype=policy)
    output = block(tokens, attention_mask=np.zeros((2, 5), bool))
    assert np.isfinite(NUMPY(ops.cast(output, "float32"))).all()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_scores_in_a_compiled_functional_model_of_any_batch_size(rng, policy, backend):
    block = randomised(keras_vit.TransformerBlock(2, 16, dtype=policy), (None, 5, 8), rng)
    inputs = keras.Input((5, 8))
    output, scores = block(inputs, return_attention_scores=True)
    assert output.shape == (None, 5, 8) and scores.shape == (None, 2, 5, 5)
    model = keras.Model(inputs, [output, scores])
    # PyTorch's compiler takes minutes: there "auto", which is no compilation, is what users get.
    model.compile(jit_compile="auto" if backend == "torch" else True)
    exact = keras_vit.TransformerBlock(2, 16)
    exact.build((None, 5, 8))
    exact.set_weights(block.get_weights())
    tolerance = 1e-5 if policy == "float32" else 0.1
    for batch in (1, 3):
        tokens = rng.normal(size=(batch, 5, 8)).astype("float32")
        results = model.predict_on_batch(tokens)
        expected = exact(tokens, return_attention_scores=True)
        for result, symbolic, wanted in zip(results, (output, scores), expected, strict=True):
            assert keras.backend.standardize_dtype(result.dtype) == symbolic.dtype
            np.testing.assert_allclose(
                np.asarray(result, "float32"), NUMPY(wanted), atol=tolerance, rtol=tolerance
            )
