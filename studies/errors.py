"""The two kinds of failure that the studies tell apart."""

from __future__ import annotations


class UsageError(Exception):
    """The user's mistake: one sentence that says what was wrong, what is allowed and what to do.

    The command line prints the sentence and exits with code 2; no trace is shown.

    Example:
        >>> raise UsageError("The size 90000 is larger than the data (54000): choose a smaller one.")
        Traceback (most recent call last):
        studies.errors.UsageError: The size 90000 is larger than the data (54000): choose a smaller one.
    """


class TrialError(Exception):
    """A failure of one trial (NaN loss, lost process): it is recorded, and the others go on."""
