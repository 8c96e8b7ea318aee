"""What models cost, and what the built-in studies promise about it."""

import pytest

from studies.errors import UsageError
from studies.running import costs
from studies.study import file as study_file
from studies.study import toml_files
from studies.study.described import ResolvedData
from studies.study.entries import ModelEntry
from tests.studies.descriptions import TINY

pytestmark = pytest.mark.once


SHAPES = {"shapes": (32, 32, 3), "fashion_mnist": (28, 28, 1), "digits": (8, 8, 1)}


@pytest.fixture(scope="module")
def built_in() -> dict[str, dict[str, costs.Cost]]:
    """Costs of the arms at the size of the study's own images, and of larger ones that it knows."""
    wanted: dict[tuple[int, int, int], dict[str, ModelEntry]] = {}
    found: dict[str, dict[str, str]] = {}  # of each study at each size: arms, and what is built
    for name in toml_files.built_in():
        study = study_file.resolve(name, {})
        entries = [arm.entry for arm in study.arms.values()]
        own = SHAPES[study.dataset.partition(":")[0]]
        for shape in {own, *((side, side, 3) for entry in entries for side in entry.at)}:
            for entry in (entry.for_images(*shape[:2]) for entry in entries):
                key = f"{entry.base} {entry.overrides}"  # many arms train one and the same model
                wanted.setdefault(shape, {})[key] = entry.model_copy(update={"name": key})
                found.setdefault(f"{name} at {shape[0]}", {})[entry.name] = key
    # One process for all models at a size.
    measured = {
        shape[0]: costs.measure(entries.values(), shape, 10, "torch")
        for shape, entries in wanted.items()
    }
    assert "data-scale at 64" in found
    return {
        study: {arm: measured[int(study.split()[-1])][key] for arm, key in arms.items()}
        for study, arms in found.items()
    }


def test_built_in_models_cost_at_most_40_mflops(built_in):
    for measured in built_in.values():
        assert all(0 < cost.flops <= 40e6 for cost in measured.values())


def test_built_in_pairs_are_matched_within_10_percent(built_in):
    pairs = 0
    for measured in built_in.values():
        for name, cost in measured.items():
            other = measured.get(name.replace("vit-", "bit-"))
            if name.startswith("vit-") and other is not None:
                pairs += 1
                assert abs(cost.flops / other.flops - 1) < 0.1, name
    assert pairs >= 12


def test_built_in_resnets_have_the_small_stem():
    for name in toml_files.built_in():
        for entry in study_file.resolve(name, {}).models.values():
            if entry.base.startswith("BiT"):
                assert entry.overrides["stem"] == "small"
                for (
                    side,
                    other,
                ) in entry.at.items():  # below 64 pixels the other stem leaves too little
                    assert side >= 64 or other.overrides["stem"] == "small"


def test_known_costs_need_no_process_and_errors_are_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path))
    entry = ModelEntry(name="a", base="ViT-Ti/4", overrides=TINY)
    answers = iter(
        [{"a": {"flops": 5, "params": 6}}, {"b": {"error": "no"}}, {"b": {"error": "no"}}]
    )
    monkeypatch.setattr(costs, "_ask", lambda requests, backend: next(answers))
    for _ in range(2):
        assert costs.measure([entry], (8, 8, 3), 3, "jax") == {"a": costs.Cost(5, 6)}
    other = ModelEntry(name="b", base="ViT-S/4")
    for _ in range(2):
        with pytest.raises(UsageError, match="'b' cannot be built: no"):
            costs.measure([entry, other], (8, 8, 3), 3, "jax")
    assert next(answers, None) is None


def chained(**start):
    info = ResolvedData(
        name="none", fingerprint="ab", image_shape=(8, 8, 1), num_classes=3, counts={"train": 9}
    )
    other = info.model_copy(update={"fingerprint": "cd", "image_shape": (16, 16, 1)})
    study = study_file.validate(
        {
            "name": "x",
            "sizes": [9],
            "seeds": 1,
            "models": {"a": {"base": "ViT-Ti/4", "overrides": TINY}},
            "pretraining": {"dataset": "digits", "sizes": [9], **start},
            "factors": {"f": {"one": {}, "same": {}}},
        },
        "a test",
    )
    trials = study.trials(info, {"digits": other})
    entries = [arm.entry for arm in study.arms.values()]
    return trials, (entries, (8, 8, 1), 3, [trial.start for trial in trials], "torch")


def test_a_pre_training_costs_what_its_own_images_cost_and_equal_arms_are_built_once(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path))
    asked, ask = [], costs._ask
    monkeypatch.setattr(
        costs,
        "_ask",
        lambda requests, backend: asked.append(list(requests)) or ask(requests, backend),
    )
    (trial, _), arguments = chained()
    found = costs.measure_all(*arguments)
    assert list(found) == ["a one", "a same"] and found["a one"] == found["a same"]
    assert [len(names) for names in asked] == [1, 1]
    # Four times the patches of 4 pixels: more than four times the FLOPs but for the head.
    assert found.of(trial) == found["a one"]
    assert found.of(trial.start).flops > 3.5 * found.of(trial).flops


def test_given_weights_that_do_not_fit_are_told_beforehand(tmp_path):
    path = tmp_path / "vit.npz"
    path.write_bytes(b"nothing")
    trials, (entries, *own, _, _) = chained()
    given = {"objective": "none", "weights": str(path), "weights_digest": "12"}
    further = costs._further(trials[0].start.model_copy(update=given))
    with pytest.raises(UsageError, match=r"model 'a one' cannot be given its weights: .*vit\.npz"):
        costs.measure(entries, *own, "torch", further)


def test_weights_that_nobody_published_are_told_beforehand():
    trials, (entries, *own, _, _) = chained()
    given = {"objective": "none", "weights": "nosuch"}
    further = costs._further(trials[0].start.model_copy(update=given))
    with pytest.raises(
        UsageError, match="its weights: weights is 'nosuch', which is neither a file"
    ):
        costs.measure(entries, *own, "torch", further)
