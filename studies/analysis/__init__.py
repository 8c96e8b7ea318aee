"""From trials' results to answers: means, scaling laws, crossing points, each with an interval.

Frames and arrays in, frames and numbers out; no file, no plot, no backend. Randomness comes from
the `numpy.random.Generator` that is passed in.
"""

from studies.analysis.by_size import Source, differences_by_size, means_by_size
from studies.analysis.crossing import Crossing, crossing
from studies.analysis.estimate import Estimate
from studies.analysis.intervals import accuracy, difference, overlap
from studies.analysis.outcomes import Outcomes
from studies.analysis.scaling_law import Gain, ScalingLaw, fit_scaling_law
from studies.analysis.seed_intervals import accuracy_interval, difference_interval, mean_interval
from studies.analysis.trend import NoLaw

__all__ = [
    "Crossing",
    "Estimate",
    "Gain",
    "NoLaw",
    "Outcomes",
    "ScalingLaw",
    "Source",
    "accuracy",
    "accuracy_interval",
    "crossing",
    "difference",
    "difference_interval",
    "differences_by_size",
    "fit_scaling_law",
    "mean_interval",
    "means_by_size",
    "overlap",
]
