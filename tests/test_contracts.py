"""Runs every contract of `tests.contracts` over every exported layer and model."""

import keras
import pytest

from tests import contracts
from tests.contracts import Case

ALL = contracts.cases()
each = pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
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
def test_file_round_trip(case: Case, tmp_path):
    contracts.file_round_trip(case, tmp_path)


@each_trained
def test_training_changes_every_weight(case: Case):
    contracts.training_changes_every_weight(case, jit_compile=False, run_eagerly=True)


@pytest.mark.parametrize("cls", sorted({case.cls for case in ALL if case.trains}))
def test_training_compiled(cls: str, backend: str):
    """The first case of each class, compiled the way each backend offers it."""
    case = next(case for case in ALL if case.cls == cls and case.trains)
    # PyTorch's compiler takes minutes and needs a C++ toolchain; its "auto" is eager, too.
    contracts.training_changes_every_weight(case, jit_compile=backend != "torch")


@each
def test_inference_ignores_the_random_numbers(case: Case):
    contracts.inference_ignores_the_random_numbers(case)


@each
@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_bfloat16", 0.06), ("mixed_float16", 0.01)]
)
def test_low_precision(case: Case, policy: str, tolerance: float):
    contracts.low_precision(case, policy, tolerance)


@pytest.mark.parametrize("case", [c for c in ALL if c.masks], ids=lambda case: case.id)
def test_mask_is_handed_on(case: Case):
    contracts.mask_is_handed_on(case)


@each
def test_names_do_not_depend_on_the_past(case: Case):
    contracts.names_do_not_depend_on_the_past(case)


def test_global_policy_and_data_format_are_honoured():
    """A layer built under a global policy has it, all the way down."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for case in ALL:
            layer = case.make()
            layer(case.inputs())
            assert contracts.policies(layer) == {"mixed_bfloat16"}, case.id
    finally:
        keras.config.set_dtype_policy("float32")
