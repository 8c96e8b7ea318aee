"""Reports of studies with factors, chains, further evaluations and other axes: what they say and show."""

import re

import pandas as pd
import pytest

from studies.report import report as report_module
from studies.report.report import write_report
from tests.studies.synthetic import kind_records, make_kind, write_folder

pytestmark = pytest.mark.once

BEFORE = {"dataset": "shapes", "image_size": 28, "sizes": [1000, 10000]}
SCRAMBLE = {"whole": {}, "7": {"recipe": {"scramble": 7}}, "1": {"recipe": {"scramble": 1}}}


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Pictures of few pixels: they are made, and not looked at."""
    monkeypatch.setattr(report_module, "DPI", 20)


def reported(folder, content, error, metrics=lambda trial: {}, outcomes=False):
    study = make_kind(content)
    write_folder(folder, study, kind_records(study, error, metrics), outcomes)
    report = write_report(folder)
    return report.path.read_text(), sorted(path.stem for path in (folder / "figures").iterdir())


def opening(text):
    """The bold first sentence and the two after it."""
    return re.search(r"^\*\*What .*|^\*\*(Of|None|For) .*", text, re.MULTILINE)[0]


def test_a_factor_that_costs_one_model_more(tmp_path):
    """The ResNet loses 30 points by single pixels, the ViT none."""

    def error(trial):
        lost = {0: 0.0, 7: 0.1, 1: 0.3}[trial.recipe.scramble]
        return 0.2 + (lost if trial.model.base.startswith("BiT") else 0.0)

    content = {"x": "scramble", "factors": {"scramble": SCRAMBLE}}
    text, figures = reported(tmp_path, content, error, outcomes=True)
    first = opening(text)
    assert first.startswith("**What scramble changes against whole, at 5,000 training images:")
    assert "favours vit-s over bit-s" in first and "with 1 (90 % interval" in first
    assert "favours bit-s" not in first
    row = next(
        r for r in text.splitlines() if r.startswith("| scramble: 1 against whole | 5,000 |")
    )
    difference = float(row.split("|")[5])
    assert 25 < difference < 35 and "above 0" in row
    assert {"accuracy", "effects", "differences"} <= set(figures)
    assert "Factor scramble: whole (as above); 7 (scramble=7); 1 (scramble=1)." in text


def test_one_factor_at_a_time_is_about_what_is_told_apart(tmp_path):
    factors = {
        "position": {
            "learned": {},
            "none": {"overrides": {"position_embedding": "none"}},
            "relative": {"overrides": {"position_embedding": "relative"}},
        }
    }
    models = {"vit-s": {"base": "ViT-Ti/4"}}

    def error(trial):
        return 0.5 if trial.levels["position"] == "none" else 0.2

    content = {"design": "one_at_a_time", "factors": factors, "models": models, "sizes": [5000]}
    text, figures = reported(tmp_path, content, error)
    first = opening(text)
    assert "Of 2 changes to vit-s at 5,000 training images, 1 is told apart" in first
    assert re.search(r"none \((2[5-9]|3[0-5])\.\d points, 90 % interval", first)
    assert "Not told apart are relative" in first and "Next, keep vit-s as it is" in first
    assert "effects" in figures and "differences" not in figures
    assert "## Differences by size" not in text and "## What the factors change" in text


def test_over_compute_the_front_is_told(tmp_path):
    steps = {str(n): {"recipe": {"steps": n, "validations": 1}} for n in (10, 1000)}

    def error(trial):
        return 0.6 if trial.recipe.steps == 10 else 0.2 + 0.1 * trial.model.base.startswith("BiT")

    text, figures = reported(
        tmp_path, {"x": "compute", "factors": {"steps": steps}, "sizes": [500]}, error
    )
    assert "**For its compute the best is" in text and "vit-s 1000 at" in opening(text)
    assert "undertrained" not in text  # how long is trained is the question
    assert {"accuracy", "compute"} <= set(figures)
    assert "it is that of the one which counts" in text
    rows = [r for r in text.splitlines() if "FLOPs |" in r]
    assert len(rows) == 4 and all(r.count("|") == 8 for r in rows)


def test_over_images_of_the_pre_training_and_further_evaluations(tmp_path):
    start = {"start": {"scratch": {"pretraining": False}, "before": {}}}
    content = {
        "x": "pretraining_images",
        "pretraining": BEFORE,
        "factors": start,
        "evaluations": {"probe": {"kind": "linear_probe", "of": "pretraining"}},
    }

    def error(trial):
        return 0.4 if trial.start is None else 0.4 - 0.05 * len(str(trial.start.size))

    text, figures = reported(tmp_path, content, error, lambda trial: {"probe_top1": 0.5})
    assert "vit-s before from 10,000" in text and "vit-s scratch" in text
    assert "### probe" in text and "| vit-s before from 1,000 | pre-trained model | 0.5" in text
    assert {"accuracy", "effects", "evaluations"} <= set(figures)
    table = pd.read_csv(tmp_path / "evaluations.csv")
    assert len(table) == 2 * 2 * 2 and set(table["x"]) == {1000, 10000}
    assert "a pre-training (supervised) on shapes at 28 pixels, 1,000, 10,000 images" in text
    assert "Images seen and compute are those of the best one alone." in text


def test_a_fine_tuning_of_few_epochs_is_judged_and_a_training_from_scratch_is_not(tmp_path):
    """100 steps of 128 images go 2.6 times through 5,000 images."""
    starts = {
        "scratch": {"pretraining": False},
        "before": {},
        "given": {"pretraining": False, "overrides": {"weights": "vit.npz"}},
    }
    content = {
        "recipe": {"steps": 100},
        "pretraining": {**BEFORE, "sizes": [10000]},
        "factors": {"start": starts},
    }
    text, _ = reported(tmp_path, content, lambda trial: 0.4 if trial.start is None else 0.2)
    few = re.findall(r"\| 5,000 \| ([\w -]+) \(undertrained\) \|", text)
    assert few == ["vit-s scratch", "bit-s scratch"]
    for start in ("before", "given"):
        assert f"| 5,000 | vit-s {start} |" in text


def test_factors_of_a_model_that_nothing_is_compared_with_are_what_it_is_about(tmp_path):
    """A grid of factors of one model: no pair, but changes."""

    def error(trial):
        return 0.2 if trial.recipe.scramble == 0 else 0.5

    content = {"factors": {"scramble": SCRAMBLE}, "models": {"vit-s": {"base": "ViT-Ti/4"}}}
    text, figures = reported(tmp_path, content, error, outcomes=True)
    first = opening(text)
    assert "Of 2 changes to vit-s whole at 5,000 training images, 2 are told apart" in first
    assert "only model with results" not in text and "effects" in figures


def test_arms_of_one_factor_alone_are_compared_as_models_are(tmp_path):
    """As `advise` has it: where training starts from is a factor, one at a time, with a single level."""
    start = {"start": {"scratch": {"pretraining": False, "models": ["vit-s", "bit-s"]}}}
    content = {"design": "one_at_a_time", "factors": start, "pairs": [["vit-s", "bit-s"]]}
    content["models"] = make_kind({}).model_dump(mode="json")["models"]
    content["models"] |= {"vit-m": {"base": "ViT-Ti/4", "overrides": {"num_layers": 6}}}
    content["factors"]["start"]["scratch"]["models"].append("vit-m")
    content["pairs"].append(["vit-m", "bit-s"])

    def error(trial):
        return {"vit-s": 0.3, "bit-s": 0.2, "vit-m": 0.25}[trial.model.name]

    text, figures = reported(tmp_path, content, error, outcomes=True)
    assert "**bit-s is ahead of vit-s at 5,000 training images" in text
    assert "The other pairs:\n\n- bit-s is ahead of vit-m" in text
    assert "## Differences by size" in text and "## Crossing" in text
    assert "differences" in figures and "effects" not in figures


def test_what_learned_nothing_is_not_the_best_for_its_compute(tmp_path):
    """Trained for 10 steps a ViT guesses; for 30 a ResNet does, with more compute than a ViT that learned."""
    steps = {str(n): {"recipe": {"steps": n, "validations": 1}} for n in (10, 20, 1000)}

    def error(trial):
        return 0.9 if trial.recipe.steps == 10 else 0.3 if trial.recipe.steps == 20 else 0.2

    text, _ = reported(
        tmp_path,
        {"x": "compute", "factors": {"steps": steps}, "sizes": [500]},
        error,
        outcomes=True,
    )
    first = opening(text)
    assert " 20 at " in first.split(" and ")[0] and " 10 at " not in first
    rows = [r for r in text.splitlines() if r.startswith("|") and " 10 " in r and "FLOPs" in r]
    assert len(rows) == 2 and all("(learned nothing)" in r and "yes" not in r for r in rows)


def test_over_compute_nothing_is_best_where_all_learned_nothing_or_of_one_seed(tmp_path):
    steps = {str(n): {"recipe": {"steps": n, "validations": 1}} for n in (10, 1000)}
    content = {"x": "compute", "factors": {"steps": steps}, "sizes": [500]}
    text, _ = reported(tmp_path / "blind", content, lambda trial: 0.9, outcomes=True)
    assert "There is no verdict on what is best for its compute: every arm learned nothing." in text
    assert "Next, try more images, another learning rate or longer training" in text
    text, _ = reported(
        tmp_path / "one",
        {**content, "seeds": 1},
        lambda trial: 0.6 if trial.recipe.steps == 10 else 0.2,
        outcomes=True,
    )
    first = text.split("**")[3]
    assert first.startswith("What is best for its compute cannot be told from one seed")
    assert "Next, run more seeds" in text and "the best is" not in text
