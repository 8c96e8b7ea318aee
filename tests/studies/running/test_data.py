"""A study's data: one split a seed for all sizes of a data set, and counts that stay."""

import shutil

import numpy as np
import pytest
from PIL import Image

from studies.data import load
from studies.errors import UsageError
from studies.records.place import Here
from studies.running import runner
from studies.running.costs import Costs
from studies.running.data import COUNTED
from studies.running.results_folder import make_folder, write_study
from studies.study import file as study_file
from studies.study import study
from studies.training.images import images_of
from tests.studies.descriptions import image_folder

pytestmark = pytest.mark.once

SIZES = (8, 16)
BASE = {
    "name": "x",
    "dataset": "digits",
    "image_size": 16,
    "sizes": [40],
    "seeds": 3,
    "backends": ["jax"],
    "models": {"vit": {"base": "ViT-Ti/4"}},
}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Makes the plan of a study's content, with nothing built."""
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runner, "measure_all", lambda *arguments: Costs({}))

    def made(begin=False, **content):
        whole = study_file.validate({**BASE, **content}, "a test")
        plan = runner.make_plan(whole, Here(tmp_path / "results"))
        if begin:
            make_folder(plan.folder)
            write_study(plan.study, plan.folder)
        return plan

    return made


def ids(split):
    return set(np.asarray(split.ids).tolist())


def sides(images):
    """What may be trained on, validated on and tested on."""
    return set(np.asarray(images.order).tolist()), ids(images.validation), ids(images.test)


def test_what_a_chain_is_tested_on_was_not_pre_trained_on_at_another_size(plan):
    trials = plan(pretraining={"image_size": 8}).trials
    assert [trial.start.image_shape for trial in trials] == [(8, 8, 1)] * 3
    for trial in trials:
        before, after = images_of(trial.start), images_of(trial)
        assert before.train.images.shape[1:] == (8, 8, 1)
        assert sides(before) == sides(after)
        assert before.order.tolist() == after.order.tolist()
        # They are the same images, one by one: what is white in one is not black in the other.
        small, large = (each.test.images[:].mean((1, 2, 3)) for each in (before, after))
        assert np.corrcoef(small, large)[0, 1] > 0.9


def test_what_is_evaluated_at_another_size_was_not_trained_on(plan):
    entry = {"kind": "nearest_neighbours", "image_size": 8}
    trials = plan(pretraining={"image_size": 8}, evaluations={"there": entry}).trials
    further = [trial for trial in trials if trial.extra is not None]
    assert len(further) == 3
    for trial in further:
        order, validation, test = sides(images_of(trial, trial.extra.data))
        for part in trial.chain:
            assert (order, validation, test) == sides(images_of(part))


def test_other_data_at_two_sizes_are_split_alike_too(plan, tmp_path):
    of_digits = {"dataset": "digits", "image_size": 8}
    evaluations = {"there": {"kind": "nearest_neighbours", "dataset": "digits"}}
    content = {"dataset": image_folder(tmp_path / "images"), "sizes": [20]}
    trials = plan(pretraining=of_digits, evaluations=evaluations, **content).trials
    further = [trial for trial in trials if trial.extra is not None]
    assert [trial.extra.data.image_shape for trial in further] == [(16, 16, 3)] * 3
    for trial in further:
        there = images_of(trial, trial.extra.data)
        assert sides(there) == sides(images_of(trial.start))


def test_data_of_other_names_beside_the_studys_own_do_not_stop_its_trials(plan, tmp_path):
    """The same images, with the same fingerprint, as a table prepared at one of the sizes alone."""
    name = image_folder(tmp_path / "images")
    files = sorted(path.relative_to(tmp_path) for path in (tmp_path / "images").rglob("*.png"))
    lines = ["file,label", *(f"{file},{file.parent.name}" for file in files)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    table = load(f"csv:{tmp_path / 'a.csv'}", 16)
    trials = plan(dataset=name, sizes=[20], pretraining={"image_size": 8}).trials
    (own,) = {trial.data_fingerprint for trial in trials}
    assert own == table.info.fingerprint  # else this test tells nothing
    expected = [(sides(images_of(trial.start)), sides(images_of(trial))) for trial in trials]
    assert all(before == after for before, after in expected)
    # So it is where the table is all that there is at this size, as on another machine.
    shutil.rmtree(load(name, 16).folder)
    (tmp_path / "images").rename(tmp_path / "gone")
    for trial, of_trial in zip(trials, expected):
        assert (sides(images_of(trial.start)), sides(images_of(trial))) == of_trial


def test_ids_hold_whose_splits_some_have_only_where_these_are_not_their_own(plan):
    def starts(**content):
        return [trial.start for trial in plan(pretraining={"image_size": 8}, **content).trials]

    own, following = starts(image_size=8), starts()
    assert [part.splits for part in own] == [None] * 3  # it is the study's own size
    assert not {part.training_id for part in own} & {part.training_id for part in following}
    assert {part.splits.data_fingerprint for part in following} == {
        load("digits", 16).info.fingerprint
    }
    assert "splits" not in own[0].weights_key() and "splits" in following[0].weights_key()


@pytest.fixture
def frames(tmp_path):
    """A folder of 60 videos of two to twelve frames each."""
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "frames" / name).mkdir(parents=True)
        for video in range(30):
            for frame in range(int(rng.integers(2, 12))):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                path = tmp_path / "frames" / name / f"video{name}{video:02}-{frame}.png"
                Image.fromarray(pixels).save(path)
    return f"folder:{tmp_path / 'frames'}"


GROUPED = {"reading": {"groups": r"(video\w+)-"}, "image_size": 8, "sizes": "auto"}


def test_groups_stay_whole_at_other_sizes(plan, frames):
    """Images that are alike at 4 pixels alone do not change the splits, which are those at 8."""
    content = {"dataset": frames, **GROUPED, "sizes": [40]}
    for trial in plan(pretraining={"image_size": 4}, **content).trials:
        before, after = images_of(trial.start), images_of(trial)
        assert sides(before) == sides(after)
        assert trial.start.size == plan(**content).study.data.counts["train"]
        groups = load(frames, 8, trial.reading).pools["train"].groups
        assert not set(groups[before.order]) & set(groups[list(ids(after.test))])


def identified(plan):
    return {trial.trial_id for trial in plan.trials}


@pytest.mark.parametrize("content", [{}, {"sizes": [20], "pretraining": {}}], ids=["auto", "all"])
def test_what_is_trained_keeps_its_id_when_seeds_are_added(plan, frames, content):
    content = {"dataset": frames, **GROUPED, **content}
    first = plan(begin=True, **content)
    each = {trial.trial_id: trial.seed for trial in first.trials}
    for seeds in (1, 2, 5, 10, COUNTED):
        more = plan(**content, seeds=seeds)
        assert {i for i, seed in each.items() if seed < seeds} <= identified(more)
        assert len(more.trials) * 3 == len(first.trials) * seeds
        assert more.study.data == first.study.data
        for trial in more.trials:  # each has as many images as it is to be trained on
            for part in trial.chain:
                assert len(images_of(part).subset(part.size)) == part.size


def test_seeds_beyond_those_that_were_counted_are_counted_too(plan, frames):
    for seeds, counted in ((3, COUNTED), (60, 60)):
        found = plan(dataset=frames, **GROUPED, seeds=seeds).study
        data = load(frames, 8, found.reading)
        images = [data.replicate(seed).counts for seed in range(counted)]
        least = {split: min(each[split] for each in images) for split in images[0]}
        assert found.data.counts == least


def test_fewer_seeds_and_other_models_leave_a_folder_as_it_is(plan, frames):
    content = {"dataset": frames, **GROUPED}
    first = plan(begin=True, **content, seeds=60)
    plan(begin=True, **content, models={"bit": {"base": "BiT-R50x1"}})
    again = plan(**content, seeds=60)
    assert again.study.data == first.study.data and identified(again) == identified(first)


def test_a_folder_whose_seeds_were_counted_alone_goes_on_with_those(plan, frames, monkeypatch):
    """As earlier versions counted: seeds that have images enough may be added, and no others."""
    content = {"dataset": frames, **GROUPED}
    with monkeypatch.context() as patch:
        patch.setattr("studies.running.data.COUNTED", 1)
        first = plan(begin=True, **content)
    images = [load(frames, 8, first.study.reading).replicate(s).counts["train"] for s in range(20)]
    largest = first.study.sizes[-1]
    short = next(seed for seed, number in enumerate(images) if number < largest)
    assert short > 2  # else this test tells nothing
    assert identified(plan(**content)) == identified(first)
    assert identified(first) <= identified(plan(**content, seeds=short))
    words = rf"seed {short} of .* has {images[short]} images to train on, .* size is {largest}: .*"
    with pytest.raises(UsageError, match=words + f"at most {short} seeds"):
        plan(**content, seeds=short + 1)
    smaller = [size for size in first.study.sizes if size <= images[short]]
    assert plan(**{**content, "sizes": smaller}, seeds=short + 1).trials


def test_the_number_of_seeds_is_that_of_the_studys_own_data(plan, frames, tmp_path, monkeypatch):
    """Other data, with more images to test on, would have fewer."""
    monkeypatch.setattr(study, "default_seeds", lambda test: 3 if test > 20 else 30)
    content = {"dataset": image_folder(tmp_path / "images"), "sizes": [20], "seeds": "auto"}
    content |= {"image_size": 8, "pretraining": {"dataset": frames}}
    first = plan(begin=True, **content)
    assert first.study.seeds == 30 and identified(plan(**content)) == identified(first)


def test_groups_are_those_of_the_studys_own_data_alone(plan, frames, tmp_path):
    other = image_folder(tmp_path / "images")
    for name in ("digits", other):
        content = {"pretraining": {"dataset": name}, "evaluations": {"k": {"dataset": name}}}
        content["evaluations"]["k"]["kind"] = "nearest_neighbours"
        trials = plan(dataset=frames, **GROUPED | {"sizes": [20]}, **content).trials
        for trial in trials:
            read = [trial.start, trial.extra.data] if trial.extra else [trial.start]
            assert [data.reading.groups for data in read] == [""] * len(read)
            assert trial.reading.groups == GROUPED["reading"]["groups"]
            assert len(images_of(trial.start).order) >= trial.start.size
