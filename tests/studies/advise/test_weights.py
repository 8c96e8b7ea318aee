"""Which model some weights are for, and a study to which they can be added."""

import pytest

from studies.advise.design import MODELS, Question, from_scratch, with_starts
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
    plain = with_starts(from_scratch(Question("digits", Here(tmp_path))), [])
    given = [Start("dinov2", "dinov2", "ViT-S/14", {}), Start("mine", "mine.npz", "ViT-B/16", TINY)]
    more = with_starts(plain, given)
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


def test_models_of_two_files_are_two_where_they_differ(tmp_path):
    """Equal in width, depth and patch, or both BiT: what differs between them must not be lost."""
    question = Question("digits", Here(tmp_path))
    google, timm = TINY | {"activation": "gelu_tanh"}, TINY | {"activation": "gelu"}
    small, large = {"block_counts": [3, 4, 6, 3]}, {"block_counts": [3, 4, 23, 3]}
    given = [
        Start("google-s", "google-s.npz", "ViT-B/16", google),
        Start("timm-s", "timm-s.safetensors", "ViT-B/16", timm),
        Start("r50", "r50.npz", "BiT-R50x1", small),
        Start("r101", "r101.npz", "BiT-R50x1", large),
        Start("again", "again.npz", "BiT-R50x1", small),
    ]
    plain = with_starts(from_scratch(question), [])
    study = with_starts(plain, given)
    tuned = {arm.levels["start"]: arm for arm in study.arms.values() if arm.pretraining}
    assert {name: arm.entry.overrides for name, arm in tuned.items()} == {
        start.name: start.overrides for start in given
    }
    # The first has the name that it had alone, so that its trials keep their ids.
    assert {name: arm.model for name, arm in tuned.items()} == {
        "google-s": "ViT-64x2/8", "timm-s": "ViT-64x2/8-2",
        "r50": "BiT", "r101": "BiT-2", "again": "BiT",
    }  # fmt: skip

    # What a folder was begun with keeps its name, whatever is given first, or alone, later.
    for later in (given[::-1], given[3:4]):
        more = with_starts(plain, later, begun=study)
        both = merge(study, more, tmp_path)
        assert set(both.arms) == set(study.arms)
    new = Start("r152", "r152.npz", "BiT-R50x1", {"block_counts": [3, 8, 36, 3]})
    assert "BiT-3 r152" in merge(study, with_starts(plain, [new], begun=study), tmp_path).arms
