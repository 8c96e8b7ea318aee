"""Two runs of one study compared: the sentence, the tables, what is refused."""

import re

import numpy as np
import pytest

from studies.command_line.app import main
from studies.machine.cloud import Bucket
from studies.records.layout import outcomes_path
from studies.records.outcomes import load_outcomes, save_outcomes
from studies.records.store import ResultsStore
from studies.report.comparison import compare_runs
from studies.report.comparison_text import markdown, terminal, verdict
from studies.report.markup import plain
from studies.report.runs import read_runs
from tests.studies.synthetic import make_records, make_study, write_folder

pytestmark = pytest.mark.once

SIZES = (500, 1000, 2000)


def run(folder, change=lambda record: None, outcomes=True, **options):
    """A results folder with digests of weights, every record changed by `change`."""
    study = make_study(**{"models": ["vit-s", "bit-s"], "sizes": SIZES, **options})
    records = make_records(study)
    for record in records:
        record["weights_sha256"] = record["trial_id"]
        change(record)
    return write_folder(folder, study, [r for r in records if r], outcomes=outcomes)


def better(folder, images, part=slice(None)):
    """Rewrites outcomes, or a part of them, so that so many more images are right."""
    for path in sorted((folder / "outcomes").glob("*.npz"))[part]:
        said = load_outcomes(path)
        predicted = said.predicted.copy()
        wrong = np.flatnonzero(~said.correct)[:images]
        predicted[wrong] = said.label[wrong]
        fields = {name: getattr(said, name) for name in said.__dataclass_fields__}
        save_outcomes(path, type(said)(**fields | {"predicted": predicted}))


def elsewhere(record):
    record["weights_sha256"] = "other"
    record["device"] = "gpu (H100)"
    record["versions"] = {**record["versions"], "keras": "3.16.0"}
    record["images_per_second"] *= 2.5


def compared(*folders):
    return compare_runs(*read_runs(folders))


def test_equal_bits_are_told(tmp_path):
    found = compared(run(tmp_path / "a"), run(tmp_path / "b"))
    assert verdict(found) == (
        "a and b are the same, bit for bit: the trained weights of all 18 trials are equal."
    )
    assert not found.differing and all(cell.alike == 1.0 for cell in found.cells.values())
    assert "What differs" not in terminal(found)


def test_a_run_that_is_higher_is_told_with_its_interval(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", elsewhere)
    better(b, 60)  # of 2,000 test images: 3 points in every trial
    text = verdict(compared(a, b))
    mean, low, high = map(
        float,
        re.fullmatch(
            r"b is higher by (.*) points of test accuracy over 18 trials of both "
            r"\(90 % interval (.*) to (.*)\)\.",
            text,
        ).groups(),
    )
    assert mean == 3.0 and 2.0 < low < 3.0 < high < 4.0
    assert verdict(compared(b, a)).startswith("b is higher by 3.0 points")


def interval_of(text):
    """The difference, and the ends of its interval."""
    found = re.search(r"- a is (\S+) points of .* interval (\S+) to (\S+)\)\.$", text)
    return [float(number) for number in found.groups()]


def test_scatter_of_less_than_a_point_is_the_same_to_within_what_it_may_be(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", elsewhere)
    for folder, part in ((a, slice(0, None, 2)), (b, slice(1, None, 2))):
        better(folder, 2, part)  # of 2,000 test images
    found = compared(a, b)
    assert found.equal == 0 and found.kind == "same"
    text = verdict(found)
    within = float(re.match(r"a and b are the same to within (\S+) points: b - a is ", text)[1])
    _, low, high = interval_of(text)
    assert low < 0 < high and within == max(-low, high) < 1.0


def test_an_interval_wider_than_a_point_shows_nothing_to_be_the_same(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", elsewhere)
    for folder, part in ((a, slice(0, None, 2)), (b, slice(1, None, 2))):
        better(folder, 120, part)
    text = verdict(compared(a, b))
    assert text.startswith("a and b cannot be told apart: b - a is ")
    _, low, high = interval_of(text)
    assert low < 0 < high and max(-low, high) > 1.0
    # Over seeds alone an interval is narrower than the truth, and shows no equality however narrow.
    one, two = (
        run(tmp_path / name, change, outcomes=False)
        for name, change in (("c", lambda record: None), ("d", elsewhere))
    )
    assert verdict(compared(one, two)).startswith("c and d cannot be told apart: ")


BOTH = ("tensorflow", "jax")


def on_jax_other_bits(record):
    if record["backend"] == "jax":
        record["weights_sha256"] = "other"


def test_every_backend_that_both_have_run_on_is_compared(tmp_path):
    small = {"seeds": 2, "sizes": (500,), "models": ["vit-s"]}
    a = run(tmp_path / "a", backends=BOTH, **small)
    found = compared(a, run(tmp_path / "b", on_jax_other_bits, backends=BOTH, **small))
    assert found.trials == found.counted == 4 and found.equal == 2
    assert "bit for bit" not in verdict(found) and "over 4 trials of both" in verdict(found)
    assert {name: cell.equal for (name, _), cell in found.cells.items()} == {
        "vit-s on tensorflow": 2,
        "vit-s on jax": 0,
    }
    assert "| 500 vit-s on jax | " in markdown(found, None)
    found = compared(a, run(tmp_path / "c", backends=BOTH, **small))
    assert verdict(found) == (
        "a and c are the same, bit for bit: the trained weights of all 4 trials are equal."
    )


def test_a_backend_without_a_trial_in_one_run_hides_no_other(tmp_path):
    def alone(record):
        if record["backend"] == "tensorflow":
            record.clear()

    a, b = run(tmp_path / "a", backends=BOTH), run(tmp_path / "b", alone, backends=BOTH[::-1])
    found = compared(a, b)
    assert found.kind == "equal bits" and found.trials == 18
    told = terminal(found).split("Trials that one of them has alone")[1]
    assert "500 vit-s on tensorflow" in told and "on jax" not in told


def test_a_difference_that_one_backend_alone_has_is_in_the_whole(tmp_path):
    def worse(record):
        on_jax_other_bits(record)
        if record["backend"] == "jax":
            record["metrics"]["test_top1"] -= 0.06

    a, b = (
        run(tmp_path / name, change, backends=BOTH, outcomes=False)
        for name, change in (("a", lambda record: None), ("b", worse))
    )
    text = verdict(compared(a, b))
    assert text.startswith("a is higher by 3.0 points of test accuracy over 36 trials of both")


def test_the_tables_say_what_is_shared_and_what_differs(tmp_path):
    def change(record):
        elsewhere(record)
        if record["seed"] == 2 and record["model"] == "bit-s":
            record.clear()

    found = compared(run(tmp_path / "a"), run(tmp_path / "b", change))
    assert found.trials == 15
    assert found.differing == {"keras": ("3.15.1", "3.16.0"), "device": ("cpu", "gpu (H100)")}
    assert found.speeds == {"vit-s": (11000.0, 27500.0), "bit-s": (11000.0, 27500.0)}
    text = markdown(found, None)
    assert "| 500 vit-s | " in text and "| 3 | 0 of 3 | 100.0 % |" in text
    assert "| vit-s | 11,000 | 27,500 | 2.50 | 120.0 | 120.0 |" in text
    assert "| 500 bit-s | 2 | - |" in text.split("## Trials that")[1]
    assert plain(verdict(found)) in text
    # Two seeds of all six, not the three of the ViT alone.
    assert found.counted == 12 and "over 12 of the 15 trials of both" in verdict(found)
    assert max(map(len, terminal(found).splitlines())) <= 60


def test_other_backends_are_compared_seed_by_seed(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", elsewhere, backends=("jax",))
    found = compared(a, b)
    assert found.trials == 18 and found.differing["backend"] == ("tensorflow", "jax")


def test_accuracies_do_where_no_outcomes_were_kept(tmp_path):
    def change(record):
        elsewhere(record)
        record["metrics"]["test_top1"] += 0.02 + 0.0003 * record["seed"]

    found = compared(
        run(tmp_path / "a", outcomes=False), run(tmp_path / "b", change, outcomes=False)
    )
    assert verdict(found).startswith("b is higher by 2.0 points")
    assert all(cell.alike is None for cell in found.cells.values())


def test_what_is_not_known_of_both_counts_in_neither(tmp_path):
    """An accuracy of 0 is one; one that was not measured is none."""

    def change(value):
        def changed(record):
            elsewhere(record)
            if (record["model"], record["size"], record["seed"]) == ("vit-s", 500, 0):
                record["metrics"]["test_top1"] = value

        return changed

    a = run(tmp_path / "a", outcomes=False)
    found = compared(a, run(tmp_path / "none", change(None), outcomes=False))
    cell = found.cells["vit-s", 500]
    assert cell.difference.mean == cell.accuracies[1] - cell.accuracies[0] == 0.0
    assert "| 500 vit-s |" in markdown(found, None) and "| 2 of 3 | 0 of 3 |" in markdown(
        found, None
    )
    assert "over 15 of the 18 trials of both" in verdict(found)
    found = compared(a, run(tmp_path / "zero", change(0.0), outcomes=False))
    assert found.counted == 18 and "over 18 trials of both" in verdict(found)
    cell = found.cells["vit-s", 500]
    assert cell.difference.seeds == 3 and cell.difference.mean < -0.1


def test_outcomes_of_one_seed_do_not_stand_for_accuracies_of_three(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", elsewhere)
    better(b, 60)
    for record in ResultsStore(b / "trials.jsonl").records():
        if record["seed"]:
            outcomes_path(b, record["trial_id"]).unlink()
    found = compared(a, b)
    assert found.whole.seeds == 3 and found.counted == 18


def test_uneven_classes_are_compared_by_balanced_accuracy(tmp_path):
    folders = []
    for name, change in (("a", lambda record: None), ("b", elsewhere)):
        study = make_study(["vit-s"], SIZES, classes=["ok", "defect"], test=600)
        records = make_records(study)
        for record in records:
            record["weights_sha256"] = record["trial_id"]
            change(record)
        folders.append(write_folder(tmp_path / name, study, records, shares=[0.9, 0.1]))
    better(folders[1], 10)
    found = compared(*folders)
    assert found.metric == "test_balanced" and "points of balanced accuracy" in verdict(found)
    said = [
        [load_outcomes(path) for path in sorted((folder / "outcomes").glob("*.npz"))]
        for folder in folders
    ]
    recalls = [
        np.mean([[o.correct[o.label == k].mean() for k in (0, 1)] for o in side]) for side in said
    ]
    assert found.whole.mean == pytest.approx(recalls[1] - recalls[0])
    for cell in found.cells.values():  # each run has its own accuracies in the table
        first, second = cell.accuracies
        assert second - first == pytest.approx(cell.difference.mean) and second > first


def test_one_seed_and_nothing_shared_cannot_tell(tmp_path):
    a, b = run(tmp_path / "a", seeds=1), run(tmp_path / "b", elsewhere, seeds=1)
    text = verdict(compared(a, b))
    assert text.startswith("It cannot be told whether a and b are the same") and "one seed" in text
    c = run(tmp_path / "c", sizes=[5000])
    found = compared(a, c)
    assert "no finished trial is in both" in verdict(found) and "alone" in terminal(found)


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path):
    found = compared(run(tmp_path / "one" / "x"), run(tmp_path / "two" / "x"))
    assert found.names == ("one/x", "two/x")


def test_the_command_prints_and_writes(tmp_path, capsys):
    run(tmp_path / "runs" / "a")
    b = run(
        tmp_path / "b",
        elsewhere,
    )
    arguments = ["compare", "a", str(b), "--results", str(tmp_path / "runs")]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "are the same to within" in out.replace("\n", " ") and "compare.md" in out
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert "![" in (tmp_path / "out" / "compare.md").read_text()
    assert main(["compare", "a", "nowhere", "--results", str(tmp_path / "runs")]) == 2
    assert "there are no results in nowhere" in capsys.readouterr().err


def test_a_run_may_lie_under_a_url(tmp_path, s3, capsys):
    run(tmp_path / "runs" / "a")
    url = f"{s3}/{tmp_path.name}"
    there = run(tmp_path / "there" / "runs" / "a", elsewhere)
    for path in (path for path in there.rglob("*") if path.is_file()):
        Bucket(f"{url}/runs").write(f"a/{path.relative_to(there)}", path.read_bytes())
    assert main(["compare", "a", f"{url}/runs/a", "--results", str(tmp_path / "runs")]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path.name}/runs/a" in out
    assert "are the same to within" in out.replace("\n", " ")
    assert main(["compare", "a", f"{url}/runs/a", "--results", f"{url}/runs"]) == 2
    assert f"both runs are {url}/runs/a: give two" in capsys.readouterr().err
    assert main(["compare", "a", "b", "--results", f"{url}/runs"]) == 2
    assert f"there are no results in b or {url}/runs/b" in capsys.readouterr().err


def test_no_difference_of_two_runs_is_beyond_all(tmp_path):
    def scattered(record):
        elsewhere(record)
        record["metrics"]["test_top1"] = 0.1 if record["seed"] else 0.95

    folders = [
        run(tmp_path / name, change, outcomes=False, seeds=2, sizes=(500,))
        for name, change in (("a", lambda record: None), ("b", scattered))
    ]
    found = compared(*folders)
    for each in (found.whole, *(cell.difference for cell in found.cells.values())):
        assert -1.0 <= each.low < each.high <= 1.0
