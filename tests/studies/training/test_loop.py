"""The training loop: best weights, history, failures; killed runs are in tests/studies/test_trial.py."""

import os
import signal
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_vit
from studies.data import Batches
from studies.data.dataset import Split
from studies.errors import TrialError
from studies.evaluation.accuracy import cross_entropy, top1
from studies.machine.devices import device
from studies.study.recipe import Recipe
from studies.training import loop
from studies.training.checkpoint import CheckpointFolder, digest, load
from studies.training.inference import predict
from studies.training.loop import train
from studies.training.seeds import Reseed
from studies.training.tasks import Classification


def split_of(count, seed):
    """Images whose brighter half tells the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 150, (count, 8, 8, 1))
    for image, label in zip(images, labels):
        image[:, 4 * label : 4 * label + 4] += 100
    return Split(images.astype(np.uint8), labels)


class Recorded(Batches):
    """Batches that note which steps they were asked for."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.asked = []

    def batch(self, step):
        self.asked.append(step)
        return super().batch(step)


def run(folder, recipe, jit=True, batches=Recorded, **callbacks):
    model = keras_vit.VisionTransformer(
        input_shape=(8, 8, 1),
        patch_size=4,
        num_layers=1,
        hidden_size=8,
        mlp_dim=8,
        num_heads=2,
        classes=2,
        dropout_rate=0.1,
    )
    validation = split_of(50, seed=2)
    task = Classification(model, recipe, validation)
    if not jit and keras.backend.backend() == "tensorflow":  # XLA takes longer than these tests
        model.jit_compile = False
    data = split_of(64, seed=1)
    batches = batches(data, np.arange(64), recipe.batch_size, seed=0, augmentation=recipe)
    progress = train(task, recipe, batches, CheckpointFolder(folder), 0, **callbacks)
    return SimpleNamespace(
        model=model,
        outputs=task.outputs,
        progress=progress,
        validation=validation,
        folder=folder,
        asked=getattr(batches, "asked", None),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    recipe = Recipe(steps=33, batch_size=16, validations=10, learning_rate=3e-3)
    seen = []
    result = run(
        tmp_path_factory.mktemp("trained"),
        recipe,
        report=lambda entry, speed: seen.append((entry, speed)),
        started=lambda step: seen.append(step),
    )
    result.seen = seen
    return result


def test_history_has_a_finite_entry_at_every_validation_point(trained):
    history = trained.progress.history
    assert [entry["step"] for entry in history] == [3, 7, 10, 13, 17, 20, 23, 26, 30, 33]
    assert [entry["epoch"] for entry in history] == list(range(1, 11))
    for entry in history:
        assert set(entry) == {"epoch", "step", "loss", "top1", "val_loss", "val_top1"}
        assert all(np.isfinite(value) for value in entry.values())
    assert history[-1]["loss"] < history[0]["loss"]


def test_every_step_takes_its_own_batch_in_their_order(trained):
    points = [entry["step"] for entry in trained.progress.history]
    for start, stop in zip([0, *points], points):
        asked = [step for step in trained.asked if start <= step < stop]
        # Before it trains, Keras may look at the shapes of a stretch's first batches.
        assert asked[-(stop - start) :] == list(range(start, stop))
        assert set(asked[: -(stop - start)]) <= {start, start + 1}
    assert trained.asked == sorted(
        trained.asked, key=lambda step: np.searchsorted(points, step, "right")
    )
    assert int(trained.model.optimizer.iterations) == 33


def test_reports_where_it_starts_and_each_point(trained):
    assert trained.seen[0] == 0
    assert [entry for entry, _ in trained.seen[1:]] == trained.progress.history
    assert all(speed > 0 for _, speed in trained.seen[1:])


def test_the_best_validation_weights_are_left_in_the_model(trained):
    history = trained.progress.history
    best = max(history, key=lambda entry: (entry["val_top1"], -entry["val_loss"], -entry["epoch"]))
    assert trained.progress.best == best
    _, logits = predict(trained.outputs, trained.validation.images)
    assert top1(logits, trained.validation.labels) == best["val_top1"]
    loss = cross_entropy(logits, trained.validation.labels)
    assert loss == pytest.approx(best["val_loss"], rel=1e-6)


def test_a_finished_training_is_not_repeated(trained):
    recipe = Recipe(steps=33, batch_size=16, validations=10, learning_rate=3e-3)
    seen = []
    again = run(trained.folder, recipe, started=seen.append)
    assert seen == [33]
    assert again.progress.history == trained.progress.history
    for weight, other in zip(trained.model.weights, again.model.weights):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(other)
        )


def test_outputs_are_representation_and_logits_whatever_the_batch(trained):
    images = trained.validation.images
    features, logits = predict(trained.outputs, images, batch_size=50)
    assert features.shape == (50, 8) and logits.shape == (50, 2)
    some = predict(trained.outputs, images, batch_size=16)  # 50 = 3 x 16 + 2
    np.testing.assert_allclose(some[0], features, atol=1e-5)
    np.testing.assert_allclose(some[1], logits, atol=1e-5)
    whole = trained.model.predict(keras_vit.preprocess_input(images), verbose=0)
    np.testing.assert_allclose(logits, whole, atol=1e-5)


class Ended(BaseException):
    """What SIGTERM does here."""


def test_asked_to_end_between_two_points_it_goes_on_with_the_same_bits(tmp_path, monkeypatch):
    def end(signum, frame):
        raise Ended

    class Ending(Batches):
        def batch(self, step):
            if step == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().batch(step)

    recipe = Recipe(steps=20, batch_size=16, validations=2, learning_rate=3e-3)
    keras.utils.set_random_seed(3)  # the weights that it begins with
    before = signal.signal(signal.SIGTERM, end)
    try:
        with pytest.raises(Ended):
            run(tmp_path / "parts", recipe, jit=False, batches=Ending)
    finally:
        signal.signal(signal.SIGTERM, before)
    left = CheckpointFolder(tmp_path / "parts").newest_state().meta["progress"]["steps"]
    monkeypatch.setattr(loop, "device", lambda backend, count: "another machine")
    assert 0 < left <= 7  # batches are read ahead
    seen = []
    parts = run(tmp_path / "parts", recipe, jit=False, started=seen.append)
    monkeypatch.undo()
    assert seen == [left] and parts.asked[-1] == 19
    keras.utils.set_random_seed(3)
    whole = run(tmp_path / "whole", recipe, jit=False)
    assert parts.progress.history == whole.progress.history
    assert parts.progress.processes == 2
    assert parts.progress.devices == [device(keras.backend.backend()), "another machine"]
    ends = [load(tmp_path / name / "final.ckpt") for name in ("parts", "whole")]
    assert ends[0].meta["last_sha256"] == ends[1].meta["last_sha256"]
    assert digest(ends[0].arrays["best"]) == digest(ends[1].arrays["best"])


def test_one_step_is_a_valid_training(tmp_path):
    result = run(tmp_path, Recipe(steps=1, batch_size=100), jit=False)
    assert [entry["step"] for entry in result.progress.history] == [1]
    assert result.progress.images_per_second > 0


def test_a_loss_that_is_not_finite_names_the_steps_and_what_to_do(tmp_path):
    recipe = Recipe(steps=40, batch_size=16, validations=4, learning_rate=1e25, warmup_fraction=0.0)
    with pytest.raises(TrialError, match=r"steps \d+ and \d+ of 40: lower the learning rate"):
        run(tmp_path, recipe, jit=False)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    CheckpointFolder(tmp_path).save_state(
        1, {"progress": {}}, {"model": [np.ones(3)], "optimizer": [], "best": []}
    )
    with pytest.raises(TrialError, match="does not fit the model"):
        run(tmp_path, Recipe(steps=2, batch_size=4), jit=False)


def test_reseeding_decides_dropout():
    inputs = keras.Input((50,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(keras.layers.Dropout(0.1)(inputs)))
    callback = Reseed(seed=3)
    callback.set_model(model)

    def draw(epoch):
        callback.on_epoch_begin(epoch)
        return keras.ops.convert_to_numpy(model(np.ones((4, 50), "float32"), training=True))

    first = draw(1)
    model(np.ones((4, 50), "float32"), training=True)  # moves the generators on
    np.testing.assert_array_equal(draw(1), first)
    assert not np.array_equal(draw(2), first)
