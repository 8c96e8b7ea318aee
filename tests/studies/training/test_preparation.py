"""Given weights give, for images as the studies prepare them, what they give for theirs."""

import keras
import numpy as np
import pytest

import keras_vit
from studies.data.batches import to_float
from studies.errors import TrialError
from studies.study.chain import Finetuning
from studies.study.recipe import Recipe
from studies.training.checkpoint import CheckpointFolder
from studies.training.preparation import read_as_studies_prepare
from studies.training.start import first_model
from tests.contracts import randomise
from tests.studies.descriptions import TINY, on_digits

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {"num_layers": 1, "hidden_size": 8, "mlp_dim": 8, "num_heads": 1}


def vit(shape=(8, 8, 3), **arguments):
    model = keras_vit.create_model("ViT-Ti/4", shape, classes=3, **SMALL, **arguments)
    randomise(model)
    model.preprocessing = keras_vit.Preprocessing(MEAN, DEVIATION)
    return model


def outputs(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


@pytest.mark.parametrize("arguments", [{}, {"patch_bias": False, "pre_norm": True}])
def test_outputs_are_those_of_images_that_are_prepared_as_the_weights_were(arguments, rng):
    model = vit(**arguments)
    images = rng.integers(0, 256, size=(4, 8, 8, 3)).astype("uint8")
    expected = outputs(model, keras_vit.preprocess_input(images, model))
    assert np.abs(outputs(model, to_float(images)) - expected).max() > 1e-3  # what is at stake
    read_as_studies_prepare(model)
    np.testing.assert_allclose(outputs(model, to_float(images)), expected, atol=1e-5)
    # And whoever gets the model prepares images as they were here.
    prepared = keras_vit.preprocess_input(images, model)
    np.testing.assert_allclose(prepared, to_float(images), atol=1e-6)
    read_as_studies_prepare(model)
    np.testing.assert_allclose(outputs(model, to_float(images)), expected, atol=1e-5)


def test_what_is_in_minus_one_to_one_already_stays_bit_for_bit():
    model = vit()
    for known in (None, keras_vit.Preprocessing()):
        model.preprocessing = known
        before = model.get_weights()
        read_as_studies_prepare(model)
        assert all(map(np.array_equal, before, model.get_weights()))
        assert model.preprocessing == known


@pytest.mark.parametrize(
    "arguments",
    [
        {"stem_block_counts": (), "patch_size": 1},
        {"patch_bias": False, "position_embedding": "sincos2d"},
    ],
)
def test_a_model_that_cannot_take_it_in_is_refused(arguments):
    shape = (32, 32, 3) if "stem_block_counts" in arguments else (8, 8, 3)
    model = vit(shape, **arguments)
    with pytest.raises(TrialError, match=r"\(0.485, 0.456, 0.406\).* cannot make up for: give oth"):
        read_as_studies_prepare(model)


@pytest.mark.filterwarnings("ignore:google would compute:UserWarning")
def test_a_fine_tuning_starts_from_such_weights(backend, tmp_path, rng):
    """Grey images take the means over the channels."""
    source = keras_vit.create_model("ViT-Ti/4", (8, 8, 3), 3, seed=5, **TINY)
    randomise(source)
    gray = keras_vit.Preprocessing((0.4,) * 3, (0.2,) * 3)
    source.preprocessing = gray
    keras_vit.export_weights(source, tmp_path / "vit.npz")
    given = on_digits(backend, Recipe(), objective="none", weights=str(tmp_path / "vit.npz"))
    last = on_digits(backend, Recipe(steps=4), start=given, finetuning=Finetuning())
    model = first_model(last, CheckpointFolder(tmp_path / "none"))
    images = rng.integers(0, 256, size=(4, 8, 8, 1)).astype("uint8")
    colours = keras_vit.preprocess_input(np.repeat(images, 3, axis=-1), source)
    expected, found = (
        outputs(keras_vit.features(each, -1), batch)
        for each, batch in ((source, colours), (model, to_float(images)))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
