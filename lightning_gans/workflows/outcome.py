"""What every workflow returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What came of a workflow; subclasses add its values.

    Attributes:
        folder: where everything was written.
        text: what a person reads of it; empty in processes other than the first.
        exit_status: of the command: 0, or what tells that something is missing.
    """

    folder: Path
    text: str
    exit_status: int = 0

    def __str__(self) -> str:
        return self.text
