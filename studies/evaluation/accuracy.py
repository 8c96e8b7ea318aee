"""Top-1 accuracy and cross-entropy: logits and labels in, numbers out."""

from __future__ import annotations

import numpy as np


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images whose largest logit is their label's.

    Args:
        logits: (N, C).
        labels: integers (N,).
    """
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


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
