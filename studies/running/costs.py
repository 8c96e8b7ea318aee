"""What a model costs: forward FLOPs and parameters, measured once in a process of its own.

The driver loads no backend.  A subprocess builds the models, which also finds wrong overrides
before anything is written; its answers are cached until the library's source changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from studies.errors import TrialError, UsageError
from studies.machine.files import file_bytes, parsed_json, replace
from studies.machine.processes import ROOT, child_environment, leave_out_others
from studies.study.entries import ModelEntry
from studies.study.trial import Training


@dataclass(frozen=True)
class Cost:
    """Forward FLOPs of one image (a multiply-add counts as 2) and number of parameters."""

    flops: int
    params: int


class Costs(dict[str, Cost]):
    """Costs of a study's arms on its own images, by name, and of models as they are pre-trained.

    Args:
        arms: by name.
        before: of the pre-trained models, by name, image shape and number of classes.
    """

    def __init__(
        self,
        arms: Mapping[str, Cost],
        before: Mapping[tuple[str, tuple[int, int, int], int], Cost] | None = None,
    ) -> None:
        super().__init__(arms)
        self._before = dict(before or {})

    def of(self, training: Training) -> Cost:
        """The cost of a training's, or a trial's, model on the images of that training."""
        key = (training.model.name, training.image_shape, training.num_classes)
        return self._before.get(key) or self[training.model.name]


def measure_all(
    entries: Iterable[ModelEntry],
    image_shape: tuple[int, int, int],
    num_classes: int,
    trainings: Iterable[Training],
    backend: str,
) -> Costs:
    """Measure a study's arms, and its pre-trainings where images or classes are others.

    Args:
        entries: the arms' models.
        image_shape, num_classes: of the study's images.
        trainings: the pre-trainings.
        backend: an installed backend to build them on.

    Raises:
        UsageError: as of `measure`, or patches cannot be predicted with a model.
    """
    arms = measure(entries, image_shape, num_classes, backend)
    groups: dict[tuple[Any, ...], dict[str, ModelEntry]] = {}
    for each in trainings:
        further = _further(each)
        key = (each.image_shape, each.num_classes, tuple(further.items()))
        if further or key[:2] != (image_shape, num_classes):
            groups.setdefault(key, {})[each.model.name] = each.model
    before = {}
    for (shape, classes, further), group in groups.items():
        for name, cost in measure(group.values(), shape, classes, backend, dict(further)).items():
            before[name, shape, classes] = cost
    return Costs(arms, before)


def _further(training: Training) -> dict[str, Any]:
    """What else a training's model must be able to do: patches to predict, weights to take."""
    if training.objective == "masked_patches":
        return {"masked_patches": True}
    if (
        training.weights is not None
    ):  # without a digest they are published ones, yet to be downloaded
        return {"weights": training.weights, "digest": training.weights_digest}
    return {}


def measure(
    entries: Iterable[ModelEntry],
    image_shape: tuple[int, int, int],
    num_classes: int,
    backend: str,
    further: Mapping[str, Any] | None = None,
) -> dict[str, Cost]:
    """Measure models by building them, or look the answers up.

    Args:
        entries: the models.
        image_shape: (H, W, C) in pixels.
        num_classes: size of the head.
        backend: an installed backend to build them on; it does not change the answers.
        further: `masked_patches`, where those are to be predicted, or the `weights` to be given and the
            `digest` of their file, None for published ones: not all models can do it.

    Returns:
        Costs by entry name.

    Raises:
        UsageError: a model cannot be built; the sentence says which and why.
    """
    entries = list(entries)
    requests = {
        entry.name: {
            "base": entry.base,
            "overrides": entry.overrides,
            "input_shape": list(image_shape),
            "classes": num_classes,
            **(further or {}),
        }
        for entry in entries
    }
    paths = {name: _cache_path(request) for name, request in requests.items()}
    known = {path: _read(path) for path in paths.values()}
    # Many arms may be one and the same model: it is built once.
    missing: dict[Path, str] = {}
    for name, path in paths.items():
        if known[path] is None:
            missing.setdefault(path, name)
    if missing:
        answers = _ask({name: requests[name] for name in missing.values()}, backend)
        for path, name in missing.items():
            answer = answers[name]
            if "error" in answer:
                asked = _asked(requests[name])
                raise UsageError(f"model {name!r} cannot {asked}: {answer['error']}")
            known[path] = Cost(**answer)
            _write(path, Cost(**answer))
    return {name: cost for name, path in paths.items() if (cost := known[path]) is not None}


def _asked(request: Mapping[str, Any]) -> str:
    if "masked_patches" in request:
        return "be pre-trained on masked patches"
    return "be given its weights" if "weights" in request else "be built"


def _ask(requests: Mapping[str, Any], backend: str) -> dict[str, Any]:
    environment = {
        **child_environment(backend),
        "CUDA_VISIBLE_DEVICES": "",  # counting needs no accelerator, and must not take its memory
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    process = subprocess.run(
        [sys.executable, "-m", "studies.running.costs"],
        input=json.dumps(requests),
        env=environment,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        last = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise UsageError(f"the backend {backend} cannot build the models: {last}")
    answers: dict[str, Any] = json.loads(process.stdout.strip().splitlines()[-1])
    return answers


def _cache_path(request: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode() + _library())
    cache = os.environ.get("KERAS_VIT_CACHE") or "~/.cache/keras_vit"
    return Path(cache).expanduser() / "costs" / f"{digest.hexdigest()[:20]}.json"


@cache
def _library() -> bytes:
    """A hash of the library's source."""
    digest = hashlib.sha256()
    for source in sorted((ROOT / "keras_vit").rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.digest()


def _read(path: Path) -> Cost | None:
    try:
        cost = Cost(**parsed_json(file_bytes(path)))
        return cost if isinstance(cost.flops, int) and isinstance(cost.params, int) else None
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, cost: Cost) -> None:
    with contextlib.suppress(OSError):  # without a cache it is only slower
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, json.dumps(asdict(cost)).encode())


def _build(request: Mapping[str, Any]) -> dict[str, Any]:
    import keras_vit

    shape, classes = tuple(request["input_shape"]), request["classes"]
    try:
        if "weights" in request and request["digest"] is None:
            from keras_vit.weights.published import published, weights_path

            if request["base"] not in published(request["weights"]):
                weights_path(request["weights"], request["base"])  # says what there is
        if request.get("digest"):
            from studies.training.start import given_model

            weights, overrides = request["weights"], request["overrides"]
            model = given_model(request["base"], shape, classes, weights, overrides)
        else:
            model = keras_vit.create_model(
                request["base"], input_shape=shape, classes=classes, **request["overrides"]
            )
        if "masked_patches" in request:
            keras_vit.pretraining.MaskedPatchModel(model)
    except (OSError, ValueError, TypeError, TrialError) as error:
        return {"error": " ".join(str(error).split())}
    return asdict(Cost(flops=int(keras_vit.flops(model)), params=int(model.count_params())))


if __name__ == "__main__":
    leave_out_others(os.environ.get("KERAS_BACKEND"))
    # Libraries may print while they load: only what is written here goes to the real stdout.
    answers_to, sys.stdout = sys.stdout, sys.stderr
    built = {name: _build(request) for name, request in json.load(sys.stdin).items()}
    print(json.dumps(built), file=answers_to)
