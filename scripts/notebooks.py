"""The notebooks of the documentation: executed in this process, with their outputs stored.

From the folder of a run of ``make demo``, that is, one with ``runs/dlsgan/mnist5k/TIME``:

    python -m scripts.notebooks

A kernel would take a stack of packages and a process for each notebook, and cells of plain Python
need neither: what a cell prints and the value of its last line are all the outputs that there are.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "notebooks"


def notebooks() -> list[Path]:
    """The files, by name."""
    return sorted(FOLDER.glob("*.ipynb"))


def read(file: Path) -> dict[str, Any]:
    """A notebook of format 4 as it is in its file."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def source(cell: dict[str, Any]) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def execute(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """Execute all cells of code in order, in the current folder; store their outputs in them.

    Args:
        notebook: its content, which is changed.
        name: of its file, for tracebacks.

    Returns:
        The variables at the end.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(code, start=1):
        cell["execution_count"] = count
        cell["outputs"] = list(outputs(source(cell), names, f"{name}, cell {count}", count))
    return names


def outputs(text: str, names: dict[str, Any], where: str, count: int) -> Iterator[dict[str, Any]]:
    """What a cell prints, then the value of its last line if that is an expression."""
    tree = ast.parse(text, where)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, where, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        yield {"name": "stdout", "output_type": "stream", "text": lines}
    if value is not None:
        yield {
            "data": shown(value),
            "execution_count": count,
            "metadata": {},
            "output_type": "execute_result",
        }


def shown(value: object) -> dict[str, Any]:
    """A value by media types: a picture as PNG, anything else as text."""
    if not isinstance(value, Image.Image):
        return {"text/plain": repr(value).splitlines(keepends=True)}
    file = io.BytesIO()
    value.save(file, format="PNG", optimize=True)
    return {
        "image/png": base64.b64encode(file.getvalue()).decode() + "\n",
        "text/plain": [f"a picture of {value.width} x {value.height} pixels"],
    }


def markdown(notebook: dict[str, Any]) -> str:
    """A notebook with its stored outputs as Markdown; pictures are in the text itself."""
    parts = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(source(cell))
            continue
        parts.append(fenced("python", source(cell)))
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                parts.append(fenced("text", "".join(output["text"])))
                continue
            data = output["data"]
            text = "".join(data["text/plain"])
            if "image/png" in data:
                parts.append(f"![{text}](data:image/png;base64,{data['image/png'].strip()})")
            else:
                parts.append(fenced("text", text))
    return "\n\n".join(parts) + "\n"


def fenced(language: str, text: str) -> str:
    """A block of code or of output."""
    return f"```{language}\n{text.rstrip()}\n```"


def main() -> None:
    """Execute all notebooks in the current folder, and store their outputs."""
    for file in notebooks():
        notebook = read(file)
        execute(notebook, file.name)
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
        file.write_text(text + "\n", encoding="utf-8")
        print(file)


if __name__ == "__main__":
    main()
