"""Studies and trials as validated data: what is asked, on which data, with which models.

A study is one TOML file.  `Study` is that file validated; `Study.trials` spells it out into
`Trial`s, each of which holds everything its own process needs.  Two hashes identify a trial:
`pretrain_id` covers what decides the trained weights, `trial_id` adds the evaluation.  Names of
studies, numbers of threads and package versions are in neither, so that results survive a rename
or an upgrade; fields at their neutral value are in neither, so that they survive fields to come.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from studies.study.defaults import default_seeds, default_sizes
from studies.study.described import DataDescription, ResolvedData
from studies.study.strict import Neutral, Strict

# Raise it when the training code changes what the same description trains: old records then no
# longer count. 2: a seed decides the draw of the training images and of splits that the data lack.
PROTOCOL = 2

Backend = Literal["tensorflow", "jax", "torch"]

Positive = Annotated[int, Field(ge=1)]
Auto = Literal["auto"]


class Recipe(Strict):
    """How every model of a study is trained, the same for every size (after the paper's B.1).

    Args:
        steps: optimizer steps.
        max_epochs: fewer steps where there are so few images that the steps would go through them
            more often than this; no limit by default.
        batch_size: images a step.
        learning_rate: the highest one, of Adam, reached at the end of the warmup.
        weight_decay: decoupled, in Keras' convention (multiplied by the learning rate).
        beta_1, beta_2: decay of Adam's moments.
        warmup_fraction: share of the steps in which the learning rate rises linearly.
        schedule: how the learning rate falls after it: by a cosine to zero, or linearly to 1e-5.
        clip_norm: largest global norm of the gradients; 0 switches clipping off.
        label_smoothing: of the training loss.
        augmentation: of the training images: nothing, random crops, or crops and mirror images.
        validations: evenly spaced points at which the model is validated and kept if it is best.
        dtype: the dtype policy of Keras.

    Reference:
        Dosovitskiy et al., arXiv 2010.11929, appendix B.1; Adam with decoupled weight decay:
        Loshchilov and Hutter, arXiv 1711.05101.
    """

    steps: Positive = 10_000
    max_epochs: Annotated[Positive | None, Neutral(None)] = None
    batch_size: Positive = 128
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0), Neutral(0.0)] = 0.1
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    warmup_fraction: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.1
    schedule: Literal["cosine", "linear"] = "cosine"
    clip_norm: Annotated[float, Field(ge=0), Neutral(0.0)] = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    augmentation: Annotated[Literal["none", "crop", "crop_flip"], Neutral("none")] = "crop"
    validations: Positive = 20
    dtype: Annotated[Literal["float32", "mixed_bfloat16", "mixed_float16"], Neutral("float32")] = (
        "float32"
    )

    def for_size(self, size: int) -> Recipe:
        """The recipe with the steps that a subset of `size` images gets, and no limit any more."""
        if self.max_epochs is None:
            return self
        limit = -(-self.max_epochs * size // self.batch_size)
        return self.model_copy(update={"steps": min(self.steps, limit), "max_epochs": None})


class Evaluation(Strict):
    """What is measured once a trial is trained, besides top-1: few-shot linear accuracy.

    Args:
        shots: numbers of labelled images a class; those beyond the smallest class are left out.
        fewshot_seeds: draws of the labelled images, over which few-shot accuracy is averaged.
        l2: weight of the penalty of few-shot's ridge regression.
    """

    shots: tuple[Positive, ...] = (1, 5, 10, 25)
    fewshot_seeds: Positive = 3
    l2: Annotated[float, Field(gt=0)] = 1024.0

    @field_validator("shots")
    @classmethod
    def _ascending(cls, shots: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(shots)))


class Reading(Strict):
    """How the images of the data set are read; see `studies.data.Options`.

    Args:
        fit: how an image of other proportions is made to fit: what is beyond a square is cut away, the
            rest of it is filled with white, or it is squashed.
        skip_broken: leave out images that cannot be read.
        groups: a regular expression for files' paths, whose first bracket names what belongs together.
        imports: modules whose builders TensorFlow Datasets shall know.
    """

    fit: Literal["crop", "pad", "squash"] = "crop"
    skip_broken: bool = False
    groups: str = ""
    imports: tuple[str, ...] = ()


class Architecture(Strict):
    """What `keras_vit.create_model` builds.

    Args:
        base: base for images whose sides have so many pixels or more.
        overrides: further arguments of `create_model` for them.
    """

    base: Annotated[str, Field(min_length=1)]
    overrides: dict[str, Any] = Field(default_factory=dict)


class ModelEntry(Strict):
    """A model of a study: its name in the figures, the published base, and what differs from it.

    Args:
        name: in figures and tables; in a file it is the key of the entry's table.
        base: a name that `keras_vit.create_model` knows; must be given.
        overrides: further arguments of `create_model`.
        learning_rate, weight_decay: replaces the recipe's for this model alone (the paper tunes it for
            each model).
        at: base and overrides for larger images, by the sides in pixels from which they hold:
            `[models.NAME.at.64]`.
        files: digests of the files that overrides name, by argument; only in the study.toml that
            `run` writes. A file counts by its content, not by its path.
    """

    name: Annotated[str, Field(min_length=1)]
    base: Annotated[str, Field(min_length=1)]
    overrides: dict[str, Any] = Field(default_factory=dict)
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    files: dict[str, str] = Field(default_factory=dict)
    at: dict[Positive, Architecture] = Field(default_factory=dict)

    def for_images(self, height: int, width: int) -> ModelEntry:
        """The entry with the base and the overrides that it has for images of a size."""
        fitting = [side for side in self.at if side <= min(height, width)]
        chosen = self.at[max(fitting)].model_dump() if fitting else {}
        return self.model_copy(update={**chosen, "at": {}})


class Trial(Strict):
    """One training run and its evaluation, complete in itself; JSON carries it to its process."""

    study: str
    dataset: str
    data_fingerprint: str
    image_shape: tuple[int, int, int]  # (H, W, C)
    num_classes: int
    image_size: int | None = None
    reading: Reading = Reading()
    size: Positive  # number of training images
    seed: Annotated[int, Field(ge=0)]
    backend: Backend
    model: ModelEntry
    recipe: Recipe  # the model's own learning rate and weight decay are already in it
    evaluation: Evaluation = Evaluation()

    @property
    def pretrain_id(self) -> str:
        """Hash of everything that decides the trained weights."""
        return _digest(self._weights_key())

    @property
    def trial_id(self) -> str:
        """`pretrain_id`'s content, the model's name in the figures and the evaluation, hashed."""
        evaluation = self.evaluation.deciding()
        return _digest({**self._weights_key(), "name": self.model.name, "evaluation": evaluation})

    @property
    def label(self) -> str:
        """A short name for people: model, size, seed and backend."""
        return f"{self.model.name} size {self.size} seed {self.seed} {self.backend}"

    def _weights_key(self) -> dict[str, Any]:
        # The data set's name is not here: its fingerprint decides the pixels, wherever they lie.
        # Nor are paths of weights: a file counts by its content.
        return {
            "protocol": PROTOCOL,
            "data": self.data_fingerprint,
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "size": self.size,
            "seed": self.seed,
            "backend": self.backend,
            "base": self.model.base,
            "overrides": {**self.model.overrides, **self.model.files},
            "recipe": self.recipe.deciding(),
        }


class Study(Strict):
    """A question, and the grid of trials (models x sizes x seeds x backends) that answers it.

    Args:
        question: what the study asks; the report opens with it.
        command: how it is run, for people. In the study.toml that `run` writes it is what was typed, one
            a line if there were several.
        run_time: how long that takes, for people.
        expected: what comes out, for people.
        name: of the results folder; by default the file's own.
        dataset: a name that `studies.data.load` knows: shapes, fashion_mnist, a name of TensorFlow
            Datasets, folder:PATH or csv:FILE.
        image_size: pixels of the images' sides; by default 32 or 64 for images in files, as these
            are small or large, and the data's own elsewhere.
        reading: how the images are read.
        sizes: numbers of training images, or "auto": by halves from all there are down to some hundred.
        seeds: number of seeds, or "auto": five where the test set has fewer than 2,000 images, else three.
        backends: backends of Keras, on each of which every trial runs.
        recipe, evaluation: the same for all trials.
        models: by name.
        keep_models: which trained models lie in the results folder, by default "best": of each model the
            best seed at the largest size.
        data: description of the prepared data; only in the study.toml that `run` writes.

    Example:
        >>> study = study_file.resolve("data-scale", {"dataset": "fashion_mnist"})
        >>> trials = study.trials(describe(study.dataset, study.image_size, study.reading))
    """

    question: str = ""
    command: str = ""
    run_time: str = ""
    expected: str = ""
    name: Annotated[str, Field(min_length=1, pattern=r"^[\w][\w.+-]*$")]
    dataset: Annotated[str, Field(min_length=1)] = "shapes"
    image_size: Positive | None = None
    reading: Reading = Reading()
    sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] | Auto = "auto"
    seeds: Positive | Auto = "auto"
    backends: Annotated[tuple[Backend, ...], Field(min_length=1)] = ("tensorflow",)
    recipe: Recipe = Recipe()
    evaluation: Evaluation = Evaluation()
    models: Annotated[dict[str, ModelEntry], Field(min_length=1)]
    keep_models: Literal["best", "all", "none"] | None = None
    data: ResolvedData | None = None

    @property
    def data_title(self) -> str:
        """The data set's name for people: of a path the last part, which says nothing of the machine."""
        kind, _, path = self.dataset.partition(":")
        return f"{kind}:{PurePath(path).name}" if kind in ("folder", "csv") else self.dataset

    @model_validator(mode="before")
    @classmethod
    def _name_entries(cls, data: Any) -> Any:
        # In the file an entry's name is its table's key: [models.vit-s].
        models = data.get("models") if isinstance(data, dict) else None
        if isinstance(models, dict):
            named = {
                key: {**entry, "name": key} if isinstance(entry, dict) else entry
                for key, entry in models.items()
            }
            return {**data, "models": named}
        return data

    @field_validator("sizes")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...] | Auto) -> tuple[int, ...] | Auto:
        return sizes if sizes == "auto" else tuple(sorted(set(sizes)))

    @field_validator("backends")
    @classmethod
    def _unique(cls, backends: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(backends))

    def resolved(self, info: DataDescription) -> Study:
        """The study with everything in it that follows from its data: nothing is "auto" any more.

        Args:
            info: description of the prepared data set, from `studies.data.describe`, or `data`.
        """
        height, width, _ = info.image_shape
        return self.model_copy(
            update={
                "sizes": self._sizes(info),
                "seeds": self.seeds_for(info),
                "models": {n: e.for_images(height, width) for n, e in self.models.items()},
                "data": ResolvedData.of(info),
            }
        )

    def _sizes(self, info: DataDescription) -> tuple[int, ...]:
        if self.sizes == "auto":
            return default_sizes(info.counts["train"], info.num_classes)
        return self.sizes

    def seeds_for(self, info: DataDescription) -> int:
        """The number of seeds."""
        return default_seeds(info.counts["test"]) if self.seeds == "auto" else self.seeds

    def trials(self, info: DataDescription) -> list[Trial]:
        """Spell the study out, seeds outermost: an unfinished run already shows whole curves.

        Args:
            info: description of the prepared data set, from `studies.data.describe`, or `data`.
        """
        height, width, _ = info.image_shape
        models = [entry.for_images(height, width) for entry in self.models.values()]
        return [
            Trial(
                study=self.name,
                dataset=self.dataset,
                data_fingerprint=info.fingerprint,
                image_shape=info.image_shape,
                num_classes=info.num_classes,
                image_size=self.image_size,
                reading=self.reading,
                size=size,
                seed=seed,
                backend=backend,
                model=entry,
                recipe=self.recipe_for(entry, size),
                evaluation=self.evaluation,
            )
            for seed in range(self.seeds_for(info))
            for size in self._sizes(info)
            for entry in models
            for backend in self.backends
        ]

    def recipe_for(self, entry: ModelEntry, size: int | None = None) -> Recipe:
        """A model's recipe: with its own learning rate and weight decay, and the steps of a size."""
        own = {"learning_rate": entry.learning_rate, "weight_decay": entry.weight_decay}
        own = {key: value for key, value in own.items() if value is not None}
        recipe = self.recipe if size is None else self.recipe.for_size(size)
        return recipe.model_copy(update=own)


def _digest(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
