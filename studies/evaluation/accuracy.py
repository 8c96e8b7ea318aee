"""Top-1 and balanced accuracy, and cross-entropy: logits and labels in, numbers out."""

from __future__ import annotations

import numpy as np


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images whose largest logit is their label's.

    Args:
        logits: (N, C).
        labels: integers (N,).
    """
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that occur of the share of their images that are recognised.

    Args:
        logits: (N, C).
        labels: integers (N,).
    """
    right = np.argmax(logits, axis=-1) == labels
    images = np.bincount(labels)
    recalls = np.bincount(labels, weights=right)[images > 0] / images[images > 0]
    return float(np.mean(recalls))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in nats, without label smoothing.

    Args:
        logits: (N, C).
        labels: integers (N,).
    """
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1))
    return float(np.mean(log_sum - shifted[np.arange(len(labels)), labels]))
