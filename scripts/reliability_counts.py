"""Write how many faults docs/reliability.md lists, and check that the tests it names exist.

    python scripts/reliability_counts.py            (rewrites the page)
    python scripts/reliability_counts.py --check    (exit status 1 if the page is not up to date)

A fault is a row of a table whose last column names tests, ``tests/<room>/test_*.py::test_*``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reliability.md"
BEGIN = "<!-- counts: python scripts/reliability_counts.py -->"
END = "<!-- end of the counts -->"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


class Fault(NamedTuple):
    """A row of a table."""

    section: str
    what: str
    tests: list[tuple[str, str]]


def faults(page: str) -> list[Fault]:
    """All rows that name tests, in order."""
    found, section = [], ""
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:]
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and (tests := TEST.findall(cells[-1])):
            found.append(Fault(section, cells[0], tests))
    return found


def missing(found: list[Fault]) -> list[str]:
    """The tests that are named and do not exist."""
    named = {test for fault in found for test in fault.tests}
    return [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not (ROOT / file).is_file()
        or not re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M)
    ]


def counts(found: list[Fault]) -> str:
    """The counts, in Markdown."""
    sections = list(dict.fromkeys(fault.section for fault in found))
    tests = {test for fault in found for test in fault.tests}
    return "\n".join(
        [
            f"**{len(found)} faults** in {len(sections)} kinds, held by {len(tests)} tests:",
            "",
            *(f"- {s}: {sum(fault.section == s for fault in found)}" for s in sections),
        ]
    )


def main() -> int:
    """Rewrite the page, or check it; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", nargs="?", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true", help="change nothing")
    arguments = parser.parse_args()
    page: Path = arguments.page
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"expected the lines '{BEGIN}' and '{END}' in the page; put them back")
    found = faults(text)
    if absent := missing(found):
        print("\n".join([f"{page} names tests that do not exist:", *absent]), file=sys.stderr)
        return 1
    wanted = f"{before}{begin}\n\n{counts(found)}\n\n{end}{after}"
    if not arguments.check:
        page.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        print(
            f"{page} is not up to date: run python scripts/reliability_counts.py", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
