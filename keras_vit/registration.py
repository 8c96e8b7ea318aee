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
    *("layers.pooling", "models.vit", "models.resnet", "pretraining.masked_patch"),
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
            _import_modules()

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
