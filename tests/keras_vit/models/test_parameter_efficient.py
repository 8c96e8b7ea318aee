"""What trains after unfreezing, and after a run with low-rank updates was interrupted."""

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import forward, numpy, randomise
from tests.keras_vit.ecosystem.models import KINDS, images, make

CHOICES = {
    "head and norms": keras_vit.train_only_head_and_norms,
    "lora": lambda model: keras_vit.enable_lora(model, rank=2),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_trainable_unfreezes_everything(choice):
    model = make("vit")
    total = len(model.trainable_weights)
    CHOICES[choice](model)
    updates = 24 if choice == "lora" else 0  # two factors of six layers in two blocks
    assert len(model.trainable_weights) == (2 + updates if choice == "lora" else 2 + 2 * 5)
    model.trainable = True
    assert len(model.trainable_weights) == total + updates
    masked = keras_vit.pretraining.MaskedPatchModel(make("vit"))
    total = len(masked.trainable_weights)
    CHOICES[choice](masked.vit)
    masked.trainable = True
    assert len(masked.trainable_weights) == total + updates


@pytest.mark.parametrize("choice", CHOICES)
def test_both_heads_of_a_distilled_model_train(choice):
    """Their logits are averaged: one that stayed at zero would halve the other's."""
    model = make("vit", classifier="distilled", distilled=True)
    CHOICES[choice](model)
    trained = {weight.path.removeprefix(f"{model.name}/") for weight in model.trainable_weights}
    heads = {"head/kernel", "head/bias", "distillation_head/kernel", "distillation_head/bias"}
    assert {path for path in trained if "head/" in path} == heads


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_backbone_stays_where_it_is(kind, tmp_path):
    """Under an own head, saved, loaded and trained: what moves is what moved before."""
    backbone = make(kind)
    backbone.trainable = False
    features = backbone.get_layer("pooling").output
    model = keras.Model(backbone.input, keras.layers.Dense(2, name="own")(features))
    eagerly = keras.backend.backend() != "jax"  # which makes one program sooner than one an op
    model.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=eagerly)
    model.fit(images(4), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 1
    before = [numpy(weight) for weight in loaded.weights]
    loaded.fit(images(4), np.ones((4, 2)), verbose=0)
    moved = {
        weight.path
        for weight, old in zip(loaded.weights, before, strict=True)
        if not np.array_equal(numpy(weight), old)
    }
    assert moved == {"own/kernel", "own/bias"}


def test_pretraining_keeps_what_is_frozen(tmp_path):
    model = keras_vit.pretraining.MaskedPatchModel(make("vit"))
    model.prediction.trainable = False
    model.vit.get_layer("block_0").trainable = False
    names = [weight.path for weight in model.trainable_weights]
    model.save(tmp_path / "masked.keras")
    loaded = keras.saving.load_model(tmp_path / "masked.keras")
    assert [w.path.split("/")[1:] for w in loaded.trainable_weights] == [
        path.split("/")[1:] for path in names
    ]
    model.trainable = False
    model.save(tmp_path / "masked.keras")
    assert not keras.saving.load_model(tmp_path / "masked.keras").trainable_weights


class _Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_run_with_low_rank_updates_ends_as_an_uninterrupted_one(tmp_path):
    def fit(model, *callbacks):
        model.fit(images(8), np.ones((8, 3)), batch_size=4, epochs=4, shuffle=False,
                  verbose=0, callbacks=list(callbacks))  # fmt: skip

    def adapted():
        keras.utils.set_random_seed(1)
        model = make("vit")
        keras_vit.enable_lora(model, rank=2, alpha=4)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    expected = adapted()
    fit(expected)
    with pytest.raises(KeyboardInterrupt):
        fit(adapted(), keras.callbacks.BackupAndRestore(tmp_path), _Interrupt())
    resumed = adapted()
    for weight in resumed.trainable_weights:
        weight.assign(weight * 0)
    fit(resumed, keras.callbacks.BackupAndRestore(tmp_path))
    assert int(resumed.optimizer.iterations) == 8
    assert sum("lora" in weight.path for weight in resumed.trainable_weights) == 24
    for mine, theirs in zip(expected.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(numpy(theirs), numpy(mine), err_msg=mine.path)
    assert np.abs(numpy(resumed.get_layer("block_0").mlp.hidden.lora_kernel_b)).max() > 1e-4


@pytest.mark.parametrize("own_head", [False, True])
def test_layers_of_an_adapted_model_are_saved_as_plain_ones(own_head, tmp_path):
    """All of the sums trains, with what was frozen for the updates; frozen again, it stays so."""
    vit = make("vit")
    model = keras_vit.features(vit, "encoder_norm")
    total = len(model.trainable_weights)
    keras_vit.enable_lora(vit, rank=2, alpha=3)
    randomise(vit)
    if own_head:
        maps = keras.layers.Conv2D(2, 1, data_format="channels_last", name="own")(model.output)
        model = keras.Model(model.input, maps)
    own = 2 if own_head else 0
    assert len(model.trainable_weights) == 24 + own
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert len(loaded.trainable_weights) == total + own == len(plain_weights(loaded))
    expected = numpy(forward(model, images()))
    np.testing.assert_allclose(numpy(forward(loaded, images())), expected, atol=1e-4)
    vit.trainable = False
    model.save(path)
    frozen = keras.saving.load_model(path)
    assert len(frozen.trainable_weights) == own and len(plain_weights(frozen)) == total + own
    np.testing.assert_allclose(numpy(forward(frozen, images())), expected, atol=1e-4)


def test_a_frozen_adapted_model_is_saved_as_a_frozen_one(tmp_path):
    """The updates trained, and are done."""
    vit = make("vit")
    keras_vit.enable_lora(vit, rank=2)
    for freeze, trained in (
        (lambda model: None, len(make("vit").trainable_weights)),
        (keras_vit.train_only_head_and_norms, 2 + 2 * 5),
        (lambda model: setattr(model, "trainable", False), 0),
    ):
        freeze(vit)
        vit.save(tmp_path / "vit.keras")
        loaded = keras.saving.load_model(tmp_path / "vit.keras")
        assert len(loaded.trainable_weights) == trained


def plain_weights(model: keras.Model) -> list[keras.Variable]:
    """All but seeds, and updates, of which there should be none."""
    paths = [weight.path for weight in model.weights]
    assert not any("lora" in path for path in paths)
    return [weight for weight in model.weights if "seed" not in weight.path]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": "4"}, "alpha is '4'; give a positive number"),
        ({"alpha": 0}, "alpha is 0; give a positive number"),
        ({"alpha": -1.0}, "alpha is -1.0; give"),
        ({"alpha": float("nan")}, "alpha is nan; give"),
        ({"rank": 0}, "rank is 0; give a positive int"),
        ({"train_norms": "all"}, "train_norms is 'all'; use True or False"),
    ],
)
def test_what_does_not_fit_freezes_nothing(arguments, message):
    vit = make("vit")
    total = len(vit.trainable_weights)
    with pytest.raises(ValueError, match=message):
        keras_vit.enable_lora(vit, **{"rank": 2, **arguments})
    assert len(vit.trainable_weights) == total == len(plain_weights(vit))


@pytest.mark.once
def test_no_updates_of_float8():
    """Keras would say so in the first call alone; of int8 there are some."""
    vit, other = make("vit"), make("vit")
    vit.quantize("float8")
    total = len(vit.trainable_weights)
    with pytest.raises(ValueError, match="is quantised to float8, which Keras computes without"):
        keras_vit.enable_lora(vit, rank=2)
    assert len(vit.trainable_weights) == total
    other.quantize("int8")
    keras_vit.enable_lora(other, rank=2)
    assert len(other.trainable_weights) == 24 + 1  # the head's kernel is of int8


@pytest.mark.parametrize("alpha", [np.float32(3), 3, 0.5])
def test_the_updates_have_the_scale_that_is_asked_for(alpha):
    vit = make("vit")
    keras_vit.enable_lora(vit, rank=np.int64(2), alpha=alpha)
    layer = vit.get_layer("block_0").mlp.hidden
    kernel, a = numpy(layer._kernel), numpy(layer.lora_kernel_a)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    expected = kernel + float(alpha) / 2 * a.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(numpy(layer.merged_kernel()), expected, atol=1e-5)


def test_updates_leave_in_the_precision_of_the_weights():
    """Export and fine-tuning take the sum in float32, also where the layers compute in less."""
    model = make("vit", dtype="mixed_bfloat16")
    keras_vit.enable_lora(model, rank=2)
    layer = model.get_layer("block_0").mlp.hidden
    layer.lora_kernel_b.assign(np.full(layer.lora_kernel_b.shape, 0.01))
    a, b = numpy(layer.lora_kernel_a), numpy(layer.lora_kernel_b)
    expected = numpy(layer._kernel) + a @ b
    new = keras_vit.for_finetuning(model, classes=None)
    found = numpy(new.get_layer("block_0").mlp.hidden.kernel)
    np.testing.assert_allclose(found, expected, atol=1e-6)
