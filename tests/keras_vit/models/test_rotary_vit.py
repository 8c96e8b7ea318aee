"""What works with a VisionTransformer works with a RotaryVisionTransformer."""

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import forward, numpy, randomise
from tests.keras_vit.ecosystem.models import images
from tests.keras_vit.ecosystem.test_export import REFUSED, assert_runs

SIZES = dict(
    input_shape=(8, 12, 3), patch_size=4, num_layers=2, hidden_size=8, mlp_dim=16, num_heads=2
)
GATED = keras_vit.RotaryBlockOptions(
    gated=True, activation="silu", inner_norms=("attention", "mlp"), qkv_bias=("query", "value")
)
TURNING = {
    "centred": {},
    "grid": {"coordinates": "grid", "layout": "neighbours", "reference_grid": (2, 5)},
    "none": {"coordinates": "none"},
}


def make(**arguments) -> keras.Model:
    model = keras_vit.RotaryVisionTransformer(
        **{**SIZES, "classes": 3, "registers": 1, "block": GATED, **arguments}
    )
    randomise(model)
    return model


def test_attention_is_seen():
    """Each row of weights sums to one, and the last block's make the output with the values."""
    model = make()
    scores = keras_vit.inspection.attention_scores(model, images(2))
    assert scores.shape == (2, 2, 2, 8, 8)  # class token, register, 2 x 3 patches
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-5)
    still = make(block={**vars(GATED), "rotary": {"coordinates": "none"}})
    still.set_weights(model.get_weights())
    others = keras_vit.inspection.attention_scores(still, images(2))
    assert np.abs(others - scores).max() > 1e-3
    heat = keras_vit.inspection.attention_map(model, images(2))
    assert heat.shape == (2, 8, 12)


def test_low_rank_updates_reach_the_gates():
    model = make()
    before = numpy(forward(model, images()))
    keras_vit.enable_lora(model, rank=2)
    # two factors of seven layers in two blocks, and the head's kernel and bias
    assert len(model.trainable_weights) == 2 * 7 * 2 + 2
    np.testing.assert_allclose(numpy(forward(model, images())), before, atol=1e-6)


def test_half_precision_is_near():
    """The angles are computed before anything is rounded."""
    model = make()
    exact = numpy(forward(model, images()))
    for policy, tolerance in (("mixed_bfloat16", 0.05), ("mixed_float16", 0.01)):
        half = make(dtype=policy)
        half.set_weights(model.get_weights())
        result = numpy(keras.ops.cast(forward(half, images()), "float32"))
        np.testing.assert_allclose(result, exact, atol=tolerance * np.abs(exact).max())


def test_int8_is_near():
    model = make()
    exact = numpy(forward(model, images()))
    model.quantize("int8")
    quantised = numpy(forward(model, images()))
    assert np.abs(quantised - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.parametrize("form", ["tf_saved_model", "onnx"])
def test_it_is_exported(form, backend, tmp_path):
    if (backend, form) in REFUSED:
        return  # a message says so, of every model
    model = make(block={"rotary": {"coordinates": "grid", "layout": "neighbours"}})
    model.export(tmp_path / "exported", format=form, verbose=False)
    assert_runs(model, tmp_path / "exported", form)


def test_it_is_pre_trained_on_masked_patches():
    model = keras_vit.pretraining.MaskedPatchModel(make(), seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit(images(8), epochs=8, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.once
def test_operations_by_hand():
    """Seven Dense layers a block, of which the MLP has three, and the products of attention."""
    model = make()
    tokens, width, hidden = 8, 8, 16
    block = 2 * tokens * (4 * width * width + 3 * width * hidden) + 4 * tokens * tokens * width
    embedding, head = 2 * 6 * (4 * 4 * 3) * width, 2 * width * 3
    assert keras_vit.flops(model) == embedding + 2 * block + head


@pytest.mark.once
def test_relative_positions_are_refused():
    with pytest.raises(ValueError, match="'relative' is for a VisionTransformer"):
        make(position_embedding="relative")


@pytest.mark.parametrize("kind", TURNING)
def test_images_of_any_size(kind, rng, tmp_path):
    """In the graph what is computed before it for one size: that of the model, and another."""
    fixed = make(block={**vars(GATED), "rotary": TURNING[kind]})
    free = keras_vit.for_finetuning(fixed, 3, (None, None, 3))
    free.set_weights(fixed.get_weights())
    free.save(tmp_path / "free.keras")
    loaded = keras.saving.load_model(tmp_path / "free.keras")
    for size in ((8, 12), (16, 4)):
        same = keras_vit.for_finetuning(free, 3, (*size, 3))
        same.set_weights(fixed.get_weights())
        photos = rng.normal(size=(2, *size, 3)).astype("float32")
        expected = numpy(forward(same, photos))
        np.testing.assert_allclose(numpy(forward(free, photos)), expected, atol=1e-5)
        found = loaded.predict(photos, verbose=0)  # after two, compiled for sizes it has not seen
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_works_with_one_size_works_with_any(rng):
    """Attention, features and recomputed blocks are handed the grid; low-rank updates train on."""
    fixed = make()
    free = make(input_shape=(None, None, 3), rematerialize=True)
    free.set_weights(fixed.get_weights())
    scores, expected = (
        keras_vit.inspection.attention_scores(model, images(2)) for model in (free, fixed)
    )
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert keras_vit.inspection.attention_map(free, images(2)[:, :, :8]).shape == (2, 8, 8)
    found, expected = (
        numpy(forward(keras_vit.features(model, layers=1), images(2))) for model in (free, fixed)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    losses = []
    for model in (free, fixed):
        keras_vit.enable_lora(model, rank=2)
        for layer in model._flatten_layers():
            if getattr(layer, "lora_enabled", False):
                layer.lora_kernel_a.assign(np.ones(layer.lora_kernel_a.shape))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        losses.append([float(model.train_on_batch(images(2), np.ones((2, 3)))) for _ in range(3)])
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_images_of_any_size_exported(backend, tmp_path, rng):
    model = make(input_shape=(None, None, 3), block={})
    for form in ("tf_saved_model", "onnx"):
        if (backend, form) in REFUSED:
            continue  # a message says so, of every model
        model.export(tmp_path / form, format=form, verbose=False)
        for size in ((8, 12), (16, 8)):
            photos = rng.normal(size=(3, *size, 3)).astype("float32")
            assert_runs(model, tmp_path / form, form, photos)


def test_a_block_without_a_grid_says_what_it_needs():
    block = keras_vit.RotaryBlock(num_heads=2, mlp_dim=8, grid=None)
    with pytest.raises(ValueError, match=r"give grid=\(rows, columns\), or call with patches="):
        block(np.zeros((1, 6, 8), "float32"))


def test_the_tokens_of_its_blocks():
    model = make()
    grids = forward(keras_vit.features(model, layers=[0, 1]), images(2))
    assert [tuple(grid.shape) for grid in grids] == [(2, 2, 3, 8)] * 2
