"""The one error of the local stack: its text says what went wrong and what to do about it."""


class LocalStackError(Exception):
    """A part of the local stack could not be obtained, started or kept running."""
