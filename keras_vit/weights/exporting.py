"""Writing a model's weights in another project's format."""

import json
import os
import tempfile
import warnings
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from keras_vit.layers.arguments import check_choice
from keras_vit.models.inside import own_model
from keras_vit.models.positions import TABLES
from keras_vit.models.preprocess import preprocessing_of
from keras_vit.models.resnet import ResNet
from keras_vit.models.vit import VisionTransformer
from keras_vit.models.weight_values import weight_values
from keras_vit.weights import image_settings
from keras_vit.weights.description import (
    CONFIG,
    PREPROCESSOR,
    PROCESSOR,
    WEIGHTS_FILE,
    metadata_of,
)
from keras_vit.weights.formats import TARGETS, format_for
from keras_vit.weights.loading import model_sizes, plain_arguments
from keras_vit.weights.readers import import_safetensors, read_json
from keras_vit.weights.soundness import check_finite, warn_of_zero_head
from keras_vit.weights.timm_configuration import size_and_channels


def export_weights(model, path: str | os.PathLike, target: str = "google") -> None:
    """Writes a model's weights under the names of another project.

    `load_weights` reads them back bit for bit. The file's metadata says what names and shapes do
    not (heads, pooling, activation, epsilon, how images are prepared and the like), and for timm
    and Hugging Face a `config.json` beside it says so in their words, for Hugging Face a
    `preprocessor_config.json` too. A warning tells where the other project would
    compute something else all the same, and where the head is all zeros: a `.keras` file is the
    place for a model that is yet to be trained.

    Args:
        model: a `VisionTransformer` or `ResNet`; LoRA is merged into the kernels.
        path: the file to write: .npz for "google", .safetensors for the others. For these it may
            also be a folder, made where there is none, for `model.safetensors` and `config.json`:
            what `from_pretrained(folder)` of transformers and timm's
            `create_model("local-dir:folder", pretrained=True)` read. Each file is written under
            another name first and then replaced at once. How images are prepared is also put into a
            `processor_config.json` that lies there, which transformers would read first.
        target: "google" (vit_jax's layout; big_transfer's for a ResNet), "timm" or "huggingface".

    Raises:
        ValueError: for an unknown target, a path with another ending, a model that the other
            project cannot express, that is quantised or has values that are not finite, if there is
            no folder for the file, or if the `config.json`, `preprocessor_config.json` or
            `processor_config.json` beside the file is another model's.
        ImportError: for a .safetensors file without the package safetensors.

    Example:
        >>> keras_vit.export_weights(model, "vit.safetensors", target="timm")
        >>> keras_vit.export_weights(model, "flowers", target="huggingface")  # a folder
    """
    own_model(model, "export_weights")
    check_choice("target", target, tuple(TARGETS))
    file = _file_to_write(Path(path), target)
    config = plain_arguments(model)
    family = "resnet" if isinstance(model, ResNet) else "vit"
    try:
        known = format_for(target, family, config)
    except ValueError as error:
        raise ValueError(f"{model.name} cannot be written for {target}: {error}.") from None
    values = weight_values(model)
    check_finite(values, model.name)
    arrays = _renamed(model, values, known, config)
    grid = getattr(model, "grid", None)
    configuration = known.configuration(config, grid)
    if configuration is not None:
        _check_free(file, CONFIG)
        if target == "huggingface":
            _check_free(file, PREPROCESSOR)
            if _says_it_first(file) is not None:
                _check_free(file, PROCESSOR)
    warn_of_zero_head(values, model.name, stacklevel=2)
    settings = _settings(model)
    found = [*known.differences(config), *_other_sizes(model, known)]
    found += image_settings.differences(settings, target)
    if configuration is None and file.suffix == ".safetensors":
        found.append(
            f"{target} has no architecture of these sizes, so that no config.json is written"
        )
    if found:
        warnings.warn(
            f"{target} would compute something else with {file.name}: {'; '.join(found)}.",
            stacklevel=2,
        )
    metadata = metadata_of(config, family, grid, _interpolation(model), asdict(settings))
    metadata = {"format": "pt", **metadata}  # transformers wants "pt"
    write = _write_npz if file.suffix == ".npz" else _write_safetensors
    file.parent.mkdir(exist_ok=True)
    _replace_atomically(file, lambda temporary: write(temporary, arrays, metadata))
    if configuration is not None:
        configuration = image_settings.with_preprocessing(configuration, settings)
        _write_json(file.with_name(CONFIG), {**configuration, WEIGHTS_FILE: file.name})
        if target == "huggingface":
            told = image_settings.preprocessor(settings)
            _write_json(file.with_name(PREPROCESSOR), {**told, WEIGHTS_FILE: file.name})
            if (first := _says_it_first(file)) is not None:
                first[image_settings.IMAGE_PROCESSOR] = told
                _write_json(file.with_name(PROCESSOR), first)


def _write_json(path, content):
    text = json.dumps(content, indent=2) + "\n"
    _replace_atomically(path, lambda temporary: temporary.write_text(text))


def _file_to_write(path, target):
    """Returns the file; of a folder that is yet to be made, the one inside."""
    ending = TARGETS[target]
    if ending == ".safetensors":
        import_safetensors()  # is there before a folder is made
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent} to write {path.name} to.")
    if ending == ".safetensors" and (path.is_dir() or not path.suffix):
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path} is a file, where a folder for {target} would be.")
        return path / "model.safetensors"
    if path.suffix != ending:
        raise ValueError(f"A file for {target} ends in {ending}; the path is {path}.")
    return path


def _says_it_first(file):
    """Returns the JSON that transformers asks for images before any other; None where there is none."""
    path = file.with_name(PROCESSOR)
    if not path.is_file():
        return None
    try:
        told = read_json(path)
    except ValueError:
        told = None
    if not isinstance(told, dict):  # neither it nor this library would read on
        return {}
    return told if image_settings.IMAGE_PROCESSOR in told else None


def _check_free(path, name):
    """Raises ValueError if the file of a name beside a file describes another one."""
    beside = path.with_name(name)
    if path.name == "model.safetensors" or not beside.is_file():
        return
    try:
        ours = read_json(beside).get(WEIGHTS_FILE) == path.name
    except (ValueError, AttributeError):
        ours = False
    if not ours:
        raise ValueError(
            f"{beside} describes another model than {path.name}; export to a folder of its own."
        )


def _settings(model):
    """How images are prepared; for a ViT of any size to that which fills its positions' grid."""
    settings = preprocessing_of(model)
    if None not in model.input_shape[1:] or not isinstance(model, VisionTransformer):
        return settings
    size, _ = size_and_channels(model.arguments, model.grid)
    return replace(settings, size=size)


def _interpolation(model):
    """Of the position embeddings to another grid; None for a model that has none to interpolate."""
    positions = getattr(model, "positions", None)
    return positions.interpolation if positions and positions.kind in TABLES else None


def _other_sizes(model, known):
    """Where the project interpolates positions otherwise than a model for images of any size."""
    if None not in model.input_shape[1:] or not isinstance(model, VisionTransformer):
        return []
    positions = model.positions
    if _interpolation(model) in (None, known.interpolation):
        return []
    return [
        f"images of other sizes get positions interpolated by {known.interpolation!r}, not "
        f"{positions.interpolation!r}"
    ]


def _renamed(model, values, known, config):
    """Returns {their name: their array}."""
    sizes = model_sizes(config)
    nameless: list[str] = []
    parts: dict = {}
    for ours, value in values.items():
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
