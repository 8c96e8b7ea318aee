"""Makes `import keras_vit` enough for Keras to load the classes from files.

A class is known to Keras once its module has been imported; here names are resolved lazily, so
that reading the variant table loads no backend. So the modules are imported as soon as Keras is.
"""

import importlib
import importlib.abc
import importlib.util
import sys

MODULES = (
    *("layers.patches", "layers.class_token", "layers.position_embedding"),
    *(
        "layers.pooling",
        "layers.token_grid",
        "models.vit",
        "models.resnet",
        "pretraining.masked_patch",
    ),
)


def register_classes() -> None:
    """Registers every layer and model with Keras: now if it is loaded, else when it will be."""
    if "keras" in sys.modules:
        _import_modules()
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


def _import_modules() -> None:
    for name in MODULES:
        importlib.import_module(f"keras_vit.{name}")


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds `keras` as the others would, and adds a step to its loading."""

    def find_spec(self, fullname, path, target=None):
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module):
            load(module)
            if _half_imported():
                sys.meta_path.insert(0, _AfterUs())
            else:
                _import_modules()

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


class _AfterUs(importlib.abc.MetaPathFinder):
    """Finds nothing; registers at the first import after the one of ours that loaded Keras."""

    def find_spec(self, fullname, path, target=None):
        if not fullname.startswith("keras_vit") and not _half_imported():
            sys.meta_path.remove(self)
            _import_modules()
        return None


def _half_imported() -> bool:
    """Whether a module of ours is being imported: others cannot take names from it yet."""
    ours = [module for name, module in sys.modules.items() if name.startswith("keras_vit.")]
    return any(getattr(module.__spec__, "_initializing", False) for module in ours)
