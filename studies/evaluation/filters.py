"""What a ViT's patch embedding has learned: how few patterns its filters are made of.

The filters that are drawn at the beginning spread over all the values of a patch. Those of a trained model
resemble a basis for what varies within a patch, and their first principal components hold most of them.
`keras_vit.inspection.patch_filters`, of which `inspect` makes the picture, gives these components themselves.

Reference: Dosovitskiy et al., arXiv 2010.11929, section 4.5 and figure 7 (left).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from studies.evaluation import EvaluationOptions, Inputs, Leads

READS = frozenset({"filters"})
UNITS = {"filters_share": "share of variance", "filters_rank": "components"}
LEADS = Leads("filters_rank", "rank of the filters")


class Options(EvaluationOptions):
    """How much of the filters their first principal components hold.

    Args:
        components: of so many first ones the share is told; the paper shows 28.
    """

    components: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 4, 28)


def evaluate(inputs: Inputs, options: Options) -> dict[str, float]:
    """Shares of the filters' variance.

    Returns:
        `filters_share_4`, that of the first four principal components together, and so on; those of as
        many as there are, which is 1, are left out. `filters_rank`: how many components of equal variance
        are as spread out, (sum of variances)^2 / sum of their squares. Nothing where all filters are alike.
    """
    if inputs.filters is None:
        raise ValueError("The inputs lack what the evaluation reads: fill what READS names.")
    filters = np.asarray(inputs.filters, np.float64)
    centred = filters - filters.mean(axis=0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    if not variances.any():
        return {}
    shares = np.cumsum(variances) / variances.sum()
    told = {
        f"filters_share_{count}": float(shares[count - 1])
        for count in options.components
        if count < len(shares)
    }
    return {**told, "filters_rank": float(variances.sum() ** 2 / (variances**2).sum())}
