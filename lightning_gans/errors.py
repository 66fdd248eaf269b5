"""The errors that the command line shows as one line without a traceback."""

from __future__ import annotations

import re
import signal

from lightning_gans.text import printable

# how torch hands on the error of a loader's process: the whole traceback becomes the message
_OF_WORKER = re.compile(r"\ACaught \w+ in .*?\nOriginal Traceback .*\n[\w.]+: ", re.DOTALL)


class UserError(Exception):
    """An error that the user can fix: names what was expected, what was found, and what to do.

    Mixed into a standard exception where one fits, e.g. ``class DataMissing(UserError,
    FileNotFoundError)``, so that code can catch either. Its text is one printable line, whatever
    the names of files in it.
    """

    def __str__(self) -> str:
        return printable(_OF_WORKER.sub("", super().__str__()).strip())


class InputError(UserError, ValueError):
    """An unusable value that is found only after work has begun."""


class UsageError(UserError):
    """An invalid command line; the program ends with status 2."""


class Stopped(KeyboardInterrupt):
    """A signal ended the work; what was finished is kept.

    Args:
        number: the signal.
        text: the one line for the user.

    Attributes:
        exit_status: of the program, 128 + the number, as shells have it.
    """

    def __init__(self, number: signal.Signals, text: str = "") -> None:
        super().__init__(text or f"stopped by {number.name}")
        self.number = number
        self.exit_status = 128 + number

    def __str__(self) -> str:
        return printable(super().__str__())


def reason(error: BaseException) -> str:
    """What an exception of any origin says, on one line; its class if it says nothing.

    Of an error in a loader's process, it is the error itself without the traceback in its message.
    """
    return printable(" ".join(_OF_WORKER.sub("", str(error)).split())) or type(error).__name__
