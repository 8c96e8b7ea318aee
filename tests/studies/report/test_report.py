"""Reports from synthetic records: the right answer, in words, whatever state the study is in."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from studies.errors import UsageError
from studies.records.frames import read_results, summary_frame
from studies.report import report as report_module
from studies.report.report import write_report
from tests.studies.synthetic import (
    CURVES,
    SIZES,
    make_records,
    make_study,
    write_folder,
)

pytestmark = pytest.mark.once


def answer_of(text):
    """The bold sentence that follows the question."""
    return re.findall(r"^\*\*(.+)\*\*$", text, re.MULTILINE)[1]


def numbers(text):
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\d{3}", text)]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    study = make_study()
    folder = write_folder(tmp_path_factory.mktemp("full"), study, make_records(study))
    assert write_report(folder).path == folder / "report.md"
    return folder


@pytest.fixture(scope="module")
def report(full):
    return (full / "report.md").read_text()


def test_the_answer_comes_first_and_holds_the_truth(report):
    told = answer_of(report)
    assert told.startswith("vit-s overtakes bit-s at about ")
    assert "measured; 90 % interval" in told
    size, low, high = numbers(told.split("The fitted laws")[0])[:3]
    assert low < 7651 < high and low < size < high  # where the simulated curves cross
    assert "The fitted laws cross at" in told


def test_no_crossing_in_the_measured_range_comes_with_a_marked_forecast(report):
    line = next(line for line in report.splitlines() if line.startswith("- vit-m"))
    assert "vit-m does not catch up with bit-s between 500 and 50,000 training images" in line
    assert "points (90 % interval" in line and "behind" in line
    assert "extrapolation" in line


def test_a_crossing_below_the_measured_sizes_is_not_told_as_one_to_come(tmp_path):
    study = make_study(["bit-s", "vit-s"], [10000, 20000, 50000])  # they cross at 7,651
    text = write_report(write_folder(tmp_path, study, make_records(study))).path.read_text()
    told = answer_of(text)
    assert told.startswith(("vit-s is ahead of bit-s all the way", "bit-s does not catch up"))
    assert "forecast no crossing at more images; they cross below the measured sizes" in told
    assert "extrapolation" in told


def test_the_head_names_data_and_sizes(report):
    for text in (
        "fashion_mnist", "28x28x1", "10 classes", "54,000 train", "10,000 test", "10,000 steps",
        "batches of 128", "hidden_size=64", "140,000", "21.8", "3 seeds",
    ):  # fmt: skip
        assert text in report
    assert "matched in FLOPs to within 10 %" in report
    assert "vit-m has 1.55 times the forward FLOPs" in report  # 32.4 / 20.9
    assert "**not matched in FLOPs**" in report


def test_how_it_was_made(report):
    time = "2 h 06 min"  # 63 * 120 s
    for text in ("abcdef0", "keras 3.15.1", "cpu", "Threads a trial: 1", time):
        assert text in report
    assert "standard error of up to 0.50 points" in report  # sqrt(.25 / 10,000), the test set


def test_all_commands_that_were_typed_are_told(tmp_path):
    study = make_study(["vit-s"], [500], 1).model_copy(update={"command": "run a\nrun b"})
    text = write_report(write_folder(tmp_path, study, make_records(study))).path.read_text()
    assert "- Commands, in turn: `run a`, `run b`\n" in text


def test_what_the_intervals_are_is_told(report):
    assert "Student's t" in report and "logit scale by the delta method" in report
    assert "residual bootstrap" in report and "seeds as blocks" in report


def test_intervals_of_scattered_seeds_stay_between_0_and_100_percent(tmp_path):
    study = make_study(["vit-s", "bit-s"], [500, 1000], seeds=2)
    records = make_records(study)
    for record in records:
        record["metrics"]["test_top1"] = 0.99 if record["seed"] else 0.4
    folder = write_folder(tmp_path, study, records)
    summary = summary_frame(read_results(folder))
    assert (summary["test_top1_low"] > 0).all() and (summary["test_top1_high"] < 1).all()


def test_tables_hold_the_means(report):
    study = make_study()
    values = [
        100 * r["metrics"]["test_top1"]
        for r in make_records(study)
        if (r["model"], r["size"]) == ("bit-s", 1000)
    ]
    row = next(line for line in report.splitlines() if line.startswith("| 1,000 |"))
    assert f"| {np.mean(values):.1f} (" in row


def test_a_name_is_not_taken_for_mathematics_and_a_long_path_is_shortened(tmp_path, monkeypatch):
    study = make_study(models=["vit-s"], sizes=[500, 1000], seeds=1)
    records = make_records(study)
    for record in records:
        record["model"] = r"$\frac$"  # not a formula that can be drawn
    entry = study.models["vit-s"].model_copy(update={"name": r"$\frac$"})
    dataset = r"folder:/a/very/long/path/my $\frac$ photos"
    study = study.model_copy(update={"dataset": dataset, "models": {entry.name: entry}})
    for record, trial in zip(records, study.trials(study.data), strict=True):
        record["trial_id"] = trial.trial_id
    drawn = []
    draw = report_module.learning_curves
    monkeypatch.setattr(
        report_module, "learning_curves", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1]
    )
    write_report(write_folder(tmp_path, study, records))
    assert drawn[0].get_title() == r"data-scale: folder:my $\frac$ photos, 28x28x1"


def test_figures_exist_are_linked_and_are_pictures(full, report):
    links = re.findall(r"\]\((figures/[^)]+)\)", report)
    assert links == [f"figures/{n}.png" for n in ("accuracy", "laws", "fewshot", "training")]
    for link in links:
        assert (full / link).read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (full / "figures").iterdir()) == sorted(
        link.removeprefix("figures/") for link in links
    )


def test_summary_has_a_row_a_model_and_size(full):
    summary = pd.read_csv(full / "summary.csv")
    assert len(summary) == 3 * len(SIZES)
    assert summary["seeds"].tolist() == [3] * 21
    assert (summary["test_top1_low"] < summary["test_top1"]).all()
    assert (summary["test_top1"] < summary["test_top1_high"]).all()
    assert {"model", "backend", "size", "fewshot_5", "flops", "params", "steps", "seconds"} <= set(
        summary.columns
    )
    row = summary[(summary["model"] == "vit-s") & (summary["size"] == 50000)].iloc[0]
    assert 1 - row["test_top1"] == pytest.approx(float(CURVES["vit-s"](50000)), rel=0.1)
    assert row["flops"] == 21_800_000


def test_equal_records_give_equal_bytes(full, tmp_path):
    study = make_study()
    again = write_folder(tmp_path / "elsewhere", study, make_records(study))
    write_report(again)
    for name in ("report.md", "summary.csv", "figures/accuracy.png", "figures/laws.png"):
        assert (again / name).read_bytes() == (full / name).read_bytes(), name


def test_nothing_is_left_behind(full):
    names = {path.name for path in full.iterdir() if not path.name.endswith(".lock")}
    assert names == {"study.toml", "trials.jsonl", "summary.csv", "report.md", "figures"}


def test_the_terminal_table(full):
    lines = write_report(full).table.splitlines()
    assert lines[0].startswith("vit-s overtakes bit-s")
    header = next(line for line in lines if line.lstrip().startswith("images"))
    assert header.split() == ["images", "vit-s", "bit-s", "vit-m"]
    assert lines[-1].split()[0] == "50,000"


def test_a_folder_without_records(tmp_path):
    folder = write_folder(tmp_path, make_study(), [])
    written = write_report(folder)
    assert "No trial has finished yet (0 of 63)" in written.path.read_text()
    assert pd.read_csv(folder / "summary.csv").empty
    assert "No trial has finished yet" in written.table


def test_a_study_that_still_runs(tmp_path):
    study = make_study()
    records = make_records(study)[:8]  # two sizes of one seed, and one more size of two models
    failed = {k: v for k, v in records[0].items() if k not in ("metrics", "history")}
    records[0] = failed | {"status": "failed", "reason": "the loss is NaN\nat step 40"}
    folder = write_folder(tmp_path, study, records)
    with open(folder / "trials.jsonl", "a", encoding="utf-8") as file:
        file.write('{"trial_id": "torn", "metr')
    text = write_report(folder).path.read_text()
    assert "Preliminary: 7 of 63 trials are finished" in text
    assert "vit-s, size 500, seed 0, tensorflow: the loss is NaN at step 40" in text
    assert "7 of 63 trials finished, 1 failed, 55 to come" in text
    assert "one seed only" in text and "not a whole record" in text


def test_one_model_one_size(tmp_path):
    study = make_study(models=["vit-s"], sizes=[500])
    text = write_report(write_folder(tmp_path, study, make_records(study))).path.read_text()
    assert "only one model" in text
    assert "vit-s: no law" in text and "two sizes or more" in text


def test_several_backends_are_compared(tmp_path):
    study = make_study(["vit-s", "bit-s"], [500, 1000, 2000], 1, ["tensorflow", "jax", "torch"])
    records = make_records(study)
    folder = write_folder(tmp_path, study, records)
    text = write_report(folder).path.read_text()
    values = [
        100 * r["metrics"]["test_top1"]
        for r in records
        if (r["model"], r["size"]) == ("vit-s", 1000)
    ]
    row = next(line for line in text.splitlines() if line.startswith("| vit-s | 1,000 | 0 |"))
    assert f"| {max(values) - min(values):.2f} |" in row
    assert "figures/backends.png" in text and "In % on tensorflow" in text
    assert len(pd.read_csv(folder / "summary.csv")) == 2 * 3 * 3


def test_missing_metrics_do_not_hurt(tmp_path):
    study = make_study(models=["vit-s", "bit-s"], sizes=[500, 1000])
    records = make_records(study)
    for number, record in enumerate(records):
        del record["metrics"]["fewshot_25"]
        record["metrics"]["fewshot_10"] = None
        if number % 2:
            record["history"] = []
    text = write_report(write_folder(tmp_path, study, records)).path.read_text()
    assert "vit-s" in text


def test_results_of_another_protocol_are_left_out_and_told(tmp_path):
    study = make_study(models=["vit-s", "bit-s"], sizes=[500, 1000])
    records = make_records(study)
    records[0]["trial_id"] = "0" * 16
    text = write_report(write_folder(tmp_path, study, records)).path.read_text()
    assert "1 record(s) belong to no trial of the study" in text


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"study\.toml"):
        write_report(tmp_path)


def test_a_report_loads_no_backend(full):
    code = (
        "import sys; from studies.report.report import write_report; "
        f"write_report({str(full)!r}); "
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
