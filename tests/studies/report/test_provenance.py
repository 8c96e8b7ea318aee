"""What a report says of how its numbers came about."""

import pytest

from studies.report.provenance import augmentation
from studies.study.recipe import Recipe

pytestmark = pytest.mark.once


def test_only_what_is_done_to_images_and_models_is_told():
    assert augmentation(Recipe()) == "crop"
    everything = Recipe(
        augmentation="crop_flip",
        randaugment_layers=2,
        randaugment_magnitude=15,
        mixup=0.2,
        cutmix=1,
        random_erasing=0.25,
        dropout_rate=0.1,
        attention_dropout_rate=0.3,
        stochastic_depth_rate=0.2,
        scramble=7,
    )
    assert augmentation(everything) == (
        "crop_flip and RandAugment (2 layers, magnitude 15) and mixup (alpha 0.2) and CutMix (alpha 1) and "
        "random erasing (0.25) and dropout 0.1 and dropout of attention 0.3 and stochastic depth 0.2 and "
        "cells of 7 pixels scrambled"
    )
