"""The documentation's settings: `make docs` builds it, and every warning is an error.

The pages of the API are written here, from what the packages export, so that none leaves a name out.
"""

import importlib
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras_vit

project = "keras_vit"
copyright = "the authors of keras_vit"
release = version = keras_vit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "keras_vit"
html_copy_source = False
exclude_patterns = ["_build"]
nitpicky = False
default_role = "code"  # docstrings have single backticks, as Markdown has them

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # as the source has them
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    ("Kinds", "params_style"),
    "Input shape",
    "Output shape",
    "Input and output shape",
    "Reference",
]

API = Path(__file__).parent / "api"
TITLES = {
    "models": "Models and fine-tuning",
    "optimizers": "Optimizers",
    "weights": "Weights",
    "layers": "Layers",
    "inspection": "Looking inside",
    "pretraining": "Pre-training",
}


def setup(app):
    """Writes a page for each package, a section for each module of it that exports something."""
    API.mkdir(exist_ok=True)
    for package, title in TITLES.items():
        sections: dict[str, list[str]] = {}
        for path, home in exported(package):
            sections.setdefault(home, []).append(path)
        text = f"# {title}\n"
        for home, paths in sections.items():
            first, *_ = importlib.import_module(home).__doc__.partition("\n\n")
            names = [entry(path) for path in paths]
            text += "\n".join(["", f"## {' '.join(first.split()).rstrip('.')}", "", *names])
        page = API / f"{package}.md"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def exported(package):
    """Yields the path of each public name of a package, and the module that it comes from."""
    if package in keras_vit._SUBPACKAGES:
        module = importlib.import_module(f"keras_vit.{package}")
        for name in module.__all__:
            yield f"keras_vit.{package}.{name}", getattr(module, name).__module__
        return
    for name, home in keras_vit._HOMES.items():
        if home.split(".")[0] == package:
            yield f"keras_vit.{name}", f"keras_vit.{home}"


def entry(path):
    module, _, name = path.rpartition(".")
    kind = (
        "class" if isinstance(getattr(importlib.import_module(module), name), type) else "function"
    )
    return f"```{{eval-rst}}\n.. auto{kind}:: {path}\n```\n"
