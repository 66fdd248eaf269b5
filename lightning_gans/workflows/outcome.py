"""The result of a workflow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """The result of a workflow; subclasses add values.

    Attributes:
        folder: where the results were written.
        text: a summary for the user; empty in processes other than the first.
        exit_status: of the command; not 0 if the result is incomplete.
    """

    folder: Path
    text: str
    exit_status: int = 0

    def __str__(self) -> str:
        return self.text
