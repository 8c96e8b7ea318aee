"""What a report says of how its numbers came about."""

import pytest

from studies.records.frames import read_results
from studies.report.provenance import augmentation, how_it_was_made, state
from studies.study.recipe import Recipe
from tests.studies.synthetic import (
    kind_records,
    make_kind,
    make_records,
    make_study,
    write_folder,
)

pytestmark = pytest.mark.once


def test_only_what_is_done_to_images_and_models_is_told():
    assert augmentation(Recipe()) == "crop"
    assert augmentation(Recipe(augmentation="none")) == "none"
    assert augmentation(Recipe(augmentation="none", mixup=0.2)) == "mixup (alpha 0.2)"
    everything = Recipe(
        augmentation="crop_flip",
        randaugment_layers=2,
        randaugment_magnitude=15,
        mixup=0.2,
        cutmix=1,
        random_erasing=0.25,
        dropout_rate=0.1,
        attention_dropout_rate=0.3,
        stochastic_depth_rate=0.2,
        scramble=7,
    )
    assert augmentation(everything) == (
        "crop_flip and RandAugment (2 layers, magnitude 15) and mixup (alpha 0.2) and CutMix (alpha 1) and "
        "random erasing (0.25) and dropout 0.1 and dropout of attention 0.3 and stochastic depth 0.2 and "
        "cells of 7 pixels scrambled"
    )


@pytest.mark.parametrize(("waiting", "told"), [(None, False), (0.01, False), (0.24, True)])
def test_waiting_for_images_is_told_where_it_matters(tmp_path, waiting, told):
    study = make_study(["vit-s", "bit-s"], [500], seeds=1)
    records = [{**record, "waiting": waiting} for record in make_records(study)]
    text = how_it_was_made(read_results(write_folder(tmp_path, study, records)))
    assert "Training images a second" in text
    assert ("up to 24 % of the time was spent waiting for images" in text) == told
    assert told or "waiting" not in text


@pytest.mark.parametrize(
    ("again", "told"), [((), ""), ((0,), "of 1 training "), ((0, 1), "of 2 trainings ")]
)
def test_evaluations_of_other_weights_than_the_records_are_told(tmp_path, again, told):
    study = make_kind({"evaluations": {"attention": {}}, "seeds": 1})
    records = kind_records(study, lambda trial: 0.3, lambda trial: {"far": 4.0})
    ids = sorted({record["pretrain_id"] for record in records})
    for record in records:
        later = record["evaluation"] != "standard" and ids.index(record["pretrain_id"]) in again
        record["weights_sha256"] = record["pretrain_id"] * (3 if later else 4)
    text = how_it_was_made(read_results(write_folder(tmp_path, study, records, outcomes=False)))
    assert f"- Note: {told}the evaluations are of different weights" in text or not told
    assert told or "different weights" not in text


def test_of_many_failed_trials_and_lines_passed_over_a_few_are_told_and_the_others_counted(
    tmp_path,
):
    study = make_study(["vit-s", "bit-s"], [500], seeds=15)
    records = [
        {**record, "status": "failed", "reason": "no room"} for record in make_records(study)
    ]
    folder = write_folder(tmp_path, study, records)
    with (folder / "trials.jsonl").open("a") as file:
        file.write("torn\n" * 25)
    text = state(read_results(folder))
    assert "0 of 30 trials finished, 30 failed, 0 to come" in text
    assert text.count("no room") == 20 and "- 10 more, in `trials.jsonl`." in text
    assert text.count("not a whole record") == 20
    assert "- Note: 5 more lines of it were passed over." in text
