"""The source of listed image files, and the hash of all that decides them."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from studies.data.decoded import DecodedSource
from studies.data.digests import Digests, is_unreadable
from studies.data.images import Decoded, ImageSize, UnreadableImage, decode, dimensions
from studies.data.listing import Listing
from studies.errors import UsageError


class ImageFiles(DecodedSource):
    """The images of a listing, all of them RGB.

    Args:
        listing: the files.
        size: (H, W) in pixels; None keeps the images' own size, which all must share.
        fit: see `images.decode`.
        digests: of the files' contents, which the prepared data are known by.
    """

    def __init__(
        self, listing: Listing, size: ImageSize | None, fit: str, digests: Digests
    ) -> None:
        super().__init__()
        self.name = listing.name
        self.class_names = listing.class_names
        self.labels = listing.labels
        self.groups = listing.groups or {}
        self.names = listing.names
        self._files = listing.files
        self._wanted, self._fit, self._digests = size, fit, digests
        self._first: ImageSize | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        if self._wanted is None and self._first is None:
            self._first = self._first_size()
        return (*(self._wanted or self._first or (0, 0)), 3)

    def read(self, split: str, index: int) -> Decoded:
        file, name = self._files[split][index], self.names[split][index]
        try:
            return decode(file, name, self._wanted, fit=self._fit)
        except UnreadableImage as error:
            if self._reads_no_more(file, error):
                # It would be left out of the data that are kept under its content, mended or not.
                raise UsageError(
                    f"{name} of {self.name} was read before and cannot be read now ({error.reason}): mend "
                    f"the storage, and run the same command again"
                ) from error
            raise

    def _reads_no_more(self, file: str, error: UnreadableImage) -> bool:
        """Whether it is the storage that fails, and not the image."""
        fault = error.__cause__
        of_storage = isinstance(fault, OSError) and bool(fault.strerror)
        return of_storage and not is_unreadable(next(self._digests.of(self.name, [file])))

    def _first_size(self) -> ImageSize:
        for split, files in self._files.items():
            for file, name in zip(files, self.names[split], strict=True):
                try:
                    return dimensions(file, name)
                except UnreadableImage:
                    continue
        raise UsageError(f"None of the images of {self.name} can be read: check the files.")


def content_key(listing: Listing, digests: Digests) -> str:
    """A hash of all that decides the data, wherever its folder lies.

    It covers classes and splits, each image's name, group and content.

    Args:
        listing: the files.
        digests: gives the hashes of contents.
    """
    contents = digests.of(listing.name, *listing.files.values())
    whole = hashlib.sha256(json.dumps(listing.class_names).encode())
    for split, names in listing.names.items():
        groups = listing.groups[split] if listing.groups else np.full(len(names), -1)
        for name, label, group in zip(names, listing.labels[split], groups, strict=True):
            line = [split, name, int(label), int(group), next(contents)]
            whole.update(json.dumps(line).encode())
    return whole.hexdigest()
