"""What holds for a whole run that a command line asked for. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_gans.errors import UserError
from lightning_gans.runs.layout import VARIABLE


@contextmanager
def one_run(*mendable: type[Exception]) -> Iterator[None]:
    """Make one line of what the system refuses, and forget the run's folder in the end.

    Args:
        mendable: other exceptions whose message is one that a person can act on.

    Raises:
        UserError: with the message of an OSError, or of one of those.
    """
    expected: tuple[type[Exception], ...] = (OSError, *mendable)
    given = os.environ.get(VARIABLE)
    try:
        yield
    except expected as error:
        if isinstance(error, UserError):
            raise
        raise UserError(" ".join(str(error).split())) from error
    finally:
        if given is None:
            # the folder is this run's; another in this process has one of its own
            os.environ.pop(VARIABLE, None)
