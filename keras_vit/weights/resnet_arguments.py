"""What a checkpoint of a BiT ResNet says of the model that it belongs to."""

from keras_vit.weights.checkpoint import Checkpoint
from keras_vit.weights.image_settings import preprocessing_beside

USUAL_SIDE = 224  # of images, where nothing tells it; the authors pre-trained with it
USUAL_GROUPS = 32


def resnet_arguments(checkpoint: Checkpoint) -> dict:
    """Returns the arguments of the ResNet that a checkpoint belongs to.

    Raises:
        ValueError: for another root than BiT's, a unit without weights that are known here, or if
            what should say how images are prepared is damaged.
    """
    root = checkpoint.value("root_conv/kernel")
    if root is None or root.shape[:2] != (7, 7):
        raise ValueError(f"{checkpoint.path} has no convolution of 7 x 7 at its root, as BiT has.")
    channels, width = root.shape[2:]
    counts: list[int] = []
    while count := _units(checkpoint, len(counts) + 1):
        counts.append(count)
    if not counts:
        raise ValueError(f"{checkpoint.path} has no residual units that are known here.")
    said = checkpoint.description.arguments
    images = preprocessing_beside(checkpoint, channels)
    size = checkpoint.image_size or (images and images.size) or (USUAL_SIDE, USUAL_SIDE)
    return {
        "input_shape": (*size, channels),
        "block_counts": tuple(counts),
        "width_factor": width // 64 if width % 64 == 0 else width / 64,
        "classes": checkpoint.classes,
        "bottleneck": checkpoint.has("stage1_unit1/conv3/kernel"),
        "groups": said.get("groups", USUAL_GROUPS),
        "epsilon": checkpoint.epsilon,
    }


def _units(checkpoint, stage):
    count = 0
    while checkpoint.has(f"stage{stage}_unit{count + 1}/conv1/kernel"):
        count += 1
    return count
