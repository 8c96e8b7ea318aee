"""The speed comparison from options to files, and its processes with tiny contenders on this backend."""

import csv
import os
import sys
from dataclasses import replace

import pytest

from studies.bench import bench, cases, turns
from studies.bench.cases import Case, Contender
from studies.errors import UsageError

TINY = {"num_layers": 1, "hidden_size": 8, "mlp_dim": 8, "num_heads": 2}
SAID = {
    "first_step": 1.5,
    "parameters": 10,
    "flops": None,
    "device": "cpu (A (R) CPU)",
    "memory": 5e6,
}


def case(backend="jax", **changed) -> Case:
    each = Case(backend, "float32", "train", "tiny", "ViT-Ti/8", TINY, (16, 16, 3), 2, 5)
    return replace(each, **changed)


@pytest.fixture
def two_contenders(monkeypatch):
    """A case whose contenders need no time: ours takes half a second a step, the other one."""

    def measure(each, threads, rounds, seconds, cold):
        of = {"keras_vit": 0.5, "keras_hub": 1.0}
        return [
            {
                **SAID,
                "contender": n,
                "cold": 2.0,
                "warm": 1.0 if cold else None,
                "seconds_a_step": [s] * rounds,
            }
            for n, s in of.items()
        ]

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "_versions", lambda each: "keras 3")
    monkeypatch.setattr(bench, "instructions", lambda: "avx2")


@pytest.mark.once
def test_files_of_a_processor_keep_what_other_runs_measured(tmp_path, two_contenders, capsys):
    first = bench.Options(backend="jax", mode="train,inference", output=tmp_path, threads=1)
    assert bench.run(replace(first, command="first")) == 0
    stem = "a-avx2-1-threads-jax-float32"
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{stem}.{e}" for e in ("csv", "md", "png")
    }
    assert f"{tmp_path / stem}.csv" in capsys.readouterr().out
    again = bench.Options(backend="jax", model="small", output=tmp_path, threads=1, rounds=3)
    assert bench.run(replace(again, command="second")) == 0
    assert bench.run(replace(again, mode="inference", model="ViT-S/16", command="third")) == 0
    with (tmp_path / f"{stem}.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [(row["mode"], row["model"], row["contender"], row["command"]) for row in rows]
    assert found == [
        (mode, model, contender, command)
        for mode, model, command in (
            ("train", "ViT-S/16", "first"),
            ("train", "small", "second"),
            ("inference", "ViT-S/16", "third"),
        )
        for contender in ("keras_vit", "keras_hub")
    ]
    assert [row["ratio"] for row in rows[:2]] == ["", "2.0"]
    assert [float(row["images_per_second"]) for row in rows] == [16, 8, 128, 64, 16, 8]
    text = (tmp_path / f"{stem}.md").read_text()
    assert "| train | small | 32 | 64 | keras_hub | 64.00 (64.00 – 64.00) | 2.00" in text
    assert "`second`: keras 3; commit" in text


@pytest.mark.once
def test_other_dtypes_and_backends_have_files_of_their_own(tmp_path, two_contenders):
    options = bench.Options(
        dtype="float32,mixed_bfloat16", backend="jax,torch", output=tmp_path, threads=1
    )
    bench.run(options)
    assert {path.name for path in tmp_path.glob("*.csv")} == {
        f"a-avx2-1-threads-{backend}-{dtype}.csv"
        for backend in ("jax", "torch")
        for dtype in ("float32", "mixed-bfloat16")
    }


@pytest.mark.once
def test_started_once_a_contender_has_a_cold_first_step_alone(tmp_path, two_contenders):
    once = bench.Options(backend="jax", output=tmp_path, threads=1, cold=False)
    assert bench.run(once) == 0
    stem = "a-avx2-1-threads-jax-float32"
    rows = list(csv.DictReader((tmp_path / f"{stem}.csv").open()))
    assert [(row["first_step_cold"], row["first_step_warm"]) for row in rows] == [("2.0", "")] * 2
    assert "| 5 | 2.00 |" in (tmp_path / f"{stem}.md").read_text()
    assert bench.run(once) == 0  # and is read again


@pytest.mark.once
def test_peers_that_are_installed_join(monkeypatch):
    there = {"keras_hub", "transformers", "flax", "optax", "timm", "torchvision"}
    monkeypatch.setattr(cases, "find_spec", lambda name: name in there)
    bit = {"model": "BiT-R50x1", "base": "BiT-R50x1", "overrides": {}}
    hybrid = {"model": "R+ViT-Ti/16", "base": "R+ViT-Ti/16"}
    ours = ["keras_vit", "keras_vit, tanh"]

    def names(**changed):
        return [each.name for each in cases.contenders(case(**changed))][:-1]

    assert names() == [*ours, "keras_hub", "flax"]
    assert names(backend="torch") == [*ours, "keras_hub", "transformers", "timm"]
    assert names(backend="tensorflow") == [*ours, "keras_hub"]
    resnet = "keras.applications ResNet50V2"
    assert names(**bit) == ["keras_vit", resnet]
    assert names(backend="torch", **bit) == ["keras_vit", resnet, "transformers"]
    assert names(**hybrid) == ours
    there -= {"keras_hub", "optax"}
    assert names() == ours
    there |= {"triton"}
    monkeypatch.setattr(cases, "on_gpu", lambda: True)
    plain = "keras_vit, no flash attention"
    compiled = ["timm", "timm, compiled"]
    assert names(backend="torch") == [*ours, plain, "transformers", *compiled]


@pytest.mark.once
def test_cases_are_all_combinations_with_the_models_own_sizes():
    made = cases.chosen(
        ["ViT-S/16", "small"], ["train", "inference"], ["jax", "torch"], ["float32"], None, []
    )
    assert len(set(map(str, made))) == len(made) == 8
    assert {(each.model, each.shape[0], each.batch_size) for each in made} == {
        ("ViT-S/16", 224, 8),
        ("small", 32, 64),
    }
    made = cases.chosen(["small"], ["train"], ["jax"], ["float32"], 64, [1, 16])
    assert [(each.shape, each.batch_size) for each in made] == [((64, 64, 3), 1), ((64, 64, 3), 16)]


@pytest.mark.once
def test_the_built_in_models_are_those_of_the_studies():
    made = cases.of_studies(["jax", "torch"], ["float32"], None, [])
    names = [each.model for each in made if each.backend == "jax"]
    assert "data-scale/vit-s" in names and "data-scale/bit-s" in names
    assert len(set(names)) == len(names) == len(made) / 2
    assert [each.name for each in cases.contenders(made[0])] == ["fit", "bare step", "reading"]


@pytest.mark.once
def test_some_of_the_studies_models_are_named(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(bench, "measure", lambda case, *_: asked.append(case.model) or [])
    monkeypatch.setattr(bench.table, "write", lambda *_: [])
    options = bench.Options(fit=True, model="quick/vit-xs,data-scale/bit-s", backend="torch")
    assert bench.run(options) == 0
    assert sorted(asked) == ["data-scale/bit-s", "quick/vit-xs"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "ViT-Z/16"}, "ViT-Z/16"),
        (
            {"fit": True, "model": "ViT-S/16"},
            "--fit has no model 'ViT-S/16'; choose from ablations",
        ),
        ({"mode": "trainning"}, "unknown mode 'trainning'; choose from train, inference"),
        ({"dtype": "float64"}, "unknown dtype 'float64'; choose from float32"),
        ({"batch_size": "8,0"}, "--batch-size has '0'"),
        ({"batch_size": "²"}, "--batch-size has '²'"),
        ({"batch_size": "9" * 5000}, "--batch-size has '999"),
        ({"seconds": float("nan")}, "--seconds above 0"),
        ({"seconds": float("inf")}, "--seconds above 0"),
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
def test_an_unwritable_folder_is_said(tmp_path, two_contenders):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another --output"):
        bench.run(bench.Options(backend="jax", output=tmp_path / "file" / "bench"))


@pytest.mark.once
def test_turns_alternate_and_are_as_long_as_asked():
    done = []

    def contender(name, seconds_a_step):
        def turn(steps):
            done.append((name, steps))
            return steps * seconds_a_step

        return turn

    found = turns.take_turns({"one": contender("one", 0.1), "two": contender("two", 0.4)}, 4, 2.0)
    assert found == {"one": pytest.approx([0.1] * 4), "two": pytest.approx([0.4] * 4)}
    assert done[-8:] == [
        *[("one", 20), ("two", 5), ("two", 5), ("one", 20)],
        *[("one", 20), ("two", 5), ("two", 5), ("one", 20)],
    ]


WORKER = """
import json, os, sys
order = json.loads(sys.argv[-1])
if order["maker"] == "broken":
    sys.exit("no such operator")
print(json.dumps({"first_step": 1.0, "cores": len(os.sched_getaffinity(0)),
                  "threads": os.environ["OMP_NUM_THREADS"],
                  "cache": os.environ["JAX_COMPILATION_CACHE_DIR"]}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": 0.5 * int(line)}), flush=True)
"""


@pytest.fixture
def stand_in(monkeypatch):
    """Processes that take half a second a step, by their own account."""
    start = turns.subprocess.Popen

    def popen(command, **options):
        return start([sys.executable, "-c", WORKER, command[-1]], **options)

    monkeypatch.setattr(turns.subprocess, "Popen", popen)


@pytest.mark.once
def test_a_contender_has_its_threads_cores_and_caches(stand_in, monkeypatch):
    before = os.sched_getaffinity(0)
    monkeypatch.setattr(
        turns, "contenders", lambda each: [Contender("a", "x"), Contender("b", "x")]
    )
    a, b = turns.measure(case(), threads=1, rounds=3, seconds=1.0)
    assert os.sched_getaffinity(0) == before
    assert (a["cores"], a["threads"]) == (1, "1")
    assert a["cache"] != b["cache"]
    assert a["seconds_a_step"] == [0.5] * 3 and (a["cold"], a["warm"]) == (1.0, 1.0)
    a, _ = turns.measure(case(), threads=1, rounds=1, seconds=1.0, cold=False)
    assert (a["cold"], a["warm"]) == (1.0, None)


@pytest.mark.once
def test_a_peer_that_cannot_run_is_left_out_and_ours_must(stand_in, monkeypatch, capsys):
    both = [Contender("ours", "x"), Contender("peer", "broken", needs=("peer",))]
    monkeypatch.setattr(turns, "contenders", lambda each: both)
    assert [found["contender"] for found in turns.measure(case(), 1, 1, 1.0)] == ["ours"]
    assert "peer is left out: no such operator" in capsys.readouterr().err
    both[0] = Contender("ours", "broken")
    with pytest.raises(UsageError, match="no such operator"):
        turns.measure(case(), 1, 1, 1.0)
