"""The one kind of error that the command line shows as a single line, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """What a user can fix: says what was expected, what was given, and what to do.

    Mixed into a standard exception where one fits, e.g. ``class DataMissing(UserError,
    FileNotFoundError)``, so that code can catch either.
    """


class InputError(UserError, ValueError):
    """A value that cannot be used, found only once work has begun."""


class UsageError(UserError):
    """A command line that cannot be understood; the program ends with status 2."""
