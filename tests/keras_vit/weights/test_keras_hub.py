"""keras-hub's own ViT, tiny and random, against ours."""

import keras
import keras_hub
import numpy as np
import pytest

import keras_vit
from tests.keras_vit.weights import files

OURS = dict(
    input_shape=(8, 12, 3),
    patch_size=4,
    num_layers=2,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
    activation="gelu",
)


def classifier(
    rng: np.random.Generator, pooling: str = "token", class_token: bool | None = None, **options
) -> keras.Model:
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(8, 12, 3),
        patch_size=4,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
        use_class_token=pooling == "token" if class_token is None else class_token,
    )
    model = keras_hub.models.ViTImageClassifier(backbone, num_classes=3, pooling=pooling, **options)
    for weight in model.weights:
        shift = 1.0 if weight.path.endswith("gamma") else 0.0
        weight.assign((shift + rng.normal(scale=0.3, size=weight.shape)).astype("float32"))
    return model


def assert_parity(model: keras.Model, source: keras.Model, rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 8, 12, 3)).astype("float32")
    expected = files.outputs(source, images)
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(files.outputs(model, images), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("representation", [None, 5])
def test_classifier(rng, tmp_path, kind, representation):
    source = classifier(rng, intermediate_dim=representation)
    path = tmp_path / "vit.weights.h5"
    if kind == "file":
        source.save_weights(path)
    else:
        path = tmp_path / "preset"
        source.save_to_preset(path)
    model = keras_vit.VisionTransformer(**OURS, representation_size=representation)
    keras_vit.load_weights(model, path)
    assert_parity(model, source, rng)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_averaging_without_class_token(rng, tmp_path, kind):
    source = classifier(rng, pooling="gap")
    path = tmp_path / ("vit.weights.h5" if kind == "file" else "preset")
    source.save_weights(path) if kind == "file" else source.save_to_preset(path)
    model = keras_vit.VisionTransformer(**OURS, classifier="gap")
    keras_vit.load_weights(model, path)
    assert_parity(model, source, rng)


@pytest.mark.parametrize(("pooling", "class_token"), [("gap", True), ("token", False)])
def test_a_head_on_other_features_is_refused(rng, tmp_path, pooling, class_token):
    source = classifier(rng, pooling, class_token)
    source.save_to_preset(tmp_path / "preset")
    model = keras_vit.VisionTransformer(**OURS, classifier="token" if class_token else "gap")
    words = f"has pooling='{pooling}' {'with' if class_token else 'without'} a class token"
    with pytest.raises(ValueError, match=f'{words}, which no model here .*; head="replace" loads'):
        keras_vit.load_weights(model, tmp_path / "preset")
    keras_vit.load_weights(model, tmp_path / "preset", head="replace")
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], 0)


def test_backbone_below_a_new_head(rng, tmp_path):
    source = classifier(rng).backbone
    source.save_weights(tmp_path / "backbone.weights.h5")
    model = keras_vit.VisionTransformer(**OURS)
    with pytest.raises(ValueError, match=r"missing in the file: predictions/vars/0(.|\n)*replace"):
        keras_vit.load_weights(model, tmp_path / "backbone.weights.h5")
    keras_vit.load_weights(model, tmp_path / "backbone.weights.h5", head="replace")
    features = keras.Model(model.input, model.get_layer("encoder_norm").output)
    images = rng.normal(size=(2, 8, 12, 3)).astype("float32")
    expected = files.outputs(source, images)
    np.testing.assert_allclose(files.outputs(features, images), expected, atol=1e-5)
