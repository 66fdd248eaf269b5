"""Write what the published experiments cost into their files, and the table of all of them.

python -m scripts.experiment_costs [NAME ...]    without names: every file in configs/experiment
"""

from __future__ import annotations

import sys

from tests.support.experiments import COST, FILES, HEADING, NAMES, PAGE, cost_of, table


def main(names: list[str]) -> None:
    """Count the named experiments, and write the table."""
    for name in names or NAMES:
        line, file = cost_of(name).line(), FILES[name]
        lines = [row for row in file.read_text("utf-8").splitlines() if not row.startswith(COST)]
        first = next(i for i, row in enumerate(lines) if not row.startswith("#"))
        lines.insert(first, line)
        file.write_text("\n".join(lines) + "\n", "utf-8")
        print(name, line, flush=True)
    text = PAGE.read_text("utf-8")
    begin, end = text.index(HEADING), text.index("\n\n", text.index(HEADING))
    PAGE.write_text(text[:begin] + table().rstrip("\n") + text[end:], "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
