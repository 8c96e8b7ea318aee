"""A size of the images that the patches of all models divide, those of given weights too.

All models of one study see the same images, so that they are compared image by image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studies.advise.weights import Start
from studies.errors import UsageError
from studies.study.study import Study

LARGEST = (
    224  # pixels of the sides, but for images that are larger: what most weights were trained on
)


def fitting(study: Study, found: Sequence[Start], begun: Study | None) -> tuple[Study, str]:
    """A study whose images the patches of its models and of some weights divide.

    Args:
        study: from scratch, with the image size that was asked for, if one was.
        found: the weights.
        begun: what the results folder was begun with; its image size stays.

    Returns:
        the study, and a sentence about the image size where it is another than without the weights.

    Raises:
        UsageError: there is no such size that is not far larger, or another one was asked for or begun with.
    """
    patches = {start.name: patch(start.base, start.overrides) for start in found}
    if begun is not None and begun.data is not None:
        height, width, _ = begun.data.image_shape
        odd = _that_do_not_divide(patches, height, width)
        if odd:
            raise UsageError(
                f"the results of {begun.name} are of images of {width}x{height}, which {odd} do not divide: "
                f"choose another name with --name, for results of their own"
            )
        return study, ""
    height, width = _sides(study)
    odd = _that_do_not_divide(patches, height, width)
    if not odd:
        return study, ""
    first = min(height, width)
    last = max(LARGEST, 2 * first)
    size = next((n for n in range(first, last + 1) if _divides(study, patches, n)), None)
    if size is None:
        raise UsageError(
            f"there is no image size from {first} to {last} that {_told(patches)} and those of "
            f"{' and '.join(study.models)} divide: give fewer of these weights at once, with --name"
        )
    if study.image_size is not None:
        raise UsageError(
            f"--image-size {study.image_size}: {odd} do not divide it; {size} would do"
        )
    told = (
        f"images are of {size}x{size}, not of {width}x{height}, which {odd} do not divide: all models see "
        f"the same images"
    )
    return study.model_copy(update={"image_size": size}), told


def patch(base: str, overrides: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a model's patches in pixels; 1 where any image will do."""
    from keras_vit.models.variants import get_variant

    config = {**get_variant(base).config, **overrides}
    if config.get("stem_block_counts") is not None:  # patches of a feature map, which is rounded up
        return 1, 1
    found = config.get("patch_size", 1)
    height, width = (found, found) if isinstance(found, int) else found
    return int(height), int(width)


def _sides(study: Study) -> tuple[int, int]:
    """Height and width of the images where nothing is done about them."""
    from studies.data import default_image_size, load

    size = study.image_size or default_image_size(study.dataset, study.reading)
    if size is not None:
        return size, size
    height, width, _ = load(study.dataset, None, study.reading).info.image_shape
    return height, width


def _divides(study: Study, patches: Mapping[str, tuple[int, int]], size: int) -> bool:
    """Whether all models' patches divide images of a size, for which those from scratch have a form."""
    forms = [entry.for_images(size, size) for entry in study.models.values()]
    own = {form.name: patch(form.base, form.overrides) for form in forms}
    return not _that_do_not_divide({**own, **patches}, size, size)


def _that_do_not_divide(patches: Mapping[str, tuple[int, int]], height: int, width: int) -> str:
    """Those patches that do not divide images, in words; nothing where all do."""
    odd = {n: (h, w) for n, (h, w) in patches.items() if height % h or width % w}
    return _told(odd) if odd else ""


def _told(patches: Mapping[str, tuple[int, int]]) -> str:
    sizes = [f"{name} ({width}x{height})" for name, (height, width) in patches.items()]
    return f"the patches of {' and '.join(sizes)}"
