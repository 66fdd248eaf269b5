"""The command line of ``python -m lightning_gans.ood``: the word that says what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_gans.cli import CONFIGS, one_line_errors, trusted
from lightning_gans.cli.pairs import suggestion
from lightning_gans.errors import UsageError

SUBCOMMANDS = {
    "table": "how well models tell sets of OOD images from ID images",
    "score": "how strange images of one's own are, beside held-out ones",
}


def main(arguments: Sequence[str] | None = None, configs: Path = CONFIGS) -> None:
    """Run a command line; a mistake ends in one line and no traceback.

    Args:
        arguments: as in ``sys.argv[1:]``, which is the default.
        configs: the folder of config files.

    Raises:
        SystemExit: with status 2 if the command line was wrong, 1 if something else was, and
            whatever else a subcommand tells.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return
    with one_line_errors(), trusted(words) as words:
        status = run(words[0], words[1:], configs)
    if status:
        sys.exit(status)


def run(subcommand: str, words: Sequence[str], configs: Path) -> int:
    """Run a subcommand and return its exit status.

    Raises:
        UsageError: if there is no such subcommand.
    """
    if subcommand == "table":
        from lightning_gans.cli.ood_table import table  # noqa: PLC0415  (takes seconds to import)

        return table(words, configs)
    if subcommand == "score":
        from lightning_gans.cli.ood_score import score  # noqa: PLC0415  (takes seconds to import)

        return score(words, configs)
    raise UsageError(
        f"there is no command '{subcommand}'{suggestion(subcommand, SUBCOMMANDS)}; commands are "
        f"{', '.join(SUBCOMMANDS)} and come first"
    )


def usage() -> str:
    """What ``--help`` prints."""
    lines = [f"  {name:<8}{what}" for name, what in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "python -m lightning_gans.ood COMMAND key=value ...",
            "",
            *lines,
            "",
            "COMMAND --help tells its options",
        ]
    )
