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
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
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


def test_images_of_any_size():
    """Gates alone do not ask where a patch is; rotary positions must know before."""
    still = {**vars(GATED), "rotary": {"coordinates": "none"}}
    fixed, free = (make(block=still, input_shape=shape) for shape in ((8, 12, 3), (None, None, 3)))
    free.set_weights(fixed.get_weights())
    expected = numpy(forward(fixed, images()))
    np.testing.assert_allclose(numpy(forward(free, images())), expected, atol=1e-5)
    assert forward(free, images()[:, :, :8]).shape == (3, 3)
    with pytest.raises(ValueError, match="Rotary positions need images of one size"):
        make(input_shape=(None, None, 3))


def test_the_tokens_of_its_blocks():
    model = make()
    grids = keras_vit.features(model, layers=[0, 1])(images(2))
    assert [tuple(grid.shape) for grid in grids] == [(2, 2, 3, 8)] * 2
