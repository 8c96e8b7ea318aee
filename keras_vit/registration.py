"""Makes `import keras_vit` enough for Keras to load the classes from files.

A class is known to Keras once its module has been imported; here names are resolved lazily, so
that reading the variant table loads no backend. So the modules are imported as soon as Keras is.
"""

import importlib
import importlib.abc
import sys

MODULES = (
    *("layers.patches", "layers.class_token", "layers.position_embedding", "layers.pooling"),
    *("layers.token_grid", "layers.resize_images"),
    *("models.vit", "models.rotary_vit", "models.resnet"),
    *("models.features", "optimizers.grouped", "optimizers.fused_adam"),
    *("pretraining.masked_patch",),
)


def register_classes() -> None:
    """Registers every layer and model with Keras: now if it is loaded, else once it is."""
    if "keras" in sys.modules:
        _import_modules()
    elif not any(isinstance(finder, _OnceKerasIsLoaded) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnceKerasIsLoaded())


def _import_modules() -> None:
    for name in MODULES:
        importlib.import_module(f"keras_vit.{name}")


class _OnceKerasIsLoaded(importlib.abc.MetaPathFinder):
    """Finds Keras and our modules as the others would, and adds a step to their loading.

    Finding is not loading: whoever only asks whether there is a Keras gets an answer, and the wait
    goes on. Where it is a module of ours that loads Keras, the others cannot take names from it
    before its own loading is over.
    """

    def __init__(self) -> None:
        self.loading = 0  # of Keras and our modules, those whose loading has begun and not ended

    def find_spec(self, fullname, path, target=None):
        if fullname != "keras" and not fullname.startswith("keras_vit."):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = self._and_register(spec.loader.exec_module)
            spec.loader.exec_module = load  # type: ignore[method-assign]
        return spec

    def _and_register(self, load):
        def load_and_register(module):
            self.loading += 1
            try:
                load(module)
            finally:
                self.loading -= 1
            if not self.loading and "keras" in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                _import_modules()

        return load_and_register
