"""The rows that the checks print and store, as they come."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Row: TypeAlias = dict[str, str | float]
HEADER = "| check | value | requirement | verdict |\n|---|---|---|---|"


class Report:
    """Prints one row per check, and stores it in a folder at once.

    The folder gets ``rows.jsonl``, to which rows are appended, and ``rows.md``, a table of the
    newest row of each check. So a call that is cut off loses nothing but the check in progress, and
    several calls can fill one folder.

    Args:
        out: the folder, or None to print only.
        device: named in each row.
        seconds: after which no further check begins; None for no limit.
        resume: whether to leave out checks that a previous call has finished.

    Attributes:
        part: to which the next rows belong.
        failed: the number of checks that failed.
        left: the names of checks that did not begin for lack of time.
    """

    def __init__(
        self,
        out: Path | None,
        device: str = "",
        seconds: float | None = None,
        resume: bool = False,
    ) -> None:
        self.out, self.device, self.part, self.failed = out, device, "", 0
        self.left: list[str] = []
        self.start = time.perf_counter()
        self.seconds = float("inf") if seconds is None else seconds
        self.rows: dict[tuple[str, str], Row] = {}
        self.finished: set[str] = set()
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for row in read(out / "rows.jsonl"):
                if "finished" in row:
                    self.finished.add(str(row["finished"]))
                else:
                    self.rows[str(row["part"]), str(row["check"])] = row
        if not resume:
            self.finished = set()

    @property
    def remaining(self) -> float:
        """Seconds until no further check begins."""
        return self.start + self.seconds - time.perf_counter()

    def add(
        self,
        check: str,
        value: str,
        passed: bool | None = None,
        requirement: str = "",
        **numbers: float,
    ) -> None:
        """Add a row.

        Args:
            check: its description.
            value: the result, as text.
            passed: whether the result meets the requirement; None if there is none.
            requirement: as text.
            numbers: the results before rounding.

        Raises:
            ValueError: for a verdict on nothing that was required.
        """
        if passed is not None and not requirement:
            raise ValueError(f"a verdict on '{check}' needs a requirement")
        verdict = {True: "pass", False: "FAIL", None: "-"}[passed]
        self.failed += passed is False
        row: Row = {
            "part": self.part,
            "check": check,
            "value": value,
            "requirement": requirement,
            "verdict": verdict,
            "device": self.device,
            **numbers,
            "seconds": round(time.perf_counter() - self.start, 1),
        }
        print(line(row), flush=True)
        self.rows[self.part, check] = row
        self._store(row)
        if self.out is not None:
            table = self.out / "rows.md"
            new = table.with_suffix(".new")
            new.write_text(markdown(list(self.rows.values())), encoding="utf-8")
            new.replace(table)

    def at_most(self, check: str, value: str, number: float, most: float, unit: str = "") -> None:
        """Add a row whose number must not exceed a bound; NaN does."""
        self.add(check, value, number <= most, f"at most {most:g}{unit}", number=number)

    def attempt(self, check: str, run: Callable[[], None], once: bool = True) -> None:
        """Run a check, if there is time; an error becomes its row, and other checks still run.

        Args:
            check: its name within the part.
            run: runs it.
            once: whether it is then finished, so that a call that resumes leaves it out.
        """
        name = f"{self.part}: {check}"
        if name in self.finished:
            return
        if self.remaining <= 0:
            self.left.append(name)
            return
        try:
            run()
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            text = (str(error).strip() or "no message").splitlines()[0]
            self.add(check, f"{type(error).__name__}: {text[:200]}", False, "no error")
        else:
            if once:
                self.finished.add(name)
                self._store({"finished": name})

    def _store(self, row: Row) -> None:
        if self.out is not None:
            with (self.out / "rows.jsonl").open("a", encoding="utf-8") as lines:
                print(json.dumps(row, ensure_ascii=False), file=lines)


def read(path: Path) -> list[Row]:
    """The rows of a file; none if there is no file. A line that was cut off is left out."""
    rows = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return rows


def line(row: Row) -> str:
    """A row of the table."""
    cells = (str(row[key]) for key in ("check", "value", "requirement", "verdict"))
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def markdown(rows: list[Row]) -> str:
    """The table, with the rows of each part together."""
    parts: dict[str, list[str]] = {}
    for row in rows:
        parts.setdefault(str(row["part"]), []).append(line(row))
    lines = [HEADER]
    for part, found in parts.items():
        lines += [f"| **{part}** | | | |"] if part else []
        lines += found
    return "\n".join(lines) + "\n"
