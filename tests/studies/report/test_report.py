"""Reports from synthetic records: the right answer, in words, whatever state the study is in."""

import io
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from studies.errors import UsageError
from studies.machine.cloud import Bucket
from studies.records.frames import read_results, summary_frame
from studies.records.layout import outcomes_path
from studies.records.place import Elsewhere, Here
from studies.records.store import ResultsStore
from studies.report import figures as figures_module
from studies.report import report as report_module
from studies.report.evidence import gather
from studies.report.report import write_report
from studies.report.tables import csv
from studies.report.terminal import table_text
from studies.report.text import markdown
from tests.studies.report.pages import Page
from tests.studies.synthetic import (
    CURVES,
    SIZES,
    make_records,
    make_study,
    resnet_error,
    write_folder,
)

pytestmark = pytest.mark.once

SHORT = (500, 1000, 2000, 5000)


def sentences_of(text):
    """The headline: its first sentence is bold, after the question."""
    first, rest = re.findall(r"^\*\*(.+)\*\* (.+)$", text, re.MULTILINE)[0]
    return [first, *rest.split(". ")]


def section(text, title):
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def report_of(folder, study, records, **options):
    """The report's text, without its figures, which take most of the time."""
    results = read_results(write_folder(folder, study, records, **options))
    return markdown(results, gather(results), {})


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    study = make_study()
    folder = tmp_path_factory.mktemp("full") / "run"
    write_folder(folder, study, make_records(study), mislabelled=5)
    written = write_report(folder)
    assert written.path == folder / "report.md"
    (folder.parent / "table").write_text(written.table)
    return folder


@pytest.fixture(scope="module")
def report(full):
    return (full / "report.md").read_text()


def test_the_answer_comes_first_in_three_sentences(report):
    who, images, next_ = sentences_of(report)
    assert who.startswith("vit-s is ahead of bit-s at 50,000 training images, by ")
    size, low, high = (
        int(n.replace(",", ""))
        for n in re.search(r"at about ([\d,]+) .*interval ([\d,]+) to ([\d,]+)\)", who).groups()
    )
    assert low < 7651 < high and low < size < high  # where the simulated curves cross
    assert images.startswith("By forecast, twice the images (100,000) would buy vit-s ")
    assert next_.startswith("Next, collect twice as many images for vit-s")  # 54,000 are there
    # 4.5 x^-0.36 falls by 2.0 points from 50,000 to 100,000.
    told = re.search(r"vit-s (.*?) points \(90 % interval (.*?) to (.*?)\)", images)
    gain, low, high = map(float, told.groups())
    assert low < 2.0 < high and low < gain < high


def test_the_other_pairs_come_below_and_the_laws_below_them(report):
    (line,) = (
        line
        for line in report.splitlines()
        if line.startswith(("- vit-m and bit-s", "- bit-s is ahead of vit-m"))
    )
    assert report.index(line) < report.index("## What more images would buy")
    headline = report.split("![")[0]
    assert not re.search(r"x\^|exponent|miss|law", headline)


def test_a_crossing_below_the_measured_sizes_is_not_told(tmp_path):
    study = make_study(["bit-s", "vit-s"], [10000, 20000, 50000])  # they cross at 7,651
    text = report_of(tmp_path, study, make_records(study))
    assert "overtak" not in text.split("## Accuracy")[0]
    assert "vit-s is nowhere seen behind bit-s" in section(text, "Crossing")


def test_the_head_names_data_and_sizes(report):
    for text in (
        "fashion_mnist", "28x28x1", "10 classes", "54,000 train", "2,000 test", "10,000 steps",
        "batches of 128", "hidden_size=64", "140,000", "21.8", "3 seeds", "each seed's own",
    ):  # fmt: skip
        assert text in report
    assert "500 training images means these and the 6,000 validation images" in report
    assert "matched in FLOPs to within 10 %" in report
    assert "vit-m has 1.55 times the forward FLOPs" in report  # 32.4 / 20.9
    assert "**not matched in FLOPs**" in report


def test_how_it_was_made(report):
    time = "2 h 06 min"  # 63 * 120 s
    for text in ("abcdef0", "keras 3.15.1", "cpu", "Threads a trial: 1", time):
        assert text in report


def test_all_commands_that_were_typed_are_told(tmp_path):
    study = make_study(["vit-s"], [500], 1).model_copy(update={"command": "run a\nrun b"})
    assert "- Commands, in turn: `run a`, `run b`\n" in report_of(
        tmp_path, study, make_records(study)
    )


def test_what_the_intervals_are_is_told(report):
    told = section(report, "What the intervals hold, and what not")
    assert "test images' own error is in the intervals" in told and "Nadeau and Bengio" in told
    assert "standard error of up to" not in report  # it is in the intervals


def test_top1_balanced_accuracy_baseline_and_calibration_stand_beside_each_other(report):
    lines = section(report, "Accuracy").strip().splitlines()
    header, _, baseline, first = (cells(line) for line in lines[2:6])
    assert header == [
        *("images", "model", "test accuracy", "balanced accuracy", "calibration error"),
    ]
    assert baseline == ["any", "*always the commonest class*", "10.0", "10.0", "-"]
    values = [
        100 * r["metrics"]["test_top1"]
        for r in make_records(make_study())
        if (r["model"], r["size"]) == ("vit-s", 500)
    ]
    assert first[:2] == ["500", "vit-s"]
    assert float(first[2].split()[0]) == pytest.approx(np.mean(values), abs=0.3)
    assert "(" in first[3] and float(first[4]) > 0


def test_classes_and_the_best_model_of_each_family(full, report):
    told = section(report, "Class by class")
    header = cells(told.strip().splitlines()[2])
    assert header == ["class", "test images", "vit-s", "bit-s"]  # vit-s is better than vit-m
    assert "figures/confusion.png" in told and "most often takes" in told
    classes = pd.read_csv(full / "classes.csv")
    assert len(classes) == 2 * 10 and set(classes["model"]) == {"vit-s", "bit-s"}
    assert (classes["recall_low"] < classes["recall"]).all()
    assert classes.groupby("model")["test_images"].sum().tolist() == [2000, 2000]


def test_suspect_labels_are_listed_by_number_without_prepared_data(full, report):
    suspects = pd.read_csv(full / "suspects.csv")
    planted = {60000, 60001, 60002, 60003, 60004}
    assert set(suspects["image"].head(5)) == planted
    rows = [cells(line) for line in section(report, "Suspect labels").strip().splitlines()[4:9]]
    assert {int(row[0]) for row in rows} == planted
    for _, label, probably, by in rows:
        number = int(label.removeprefix("class "))
        assert probably == f"class {(number + 1) % 10}" and by == "6 of 6 trials"


def test_suspect_labels_are_listed_by_name_where_the_prepared_data_have_them(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    for name, fingerprint in (("mine-1", "0123"), ("other-2", "9")):
        folder = tmp_path / "cache" / name
        folder.mkdir(parents=True)
        info = {"fingerprint": fingerprint, "files": {}}
        (folder / "info.json").write_text(json.dumps(info))
        names = ", ".join(f'"{name}/{i}.png"' for i in range(60003))
        (folder / "names.json").write_text(f"[{names}]")
    study = make_study(["vit-s", "bit-s"], SHORT)
    text = report_of(tmp_path / "run", study, make_records(study), mislabelled=2)
    rows = section(text, "Suspect labels").strip().splitlines()[4:6]
    assert {cells(row)[0] for row in rows} == {"mine-1/60000.png", "mine-1/60001.png"}


def test_uneven_classes_are_led_by_balanced_accuracy(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT, classes=["ok", "defect"], test=600)
    text = report_of(tmp_path, study, make_records(study), shares=[0.9, 0.1])
    assert "points of balanced accuracy" in text or "in balanced accuracy" in text
    header, _, baseline = (cells(line) for line in section(text, "Accuracy").splitlines()[3:6])
    assert header[2:4] == ["balanced accuracy", "test accuracy"]
    assert baseline[2:4] == ["50.0", "90.0"]


def test_a_model_that_learned_nothing_gets_no_verdict(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT)
    flat = {**CURVES, "vit-s": lambda x: np.full(np.shape(x), 0.9)}
    results = read_results(
        write_folder(tmp_path, study, make_records(study, noise=0.0, curves=flat))
    )
    evidence = gather(results)
    text = markdown(results, evidence, {})
    who, images, next_ = sentences_of(text)
    assert who.startswith("There is no verdict on vit-s and bit-s")
    assert "vit-s learned nothing" in who and "10.0 % of naming the commonest class always" in who
    assert "nothing is forecast for vit-s (learned nothing)" in images
    assert next_.startswith(
        "Next, try more images, another learning rate or longer training for vit-s"
    )
    assert "| 5,000 | vit-s (learned nothing) |" in text
    assert "no verdict: vit-s learned nothing" in section(text, "Differences by size")
    assert "* learned nothing: nothing is concluded from it" in table_text(results, evidence)


def test_an_undertrained_model_gets_no_verdict(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT)
    records = make_records(study)
    for record in records:
        if (record["model"], record["size"]) == ("bit-s", 5000):
            for i, entry in enumerate(record["history"]):  # still rising by a point a validation
                entry["val_top1"], entry["loss"] = 0.5 + 0.01 * i, 2.0 - 0.05 * i
    who, images, next_ = sentences_of(report_of(tmp_path, study, records))
    assert "no verdict" in who and "bit-s is undertrained, as it still gained" in who
    assert "nothing is forecast for bit-s (undertrained)" in images
    assert "train bit-s with twice the steps (20,000)" in next_


def test_equal_models_cannot_be_told_apart_and_what_would_tell_is_told(tmp_path):
    study = make_study(["vit-s", "bit-s"], [40000, 54000], test=400)
    records = make_records(study, curves={"vit-s": resnet_error, "bit-s": resnet_error})
    who, _, next_ = sentences_of(report_of(tmp_path, study, records))
    assert who.startswith("vit-s and bit-s cannot be told apart at 54,000 training images")
    assert re.search(
        r"about .*(seeds|test images) would show a difference of \d+\.\d points", next_
    )


def test_one_seed_tells_no_leader(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT, seeds=1)
    text = report_of(tmp_path, study, make_records(study))
    who, _, next_ = sentences_of(text)
    assert "cannot be told apart" in who and "one seed" in who and "more seeds" in next_
    assert "overtak" not in text and "| vit-s |" not in section(text, "Differences by size")


def test_records_of_schema_1_are_reported_and_marked(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT)
    old = make_records(study, schema=1)
    for number, record in enumerate(old):
        record["trial_id"] = f"old{number}"  # as ids were made then
    text = report_of(tmp_path / "old", study, old)
    assert "Records of schema 1: one draw, test set not in the interval" in text
    assert "24 of 24 trials" not in text and "Preliminary" not in text
    assert "one draw, test set not in the interval" in section(
        text, "What the intervals hold, and what not"
    )
    summary = summary_frame(read_results(tmp_path / "old"))
    assert summary["interval"].unique() == ["seeds alone"]
    # Beside a single new record they do not count any more.
    new = make_records(study)[:1]
    mixed = report_of(tmp_path / "mixed", study, [*old, *new])
    assert "Preliminary: 1 of 24 trials" in mixed and "24 record(s) belong to no trial" in mixed
    assert "schema 1" not in mixed


def test_without_outcomes_the_accuracies_are_taken_and_it_is_said(tmp_path):
    study = make_study(["vit-s", "bit-s"], SHORT)
    records = make_records(study)
    folder = write_folder(tmp_path, study, records)
    lost = next(r for r in records if (r["size"], r["model"]) == (5000, "vit-s"))
    outcomes_path(folder, lost["trial_id"]).write_bytes(b"torn")
    results = read_results(folder)
    summary = summary_frame(results).set_index(["model", "size"])["interval"]
    assert summary["vit-s", 5000] == "seeds alone"
    assert (summary.drop(("vit-s", 5000)) == "seeds and test images").all()
    evidence = gather(results)
    assert "The outcomes of 1 trial are missing or damaged" in markdown(results, evidence, {})
    assert "The outcomes of 1 trial" in table_text(results, evidence).replace("\n", " ")
    outcomes_path(folder, lost["trial_id"]).parent.rename(folder / "gone")
    results = read_results(folder)
    text = markdown(results, gather(results), {})
    assert "The outcomes of 24 trials are missing" in text and "## Class by class" not in text
    assert "None are left" not in text  # top-1 and balanced accuracy are one number


def uneven(folder):
    """Nine of ten images are of one class; and the records of the vit-s."""
    study = make_study(["vit-s", "bit-s"], SHORT, classes=["ok", "defect"], test=600)
    records = make_records(study)
    write_folder(folder, study, records, shares=[0.9, 0.1])
    return [record for record in records if record["model"] == "vit-s"]


def test_of_uneven_classes_too_the_accuracies_are_taken_where_outcomes_are_lost(tmp_path):
    records = uneven(tmp_path)
    mine = [record for record in records if record["size"] == 5000]
    outcomes_path(tmp_path, mine[0]["trial_id"]).write_bytes(b"torn")
    evidence = gather(read_results(tmp_path))
    found = evidence.findings
    assert found.metric == "test_balanced"
    recorded = np.mean([record["metrics"]["test_balanced"] for record in mine])
    assert found.estimates["vit-s", 5000].mean == pytest.approx(recorded)
    assert "over seeds alone" in found.estimates["vit-s", 5000].note
    assert found.pairs[0].verdict.size == 5000
    for record in records:
        outcomes_path(tmp_path, record["trial_id"]).unlink()
    found = gather(read_results(tmp_path)).findings
    assert {size for model, size in found.estimates if model == "vit-s"} == set(SHORT)
    assert "no finished trial" not in found.without_law.values()


def test_without_any_outcomes_balanced_accuracy_leads_unless_it_is_the_same(tmp_path):
    """A model that always says "ok" has 90 % right, far above what guessing reaches: it learned nothing."""
    for record in uneven(tmp_path):
        record["metrics"].update(test_top1=0.9, test_balanced=0.5)
        ResultsStore(tmp_path / "trials.jsonl").append(record)
    (tmp_path / "outcomes").rename(tmp_path / "gone")
    results = read_results(tmp_path)
    evidence = gather(results)
    found = evidence.findings
    assert found.metric == "test_balanced" and found.baseline == 0.5
    assert found.barred["vit-s", 5000] == ("learned nothing",)
    text = markdown(results, evidence, {})
    assert "None are left to show how even the test classes are: balanced accuracy leads" in text


def test_of_two_models_at_most_outcomes_are_held_and_of_all_one_bit_an_image(full):
    kept = read_results(full).outcomes
    for size in SIZES:
        whole = kept.read("vit-s", "tensorflow", size)
        for said, marked in zip(whole, kept.marks("vit-s", "tensorflow", size), strict=True):
            assert (said.seed, said.image.tolist()) == (marked.seed, marked.image.tolist())
            assert said.correct.tolist() == marked.correct.tolist()
    assert kept._outcomes.cache_info().currsize == 2
    held = [bits.nbytes for _, bits in kept._bits.values()]  # of three seeds each
    assert held == [3 * 2000 // 8] * len(SIZES) and len(kept._tested) == 1


def test_what_was_read_first_makes_room(full, monkeypatch):
    monkeypatch.setattr("studies.records.kept.BITS", 2000)  # bytes: eight trials of 2,000 images
    kept = read_results(full).outcomes
    for size in SIZES:
        kept.marks("vit-s", "tensorflow", size)
    assert [key[2] for key in kept._bits] == list(SIZES[-2:])
    again = kept.marks("vit-s", "tensorflow", SIZES[0])
    assert [each.seed for each in again] == [0, 1, 2]


def test_kept_models_are_named_with_what_to_do_with_them(tmp_path):
    study = make_study(["vit-s"], [500], 1)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vit-s-500-seed0-tensorflow.keras").touch()
    told = section(report_of(tmp_path, study, make_records(study)), "Trained models")
    assert "`models/vit-s-500-seed0-tensorflow.keras`" in told and "studies predict" in told


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
    draw = figures_module.learning_curves
    monkeypatch.setattr(
        figures_module, "learning_curves", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1]
    )
    written = write_report(write_folder(tmp_path, study, records))
    assert drawn[0].get_title() == r"data-scale: folder:my $\frac$ photos, 28x28x1"
    assert "/a/very/long" not in written.path.read_text()


def test_no_figure_is_written_or_removed_through_a_link(tmp_path):
    """Whose results they are may have put it there."""
    study = make_study(["vit-s"], [500], 1)
    folder = write_folder(tmp_path / "run", study, make_records(study))
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("accuracy", "laws"):
        (mine / f"{name}.png").write_text("precious")
    (folder / "figures").symlink_to(mine)
    with pytest.raises(UsageError, match=r"cannot write the report to .*: figures is a link"):
        write_report(folder)
    assert [path.read_text() for path in sorted(mine.iterdir())] == ["precious"] * 2


def test_figures_exist_are_linked_and_are_pictures(full, report):
    links = re.findall(r"\]\((figures/[^)]+)\)", report)
    names = ("accuracy", "differences", "confusion", "laws", "fewshot", "training")
    assert links == [f"figures/{name}.png" for name in names]
    for link in links:
        assert (full / link).read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (full / "figures").iterdir()) == sorted(
        link.removeprefix("figures/") for link in links
    )


def test_the_page_to_send_has_all_of_the_report_and_its_pictures_inside(full, report):
    text = (full / "report.html").read_text()
    shown = Page(text)
    headings = re.findall(r"^#+ (.+)$", report, re.MULTILINE)
    assert shown.headings == headings
    numbers = re.findall(r"\d[\d,.]*\d", re.sub(r"\]\([^)]*\)", "", report))
    assert len(numbers) > 300 and not [n for n in numbers if n not in shown.shown]
    pictures = [load for load in shown.loads if not load.startswith("#section-")]
    assert len(pictures) == shown.tags["img"] == len(list((full / "figures").iterdir()))
    assert all(load.startswith("data:image/png;base64,") for load in pictures)
    assert "http://" not in text and "https://" not in text and "script" not in shown.tags
    assert len(text) < 2e6


def test_names_in_lists_are_no_formulas(tmp_path):
    classes = ["=cmd|' /C calc'!A0", "@b"]
    study = make_study(["vit-s", "bit-s"], [500], classes=classes, test=400)
    folder = write_folder(tmp_path, study, make_records(study), mislabelled=3)
    lists = report_module._lists(gather(read_results(folder)))
    written = csv(lists["classes.csv"]).decode()
    assert "'=cmd" in written and ",=cmd" not in written and "'@b" in written
    assert list(pd.read_csv(io.StringIO(written))["recall"]) == list(lists["classes.csv"]["recall"])


def test_summary_has_a_row_a_model_and_size(full):
    summary = pd.read_csv(full / "summary.csv")
    assert len(summary) == 3 * len(SIZES)
    assert summary["seeds"].tolist() == [3] * 21
    for metric in ("test_top1", "test_balanced"):
        assert (summary[f"{metric}_low"] < summary[metric]).all()
        assert (summary[metric] < summary[f"{metric}_high"]).all()
    assert {
        *("model", "backend", "size", "interval", "test_ece", "fewshot_5", "flops", "params"),
        *("steps", "seconds"),
    } <= set(summary.columns)
    row = summary[(summary["model"] == "vit-s") & (summary["size"] == 50000)].iloc[0]
    assert 1 - row["test_top1"] == pytest.approx(float(CURVES["vit-s"](50000)), rel=0.1)
    assert row["flops"] == 21_800_000


def test_equal_records_give_equal_bytes(full, tmp_path):
    study = make_study()
    again = write_folder(tmp_path / "elsewhere", study, make_records(study), mislabelled=5)
    write_report(again)
    names = ("report.md", "summary.csv", "classes.csv", "suspects.csv")
    for name in (*names, "figures/accuracy.png", "figures/confusion.png", "figures/training.png"):
        assert (again / name).read_bytes() == (full / name).read_bytes(), name


def test_nothing_is_left_behind(full):
    names = {path.name for path in full.iterdir() if not path.name.endswith(".lock")}
    assert names == {
        *("study.toml", "trials.jsonl", "outcomes", "summary.csv", "classes.csv", "suspects.csv"),
        *("report.md", "report.html", "figures"),
    }


def test_the_terminal_has_60_columns(full):
    lines = (full.parent / "table").read_text().splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("vit-s is ahead of bit-s")
    assert not any(line.endswith((" 90", "(90")) for line in lines)  # the % stays with its number
    headers = [line.split() for line in lines if line.lstrip().startswith("images")]
    assert headers == [["images", "vit-s", "bit-s"], ["images", "vit-m"]]
    assert [line.split()[0] for line in lines if re.match(r" *50,000 ", line)] == ["50,000"] * 2
    (commonest,) = (line for line in lines if "commonest class" in line)
    assert commonest.split()[-2:] == ["10.0", "10.0"]


def test_a_folder_without_records(tmp_path):
    folder = write_folder(tmp_path, make_study(), [])
    written = write_report(folder)
    assert "No trial has finished yet (0 of 63)" in written.path.read_text()
    assert pd.read_csv(folder / "summary.csv").empty
    assert "No trial has finished yet" in written.table


def test_what_an_earlier_report_left_is_taken_away(tmp_path):
    study = make_study(["vit-s"], [500], 1)
    folder = write_folder(tmp_path, study, make_records(study), outcomes=False)
    (folder / "figures").mkdir()
    old = [folder / "classes.csv", folder / "suspects.csv", folder / "figures" / "laws.png"]
    mine = folder / "figures" / "mine.png"
    for path in (*old, mine):
        path.touch()
    write_report(folder)
    assert not any(path.exists() for path in old) and mine.exists()


def test_a_study_that_still_runs(tmp_path):
    study = make_study()
    records = make_records(study)[:8]  # two sizes of one seed, and one more size of two models
    failed = {k: v for k, v in records[0].items() if k not in ("metrics", "history")}
    records[0] = failed | {"status": "failed", "reason": "the loss is NaN\nat step 40"}
    folder = write_folder(tmp_path, study, records)
    with open(folder / "trials.jsonl", "a", encoding="utf-8") as file:
        file.write('{"trial_id": "torn", "metr')
    results = read_results(folder)
    text = markdown(results, gather(results), {})
    assert "Preliminary: 7 of 63 trials are finished" in text
    assert "vit-s, size 500, seed 0, tensorflow: the loss is NaN at step 40" in text
    assert "7 of 63 trials finished, 1 failed, 55 to come" in text
    assert "one seed" in text and "not a whole record" in text


def test_one_model_one_size(tmp_path):
    study = make_study(models=["vit-s"], sizes=[500])
    text = report_of(tmp_path, study, make_records(study))
    who, images, _ = sentences_of(text)
    assert "only model with results" in who
    assert "nothing is forecast for vit-s (one size shows no trend" in images.lower()


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
    text = report_of(tmp_path, study, records)
    assert "1 record(s) belong to no trial of the study" in text


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"study\.toml"):
        write_report(tmp_path)


def test_a_report_loads_no_backend(tmp_path):
    study = make_study(["vit-s"], [500], 1)
    folder = write_folder(tmp_path, study, make_records(study))
    code = (
        "import sys; from studies.report.report import write_report; "
        f"write_report({str(folder)!r}); "
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("make", [Here, lambda path: Elsewhere(Bucket(f"memory:/{path}"), path)])
def test_a_newer_report_of_another_run_is_not_replaced_by_an_older_one(make, tmp_path, monkeypatch):
    place, drawn = make(tmp_path / "runs"), []
    other = make(tmp_path / "copy") if isinstance(place, Elsewhere) else place
    other._bucket = getattr(place, "_bucket", None)

    def draw(folder):
        number = len(ResultsStore(folder / "trials.jsonl").records())
        drawn.append(number)
        if number == 1:  # in the meantime another run ends, and reports
            end("two")
        (folder / "report.md").write_text(f"of {number} records")

    def end(trial_id):
        folder = other.path / "mine"
        other.fetch("mine")
        store = ResultsStore(folder / "trials.jsonl")
        store.append({"trial_id": trial_id, "status": "done"})
        (folder / "study.toml").write_text("a study")
        (folder / "report.md").write_text(f"of {len(store.records())} records")
        other.store(store.path, folder)

    end("one")
    monkeypatch.setattr(report_module, "write_report", draw)
    report_module.newest_report(place, place.path / "mine")
    assert drawn == [1, 2]
    assert place.storage("mine").read("report.md") == b"of 2 records"
