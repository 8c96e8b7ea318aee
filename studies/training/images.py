"""The images of a training or an evaluation, as the seed sees them and the model takes them."""

from __future__ import annotations

from studies.data import load
from studies.data.channels import with_channels
from studies.data.dataset import Replicate
from studies.data.scramble import scrambled
from studies.errors import TrialError
from studies.study.trial import Data


def open_images(data: Data, seed: int, scramble: int = 0) -> Replicate:
    """Open prepared images, with as many channels as the model takes.

    Args:
        data: which, and their fingerprint when the study was made.
        seed: of the trial.
        scramble: side of the cells in which validation and test images are scrambled; 0: they are whole.

    Raises:
        TrialError: they are others by now.
    """
    whole = load(data.dataset, data.image_size, data.reading)
    if whole.info.fingerprint != data.data_fingerprint:
        raise TrialError(
            f"The data set {data.dataset} has changed since the study was made (fingerprint "
            f"{whole.info.fingerprint}, not {data.data_fingerprint}): use another --results folder."
        )
    images = with_channels(whole, data.image_shape[2]).replicate(seed)
    return scrambled(images, scramble, seed)
