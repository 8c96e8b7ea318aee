"""What every evaluation offers, found by its name; and the standard one against its parts."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import log_loss

from studies.errors import UsageError
from studies.evaluation import (
    OF_VITS,
    EvaluationOptions,
    Inputs,
    evaluation_names,
    get_evaluation,
    unit_of,
)

pytestmark = pytest.mark.once


def inputs(rng) -> Inputs:
    """Of a ViT with 2 blocks, 3 heads, a class token and 2 x 3 patches, on 40 images of 4 classes."""
    attention = rng.random((2, 5, 3, 7, 7))
    labels = np.arange(40) % 4
    return Inputs(
        num_classes=4,
        labels=labels,
        logits=rng.normal(size=(40, 4)),
        features=rng.normal(size=(40, 6)),
        support_labels=labels,
        support_features=rng.normal(size=(40, 6)),
        attention=[attention / attention.sum(axis=-1, keepdims=True)],
        grid=(2, 3),
        patch_size=(4, 4),
        position_embeddings=rng.normal(size=(6, 8)),
        filters=rng.normal(size=(8, 16)),
    )


def test_evaluations_are_the_files_that_say_what_they_read():
    assert evaluation_names() == (
        *("attention", "fewshot", "filters", "linear_probe", "nearest_neighbours", "standard"),
    )


@pytest.mark.parametrize("name", evaluation_names())
def test_each_gives_finite_numbers_from_what_it_reads_alone(name, rng):
    evaluation = get_evaluation(name)
    assert evaluation.READS and {"logits", "features", *OF_VITS} >= evaluation.READS
    fields = {
        "logits": ("labels", "logits"),
        "features": ("labels", "features", "support_labels", "support_features"),
        "attention": ("attention", "grid", "patch_size", "position_embeddings"),
        "filters": ("filters",),
    }
    given = {field for read in evaluation.READS for field in fields[read]}
    everything = inputs(rng)
    read = Inputs(num_classes=4, **{field: getattr(everything, field) for field in given})
    found = evaluation.evaluate(read, evaluation.Options())
    assert found and all(type(value) is float and np.isfinite(value) for value in found.values())
    assert all(unit_of(name, metric) for metric in found)
    leads = evaluation.LEADS
    assert leads.words and {leads.metric, leads.reference or leads.metric} <= set(found)
    assert bool(leads.parts) == (f"{leads.metric}_1" in found)
    with pytest.raises(ValueError, match="READS"):
        evaluation.evaluate(Inputs(num_classes=4), evaluation.Options())


@pytest.mark.parametrize("name", evaluation_names())
def test_options_refuse_what_they_do_not_know(name):
    options = get_evaluation(name).Options
    assert issubclass(options, EvaluationOptions)
    with pytest.raises(ValueError, match="qqq"):
        options(qqq=1)


def test_an_unknown_one_is_answered_with_those_there_are():
    with pytest.raises(UsageError, match=r"'knn'.*attention, .*standard"):
        get_evaluation("knn")
    with pytest.raises(UsageError):
        get_evaluation("accuracy")  # a measure, no evaluation


def test_the_standard_one_is_top1_loss_and_few_shot_under_their_names(rng):
    given = inputs(rng)
    standard, fewshot = get_evaluation("standard"), get_evaluation("fewshot")
    found = standard.evaluate(given, standard.Options(shots=(1, 5)))
    assert list(found) == [*("test_top1", "test_balanced", "test_loss", "fewshot_1", "fewshot_5")]
    assert found["test_top1"] == np.mean(given.logits.argmax(1) == given.labels)
    probabilities = np.exp(given.logits) / np.exp(given.logits).sum(1, keepdims=True)
    assert found["test_loss"] == pytest.approx(log_loss(given.labels, probabilities))
    few = fewshot.evaluate(given, fewshot.Options(shots=(1, 5)))
    assert few == {name: found[name] for name in ("fewshot_1", "fewshot_5")}


def test_no_evaluation_loads_a_backend():
    code = (
        "import sys; from studies.evaluation import evaluation_names; evaluation_names(); "
        "assert not {'keras', 'tensorflow', 'jax', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
