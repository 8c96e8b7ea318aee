"""What a run of the bench measures: its cases, and who runs in each. Nothing here loads a backend."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from studies.errors import UsageError
from studies.machine.devices import on_gpu
from studies.study import file as study_file
from studies.study.entries import ModelEntry
from studies.study.toml_files import built_in

MODES = ("train", "inference")
SMALL = "small"  # besides published names: a ViT that a step of is mostly overhead
_SMALL = ("ViT-Ti/4", {"num_layers": 6}, 32, 64)  # base, overrides, pixels, batch
_PIXELS, _BATCH = 224, 8
_INPUTS = {
    "shapes": (32, 3),
    "fashion_mnist": (28, 1),
    "digits": (8, 1),
}  # pixels and channels of the built-in studies
PRODUCT = "matrix product"
OURS = "keras_vit"


@dataclass(frozen=True)
class Case:
    """Contenders of one case take turns, and are compared with one another."""

    backend: str
    dtype: str  # Keras' policy
    mode: str  # "train", "inference", or "fit": a trial's `fit` beside its bare step
    model: str  # as it is called in tables
    base: str  # a published name
    overrides: dict[str, Any]
    shape: tuple[int, int, int]  # (H, W, C)
    batch_size: int
    classes: int = 1000
    recipe: dict[str, Any] = field(default_factory=dict)  # of a trial, with "fit"


@dataclass(frozen=True)
class Contender:
    """Who runs in a case: its name in tables, and the function that makes it in its own process.

    Attributes:
        name: in tables.
        maker: module of this room and its function, which takes a `Case` and gives a `Runner`.
        overrides: of the case, for this contender.
        needs: packages that it is made of.
        backends: on which it runs.
        kinds: of models that it has: "vit" (without a stem), "bit", or a published name.
        gpu: whether it takes part on a GPU alone.
    """

    name: str
    maker: str
    overrides: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("tensorflow", "jax", "torch")
    kinds: tuple[str, ...] = ("vit",)
    gpu: bool = False


PEERS = (
    Contender("keras_hub", "keras_models:hub", needs=("keras_hub",)),
    Contender(
        "keras.applications ResNet50V2", "keras_models:resnet50_v2", kinds=("BiT-R50x1",)
    ),  # without weight standardisation
    Contender(
        "transformers",
        "torch_models:hugging_face",
        needs=("transformers",),
        backends=("torch",),
        kinds=("vit", "bit"),
    ),
    Contender("timm", "torch_models:timm", needs=("timm", "torchvision"), backends=("torch",)),
    Contender(
        "timm, compiled",
        "torch_models:timm",
        {"compile": True},
        needs=("timm", "torchvision", "triton"),
        backends=("torch",),
        gpu=True,
    ),
    Contender("flax", "flax_model:flax", needs=("flax", "optax"), backends=("jax",)),
)


def contenders(case: Case) -> list[Contender]:
    """Those of a case whose packages are installed; the first is what the others are compared with."""
    if case.mode == "fit":
        names = {"fit": "fit", "bare step": "bare_step", "reading": "reading"}
        return [Contender(name, f"fit:{function}") for name, function in names.items()]
    kind = _kind(case.base)
    exact = {"activation": "gelu"} if kind != "bit" else {}  # as at the peers
    ours = [Contender(OURS, "keras_models:ours", exact)]
    if kind != "bit":
        ours.append(Contender(f"{OURS}, tanh", "keras_models:ours", {"activation": "gelu_tanh"}))
        plain = {**exact, "flash_attention": False}
        ours.append(Contender(f"{OURS}, no flash attention", "keras_models:ours", plain, gpu=True))
    peers = [
        peer
        for peer in PEERS
        if case.backend in peer.backends
        and {kind, case.base} & set(peer.kinds)
        and all(find_spec(package) for package in peer.needs)
    ]
    every = [*ours, *peers, Contender(PRODUCT, "product:product")]
    return [each for each in every if not each.gpu or on_gpu()]


def chosen(
    models: Sequence[str],
    modes: Sequence[str],
    backends: Sequence[str],
    dtypes: Sequence[str],
    image_size: int | None,
    batch_sizes: Sequence[int],
) -> list[Case]:
    """Cases of some models, each in every mode, on every backend, in every dtype and batch size."""
    for mode in modes:
        if mode not in MODES:
            raise UsageError(f"unknown mode {mode!r}; choose from {', '.join(MODES)}")
    cases = []
    for model in models:
        base, overrides, pixels, batch = _SMALL if model == SMALL else (model, {}, _PIXELS, _BATCH)
        study_file.check_base(ModelEntry(name=model, base=base))
        size = image_size or pixels
        cases += [
            Case(backend, dtype, mode, model, base, overrides, (size, size, 3), batch_size)
            for backend in backends
            for dtype in dtypes
            for mode in modes
            for batch_size in batch_sizes or [batch]
        ]
    return cases


def of_studies(
    backends: Iterable[str],
    dtypes: Sequence[str],
    image_size: int | None,
    batch_sizes: Sequence[int],
) -> list[Case]:
    """Cases of the built-in studies' models, each of which is measured once."""
    cases: dict[str, Case] = {}
    sizes: list[int | None] = list(batch_sizes) or [None]
    for name in built_in():
        study = study_file.resolve(name, {})
        native, channels = _INPUTS[study.dataset.partition(":")[0]]
        size = image_size or native
        for written in study.models.values():
            entry = written.for_images(size, size)
            for backend in backends:
                for dtype in dtypes:
                    for batch_size in sizes:
                        changed: dict[str, Any] = {"dtype": dtype}
                        changed |= {"batch_size": batch_size} if batch_size else {}
                        recipe = study.recipe_for(entry).model_copy(update=changed).model_dump()
                        case = Case(
                            backend, dtype, "fit", f"{name}/{entry.name}", entry.base,
                            entry.overrides, (size, size, channels), recipe["batch_size"], 10, recipe,
                        )  # fmt: skip
                        # Studies share models, which then differ in how long they train alone.
                        alike = replace(
                            case, model="", recipe={**recipe, "steps": 0, "max_epochs": 0}
                        )
                        cases.setdefault(json.dumps(asdict(alike)), case)
    return list(cases.values())


def _kind(base: str) -> str:
    if base.startswith("BiT"):
        return "bit"
    return "hybrid" if "+" in base else "vit"
