"""What a trained model is worth: its arrays, for the evaluation that a trial is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studies.data.dataset import Replicate
from studies.evaluation.accuracy import balanced_accuracy, cross_entropy, top1
from studies.evaluation.fewshot import fewshot_accuracies
from studies.records.outcomes import outcomes_of, save_outcomes
from studies.study.trial import Trial
from studies.training.chain import Trained
from studies.training.inference import predict


def evaluate(trained: Trained, trial: Trial, images: Replicate, outcomes: Path) -> dict[str, Any]:
    """The metrics of a trial's record.

    Args:
        trained: the last training of the chain.
        trial: says which evaluation.
        images: of the last training.
        outcomes: where those of the test images go, of the standard evaluation.
    """
    best = trained.progress.best
    return {
        **_standard(trained, trial, images, outcomes),
        "val_top1": best["val_top1"],
        "val_loss": best["val_loss"],
    }


def _standard(
    trained: Trained, trial: Trial, images: Replicate, outcomes: Path
) -> dict[str, float]:
    outputs = trained.task.outputs
    support, _ = predict(outputs, images.validation.images)
    query, logits = predict(outputs, images.test.images)
    fewshot = fewshot_accuracies(
        (support, images.validation.labels),
        (query, images.test.labels),
        trial.num_classes,
        trial.evaluation.shots,
        trial.evaluation.fewshot_seeds,
        trial.evaluation.l2,
    )
    test = images.test
    said = outcomes_of(trial.seed, logits, test.labels, test.ids, test.groups)
    save_outcomes(outcomes, said)  # before the record, which counts on it
    return {
        "test_top1": top1(logits, test.labels),
        "test_balanced": balanced_accuracy(logits, test.labels),
        "test_loss": cross_entropy(logits, test.labels),
        **{f"fewshot_{shots}": accuracy for shots, accuracy in fewshot.items()},
    }
