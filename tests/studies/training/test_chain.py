"""Chains of trainings: each is done once, ends with the bits of one left alone, and starts the next."""

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.pretraining import mean_colour_classes
from studies.data import describe
from studies.data.batches import to_float
from studies.errors import TrialError
from studies.machine.files import file_digest
from studies.records.checkpoints import (
    ENDED,
    STORED,
    checkpoint_folder,
    claimed,
    is_trained,
    untrained,
)
from studies.study.chain import Finetuning
from studies.study.entries import ModelEntry
from studies.study.recipe import Evaluation, Recipe
from studies.study.trial import Extra, Training, Trial
from studies.training.chain import best_rate
from studies.training.checkpoint import digest, load, save
from studies.training.preparation import read_as_studies_prepare
from studies.training.start import first_model, weights_of
from studies.training.tasks import MaskedPatches
from studies.training.trial import run_trial
from tests.studies.descriptions import TINY, on_digits

SHORT = Recipe(steps=4, batch_size=8, validations=2, learning_rate=3e-3)
TINY_VIT = {"num_layers": 1, "hidden_size": 8, "mlp_dim": 8, "num_heads": 1}
SGD = SHORT.model_copy(update={"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 0.03})


def training(backend, image_size=None, recipe=SHORT, **changes):
    return on_digits(backend, recipe, image_size, **changes)


def trial(last, **changes):
    fields = {name: getattr(last, name) for name in Training.model_fields}
    return Trial(**fields, study="test", evaluation=Evaluation(shots=(1,)), **changes)


def chained(backend, method="lora", objective="masked_patches"):
    """Masked patches, then a fine-tuning on fewer images."""
    before = training(backend, objective=objective, size=60)
    finetuning = Finetuning(method=method, lora_rank=2)
    return training(backend, start=before, finetuning=finetuning, recipe=SGD)


def run(trial, results):
    events = []
    record = run_trial(trial, results, events.append)
    assert record["status"] == "done", record.get("reason")
    return record, events


class Killed(BaseException):
    """The process ends here."""


def killed_at_point(trial, results, number):
    """Run a trial, and end it when it has told of so many validation points."""
    told = []

    def emit(event):
        told.append(event)
        if sum(event["event"] == "progress" for event in told) == number:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial, results, emit)
    return told


def final(results, training):
    return checkpoint_folder(results, training) / "final.ckpt"


@pytest.fixture(scope="module")
def done(tmp_path_factory, backend):
    """A chain that was left alone: its trial, results folder, record and events."""
    results = tmp_path_factory.mktemp("chain")
    each = trial(chained(backend))
    return each, results, *run(each, results)


def with_other_weights(source, target):
    """Write a training's end anew, with other weights."""
    end = load(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    best = [array + 0.01 if array.dtype.kind == "f" else array for array in end.arrays["best"]]
    save(target, end.meta, {"best": best})


def run_beside_another(each, results, others):
    """Run a trial whose starter answers that other ends are in storage: files by training id."""
    asked = []

    def emit(event):
        if event["event"] != ENDED:
            return
        (part,) = (p for p in each.chain if p.training_id == event["training_id"])
        asked.append(part.training_id)
        if part.training_id in others:
            with_other_weights(others.pop(part.training_id), final(results, part))
        (checkpoint_folder(results, part) / STORED).touch()

    record = run_trial(each, results, emit, elsewhere=True)
    assert record["status"] == "done", record.get("reason")
    return record, asked


def test_what_follows_is_made_of_the_end_that_is_in_storage(done, tmp_path):
    each, results, alone, _ = done
    start = each.start
    before = tmp_path / "before"
    with_other_weights(final(results, start), final(before, start))
    expected, _ = run(each, before)
    found, asked = run_beside_another(
        each, tmp_path / "a", {start.training_id: final(results, start)}
    )
    assert found["weights_sha256"] == expected["weights_sha256"] != alone["weights_sha256"]
    assert asked == [start.training_id, each.training_id]
    replaced = {each.training_id: final(results, each)}
    found, asked = run_beside_another(each, tmp_path / "b", replaced)
    assert asked == [start.training_id, each.training_id, each.training_id]
    end = load(final(tmp_path / "b", each)).arrays["best"]
    assert found["weights_sha256"] == digest(end) != alone["weights_sha256"]


def test_a_chain_killed_in_each_training_ends_with_the_same_bits(done, tmp_path):
    each, results, record, _ = done
    killed_at_point(each, tmp_path, 1)  # in the pre-training
    assert not is_trained(tmp_path, each.start)
    told = killed_at_point(each, tmp_path, 2)  # its second point, then the first of the fine-tuning
    assert [e["step"] for e in told] == [2, 4, 6] and {e["steps"] for e in told} == {8}
    assert [t.training_id for t in untrained(tmp_path, each)] == [each.training_id]
    again, events = run(each, tmp_path)
    assert [(e["step"], e["steps"]) for e in events[:-1]] == [(2, 4), (4, 4)]
    assert again["weights_sha256"] == record["weights_sha256"]
    assert again["history"] == record["history"] and again["metrics"] == record["metrics"]
    for part in each.chain:
        ends = [load(final(place, part)) for place in (results, tmp_path)]
        assert ends[0].meta["last_sha256"] == ends[1].meta["last_sha256"]


def test_the_record_says_what_the_chain_was(done):
    each, _, record, events = done
    assert [e["step"] for e in events[:-1]] == [0, 2, 4, 6, 8]
    assert ["val_top1" in e for e in events[:-1]] == [False, False, False, True, True]
    assert record["pretraining"] == {
        "training_id": each.start.training_id,
        "dataset": "digits",
        "size": 60,
        "objective": "masked_patches",
        "weights": None,
        "steps": 4,
    }
    assert record["finetuning"] == {"method": "lora", "lora_rank": 2}
    assert (record["evaluation"], record["base_model"], record["levels"]) == ("standard", "vit", {})
    assert (record["learning_rate"], record["rates"]) == (0.03, {})
    assert record["images_seen"] == 4 * 8


def test_masked_patches_are_learned_from_validation_to_validation(done):
    each, results, _, _ = done
    history = load(final(results, each.start)).meta["progress"]["history"]
    # 8 colours of grey; corruption is the same at both points, so that they can be compared.
    assert history[0]["val_loss"] == pytest.approx(np.log(8), rel=0.2)
    assert history[1]["val_loss"] != history[0]["val_loss"]
    assert 0 <= history[1]["val_top1"] <= 1


def test_colours_are_those_of_the_images_whatever_is_known_of_given_weights(rng):
    """The model learns what its validation asks: a trial's images are in [-1, 1]."""
    vit = keras_vit.create_model("ViT-Ti/4", (8, 8, 3), 2, **TINY_VIT)
    vit.preprocessing = keras_vit.Preprocessing((0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    read_as_studies_prepare(vit)  # as whatever has given weights does
    task = MaskedPatches(vit, SHORT, None)
    batch = to_float(rng.integers(0, 256, size=(5, 8, 8, 3)).astype("uint8"))
    targets = keras.ops.convert_to_numpy(mean_colour_classes(batch, 4))
    y_pred = {
        "logits": keras.ops.convert_to_tensor(50 * np.eye(512, dtype="float32")[targets]),
        "corrupted": keras.ops.ones(targets.shape, "bool"),
    }
    loss = task.model.compute_loss(x=batch, y_pred=y_pred)
    assert keras.ops.convert_to_numpy(loss) < 1e-4


def test_low_rank_updates_leave_what_is_frozen_alone_and_the_file_computes_the_same(done):
    each, results, _, _ = done
    before = weights_of(first_model(each, checkpoint(results, each.start)))
    model = first_model(each)
    after = load(final(results, each)).arrays["best"]
    for weight, old, new in zip(model.weights, before, after, strict=True):
        assert weight.trainable or np.array_equal(old, new), weight.path
        weight.assign(new)
    trained = [w.path for w in model.weights if w.trainable]
    assert any("lora" in path for path in trained) and "head/kernel" in trained
    images = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    plain = keras.saving.load_model(checkpoint_folder(results, each) / "best.keras")
    assert not any("lora" in weight.path for weight in plain.weights)
    expected = keras.ops.convert_to_numpy(model(images))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(keras.ops.convert_to_numpy(plain(images)), expected, atol=1e-5)


def checkpoint(results, training):
    from studies.training.checkpoint import CheckpointFolder

    return CheckpointFolder(checkpoint_folder(results, training))


def test_weights_to_start_from_that_are_damaged_are_trained_anew(done, tmp_path):
    each, results, _, _ = done
    path = final(tmp_path, each.start)
    path.parent.mkdir(parents=True)
    path.write_bytes(final(results, each.start).read_bytes()[:-100])
    record = run_trial(each, tmp_path)
    assert record["status"] == "failed" and "run the failed trials again" in record["reason"]
    assert [t.training_id for t in untrained(tmp_path, each)] == [t.training_id for t in each.chain]


def test_a_later_evaluation_trains_nothing(done, backend):
    each, results, record, _ = done
    changed = [final(results, part).stat().st_mtime_ns for part in each.chain]
    knn = Extra(name="neighbours", kind="nearest_neighbours", options={"k": 3})
    extra, events = run(trial(chained(backend), extra=knn), results)
    assert [e["event"] for e in events] == ["start", "record"] and events[0]["step"] == 4
    assert set(extra["metrics"]) == {"knn_top1", "knn_balanced"}
    assert extra["evaluation"] == "neighbours" and extra["trial_id"] != record["trial_id"]
    assert extra["weights_sha256"] == record["weights_sha256"]
    assert [final(results, part).stat().st_mtime_ns for part in each.chain] == changed


def test_another_fine_tuning_does_not_train_the_pre_training_again(done, backend):
    each, results, _, _ = done
    changed = final(results, each.start).stat().st_mtime_ns
    last = chained(backend, method="head_and_norms")
    record, events = run(trial(last), results)
    assert [(e["step"], e["steps"]) for e in events[:-1]] == [(0, 4), (2, 4), (4, 4)]
    assert final(results, each.start).stat().st_mtime_ns == changed
    before = weights_of(first_model(last, checkpoint(results, each.start)))
    after = load(final(results, last)).arrays["best"]
    moved = {
        weight.path
        for weight, old, new in zip(first_model(last).weights, before, after, strict=True)
        if not np.array_equal(old, new)
    }
    assert moved and all("norm" in path or path.startswith("head/") for path in moved)
    assert record["finetuning"] == {"method": "head_and_norms", "lora_rank": None}


def test_the_pre_trained_model_itself_is_evaluated_on_other_images_of_another_size(done, backend):
    each, results, _, _ = done
    other = describe("digits", 12)
    data = {
        "dataset": "digits",
        "data_fingerprint": other.fingerprint,
        "image_shape": other.image_shape,
        "num_classes": other.num_classes,
        "image_size": 12,
    }
    extra = Extra(name="attention", kind="attention", options={"images": 3}, data=data)
    record, events = run(trial(each.start, extra=extra), results)
    assert [e["event"] for e in events] == ["start", "record"]
    assert 0 < record["metrics"]["attention_distance"] < 12 * 2**0.5
    assert record["pretraining"] is None and record["objective"] == "masked_patches"
    extra = Extra(name="filters", kind="filters", options={"components": [2]})
    record, _ = run(trial(each.start, extra=extra), results)
    holder = load(final(results, each.start)).arrays["best"]
    kernel = next(array for array in holder if array.shape == (16, 8))  # 4 x 4 pixels, 8 filters
    variances = np.linalg.svd(kernel.T - kernel.mean(axis=1), compute_uv=False) ** 2
    expected = variances[:2].sum() / variances.sum()
    assert record["metrics"]["filters_share_2"] == pytest.approx(expected, rel=1e-5)


def test_a_fine_tuned_model_starts_from_the_trained_weights_with_zeros_as_its_head(done, backend):
    each, results, _, _ = done
    best = load(final(results, each.start)).arrays["best"]
    larger = each.model_copy(update={"image_shape": (16, 16, 1), "finetuning": Finetuning()})
    model = first_model(larger, checkpoint(results, each.start))
    values = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    assert values["position_embedding/position_embedding"].shape == (1, 1 + 16, 8)
    assert not values["head/kernel"].any() and values["head/kernel"].shape == (8, 10)
    kernel = values["block_0/mlp/hidden/kernel"]
    assert any(np.array_equal(kernel, array) for array in best)


def test_of_several_learning_rates_one_counts_and_one_that_diverges_stops_nothing(
    backend, tmp_path
):
    rates = {"learning_rates": (0.05, 1e30), "clip_norm": 0.0, "warmup_fraction": 0.0}
    last = training(backend, recipe=SGD.model_copy(update=rates))
    record, events = run(trial(last), tmp_path)
    assert record["learning_rate"] == 0.05
    assert record["rates"] == {"0.05": record["metrics"]["val_top1"], "1e+30": None}
    assert [(e["step"], e["steps"]) for e in events[:3]] == [(0, 8), (2, 8), (4, 8)]
    folder = checkpoint_folder(tmp_path, last)
    files = {"best.json", "best.keras", "final.ckpt", "lock", "threads.json"}
    assert {p.name for p in folder.iterdir()} == files
    (folder / "rate-0.05").mkdir()  # as a kill leaves it that comes at the very end
    (folder / "rate-0.05" / "final.ckpt").touch()
    again, events = run(trial(last), tmp_path)
    assert [e["event"] for e in events] == ["start", "record"] and events[0]["step"] == 8
    assert {p.name for p in folder.iterdir()} == files
    same = ("rates", "learning_rate", "metrics", "weights_sha256", "history")
    assert {name: again[name] for name in same} == {name: record[name] for name in same}


@pytest.mark.once
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({0.1: (0.5, 1.0), 0.2: (0.6, 9.0)}, 0.2),  # accuracy first
        ({0.1: (0.5, 1.0), 0.2: (0.5, 0.9)}, 0.2),  # then the loss
        ({0.1: (0.5, 1.0), 0.2: (0.5, 1.0)}, 0.1),  # then the lower rate
        ({0.1: (0.1, 3.0), 0.2: None}, 0.1),
        ({0.1: None}, None),
    ],
)
def test_ties_between_learning_rates(entries, expected):
    found = {
        rate: entry and {"val_top1": entry[0], "val_loss": entry[1]}
        for rate, entry in entries.items()
    }
    assert best_rate(found) == expected


@pytest.mark.once
def test_trials_that_train_the_same_claim_the_same(tmp_path):
    one, other = chained("jax"), chained("jax", method="full")
    assert claimed(tmp_path, one) & claimed(tmp_path, other) == {one.start.training_id}
    path = final(tmp_path, one.start)
    path.parent.mkdir(parents=True)
    path.touch()
    assert claimed(tmp_path, one) == {one.training_id}
    assert not claimed(tmp_path, one) & claimed(tmp_path, other)
    path.unlink()
    final(tmp_path, one).parent.mkdir(parents=True)
    final(tmp_path, one).touch()  # whatever became of what it started from
    assert untrained(tmp_path, one) == [] and claimed(tmp_path, one) == {one.training_id}
    given = one.start.model_copy(update={"objective": "none", "weights": "a.npz"})
    assert is_trained(tmp_path, given)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.filterwarnings("ignore:The head of:UserWarning")
def test_given_weights_are_what_is_fine_tuned(backend, tmp_path, channels):
    vit = keras_vit.create_model("ViT-Ti/4", (8, 8, channels), 3, seed=5, **TINY)
    keras_vit.export_weights(vit, tmp_path / "vit.npz")
    given = training(backend, objective="none", weights=str(tmp_path / "vit.npz"), recipe=Recipe())
    last = training(backend, start=given, finetuning=Finetuning(), recipe=SGD)
    model = first_model(last, checkpoint(tmp_path, given))

    def weight(model, layer):
        return keras.ops.convert_to_numpy(getattr(model.get_layer(layer[0]), layer[1]).kernel)

    patches = weight(vit, ("patch_embedding", "projection")).reshape(16, channels, 8)
    # A grey image is one whose colours are alike: its kernel is the sum over them.
    grey = weight(model, ("patch_embedding", "projection"))
    np.testing.assert_allclose(grey, patches.sum(axis=1), rtol=1e-6)
    block, expected = (each.get_layer("block_0").mlp.hidden.kernel for each in (model, vit))
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (block, expected)))
    assert model.arguments["dropout_rate"] == 0.2 and model.output_shape == (None, 10)


def test_weights_that_are_not_there_are_one_sentence(backend, tmp_path):
    given = training(backend, objective="none", weights=str(tmp_path / "no.npz"), recipe=Recipe())
    with pytest.raises(TrialError, match=r"no\.npz cannot be given to ViT-Ti/4") as error:
        first_model(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("named", ["to start from", "of the model"])
@pytest.mark.filterwarnings("ignore:The head of:UserWarning")
def test_weights_that_changed_after_the_study_was_made_are_not_trained(backend, tmp_path, named):
    path = tmp_path / "vit.npz"

    def write(seed):
        keras_vit.export_weights(
            keras_vit.create_model("ViT-Ti/4", (8, 8, 1), 10, seed=seed, **TINY), path
        )

    write(5)
    digest = file_digest(path)
    if named == "to start from":
        given = {"objective": "none", "weights": str(path), "weights_digest": digest}
        each = training(backend, recipe=Recipe(), **given)
    else:
        overrides = {**TINY, "weights": str(path)}
        entry = ModelEntry(
            name="vit", base="ViT-Ti/4", overrides=overrides, files={"weights": digest}
        )
        each = training(backend, model=entry)
    first_model(each)
    write(6)
    with pytest.raises(TrialError, match=r"vit\.npz have changed since the study was made: "):
        first_model(each)
    write(5)
    first_model(each)


def test_a_resnet_is_fine_tuned_from_its_trained_weights_too(backend, tmp_path):
    small = {"stem": "small", "block_counts": [1], "width_factor": 0.125, "groups": 2}
    entry = ModelEntry(name="bit", base="BiT-R50x1", overrides=small)
    before = training(backend, model=entry)
    model = first_model(before)
    values = [np.full(weight.shape, 0.25, np.float32) for weight in model.weights]
    checkpoint(tmp_path, before).save_final({}, {"best": values})
    method = Finetuning(method="head_and_norms")
    last = training(backend, model=entry, start=before, finetuning=method, image_shape=(12, 12, 1))
    tuned = first_model(last, checkpoint(tmp_path, before))
    for weight in tuned.weights:
        expected = 0.0 if weight.path.startswith("head/") else 0.25
        assert np.unique(keras.ops.convert_to_numpy(weight)) == [expected], weight.path
        assert weight.trainable == ("norm" in weight.path or weight.path.startswith("head/"))
