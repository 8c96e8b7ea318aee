"""`python -m studies inspect`: figures of what a trained ViT attends to and has learned.

Nothing here loads a backend before the command runs; it then loads one in this process, since
there is nothing to run in parallel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

BATCH = 8  # images that the model sees at once
SCORES = 2**29  # bytes of attention scores at once: L * heads * N^2 numbers for each image


@dataclass(frozen=True)
class Options:
    """What to look into, and where the figures go."""

    checkpoint: Path  # a .keras file, or with `model` a weight file of another project
    images: str  # a folder of images or a data set
    model: str | None = None  # the name that the weights are for
    image_size: int = 224  # pixels, with `model`
    show: int = 6  # attention maps
    count: int = 128  # images that the attention distance is averaged over
    backend: str | None = None
    name: str | None = None  # of the results folder; None: after the checkpoint
    results: Path = Path("runs")


def run(options: Options) -> int:
    """Draw what a trained ViT attends to and what its embeddings have learned."""
    if not options.checkpoint.exists():
        raise UsageError(f"There is no file {options.checkpoint}: give a .keras or weight file.")
    model = _model(options)
    images = _images(options.images, _channels_last_shape(model), max(options.count, options.show))
    figures = _figures(model, images, options.show, options.count)
    folder = options.results.expanduser() / (options.name or _name(options.checkpoint))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, ax in figures.items():
            path = folder / f"{name}.png"
            ax.figure.savefig(path)  # type: ignore[union-attr]  # no subfigures here
            print(path)
    except OSError as error:
        raise UsageError(
            f"The figures cannot be written to {folder} ({error.strerror}): choose another "
            f"folder with --results."
        ) from None
    return 0


def _name(checkpoint: Path) -> str:
    # Every trial's model is called best.keras: the trial's folder tells which one it is.
    trial = checkpoint.stem == "best"
    return f"inspect-{checkpoint.resolve().parent.name if trial else checkpoint.stem}"


def _model(options: Options) -> Any:
    """The model of a .keras file, or a named one with another project's weights."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if options.backend:
        os.environ["KERAS_BACKEND"] = options.backend
    try:
        import keras

        import keras_vit
    except ImportError as error:
        raise UsageError(
            f"The backend {os.environ.get('KERAS_BACKEND', 'of Keras')} cannot be loaded ({error}): "
            f"install it, or choose another with --backend."
        ) from None
    path = str(options.checkpoint)
    try:
        if options.model:
            size = options.image_size
            model = keras_vit.create_model(options.model, (size, size, 3), None, weights=path)
        elif path.endswith(".keras"):
            keras_vit.VisionTransformer, keras_vit.ResNet  # noqa: B018 - registers both
            model = keras.saving.load_model(path, compile=False)
        else:
            raise UsageError(
                f"{path} is no .keras file: say with --model which model its weights are for."
            )
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise UsageError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None
    model = getattr(model, "vit", model)  # masked patch prediction wraps one
    if not isinstance(model, keras_vit.VisionTransformer):
        raise UsageError(
            f"{path} holds a {type(model).__name__}: only a VisionTransformer has attention and "
            f"embeddings to look at."
        )
    return model


def _channels_last_shape(model: Any) -> tuple[int, int, int]:
    shape = model.arguments["input_shape"]
    if model.arguments["data_format"] == "channels_first":
        shape = (*shape[1:], shape[0])
    return tuple(shape)


def _images(source: str, shape: tuple[int, int, int], number: int) -> np.ndarray:
    """At most `number` images as uint8 (B, H, W, C) of the model's shape."""
    import numpy as np

    from studies.data.folder import SUFFIXES
    from studies.data.images import decode

    folder = Path(source).expanduser()
    if folder.is_dir():
        files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
        if not files:
            raise UsageError(f"There is no image in {folder}: give a folder of image files.")
        chosen = [files[i] for i in _spread(len(files), number)]
        return np.stack([decode(f, str(f), shape[:2], shape[2]) for f in chosen])
    from studies import data

    test = data.load(source, shape[:2]).replicate(0).test
    images = test.images[_spread(len(test), number)]
    if images.shape[-1] == 1 and shape[2] == 3:
        images = images.repeat(3, axis=-1)
    if images.shape[-1] != shape[2]:
        raise UsageError(
            f"The images of {source} have {images.shape[-1]} channels and the model takes "
            f"{shape[2]}: choose another data set with --images."
        )
    return images


def _spread(total: int, number: int) -> np.ndarray:
    """At most `number` indices, evenly over all: the first images may all be of one class."""
    import numpy as np

    return np.linspace(0, total - 1, min(number, total), dtype=int)


def _figures(model: Any, images: np.ndarray, show: int, count: int) -> dict[str, Axes]:
    """The Axes of each figure by file name; what a model does not have is said and left out."""
    import numpy as np

    from keras_vit import inspection
    from studies.plots import inspection as plots

    inputs = images.astype("float32") / 127.5 - 1
    height, width = inputs.shape[1:3]
    patch = (height / model.grid[0], width / model.grid[1])
    first = model.arguments["data_format"] == "channels_first"
    fed = np.moveaxis(inputs, -1, 1) if first else inputs
    shown, counted = _spread(len(fed), show), _spread(len(fed), count)
    maps = inspection.attention_map(model, fed[shown], batch_size=BATCH)
    chunk = _images_at_once(model)
    chunks = [counted[start : start + chunk] for start in range(0, len(counted), chunk)]
    distances = [
        inspection.attention_distance(
            inspection.attention_scores(model, fed[some], batch_size=BATCH), model.grid, patch
        )
        for some in chunks
    ]
    drawn = {
        "attention_maps": plots.attention_maps(inputs[shown], maps)[0],
        "attention_distance": plots.attention_distance(
            np.average(distances, axis=0, weights=[len(some) for some in chunks]), (height, width)
        ),
    }
    _add(drawn, "position_similarity", lambda: plots.position_similarity(
        inspection.position_similarity(model)))  # fmt: skip
    filters = min(28, min(model.get_layer("patch_embedding").projection.kernel.shape))
    _add(drawn, "patch_filters", lambda: plots.patch_filters(
        inspection.patch_filters(model, filters)))  # fmt: skip
    return drawn


def _images_at_once(model: Any) -> int:
    """How many images' scores fit into SCORES bytes; few calls, since each compiles the model."""
    config = model.arguments
    tokens = model.grid[0] * model.grid[1] + model.num_prefix_tokens
    each = 4 * config["num_layers"] * config["num_heads"] * tokens**2
    return max(1, SCORES // each)


def _add(drawn: dict[str, Axes], name: str, draw: Callable[[], Axes]) -> None:
    try:
        drawn[name] = draw()
    except ValueError as error:
        print(f"no {name}: {error}")
