"""Training without labels."""

from keras_vit.pretraining.corrupt_patches import CorruptPatches
from keras_vit.pretraining.masked_patch import MaskedPatchModel
from keras_vit.pretraining.mean_colour import mean_colour_classes, mean_colour_levels

__all__ = ["CorruptPatches", "MaskedPatchModel", "mean_colour_classes", "mean_colour_levels"]
