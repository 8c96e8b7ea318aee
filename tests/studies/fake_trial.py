"""A stand-in for `python -m studies.training.trial`: it behaves as its model's name says, and trains nothing.

done    writes a few events and a good record        noisy   the same, with noise on stdout
fails   writes a failed record                       exits   says why on stderr and exits with 3
dies    kills itself as the kernel would             hangs   starts and then does nothing more
lasts   hangs when it first starts, then it is done
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from studies.machine.processes import die_with_parent, reserve_stdout
from studies.records import store
from studies.study.trial import Trial

COMMAND = (sys.executable, os.path.abspath(__file__))


def main() -> int:
    die_with_parent()
    store.commit = lambda: (
        "0" * 40
    )  # git would be two processes more, of each of hundreds of trials
    parser = argparse.ArgumentParser()
    parser.add_argument("spec", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--elsewhere", action="store_true")
    options = parser.parse_args()
    emit = reserve_stdout()
    trial = Trial.model_validate_json(options.spec.read_text())
    behaviour = trial.model.name
    print("on stdout but no event")
    print("a word on stderr", file=sys.stderr)
    began = time.time()
    emit({"event": "start", "step": 0, "steps": trial.recipe.steps})
    own = options.results / f"{trial.trial_id}.pid"
    first = not own.exists()
    with (options.results / "starts").open("a") as starts:
        starts.write(f"{trial.trial_id}\n")
    own.write_text(str(os.getpid()))
    if behaviour == "hangs" or (behaviour == "lasts" and first):
        time.sleep(120)
    if behaviour == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "exits":
        print("the reason why", file=sys.stderr)
        return 3
    for step in (1, trial.recipe.steps):
        emit({"event": "progress", "step": step, "steps": trial.recipe.steps, "val_top1": 0.5})
    time.sleep(0.1)
    status = "failed" if behaviour == "fails" else "done"
    emit({"event": "record", "record": record(trial, status, began)})
    return 0


def record(trial: Trial, status: str, began: float) -> dict:
    return {
        **store.new_record(trial),
        "status": status,
        **({"reason": "loss became NaN"} if status == "failed" else {}),
        "metrics": {"test_top1": 0.5, "val_top1": 0.5} if status == "done" else {},
        "seconds": time.time() - began,
        "history": [],
        # For the tests alone: what this process was given, and when it lived.
        "pid": os.getpid(),
        "began": began,
        "ended": time.time(),
        "cores": len(os.sched_getaffinity(0)),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "environment": {key: os.environ.get(key) for key in ("KERAS_BACKEND", "OMP_NUM_THREADS")},
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    sys.exit(main())
