"""The command line: ``lightning-gans COMMAND [group=name] [key=value] [--key=value]``.

``python -m lightning_gans``, ``python train.py`` and ``python invert.py`` are the same. Nothing
outside this room knows of command lines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lightning_gans import __version__
from lightning_gans.cli import train, workflow
from lightning_gans.cli.grammar import CONFIGS, Groups, suggestion
from lightning_gans.errors import UsageError, UserError
from lightning_gans.runs.layout import run_scope
from lightning_gans.trust import split_trust, trusting

__all__ = ["CONFIGS", "main", "one_line_errors"]


def main(
    argv: Sequence[str] | None = None, command: str = "train", groups: Groups | None = None
) -> None:
    """Run a command line; a mistake ends in one line and no traceback.

    Args:
        argv: as in ``sys.argv[1:]``, which is the default.
        command: what is done if the first words name no command.
        groups: of config files; without, those of this folder and of the package.

    Raises:
        SystemExit: with status 2 if the command line was wrong, 1 if something else was, and
            whatever else a command tells.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    known = Groups() if groups is None else groups
    if words and words[0] == "--version":
        print(__version__)
        return
    if command == "train" and (not words or words[0] in ("-h", "--help")):
        print(usage(known))
        return
    with one_line_errors(), run_scope():
        command, words = split_command(words, command)
        words, trusted = split_trust(words)
        with trusting(trusted):
            status = run(command, words, known)
    if status:
        sys.exit(status)


def split_command(argv: Sequence[str], command: str) -> tuple[str, list[str]]:
    """The command that the first words name, and the others.

    Raises:
        UsageError: for a first word that is neither a command nor an option.
    """
    known = [*train.COMMANDS, *workflow.workflows()]
    for count in (2, 1):
        named = " ".join(argv[:count])
        if named in known:
            return named, list(argv[count:])
    first = argv[0] if argv else ""
    halves = [name for name in known if name.startswith(f"{first} ")]
    if halves:
        raise UsageError(f"{first} what? There are {', '.join(halves)}")
    if command == "train" and "=" not in first and not first.startswith("-"):
        raise UsageError(
            f"there is no command '{first}'{suggestion(first, known)}; commands are "
            f"{', '.join(known)}"
        )
    return command, list(argv)


def run(command: str, argv: Sequence[str], groups: Groups) -> int:
    """Run a command and return its exit status."""
    if command not in train.COMMANDS:
        return workflow.run(command, argv, groups)
    if {"-h", "--help"} & set(argv):
        print(train.usage(groups))
        return 0
    parsed = train.parse_command(command, argv, groups)
    from lightning_gans.cli.lightning import run as run_lightning  # noqa: PLC0415  (takes seconds)

    run_lightning(parsed)
    return 0


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line for what the user can fix: status 2 for words, else 1."""
    try:
        yield
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def usage(groups: Groups) -> str:
    """What ``--help`` prints."""
    lines = [
        "lightning-gans COMMAND [group=name ...] [key=value ...]",
        "",
        "  train       train a model: lightning-gans train model=dlsgan",
        "  validate    measure a checkpoint",
        "  test        the same, on the test images",
        "  predict     codes and reconstructions, or classes, of the validation images",
    ]
    lines += [f"  {name:<12}{made.summary}" for name, made in workflow.workflows().items()]
    lines += ["", "COMMAND --help tells its options; train is meant if no command is named.", ""]
    lines += train.usage(groups).splitlines()[8:]
    return "\n".join(lines)
