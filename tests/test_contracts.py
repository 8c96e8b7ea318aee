"""Runs every contract of `tests.contracts` over every exported layer and model."""

import keras
import pytest

from tests import contracts
from tests.contracts import Case
from tests.keras_vit.gradients import value_and_gradient

ALL = contracts.cases()
each = pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
FIRST = list({case.cls: case for case in reversed(ALL)}.values())
each_class = pytest.mark.parametrize("case", FIRST, ids=lambda case: case.cls)
each_trained = pytest.mark.parametrize(
    "case", [case for case in ALL if case.trains], ids=lambda case: case.id
)


def test_every_exported_class_has_a_case():
    assert {case.cls for case in ALL} == contracts.exported_classes()


@each
def test_shapes_agree(case: Case):
    contracts.shapes_agree(case)


@each
def test_config_round_trip(case: Case):
    contracts.config_round_trip(case)


@each
def test_config_holds_constructor_arguments(case: Case):
    contracts.config_holds_constructor_arguments(case)


@each
def test_numpy_numbers_are_numbers(case: Case):
    contracts.numpy_numbers_are_numbers(case)


@each
def test_file_round_trip(case: Case, tmp_path):
    contracts.file_round_trip(case, tmp_path)


@pytest.mark.parametrize("case", [c for c in FIRST if c.trains], ids=lambda case: case.cls)
def test_what_trains_is_kept(case: Case, tmp_path):
    contracts.what_trains_is_kept(case, tmp_path)


@each_trained
def test_training_changes_every_weight(case: Case, backend: str):
    """In the mode that starts quickest: JAX compiles one program sooner than those of all operations."""
    compiled = backend == "jax"
    contracts.training_changes_every_weight(case, jit_compile=compiled, run_eagerly=not compiled)


@pytest.mark.parametrize("cls", ["TransformerBlock", "VisionTransformer", "ResNet"])
def test_training_in_the_other_mode(cls: str, backend: str):
    """Compiled by XLA where there is XLA, without compiling where that is not the default."""
    case = next(case for case in ALL if case.cls == cls)
    if backend == "jax" and cls == "TransformerBlock":
        contracts.training_changes_every_weight(case, run_eagerly=True)
    elif backend != "torch":
        contracts.training_changes_every_weight(case, jit_compile=True)
    else:
        # PyTorch's compiler takes minutes and needs a C++ toolchain: this is its "auto".
        contracts.training_changes_every_weight(case, jit_compile="auto")


HYBRID = [case for case in ALL if "stem_block_counts" in case.arguments]


@pytest.mark.parametrize("case", [*FIRST, *HYBRID], ids=lambda case: case.id)
def test_an_empty_batch(case: Case):
    """As the last of a set of images that is cut into batches may be; forward and backward."""
    layer, inputs = contracts.built(case), keras.ops.convert_to_tensor(case.inputs(0))
    output, gradient = value_and_gradient(layer, inputs)
    assert output.shape == layer.compute_output_shape(inputs.shape) and output.shape[0] == 0
    assert gradient.shape == (0, *case.shape)


@each
def test_inference_draws_no_random_numbers(case: Case):
    contracts.inference_draws_no_random_numbers(case)


@each
def test_mixed_bfloat16(case: Case):
    contracts.low_precision(case, "mixed_bfloat16", tolerance=0.06)


@each_class
def test_mixed_float16(case: Case):
    contracts.low_precision(case, "mixed_float16", tolerance=0.01)


@pytest.mark.parametrize("case", [c for c in ALL if c.masks], ids=lambda case: case.id)
def test_mask_is_handed_on(case: Case):
    contracts.mask_is_handed_on(case)


@each
def test_names_do_not_depend_on_the_past(case: Case):
    contracts.names_do_not_depend_on_the_past(case)


def test_a_global_policy_is_honoured():
    """A layer built under a global policy has it, all the way down."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for case in FIRST:
            assert contracts.policies(contracts.built(case)) == {"mixed_bfloat16"}, case.id
    finally:
        keras.config.set_dtype_policy("float32")
