"""The command lines that an item runs, each as if it had been typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lightning_gans.errors import Stopped, UserError
from lightning_gans.runs.layout import VARIABLE
from lightning_gans.signatures import PACKAGE
from lightning_gans.text import printable
from lightning_gans.trust import current_trust

# how a command ends after a signal
_STOPPED = {128 + number: number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


class Commands(Protocol):
    """Runs command lines of this package."""

    def run(self, words: Sequence[str], folder: Path | None = None) -> int:
        """Run a command and return its exit status.

        Args:
            words: of its command line.
            folder: of the run that it makes.
        """

    def output(self, words: Sequence[str]) -> str | None:
        """What a command prints; None if it fails."""


class Subprocesses:
    """Each command is a process of its own, as if it had been typed.

    A training has its own threads, memory and handling of signals. A signal to this process is
    passed on once, and the command saves what it has.
    """

    def run(self, words: Sequence[str], folder: Path | None = None) -> int:
        """Run a command; what it prints goes to stderr."""
        variables = {**os.environ, **({} if folder is None else {VARIABLE: str(folder)})}
        # in a group of its own, Ctrl-C reaches it once and not twice
        process = subprocess.Popen(
            _command_line(words),
            env=variables,
            stdout=sys.stderr.fileno(),
            process_group=0,
        )
        try:
            return process.wait()
        except KeyboardInterrupt as stop:
            number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
            process.send_signal(number)
            process.wait()
            raise stopped(number) from None

    def output(self, words: Sequence[str]) -> str | None:
        """What a command prints to stdout."""
        done = subprocess.run(
            _command_line(words),
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
        return done.stdout if done.returncode == 0 else None


def _command_line(words: Sequence[str]) -> list[str]:
    """A command of this package, which trusts what this process was told to."""
    modules = current_trust().modules
    trust = [f"trust={','.join(modules)}"] if modules else []
    return [sys.executable, "-m", PACKAGE.name, *words, *trust]


def check(status: int, what: str) -> None:
    """Raise the error that an exit status stands for.

    Raises:
        Stopped: after a signal.
        UserError: if the command failed.
    """
    # a negative status: the process was ended by a signal that it does not handle
    number = _STOPPED.get(status if status >= 0 else 128 - status)
    if number is not None:
        raise stopped(number)
    if status != 0:
        raise UserError(
            f"{printable(what)} ended with status {status}; its own messages are above. The same "
            "command tries it again"
        )


def stopped(number: signal.Signals) -> Stopped:
    """The error after a signal, which says how to resume."""
    return Stopped(number, f"stopped by {number.name}; the same command resumes")
