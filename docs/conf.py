"""The documentation's settings: `make docs` builds it, and every warning is an error."""

import os

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
