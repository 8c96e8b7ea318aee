"""Opening a .keras file that may be anybody's: layers and weights, never code.

Keras makes the classes that a file names. Of those only Keras' own and keras_vit's are let through, and none
that holds Python code; a file is not believed that says it holds far more than it can.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from studies.errors import UsageError
from studies.machine.files import parsed_json, stamp

_OURS = re.compile(r"(keras|keras_vit|builtins)(\.\w+)*")
_CODE = ("Lambda", "__lambda__", "CustomObjectScope")
_ALWAYS, _PACKED = (
    2**30,
    20,
)  # bytes that may be unpacked, and times the file's size where that is more


def load_model(path: str | Path) -> Any:
    """The model of a .keras file, not compiled.

    Raises:
        UsageError: it is damaged, or holds what is neither Keras' nor keras_vit's.
    """
    try:
        _check(Path(path))
        import keras

        import keras_vit

        keras_vit.VisionTransformer, keras_vit.ResNet  # noqa: B018 - registers both
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise UsageError(f"{path} cannot be loaded: its model does not fit in memory") from None
    except Exception as error:  # of many types, from the readers of archives and of models
        told = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{path} cannot be loaded: {told}") from None


def _check(path: Path) -> None:
    """Raise ValueError for a file that Keras should not see."""
    size = stamp(path)[0]
    with zipfile.ZipFile(path) as archive:
        declared = sum(member.file_size for member in archive.infolist())
        if declared > max(_ALWAYS, _PACKED * size):
            raise ValueError(f"it says that it holds {declared:,} bytes, in a file of {size:,}")
        waiting = [parsed_json(archive.read("config.json"))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            _check_class(value.get("module"), value.get("class_name"))


def _check_class(module: Any, name: Any) -> None:
    if name in _CODE:
        raise ValueError("it holds Python code (a Lambda layer), which is not run")
    if name is not None and not (module is None or _OURS.fullmatch(str(module))):
        raise ValueError(
            f"it holds {module}.{name}: only models of keras_vit, and layers of Keras, are opened"
        )
