"""The rooms of the studies: who may use whom, and where Keras may be loaded."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "studies"
FLOORS = [  # from the ground up; a room uses those below it, none on its own floor or above
    {"shown"},
    {"errors"},
    {"analysis", "evaluation", "machine"},
    {"study", "data", "plots"},
    {"records", "inspection"},
    {"executors", "training"},
    {"running"},
    {"report", "bench"},
    {"advise"},
    {"command_line"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Modules that load Keras at their head: parts of a trial's process, or of a contender's of the bench.
KERAS_AT_THE_HEAD = {
    *("bench/fit.py", "bench/keras_models.py", "bench/product.py"),
    *("training/evaluate.py", "training/feed.py", "training/inference.py"),
    *("training/interruption.py", "training/loop.py", "training/preparation.py"),
    *("training/recipe.py", "training/schedule.py", "training/seeds.py", "training/start.py"),
    "training/tasks.py",
    *("training/devices/jax.py", "training/devices/jax_processes.py"),
    *("training/devices/tensorflow.py", "training/devices/torch.py"),
}
# Modules that run as processes of their own and load Keras inside their functions.
KERAS_INSIDE = {
    *("training/trial.py", "inspection/worker.py", "inspection/model_file.py", "running/costs.py"),
    *("bench/recompute.py", "advise/weights.py"),
}

pytestmark = pytest.mark.once
FILES = sorted(ROOT.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(file: Path) -> list[tuple[str, bool]]:
    """Names of the modules that a file imports, and whether it does at its head."""
    tree = ast.parse(file.read_text())
    head = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in head) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from studies import data` names a room; `from studies.data import load` does too.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [(name, id(node) in head) for name in names]
    return found


def test_every_file_stands_in_a_room():
    assert {room(file) for file in FILES} - {"__init__"} <= set(FLOOR)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_room_uses_those_below_it(file):
    mine = room(file)
    for name, _ in imports(file):
        parts = name.split(".")
        if parts[0] == "studies" and len(parts) > 1 and parts[1] in FLOOR and parts[1] != mine:
            assert FLOOR[parts[1]] < FLOOR[mine], f"{mine} must not use {name}"


def test_keras_is_loaded_in_processes_of_their_own_alone():
    def loads(file: Path, at_the_head: bool) -> bool:
        names = {name for name, head in imports(file) if head == at_the_head}
        # The table of variants is plain data: reading it loads no keras.
        table = {name for name in names if name.startswith("keras_vit.models.variants")}
        others = names - table - ({"keras_vit.models"} if table else set())
        return bool({name.split(".")[0] for name in others} & {"keras", "keras_vit"})

    def those(at_the_head: bool) -> set[str]:
        return {str(file.relative_to(ROOT)) for file in FILES if loads(file, at_the_head)}

    assert those(at_the_head=True) == KERAS_AT_THE_HEAD
    assert those(at_the_head=False) - KERAS_AT_THE_HEAD == KERAS_INSIDE
