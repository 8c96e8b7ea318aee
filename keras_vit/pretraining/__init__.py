"""Training without labels."""

from keras_vit.pretraining.corrupt_patches import CorruptPatches
from keras_vit.pretraining.masked_patch import MaskedPatchModel, mean_colour_classes

__all__ = ["CorruptPatches", "MaskedPatchModel", "mean_colour_classes"]
