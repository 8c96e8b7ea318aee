"""The evaluation of every study: accuracy on its test images, and few-shot linear accuracy."""

from __future__ import annotations

from studies.evaluation import Inputs, Leads, fewshot
from studies.evaluation.accuracy import balanced_accuracy, cross_entropy, top1

READS = frozenset({"logits", "features"})
UNITS = {"test_loss": "nats", "test": "accuracy (share)", "fewshot": "accuracy (share)"}
LEADS = Leads("test_top1", "test accuracy")

Options = fewshot.Options


def evaluate(inputs: Inputs, options: fewshot.Options) -> dict[str, float]:
    """Accuracies on the test images, and few-shot ones from the support images.

    Returns:
        `test_top1`, `test_balanced` and `test_loss` (nats), and `fewshot_5` and such, as of
        `studies.evaluation.fewshot`.
    """
    logits, labels = inputs.classified
    return {
        "test_top1": top1(logits, labels),
        "test_balanced": balanced_accuracy(logits, labels),
        "test_loss": cross_entropy(logits, labels),
        **fewshot.evaluate(inputs, options),
    }
