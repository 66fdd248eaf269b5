"""Rewrite the table of all models in docs/models/index.md, between its two markers.

    python scripts/model_table.py            (rewrites the page)
    python scripts/model_table.py --check    (exit status 1 if the page is not up to date)

The published name and the paper are listed here; class, capabilities and lines of code are read
from the package.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import io
import sys
import tokenize
from pathlib import Path
from typing import NamedTuple

import yaml

from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import capabilities

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "models" / "index.md"
CONFIGS = ROOT / "configs" / "model"
BEGIN = "<!-- table: python scripts/model_table.py -->"
END = "<!-- end of the table -->"


class System(NamedTuple):
    """What a config trains: its published name, and where that was published."""

    config: str
    name: str
    paper: str


SYSTEMS = (
    System("gan", "GAN", "Goodfellow et al. 2014"),
    System("lsgan", "LSGAN", "Mao et al. 2017"),
    System("wgan_gp", "WGAN-GP", "Gulrajani et al. 2017"),
    System("dcgan_soft", "DCGAN with soft labels", "Egan et al. 2018"),
    System("dlsgan", "DLSGAN", "Cho and Krzyżak 2022; thesis, 3.2"),
    System("msegan", "MSEGAN", "thesis 2025, 2.2 and 4.2.1"),
    System("anodlsgan", "AnoDLSGAN", "Cho and Krzyżak 2022; thesis, 3.3"),
    System("infogan", "InfoGAN, continuous", "Chen et al. 2016; thesis, 2.2"),
    System("encoder", "Encoder of a frozen generator", "thesis 2025, 2.2 and 4.2.1"),
    System("aedlsgan", "AEDLSGAN", "Cho 2022; thesis, 3.2.1"),
    System("pvdgan", "PVDGAN", "Cho and Krzyżak 2024; thesis, 3.4"),
    System("vaegan", "VAEGAN", "Larsen et al. 2016; thesis, 2.2"),
    System("cagan", "CAGAN", "Cho and Yoon 2020; thesis, 3.1"),
    System("acgan", "ACGAN, revised ACGAN", "Odena et al. 2017; thesis, 2.1.1"),
    System("cgpgan", "CGPGAN", "thesis 2025, 3.5"),
    System("cgpgan_codebook", "CGPGAN with a codebook", "thesis 2025, 3.5.1"),
    System("infogan_categorical", "InfoGAN, categorical", "Chen et al. 2016; thesis, 2.1.2"),
    System("elastic_infogan", "Elastic InfoGAN", "Ojha et al. 2020; thesis, 2.1.2"),
    System("autoencoder", "Autoencoder", "thesis 2025, 4.3"),
    System("classifier", "Classifier", "thesis 2025, 4.3"),
)


def lines_of_code(source: str) -> int:
    """Lines of Python that hold code: no blank lines, comments or docstrings."""
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return len(lines)


def model_class(config: str) -> type[Model]:
    """The class that a config file names."""
    content = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text(encoding="utf-8"))
    module, _, name = content["model"]["class_path"].rpartition(".")
    found: type[Model] = getattr(importlib.import_module(module), name)
    return found


def row(system: System) -> str:
    """One line of the table."""
    model = model_class(system.config)
    module = model.__module__.rpartition(".")[2]
    file = ROOT / Path(*model.__module__.split(".")).with_suffix(".py")
    cells = (
        f"[{system.name}]({module}.md)",
        system.paper,
        f"`{model.__name__}`",
        f"`{system.config}`",
        ", ".join(capabilities(model)),
        str(lines_of_code(file.read_text(encoding="utf-8"))),
    )
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """The whole table, in Markdown."""
    head = [
        "| system | paper | class | config | can be asked to | lines |",
        "|---|---|---|---|---|---:|",
    ]
    return "\n".join([*head, *(row(system) for system in SYSTEMS)])


def rewritten(page: str) -> str:
    """The page with the table as it should be.

    Raises:
        SystemExit: if the page has not both markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"expected the lines '{BEGIN}' and '{END}' in the page; put them back")
    return f"{before}{begin}\n\n{table()}\n\n{end}{after}"


def main() -> int:
    """Rewrite the page, or check it; the exit status."""
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
        print(f"{page} is not up to date: run python scripts/model_table.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
