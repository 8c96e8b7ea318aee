"""From trials' results to answers: means, scaling laws, crossing points, each with an interval.

Frames and arrays in, frames and numbers out; no file, no plot, no backend. Randomness comes from
the `numpy.random.Generator` that is passed in.
"""

from studies.analysis.crossing import Crossing, crossing, measured_crossing
from studies.analysis.intervals import (
    Estimate,
    accuracy_interval,
    difference_interval,
    differences_by_size,
    mean_interval,
    means_by_size,
)
from studies.analysis.scaling_law import Gain, NoLaw, ScalingLaw, fit_scaling_law

__all__ = [
    "Crossing",
    "Estimate",
    "Gain",
    "NoLaw",
    "ScalingLaw",
    "accuracy_interval",
    "crossing",
    "difference_interval",
    "differences_by_size",
    "fit_scaling_law",
    "mean_interval",
    "means_by_size",
    "measured_crossing",
]
