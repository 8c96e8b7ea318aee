"""The data of a study, prepared: what a plan must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from studies.data import Dataset, load
from studies.data.dataset import counts_by_seed
from studies.data.subsets import are_alone
from studies.study.described import ResolvedData
from studies.study.study import Study, other_key

# Over so many seeds at least images are counted, so that seeds can be added to a study: where images belong
# together, some seeds have fewer to train on than others, and what is trained on all of them hangs on that.
COUNTED = 20


@dataclass(frozen=True)
class PreparedData:
    """What there is to know of a study's data.

    Attributes:
        own: of the study's own.
        others: of its pre-trainings' and further evaluations', by `other_key`.
        by_seed: training images of each seed, by fingerprint, where seeds differ in that.
    """

    own: ResolvedData
    others: dict[str, ResolvedData]
    by_seed: Mapping[str, list[int]]


def prepared(study: Study, old: Study | None = None) -> PreparedData:
    """Prepare a study's data, if need be, and count them.

    Args:
        study: with its image size.
        old: what its results folder was begun with: what that has counted stays, as ids hang on it.

    Raises:
        UsageError: some cannot be read.
    """
    counting = _Counting(study, old)
    own = counting.described(study.dataset, study.image_size)
    others = {other_key(*source): counting.described(*source) for source in study.other_sources}
    return PreparedData(own, others, counting.by_seed)


class _Counting:
    def __init__(self, study: Study, old: Study | None) -> None:
        self._study = study
        known = [] if old is None else [old.data, *old.other_data.values()]
        self._known = {data.fingerprint: data.counts for data in reversed(known) if data}
        self._opened: dict[tuple[str, int | None], Dataset] = {}
        self._counted: dict[str, list[dict[str, int]]] = {}
        self.by_seed: dict[str, list[int]] = {}
        # How many seeds there are is the business of the study's own data.
        own = self._open(study.dataset, study.image_size)
        self._seeds = max(COUNTED, study.seeds_for(own.info))

    def described(self, dataset: str, image_size: int | None) -> ResolvedData:
        """A data set at a size, with the numbers of images in the splits that its seeds have."""
        found = self._open(dataset, image_size)
        like = self._open(*self._study.split_like(dataset, image_size))
        if like is not found and not found.info.has_all_splits:
            found.refuse_others(like)
        else:
            like = found
        fingerprint, counts = like.info.fingerprint, dict(like.info.counts)
        if not are_alone(like.pools["train"].groups):  # else seeds do not differ
            of_seeds = self._of_seeds(like)
            counts = {split: min(each[split] for each in of_seeds) for split in counts}
            self.by_seed[found.info.fingerprint] = [each["train"] for each in of_seeds]
        known = self._known.get(fingerprint) or counts
        return ResolvedData.of(found.info).model_copy(update={"counts": dict(known)})

    def _of_seeds(self, data: Dataset) -> list[dict[str, int]]:
        fingerprint = data.info.fingerprint
        if fingerprint not in self._counted:
            self._counted[fingerprint] = counts_by_seed(data, self._seeds)
        return self._counted[fingerprint]

    def _open(self, dataset: str, image_size: int | None) -> Dataset:
        key = (dataset, image_size)
        if key not in self._opened:
            self._opened[key] = load(dataset, image_size, self._study.reading_of(dataset))
        return self._opened[key]
