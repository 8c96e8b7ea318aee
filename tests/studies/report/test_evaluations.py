"""What further evaluations measured, as a report tells it."""

import pytest

from studies.analysis import mean_interval
from studies.records.frames import read_results
from studies.report.evaluations import evaluation_means, evaluations_text
from tests.studies.synthetic import kind_records, make_kind, write_folder

pytestmark = pytest.mark.once


def test_shares_have_intervals_between_0_and_1_and_other_numbers_have_not(tmp_path):
    content = {"evaluations": {"probe": {"kind": "linear_probe"}}, "sizes": [500]}
    study = make_kind(content)

    def metrics(trial):
        return {"probe_top1": 0.99 - 0.03 * trial.seed, "rank": 1.5 + trial.seed}

    results = read_results(
        write_folder(tmp_path, study, kind_records(study, lambda trial: 0.2, metrics))
    )
    means = evaluation_means(results, "tensorflow", 0.9).set_index(["metric", "arm"])
    share, rank = (means.loc[metric, "vit-s"] for metric in ("probe_top1", "rank"))
    assert 0.0 < share["low"] < share["mean"] == 0.975 and share["mean"] < share["high"] < 1.0
    plain = mean_interval([1.5, 2.5], 0.9)
    assert (rank["low"], rank["high"]) == (plain.low, plain.high) and plain.low < 0
    text = evaluations_text(results, means.reset_index(), 0.9)
    assert "0.975 (" in text and "to 1.1" not in text
