"""The process that draws what a trained ViT attends to: `python -m studies.inspection.worker`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.errors import UsageError
from studies.inspection.inspect import Options
from studies.inspection.model_file import load_model
from studies.inspection.scrambling import as_trained
from studies.machine.processes import answer

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

BATCH = 8  # images that the model sees at once
SCORES = 2**29  # bytes of attention scores at once: L * heads * N^2 numbers for each image


def draw(order: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Write the figures, and say the path of each.

    Args:
        order: the fields of `Options`, and the folder that the figures go to.
        say: called with `{"path": ...}`, or with `{"note": ...}` for what is left out.
    """
    options = Options.from_order(order)
    model = _model(options)
    images = _images(options.images, _channels_last_shape(model), max(options.count, options.show))
    images = as_trained(images, options.checkpoint)
    figures = _figures(model, images, options.show, options.count, lambda note: say({"note": note}))
    folder = options.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, ax in figures.items():
            path = folder / f"{name}.png"
            ax.figure.savefig(path)  # type: ignore[union-attr]  # no subfigures here
            say({"path": str(path)})
    except OSError as error:
        raise UsageError(
            f"The figures cannot be written to {folder} ({error.strerror}): choose another "
            f"folder with --results."
        ) from None


def _model(options: Options) -> Any:
    """The model of a .keras file, or a named one with another project's weights."""
    import keras_vit

    path = str(options.checkpoint)
    if options.model:
        size = options.image_size
        try:
            model = keras_vit.create_model(options.model, (size, size, 3), None, weights=path)
        except (OSError, ValueError, TypeError, ImportError, KeyError) as error:
            raise UsageError(f"{path} cannot be loaded: {' '.join(str(error).split())}") from None
    else:
        model = load_model(path)
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

    from studies.data.images import decode, is_image

    folder = Path(source).expanduser()
    if folder.is_dir():
        files = sorted(f for f in folder.rglob("*") if is_image(f))
        if not files:
            raise UsageError(f"There is no image in {folder}: give a folder of image files.")
        chosen = [files[i] for i in _spread(len(files), number)]
        return np.stack([decode(f, str(f), shape[:2], shape[2]).pixels for f in chosen])
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


def _figures(
    model: Any, images: np.ndarray, show: int, count: int, note: Callable[[str], None] = print
) -> dict[str, Axes]:
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
    filters = min(28, min(model.get_layer("patch_embedding").projection.kernel.shape))
    further: dict[str, Callable[[], Axes]] = {
        "position_similarity": lambda: plots.position_similarity(
            inspection.position_similarity(model)
        ),
        "patch_filters": lambda: plots.patch_filters(inspection.patch_filters(model, filters)),
    }
    for name, draw_it in further.items():
        try:
            drawn[name] = draw_it()
        except ValueError as error:
            note(f"no {name}: {error}")
    return drawn


def _images_at_once(model: Any) -> int:
    """How many images' scores fit into SCORES bytes; few calls, since each compiles the model."""
    config = model.arguments
    tokens = model.grid[0] * model.grid[1] + model.num_prefix_tokens
    each = 4 * config["num_layers"] * config["num_heads"] * tokens**2
    return max(1, SCORES // each)


if __name__ == "__main__":
    answer(draw)
