"""What a report says that its intervals hold."""

import pytest

from studies.records.frames import read_results, summary_frame
from studies.records.layout import outcomes_path
from studies.report.evidence import gather
from studies.report.held import intervals_text
from tests.studies.synthetic import make_records, make_study, write_folder

pytestmark = pytest.mark.once

SHORT = (500, 1000, 2000, 5000)


def told_of(folder):
    """The section."""
    results = read_results(folder)
    return intervals_text(results, gather(results))


def test_one_seed_s_intervals_are_said_to_hold_the_test_images_alone(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT, seeds=1)
    told = told_of(write_folder(tmp_path / "one", study, make_records(study)))
    assert summary_frame(read_results(tmp_path / "one"))["interval"].unique() == [
        "test images alone"
    ]
    assert "one seed: the test set's error alone" in told
    assert "a seed draws the training images" not in told
    write_folder(tmp_path / "none", study, make_records(study), outcomes=False)
    assert summary_frame(read_results(tmp_path / "none"))["interval"].unique() == ["none"]


def test_what_else_must_be_said_of_intervals_is_said_once_and_of_which(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT)
    records = make_records(study)
    whole = told_of(write_folder(tmp_path / "whole", study, records))
    assert "over seeds alone: one draw" not in whole
    folder = write_folder(tmp_path / "lost", study, records)
    lost = next(r for r in records if (r["size"], r["model"]) == (2000, "vit-s"))
    outcomes_path(folder, lost["trial_id"]).unlink()
    told = told_of(folder)
    note = "over seeds alone: one draw, test set not in the interval"
    assert told.count(note) == 1
    assert f'- Some of those at 2,000 training images: "{note}".' in told
