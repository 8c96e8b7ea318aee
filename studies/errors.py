"""The two kinds of failure that the studies tell apart."""

from __future__ import annotations

from studies.shown import printable


class UsageError(Exception):
    """The user's mistake: one sentence that says what was wrong, what is allowed and what to do.

    The command line prints the sentence and exits with code 2; no trace is shown. What it quotes from
    files cannot get at the terminal: characters that do not print are spelled out.

    Example:
        >>> raise UsageError("The size 90000 is larger than the data (54000): choose a smaller one.")
        Traceback (most recent call last):
        studies.errors.UsageError: The size 90000 is larger than the data (54000): choose a smaller one.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


class TrialError(Exception):
    """A failure of one trial (NaN loss, lost process): it is recorded, and the others go on."""
