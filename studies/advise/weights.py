"""The models that published weights and files are for, found out in a process of its own.

The driver loads no backend. A published name is taken for the smallest model that it was published for,
unless the model is said (`ViT-S/16=dinov2`); a file or folder says itself what it is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.machine.processes import child_environment, leave_out_others

_SAID = "="  # between a model and its weights


@dataclass(frozen=True)
class Start:
    """Weights to start from, and the model that they are for.

    Attributes:
        name: of the level, in figures: the published name, or the file's own.
        weights: a published name or a path.
        base: a name that `create_model` knows.
        overrides: further arguments of `create_model`.
    """

    name: str
    weights: str
    base: str
    overrides: dict[str, Any]

    @property
    def model(self) -> str:
        """The model's name, in short: the published one's, or of a file what may be that of others, too."""
        if not self.overrides:
            return self.base
        if "hidden_size" not in self.overrides:
            return "BiT"
        patch, of = self.overrides["patch_size"], self.overrides
        return f"ViT-{of['hidden_size']}x{of['num_layers']}/{patch[0]}"

    @property
    def is_resnet(self) -> bool:
        """Whether it is a ResNet; a hybrid is a ViT."""
        from keras_vit.models.variants import get_variant

        return get_variant(self.base).family == "resnet"


def starts(given: Sequence[str], backend: str) -> list[Start]:
    """The models that weights are for.

    Args:
        given: published names, or paths of files or folders, each with `MODEL=` before it or not.
        backend: an installed one.

    Raises:
        UsageError: there are no such weights, or no model here is theirs; one sentence.
    """
    if not given:
        return []
    asked = []
    for text in given:
        model, said, weights = text.rpartition(_SAID)
        path = Path(weights).expanduser()
        weights = str(path.resolve()) if path.exists() else weights
        asked.append({"model": model if said else None, "weights": weights})
    process = subprocess.run(
        [sys.executable, "-m", "studies.advise.weights"],
        input=json.dumps(asked),
        env={**child_environment(backend), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    if process.returncode:
        last = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        raise UsageError(f"--weights cannot be looked at with the backend {backend}: {last}")
    found = []
    for text, answer in zip(given, json.loads(process.stdout.splitlines()[-1]), strict=True):
        if "error" in answer:
            raise UsageError(f"--weights {text}: {answer['error']}")
        found.append(Start(**answer))
    if len({start.name for start in found}) < len(found):
        raise UsageError("--weights names the same weights twice: name each once")
    return found


def _found(model: str | None, weights: str) -> dict[str, Any]:
    """A start as a dictionary, or what is wrong."""
    from keras_vit.models.variants import get_variant
    from keras_vit.weights.published import published

    path = Path(weights)
    name = re.sub(r"[^\w.+-]", "-", path.stem if path.exists() else weights)
    models = list(published(weights))
    try:
        if model is not None:
            get_variant(model)
            return {"name": name, "weights": weights, "base": model, "overrides": {}}
        if models and not path.exists():
            base = min(models, key=_weight)
            return {"name": name, "weights": weights, "base": base, "overrides": {}}
        if path.is_dir():
            return {"error": "it is a folder: name the file of weights in it"}
        if not path.exists():
            return {"error": "it is neither a file nor the name of published weights"}
        base, overrides = _of_file(path)
    except (OSError, ValueError) as error:
        return {"error": " ".join(str(error).split())}
    return {"name": name, "weights": weights, "base": base, "overrides": overrides}


def _weight(model: str) -> float:
    """About how large a model is, from its variant alone."""
    from keras_vit.models.variants import get_variant

    config = get_variant(model).config
    if "hidden_size" not in config:
        return float(sum(config["block_counts"]) * config["width_factor"] ** 2 * 1e6)
    return float(config["num_layers"] * config["hidden_size"] ** 2)


def _of_file(path: Path) -> tuple[str, dict[str, Any]]:
    """The base and the overrides with which `create_model` builds what a file holds.

    Raises:
        ValueError: it does not build it.
    """
    from keras_vit.weights.checkpoint import read_checkpoint
    from keras_vit.weights.from_checkpoint import architecture
    from keras_vit.weights.resnet_arguments import resnet_arguments
    from keras_vit.weights.rules import PLAIN, blocks_of

    checkpoint = read_checkpoint(path)
    resnet = checkpoint.format.family == "resnet"
    arguments = resnet_arguments(checkpoint) if resnet else architecture(checkpoint)
    if not resnet and blocks_of(arguments) != PLAIN:
        raise ValueError("it has rotary positions or gated MLPs, which studies cannot train")
    left = ("input_shape", "classes", "grid", "representation_size", "data_format", "name")
    kept = {k: v for k, v in arguments.items() if k not in left and v is not None}
    return ("BiT-R50x1" if resnet else "ViT-B/16"), kept


if __name__ == "__main__":
    leave_out_others(os.environ.get("KERAS_BACKEND"))
    # Libraries may print while they load: only what is written here goes to the real stdout.
    answers_to, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps([_found(**each) for each in json.load(sys.stdin)]), file=answers_to)
