"""Writing a model's weights in another project's format."""

import json
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

from keras_vit.layers.arguments import check_choice
from keras_vit.models.resnet import ResNet
from keras_vit.models.weight_values import weight_values
from keras_vit.weights.formats import TARGETS, format_for
from keras_vit.weights.loading import check_model, model_sizes
from keras_vit.weights.readers import import_safetensors


def export_weights(model, path: str | os.PathLike, target: str = "google") -> None:
    """Writes a model's weights under the names of another project.

    `load_weights` reads them back bit for bit. The file also says which activation and epsilon the
    weights were trained with, and the grid of the position embeddings. A warning tells where the
    other project would compute something else.

    Args:
        model: a `VisionTransformer` or `ResNet`; LoRA is merged into the kernels.
        path: the file to write: .npz for "google", .safetensors for the others. It is written
            under another name first and then replaced at once.
        target: "google" (vit_jax's layout; big_transfer's for a ResNet), "timm" or "huggingface"
            (the names that transformers' `from_pretrained` reads).

    Raises:
        ValueError: for an unknown target, a path with another ending, or a model that the other
            project cannot express or that is quantised.
        ImportError: for a .safetensors file without the package safetensors.

    Example:
        >>> keras_vit.export_weights(model, "vit.safetensors", target="timm")
    """
    check_model(model, "export_weights")
    check_choice("target", target, tuple(TARGETS))
    path = Path(path)
    if path.suffix != TARGETS[target]:
        raise ValueError(f"A file for {target} ends in {TARGETS[target]}; the path is {path}.")
    config = model.arguments
    try:
        known = format_for(target, "resnet" if isinstance(model, ResNet) else "vit", config)
    except ValueError as error:
        raise ValueError(f"{model.name} cannot be written for {target}: {error}.") from None
    arrays = _renamed(model, known, config)
    if differences := [*_different_numbers(known, config), *known.differences(config)]:
        warnings.warn(
            f"{target} would compute something else with {path.name}: {'; '.join(differences)}.",
            stacklevel=2,
        )
    write = _write_npz if path.suffix == ".npz" else _write_safetensors
    _replace_atomically(path, lambda temporary: write(temporary, arrays, _metadata(model, config)))


def _renamed(model, known, config):
    """Returns {their name: their array}."""
    sizes = model_sizes(config)
    nameless: list[str] = []
    parts: dict = {}
    for ours, value in weight_values(model).items():
        slot = known.slot(ours)
        if slot is None:
            nameless.append(ours)
            continue
        array = slot.layout.to_theirs(_plain(value), sizes)
        index, count = slot.part
        parts.setdefault(known.exported(slot.name, config), [None] * count)[index] = array
    if nameless:
        raise ValueError(
            f"{model.name} cannot be written for {known.source}, whose files have no name for "
            f"{', '.join(nameless)}."
        )
    arrays = {
        name: np.ascontiguousarray(pieces[0] if len(pieces) == 1 else np.concatenate(pieces))
        for name, pieces in parts.items()
    }
    return known.completed(arrays, config)


def _plain(array):
    # NumPy's own dtypes only: bfloat16 is known to neither format's readers.
    return array if array.dtype in (np.float32, np.float16, np.float64) else array.astype("float32")


def _different_numbers(known, config):
    found = []
    if known.activation not in (None, config.get("activation")):
        found.append(
            f"its activation is {known.activation!r} unless configured otherwise "
            f"(here {config['activation']!r})"
        )
    if known.epsilon is not None and config["epsilon"] != known.epsilon:
        found.append(
            f"its epsilon is {known.epsilon:g} unless configured otherwise "
            f"(here {config['epsilon']:g})"
        )
    return found


def _metadata(model, config):
    metadata = {"format": "pt", "epsilon": repr(config["epsilon"])}  # transformers wants "pt"
    if "activation" in config:
        metadata["grid"] = "{}x{}".format(*model.grid)
        metadata["position_embedding"] = config["position_embedding"]
        if isinstance(config["activation"], str):  # no function of the user's own
            metadata["activation"] = config["activation"]
    return metadata


def _write_npz(path, arrays, metadata):
    with path.open("wb") as file:
        np.savez(file, **arrays)
    # Readers of .npz files see arrays only; the archive's comment is ours to use.
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = json.dumps(metadata).encode()


def _write_safetensors(path, arrays, metadata):
    import_safetensors().numpy.save_file(arrays, str(path), metadata=metadata)


def _replace_atomically(path, write):
    """Lets `write` fill a temporary file beside `path`, which then takes its place."""
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent} to write {path.name} to.")
    handle, temporary = tempfile.mkstemp(path.suffix, f".{path.stem}-", path.parent)
    os.close(handle)
    try:
        write(Path(temporary))
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
