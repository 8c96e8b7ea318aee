"""What a budget buys: in time, in order, and in the end a verdict; trials and clock are made up."""

import pytest

from studies.advise.budget import OVER, OutOfTime, seconds_of
from studies.advise.design import Question
from studies.advise.weights import Start
from studies.analysis.stopping import MOST_SEEDS
from studies.errors import UsageError
from studies.records.place import Here
from studies.records.store import ResultsStore, new_record
from tests.studies.advise.conftest import alike

pytestmark = pytest.mark.once

SIZES = [160, 310, 630, 1258]  # halves of the 1,258 digits that are there to train on


@pytest.fixture
def undecided(monkeypatch):
    """No verdict is ever settled: all of the time is used."""
    monkeypatch.setattr("studies.advise.session.settled", lambda difference: None)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("digits", "advise-digits"),
        ("folder:some/photos.v1", "advise-photos.v1"),
        ("folder:photos.v2/", "advise-photos.v2"),
        ("csv:some/labels.csv", "advise-labels"),
        ("folder:my photos", "advise-my-photos"),
        ("folder:/", "advise-data"),
    ],
)
def test_each_folder_of_images_has_results_of_its_own(tmp_path, dataset, name):
    assert Question(dataset, Here(tmp_path)).name == name


def seeds(session):
    found = {}
    for trial in session.machine.ran:
        found.setdefault(trial.size, set()).add(trial.seed)
    return {size: len(found[size]) for size in sorted(found)}


def test_the_pair_is_trained_alike_whatever_the_budget(session):
    long, short = session(1500), session(400)
    long.go()
    steps = {trial.size: trial.recipe.steps for trial in long.machine.ran}
    # A hundred times through the images in batches of 64.
    assert steps == {n: -(-100 * n // 64) for n in SIZES}
    assert {t.model.name for t in long.machine.ran} == {"vit-s", "bit-s"}
    assert short.study.recipe == long.study.recipe


@pytest.mark.parametrize(("seconds", "each"), [(120, 0.05), (400, 0.02), (600, 0.15)])
def test_what_is_begun_ends_in_time(session, undecided, seconds, each):
    made = session(seconds, error=alike, each=each)
    end = made.go()
    assert seeds(made) and made.budget.elapsed <= seconds - made.budget.kept
    assert end.reason == "time" and end.needs > made.budget.left


def test_the_first_trials_show_the_speed_and_the_rest_is_chosen_by_it(session):
    slow = session(1000, each=0.5)  # seconds a step: ten times what is assumed
    slow.go()
    assert [t.size for t in slow.machine.ran[:2]] == [160, 160]
    assert slow.budget.elapsed <= OVER * 1000
    assert max(seeds(slow)) < 1258, "two seeds of all images would take more than is left"
    assert seeds(slow)[max(seeds(slow))] == 2


def test_two_seeds_of_all_images_come_before_the_curve_and_that_before_more_seeds(
    session, undecided
):
    made = session(2500, error=alike)
    made.go()
    order = [(t.seed, t.size) for t in made.machine.ran]
    at = {unit: order.index(unit) for unit in order}
    assert at[0, 160] < min(at[0, 1258], at[1, 1258])
    assert max(at[0, 1258], at[1, 1258]) < at[1, 630] < at[2, 1258]


def test_seeds_stop_where_the_verdict_is_settled(session):
    made = session(36_000)
    end = made.go()
    assert end.reason == "settled"
    assert made.budget.elapsed < 3600
    assert seeds(made)[1258] < MOST_SEEDS


def test_seeds_go_on_until_all_pairs_are_settled(session, monkeypatch):
    """Weights that are as good as each other, far above what is trained from scratch."""
    given = [Start("one", "1.npz", "ViT-Ti/8", {}), Start("two", "2.npz", "BiT-R50x1", {})]
    monkeypatch.setattr("studies.advise.session.starts", lambda *_: given)

    def settled(difference):
        return "ahead" if abs(difference.mean) > 0.05 else None

    monkeypatch.setattr("studies.advise.session.settled", settled)
    height = {"vit-s": 6.0, "bit-s": 3.0}
    made = session(36_000, error=lambda model, size: height.get(model, 1.0) * size**-0.4)
    end = made.go()
    assert (end.reason, seeds(made)[1258]) == ("most seeds", MOST_SEEDS)
    del given[1]
    assert session(36_000).go().reason == "settled"


def test_there_are_never_more_seeds_than_the_rule_was_tried_with(session, undecided, monkeypatch):
    monkeypatch.setattr("studies.advise.rounds.MOST_SEEDS", 4)
    made = session(360_000, error=alike)
    end = made.go()
    assert end.reason == "most seeds" and seeds(made) == dict.fromkeys(SIZES, 4)


def test_a_second_run_adds_to_the_first(session):
    first = session(300)
    end = first.go()
    assert end.reason == "time"
    before = {t.trial_id for t in first.machine.ran}
    second = session(seconds_of(first.more(end)), prepared=1.0)
    second.go()
    after = {t.trial_id for t in second.machine.ran}
    assert after and not before & after
    store = ResultsStore(second.folder / "trials.jsonl")
    assert {r["trial_id"] for r in store.records()} == before | after


def test_a_budget_that_is_too_short_names_one_that_is_not(session):
    with pytest.raises(UsageError, match=r"too short.*160 images") as told:
        session(30).planned()
    least = str(told.value).rpartition("--budget ")[2]
    enough = session(seconds_of(least))
    assert enough.planned()
    enough.go()
    assert seeds(enough)[160] == 2


def test_a_model_that_fails_is_not_tried_again_and_again(session):
    made = session(1200, fails=("vit-s",))
    made.go()
    ids = [t.trial_id for t in made.machine.ran]
    assert len(ids) == len(set(ids)) and {r["model"] for r in made.failed} == {"vit-s"}


def test_what_failed_is_run_again_by_the_next_call_and_counts_until_it_is_done(session, undecided):
    first = session(1200, fails=("vit-s",))
    first.go()
    failed = {r["trial_id"] for r in first.failed}
    assert failed == {t.trial_id for t in first.machine.ran if t.model.name == "vit-s"}
    # There is no time to run them again: what is there is answered, and they are not forgotten.
    short = session(10)
    assert short.planned() == []
    short.go()
    assert not short.machine.ran and {r["trial_id"] for r in short.failed} == failed
    again = session(36_000)
    again.go()
    assert failed <= {t.trial_id for t in again.machine.ran} and not again.failed
    done = {t.trial_id for t in first.machine.ran} - failed
    assert done and not done & {t.trial_id for t in again.machine.ran}


def test_a_failed_trial_that_could_change_nothing_any_more_is_left(session, monkeypatch):
    made = session(36_000)
    assert made.go().reason == "settled"
    unit = max(unit for unit, trials in made._state().missing.items() if trials)
    trial = made._state().missing[unit][0]
    record = {**new_record(trial), "status": "failed", "reason": "it was told to"}
    ResultsStore(made.folder / "trials.jsonl").append(record)
    later = session(36_000)
    assert later.go().reason == "settled" and not later.machine.ran and not later.failed


def test_many_places_are_filled(session, undecided):
    made = session(2000, error=alike, workers=8)
    made.go()
    assert made.budget.elapsed < 2000
    assert seeds(made)[1258] > 2


def test_what_is_interrupted_at_the_end_of_the_time_is_what_comes_next(session, monkeypatch):
    made = session(600)
    monkeypatch.setattr(made.machine, "run", lambda *_: (_ for _ in ()).throw(OutOfTime))
    end = made.go()
    assert end.reason == "time" and end.needs > 0 and end.size == 160
    assert seconds_of(made.more(end)) > end.needs


def test_the_paper_s_learning_rates_are_tried_where_they_cost_no_larger_size(session, monkeypatch):
    given = [Start("mine", "mine.npz", "ViT-Ti/8", {})]
    monkeypatch.setattr("studies.advise.session.starts", lambda *_: given)

    def rates(made, name="mine"):
        return tuple(made.study.arms[f"ViT-Ti/8 {name}"].finetuning.recipe["learning_rates"])

    assert rates(session(36_000)) == (0.001, 0.003, 0.01, 0.03)
    short = session(100)
    assert rates(short) == (0.003, 0.01)
    short.go()
    # What was begun goes on as it began, or its trials would have to be run again.
    assert rates(session(36_000)) == (0.003, 0.01)
    assert any(trial.start is not None for trial in short.machine.ran)
    given.append(Start("later", "later.npz", "ViT-Ti/8", {}))
    both = session(36_000)  # and what comes later is compared with it
    assert rates(both) == rates(both, "later") == (0.003, 0.01)
