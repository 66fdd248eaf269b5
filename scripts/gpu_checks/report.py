"""The rows that the checks print and store."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


class Report:
    """Prints one row per check, and appends it to ``rows.jsonl`` in a folder at once.

    Args:
        out: the folder, or None to print only.

    Attributes:
        failed: the number of checks that failed.
    """

    def __init__(self, out: Path | None) -> None:
        self.out, self.failed = out, 0
        self.start = time.perf_counter()
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)

    def add(self, check: str, value: str, passed: bool | None = None, **numbers: float) -> None:
        """Add a row.

        Args:
            check: its description.
            value: the result, as text.
            passed: whether the result meets the requirement; None if there is none.
            numbers: the results before rounding.
        """
        verdict = {True: "pass", False: "FAIL", None: "-"}[passed]
        self.failed += passed is False
        print(f"| {check} | {value} | {verdict} |", flush=True)
        if self.out is not None:
            row = {"check": check, "value": value, "verdict": verdict, **numbers}
            row["seconds"] = round(time.perf_counter() - self.start, 1)
            with (self.out / "rows.jsonl").open("a", encoding="utf-8") as lines:
                print(json.dumps(row), file=lines)

    def attempt(self, check: str, run: Callable[[], None]) -> None:
        """Run a check; an error becomes its row, and the other checks still run."""
        try:
            run()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            text = (str(error).strip() or "no message").splitlines()[0]
            self.add(check, f"{type(error).__name__}: {text[:200]}", passed=False)
