"""The errors that the command line shows as one line without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix: names what was expected, what was found, and what to do.

    Mixed into a standard exception where one fits, e.g. ``class DataMissing(UserError,
    FileNotFoundError)``, so that code can catch either.
    """


class InputError(UserError, ValueError):
    """An unusable value that is found only after work has begun."""


class UsageError(UserError):
    """An invalid command line; the program ends with status 2."""
