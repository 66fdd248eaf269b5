"""Write the table of rooms in CONTRIBUTING.md, from the import order and the rooms' docstrings.

The order is ``ORDER`` in ``tests/test_project.py``, which a test enforces; the description of a
room is the first sentence of its docstring. ``--check`` changes nothing and exits with 1 if the
page is not up to date.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN = "<!-- table: python scripts/rooms_table.py -->"
END = "<!-- end of the table -->"


def order() -> list[str]:
    """The rooms in import order."""
    tree = ast.parse((ROOT / "tests" / "test_project.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER":
            return list(ast.literal_eval(node.value))
    sys.exit("tests/test_project.py has no list ORDER")


def row(room: str) -> str:
    """One line of the table."""
    folder = ROOT / "lightning_gans" / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    paragraph = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split(
        "\n\n"
    )[0]
    text = " ".join(paragraph.split()).replace("``", "`").replace("|", "\\|")
    name = f"{room}/" if folder.is_dir() else f"{room}.py"
    return f"| `{name}` | {text.split('. ')[0].rstrip('.')} |"


def table() -> str:
    """The whole table, in Markdown."""
    return "\n".join(["| room | content |", "|---|---|", *(row(room) for room in order())])


def rewritten(page: str) -> str:
    """The page with an up-to-date table.

    Raises:
        SystemExit: if the page lacks a marker.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"expected the lines '{BEGIN}' and '{END}' in the page; put them back")
    return f"{before}{begin}\n\n{table()}\n\n{end}{after}"


def main() -> int:
    """Rewrite the page, or check it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true", help="change nothing")
    arguments = parser.parse_args()
    page: Path = arguments.page
    text = page.read_text(encoding="utf-8")
    wanted = rewritten(text)
    if not arguments.check:
        page.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        print(f"{page} is not up to date: run python scripts/rooms_table.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
