"""The two errors that people see as one sentence."""


class UsageError(Exception):
    """The user's mistake, told in one sentence; the command line prints it and exits with code 2."""


class TrialError(Exception):
    """A trial that cannot go on, told in one sentence; it becomes a failed record."""
