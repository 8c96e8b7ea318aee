"""Memory and time with and without recomputed activations (`rematerialize=True`).

    python -m studies.bench.recompute --backends tensorflow,jax,torch

Each measurement is a process of its own, so that its peak memory is its own. Time is CPU time, which other
processes on the machine disturb little.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

MODEL = {"variant": "ViT-Ti/16", "num_layers": 6}
BATCH, STEPS = 16, 3
COLUMNS = ("backend", "rematerialize", "peak_mib", "cpu_seconds_a_step")


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints a table and appends to `recompute.csv` in the folder of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="tensorflow,jax,torch")
    parser.add_argument("--results", type=Path, default=Path("runs/bench"))
    parser.add_argument("--child", choices=("on", "off"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print(json.dumps(_measure(options.child == "on")))
        return
    rows = [
        _in_own_process(backend, flag)
        for backend in options.backends.split(",")
        for flag in ("off", "on")
    ]
    path = options.results / "recompute.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("  ".join(f"{name} {row[name]}" for name in COLUMNS))


def _in_own_process(backend: str, flag: str) -> dict:
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "studies.bench.recompute", "--child", flag]
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    measured = json.loads(result.stdout.splitlines()[-1])
    return {"backend": backend, "rematerialize": flag == "on", **measured}


def _measure(rematerialize: bool) -> dict:
    """Returns what training adds to the peak memory, and the CPU time of a step."""
    import resource
    import time

    import keras
    import numpy as np

    import keras_vit

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux

    model = keras_vit.create_model(**MODEL, classes=10, rematerialize=rematerialize, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss=loss)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH, 224, 224, 3)).astype("float32")
    labels = rng.integers(0, 10, BATCH)
    model.train_on_batch(images[:1], labels[:1])  # the frameworks' own start-up costs memory too
    before = peak()
    model.train_on_batch(images, labels)
    started = time.process_time()
    for _ in range(STEPS):
        model.train_on_batch(images, labels)
    seconds = (time.process_time() - started) / STEPS
    return {"peak_mib": round(peak() - before), "cpu_seconds_a_step": round(seconds, 2)}


if __name__ == "__main__":
    main()
