"""The images of a training or an evaluation, as the seed sees them and the model takes them."""

from __future__ import annotations

from studies.data import load, reopen
from studies.data.channels import with_channels
from studies.data.dataset import Replicate
from studies.data.scramble import scrambled
from studies.errors import TrialError
from studies.study.trial import Data, Training


def images_of(training: Training, data: Data | None = None) -> Replicate:
    """Open prepared images, with as many channels as the model takes, scrambled as the recipe says.

    Args:
        training: whose seed and recipe decide how they are seen.
        data: which, and their fingerprint when the study was made; by default the training's own.

    Raises:
        TrialError: they are others by now.
    """
    data = data or training
    whole = reopen(data.dataset, data.data_fingerprint) or load(
        data.dataset, data.image_size, data.reading
    )
    if whole.info.fingerprint != data.data_fingerprint:
        raise TrialError(
            f"The data set {data.dataset} has changed since the study was made (fingerprint "
            f"{whole.info.fingerprint}, not {data.data_fingerprint}): use another --results folder."
        )
    seen = with_channels(whole, data.image_shape[2]).replicate(training.seed)
    return scrambled(seen, training.recipe.scramble, training.seed)
