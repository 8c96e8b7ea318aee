"""The frame of further evaluations."""

import pytest

from studies.records.evaluations import evaluations_frame, metrics_of, shown
from studies.records.frames import read_results, summary_frame
from tests.studies.synthetic import kind_records, make_kind, write_folder

pytestmark = pytest.mark.once

PROBES = {
    "probe": {"kind": "linear_probe", "of": "pretraining"},
    "attention": {},
}
BEFORE = {"dataset": "shapes", "image_size": 28, "sizes": [1000, 10000]}


def test_standard_records_and_further_ones_do_not_mix(tmp_path):
    study = make_kind(
        {"x": "pretraining_images", "pretraining": BEFORE, "evaluations": PROBES, "seeds": 1}
    )
    records = kind_records(study, lambda trial: 0.3, lambda trial: {"far": 4.0, "far_1_2": 1.0})
    results = read_results(write_folder(tmp_path, study, records, outcomes=False))
    assert len(results.frame) == 2 * 2 * 2  # models, pre-trainings, sizes
    assert results.finished == results.planned == len(records)
    frame = evaluations_frame(results)
    assert len(frame) == len(records) - len(results.frame)
    # Of the pre-trained model: as many as there are of these, and no number of labels.
    probes = frame[frame["evaluation"] == "probe"]
    assert len(probes) == 2 * 2 and probes["size"].isna().all()
    assert sorted(set(probes["x"])) == [1000.0, 10000.0]
    after = frame[frame["evaluation"] == "attention"]
    assert sorted(set(after["size"])) == [500, 5000]
    assert set(after["curve"]) == {"vit-s", "bit-s"}
    assert metrics_of(frame, "probe") == ["far", "far_1_2"]
    assert list(summary_frame(results)["model"].unique()) == list(results.arms)


def test_without_any_the_frame_is_empty(tmp_path):
    study = make_kind({})
    results = read_results(write_folder(tmp_path, study, kind_records(study, lambda t: 0.3)))
    assert not len(evaluations_frame(results)) and not results.extras


def test_single_heads_are_not_shown():
    names = ["attention_distance", "attention_distance_3", "attention_distance_3_2", "probe_top1"]
    assert shown(names) == ["attention_distance", "attention_distance_3", "probe_top1"]
