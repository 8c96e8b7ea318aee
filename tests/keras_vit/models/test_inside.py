"""A model of ours inside a user's: found, or the message says the call that works."""

import re

import keras
import numpy as np
import pytest

import keras_vit
from tests.contracts import forward, numpy
from tests.keras_vit.ecosystem.models import images, make

SHAPE = (8, 12, 3)


@keras.saving.register_keras_serializable(package="tests")
class Wrapped(keras.Model):
    """A subclassed model with an own head."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.own = keras.layers.Dense(2, name="own")

    def call(self, inputs):
        return self.own(self.backbone(inputs))


def wrapped(kind: str, model: keras.Model) -> keras.Model:
    """A user's model with one of ours and a layer `own`."""
    own = keras.layers.Dense(2, name="own")
    if kind == "subclassed":
        outer = Wrapped(model)
        outer(np.zeros((1, *SHAPE), "float32"))
        return outer
    if kind == "Sequential":
        return keras.Sequential([keras.Input(SHAPE), keras.layers.Rescaling(2.0), model, own])
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, own(model(keras.layers.Rescaling(2.0)(inputs))))


WRAPPERS = {
    "functional": "model.get_layer('inner')",
    "Sequential": "model.get_layer('inner')",
    "subclassed": "model.backbone",
}


def names(weights) -> set[str]:
    return {"/".join(weight.path.split("/")[-3:]) for weight in weights}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_low_rank_updates_of_the_vit_inside(kind):
    vit = make("vit", name="inner")
    outer = wrapped(kind, vit)
    before = numpy(forward(outer, images()))
    keras_vit.enable_lora(outer, rank=2)
    alone = make("vit", name="inner")
    keras_vit.enable_lora(alone, rank=2)
    own = names(outer.get_layer("own").weights)
    assert names(outer.trainable_weights) == names(alone.trainable_weights) | own
    np.testing.assert_allclose(numpy(forward(outer, images())), before, atol=1e-6)
    with pytest.raises(ValueError, match="has LoRA already"):
        keras_vit.enable_lora(outer, rank=2)


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_head_and_norms_of_the_model_inside(family):
    outer = wrapped("functional", make(family, name="inner"))
    keras_vit.train_only_head_and_norms(outer)
    trained = names(outer.trainable_weights)
    assert trained > names(outer.get_layer("own").weights)
    assert all(re.search("own|head|norm", name) for name in trained)


def test_pretraining_with_low_rank_updates():
    masked = keras_vit.pretraining.MaskedPatchModel(make("vit"))
    keras_vit.enable_lora(masked, rank=2)
    trained = [weight.path for weight in masked.trainable_weights if "lora" not in weight.path]
    assert len(masked.trainable_weights) - len(trained) == 24  # two factors of six layers, twice
    assert [path.split("/")[-2] for path in trained] == ["corrupt", "prediction", "prediction"]


@pytest.mark.parametrize("kind", WRAPPERS)
def test_fine_tuning_takes_what_is_inside(kind):
    """What stands around it would be lost."""
    outer = wrapped(kind, make("vit", name="inner"))
    message = re.escape(f"give that one: for_finetuning({WRAPPERS[kind]}, ...)")
    with pytest.raises(ValueError, match=message):
        keras_vit.for_finetuning(outer, classes=5)
    inner = eval(WRAPPERS[kind], {"model": outer})
    assert keras_vit.for_finetuning(inner, classes=5).output_shape == (None, 5)
    with pytest.raises(ValueError, match=re.escape(f"export_weights({WRAPPERS[kind]}, ...)")):
        keras_vit.export_weights(outer, "unused.npz")


def test_the_call_for_what_cannot_be_seen():
    vit = make("vit", name="inner")
    outer = wrapped("subclassed", vit)
    with pytest.raises(ValueError, match=r"is inside: features\(model\.backbone, \.\.\.\)"):
        keras_vit.features(outer)
    with pytest.raises(ValueError, match=r"is inside: attention_map\(model\.backbone, \.\.\.\)"):
        keras_vit.inspection.attention_map(outer, images())
    frames = keras.Sequential([keras.Input((2, *SHAPE)), keras.layers.TimeDistributed(vit)])
    place = r"features\(model\.get_layer\('time_distributed.*'\)\.layer, \.\.\.\)"
    with pytest.raises(ValueError, match=place):
        keras_vit.features(frames)
    left, right = keras.Input(SHAPE), keras.Input(SHAPE)
    pair = keras.Model([left, right], keras.layers.Add()([vit(left), vit(right)]))
    with pytest.raises(ValueError, match=r"call it once; .* features\(model\.get_layer\('inner'\)"):
        keras_vit.features(pair)
    apart = keras.Model(vit.input, keras.layers.Dense(2)(vit.get_layer("pooling").output))
    with pytest.raises(ValueError, match="has single layers of one; give that one, which shares"):
        keras_vit.enable_lora(apart, rank=1)
    with pytest.raises(ValueError, match="this NoneType has none inside"):
        keras_vit.features(None)


def test_nothing_trains_in_what_is_frozen():
    outer = wrapped("functional", make("vit", name="inner"))
    outer.trainable = False
    with pytest.raises(ValueError, match=r"which has inner inside, is frozen.*trainable = True"):
        keras_vit.enable_lora(outer, rank=1)
