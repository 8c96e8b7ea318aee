"""The images of a training or an evaluation, as the seed sees them and the model takes them."""

from __future__ import annotations

from studies.data import load, reopen
from studies.data.channels import with_channels
from studies.data.dataset import Dataset, Replicate
from studies.data.scramble import scrambled
from studies.errors import TrialError
from studies.study.trial import Data, Splits, Training


def images_of(training: Training, data: Data | None = None) -> Replicate:
    """Open prepared images, with as many channels as the model takes, scrambled as the recipe says.

    Args:
        training: whose seed and recipe decide how they are seen.
        data: which, and their fingerprint when the study was made; by default the training's own.

    Raises:
        TrialError: they are others by now.
    """
    data = data or training
    whole = with_channels(_opened(data, data), data.image_shape[2])
    like = None if data.splits is None else _opened(data, data.splits)
    # The plan has compared them. Their names by now may be those of a renamed or moved copy.
    seen = whole.replicate(training.seed, like, compared=True)
    return scrambled(seen, training.recipe.scramble, training.seed)


def _opened(data: Data, form: Data | Splits) -> Dataset:
    """A data set at one of its sizes."""
    whole = reopen(data.dataset, form.data_fingerprint) or load(
        data.dataset, form.image_size, data.reading
    )
    if whole.info.fingerprint != form.data_fingerprint:
        raise TrialError(
            f"The data set {data.dataset} has changed since the study was made (fingerprint "
            f"{whole.info.fingerprint}, not {form.data_fingerprint}): use another --results folder."
        )
    return whole
