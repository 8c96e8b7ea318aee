"""Which model some weights are for, and a study to which they can be added."""

import pytest

from studies.advise.session import MODELS, Question, _study, _with_starts
from studies.advise.weights import Start, _found
from studies.records.place import Here
from studies.running.results_folder import merge

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("model", "weights", "base"),
    [
        (None, "augreg-imagenet21k", "ViT-Ti/16"),  # the smallest of ten
        (None, "dinov2", "ViT-S/14"),
        (None, "bit-m", "BiT-R50x1"),
        ("ViT-S/16", "augreg-imagenet21k", "ViT-S/16"),
    ],
)
def test_a_published_name_is_taken_for_its_smallest_model_unless_one_is_said(model, weights, base):
    assert _found(model, weights) == {
        "name": weights, "weights": weights, "base": base, "overrides": {}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "told"),
    [("nowhere", "neither a file nor"), (".", "is a folder"), (__file__, "test_weights.py")],
)
def test_what_is_no_weights_is_answered_by_one_sentence(weights, told):
    answer = _found(None, weights)
    assert told in answer["error"] and "\n" not in answer["error"]


def test_weights_can_be_added_to_what_is_there_and_left_out_again(tmp_path):
    plain = _with_starts(_study(Question("digits", Here(tmp_path))), [])
    given = [Start("dinov2", "dinov2", "ViT-S/14", {}), Start("mine", "mine.npz", "ViT-B/16", TINY)]
    more = _with_starts(plain, given)
    assert list(plain.arms) == list(MODELS)
    assert list(more.arms) == [*MODELS, "ViT-S/14 dinov2", "ViT-64x2/8 mine"]
    for name in MODELS:  # what was trained before is what it was
        assert more.arms[name].entry == plain.arms[name].entry
        assert more.arms[name].pretraining is None
    tuned = more.arms["ViT-64x2/8 mine"]
    assert tuned.pretraining.weights == "mine.npz" and tuned.entry.overrides == TINY
    for old, new in ((plain, more), (more, plain)):
        assert list(merge(old, new, tmp_path).arms) == list(more.arms)


TINY = {"hidden_size": 64, "num_layers": 2, "patch_size": [8, 8]}
