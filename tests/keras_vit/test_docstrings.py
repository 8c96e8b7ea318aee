"""Every exported name is documented, and the layers' examples run."""

import doctest
import inspect
import re

import keras
import numpy as np
import pytest

import keras_vit

CALLABLES = sorted(n for n in keras_vit.__all__ if callable(getattr(keras_vit, n)))
LAYERS = [
    name
    for name in CALLABLES
    if inspect.isclass(getattr(keras_vit, name))
    and issubclass(getattr(keras_vit, name), keras.layers.Layer)
    and not issubclass(getattr(keras_vit, name), keras.Model)
]

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", CALLABLES)
def test_docstrings_have_their_sections(name):
    exported = getattr(keras_vit, name)
    text = inspect.getdoc(exported) or ""
    assert text.splitlines()[0].endswith("."), "the first line is one sentence"
    assert "Example:" in text
    parameters = inspect.signature(exported).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if "Arguments and shapes as in" in text:
        return
    if inspect.isclass(exported):  # what a base of ours documents, it does for all
        bases = [base for base in exported.__mro__ if base.__module__.startswith("keras_vit")]
        text = "\n".join(base.__doc__ or "" for base in bases)
    said = {p for line in re.findall(r"^ *([\w, ]+): ", text, re.M) for p in line.split(", ")}
    missing = [p for p in named if p not in said and p not in ("name", "dtype")]
    assert not missing, f"undocumented: {missing}"


@pytest.mark.parametrize("name", LAYERS)
def test_examples_of_the_layers_run(name):
    examples = doctest.DocTestParser().get_examples(getattr(keras_vit, name).__doc__)
    assert examples
    scope = {"keras_vit": keras_vit, "np": np}
    for example in examples:
        exec(example.source, scope)
