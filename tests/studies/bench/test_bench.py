"""The speed comparison: its arithmetic, its measuring process on this backend, and its files."""

import csv
import json
import os
import subprocess

import keras
import numpy as np
import pytest

from studies.bench import bench
from studies.bench import worker as bench_worker
from studies.errors import UsageError

REPORT = {
    "backend": "jax",
    "threads": 2,
    "device": "cpu (X)",
    "versions": {"keras": "3"},
    "commit": "abc",
    "results": [
        {
            "model": "ViT-S/16",
            # The machine slows down by half after two rounds: the ratio must not notice.
            "rounds": {"keras_hub": [4, 4, 2, 2, 2], "keras_vit": [8, 8, 4, 4, 4]},
        }
    ],
}


@pytest.mark.once
def test_medians_quartiles_and_ratios_within_rounds():
    hub, ours = bench.summarise(REPORT)
    assert (hub["contender"], hub["images_per_second"], hub["compared_with"]) == (
        "keras_hub",
        2,
        "",
    )
    assert (ours["images_per_second"], ours["lower_quartile"], ours["upper_quartile"]) == (4, 4, 8)
    assert ours["compared_with"] == "keras_hub"
    ratios = [ours[name] for name in ("ratio", "ratio_lower_quartile", "ratio_upper_quartile")]
    assert ratios == [2, 2, 2]


@pytest.mark.once
def test_turns_alternate_and_do_equally_many_steps(monkeypatch):
    clock = iter(np.arange(10_000.0))
    monkeypatch.setattr(bench_worker.time, "perf_counter", lambda: float(next(clock)))
    turns = []
    contenders = {
        name: lambda steps, name=name: turns.append((name, steps)) for name in ("one", "two")
    }
    # Every turn takes one second of this clock, so that one step is enough for a turn of a second.
    speeds = bench_worker.measure(contenders, batch_size=16, rounds=4, seconds=1.0)
    assert speeds == {"one": [16.0] * 4, "two": [16.0] * 4}
    warm_up = 2 + 1
    names = [name for name, _ in turns[warm_up:]]
    assert names == ["one", "two", "two", "one"] * 2
    assert {steps for _, steps in turns} == {1}


@pytest.mark.once
def test_table_and_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "_backends", lambda text: ["jax"])
    monkeypatch.setattr(bench, "_measure", lambda backend, requests, threads: REPORT)
    assert bench.run(bench.Options(output=tmp_path / "bench")) == 0
    stem = "step-ViT-S-16-224px-batch8-float32"
    with (tmp_path / "bench" / f"{stem}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["contender"] for row in rows] == ["keras_hub", "keras_vit"]
    assert float(rows[1]["ratio"]) == 2.0
    text = (tmp_path / "bench" / f"{stem}.md").read_text()
    assert "| jax | ViT-S/16 | keras_vit | 4.00 (4.00 – 8.00) | 2.00" in text
    assert "commit abc" in text and "2 threads" in text
    assert "ViT-S/16, 224 px, batch 8, float32" in capsys.readouterr().out


@pytest.mark.once
def test_different_measurements_of_fit_have_files_and_titles_of_their_own():
    several = [
        bench.Options(fit=True, **given)
        for given in ({}, {"image_size": 64}, {"batch_size": 64}, {"dtype": "mixed_bfloat16"})
    ]
    assert len({bench._stem(options) for options in several}) == 4
    assert len({bench._title(options) for options in several}) == 4
    assert bench._stem(several[1]) == "fit-64px-float32" and "64 px" in bench._title(several[1])


@pytest.mark.once
def test_a_measurement_has_as_many_cores_as_threads(monkeypatch):
    before, seen = os.sched_getaffinity(0), []

    def run(*arguments, **options):  # a child has the cores that its parent has at this moment
        seen.append(os.sched_getaffinity(0))
        return subprocess.CompletedProcess(arguments, 0, stdout='{"results": []}\n')

    monkeypatch.setattr(bench.subprocess, "run", run)
    bench._measure("jax", [], threads=1)
    assert seen == [{min(before)}] and os.sched_getaffinity(0) == before


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "ViT-Z/16"}, "ViT-Z/16"),
        ({"backend": "tensorfow"}, "unknown backend 'tensorfow'; choose from tensorflow"),
        ({"rounds": 0}, "--rounds must be at least 1"),
        ({"threads": 10_000}, "--threads 10000 is more than the"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, message, tmp_path):
    output = tmp_path / "bench"
    with pytest.raises(UsageError, match=message):
        bench.run(bench.Options(**arguments, output=output))
    assert not output.exists()


@pytest.mark.once
def test_an_unwritable_folder_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(bench, "_backends", lambda text: ["jax"])
    monkeypatch.setattr(bench, "_measure", lambda backend, requests, threads: REPORT)
    with pytest.raises(UsageError, match="choose another --output"):
        bench.run(bench.Options(output=tmp_path / "file" / "bench"))


@pytest.mark.once
def test_the_built_in_models_are_those_of_the_studies():
    names = [request["model"] for request in bench._requests(bench.Options(fit=True))]
    assert "data-scale/vit-s" in names and "data-scale/bit-s" in names
    json.dumps(bench._requests(bench.Options(fit=True)))


def small_vit(**request):
    sizes = {"num_layers": 1, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2}
    return {
        "model": "ViT-Ti/8",
        "overrides": {**sizes, "activation": "gelu"},
        "input_shape": [16, 16, 3],
        "rounds": 2,
        "seconds": 0.01,
        "dtype": "float32",
        **request,
    }


def test_a_step_is_measured_beside_keras_hub():
    result = bench_worker.compare_steps(small_vit(batch_size=2))
    assert list(result["rounds"]) == ["keras_hub", "keras_vit"]
    assert all(len(speeds) == 2 and min(speeds) > 0 for speeds in result["rounds"].values())


def test_both_models_have_the_same_size():
    request = small_vit()
    import keras_vit

    ours = keras_vit.create_model(request["model"], input_shape=(16, 16, 3), **request["overrides"])
    assert bench_worker._keras_hub_model(request).count_params() == ours.count_params()


def test_fit_is_measured_beside_the_bare_step_and_reading():
    request = small_vit(base="ViT-Ti/8", recipe={"steps": 4, "batch_size": 4})
    result = bench_worker.compare_fit(request)
    assert list(result["rounds"]) == ["bare step", "fit", "reading"]


def test_the_bare_step_trains():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss=loss)
    model.optimizer.build(model.trainable_variables)
    x = np.eye(4, dtype="float32")[[0, 1, 2, 3]]
    seen = []
    original = model.optimizer.apply

    def counted(*arguments, **keywords):
        seen.append(1)
        return original(*arguments, **keywords)

    model.optimizer.apply = counted
    turn = bench_worker.bare_step(model, x, np.array([0, 1, 0, 1], "int32"))
    turn(3)
    assert seen  # traced once where compiled, called every step on torch
    if keras.backend.backend() != "jax":  # there the state is handed through the compiled function
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        assert steps >= 3
