"""The command line: ``lightning-gans COMMAND [group=name] [key=value] [--key=value]``.

``python -m lightning_gans``, ``python train.py`` and ``python invert.py`` run the same commands.
No other part of the package reads command lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lightning_gans import __version__
from lightning_gans.cli import train, train_help, workflow
from lightning_gans.cli.errors import out_of_memory
from lightning_gans.cli.grammar import Groups, check_spelling, suggestion
from lightning_gans.errors import Stopped, UsageError, UserError
from lightning_gans.quick_imports import quick_imports
from lightning_gans.runs.layout import keep_typed, run_scope
from lightning_gans.runs.scheduler import check_launcher
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.signatures import CONFIGS
from lightning_gans.text import console, printable
from lightning_gans.threads import fitted
from lightning_gans.trust import split_trust, trusting

__all__ = ["CONFIGS", "main", "one_line_errors"]


def main(
    argv: Sequence[str] | None = None, command: str = "train", groups: Groups | None = None
) -> None:
    """Run a command line; a user error ends in one line without a traceback.

    Args:
        argv: the arguments; ``sys.argv[1:]`` by default.
        command: the command if the first arguments do not name one.
        groups: of config files; by default those of ``./configs`` and of the package.

    Raises:
        SystemExit: with status 2 if the command line was wrong, 1 for another user error, or the
            status of the command.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    known = Groups() if groups is None else groups
    status = 0
    with one_line_errors(), run_scope(), console(), drawing_off_screen():
        if arguments and arguments[0] == "--version":
            print(__version__)
            return
        if command == "train" and (not arguments or arguments[0] in ("-h", "--help")):
            print(usage(known))
            return
        command, arguments = split_command(arguments, command)
        check_launcher()
        if command not in train.COMMANDS:
            # another run may be the newest when the command is repeated
            arguments = workflow.find_newest(command, arguments)
        check_spelling(arguments)
        typed = [*command.split(), *arguments]
        arguments, trusted = split_trust(arguments)
        with trusting(trusted), keep_typed(typed):
            status = run(command, arguments, known)
    if status:
        sys.exit(status)


def split_command(argv: Sequence[str], command: str) -> tuple[str, list[str]]:
    """The command that the first arguments name, and the remaining arguments.

    A command of two words is also known with a hyphen between them.

    Raises:
        UsageError: if the first argument is neither a command nor an option.
    """
    if argv and argv[0] in train.COMMANDS:  # without reading the source of all others
        return argv[0], list(argv[1:])
    found = workflow.workflows()
    known = [*train.COMMANDS, *found]
    for count in (2, 1):
        name = " ".join(argv[:count])
        if count == 1 and name not in known:
            name = name.replace("-", " ")
        if name in known:
            return name, list(argv[count:])
    first = argv[0] if argv else ""
    completions = [
        workflow.typed_name(name, signature)
        for name, signature in found.items()
        if name.startswith(f"{first} ")
    ]
    known = [*train.COMMANDS, *(workflow.typed_name(*each) for each in found.items())]
    if completions:
        two = " ".join(argv[:2])
        is_word = len(argv) > 1 and not argv[1].startswith("-")
        if is_word and (meant := suggestion(two, completions)):
            raise UsageError(f"there is no command '{two}'{meant}")
        raise UsageError(f"'{first}' is incomplete; commands are {', '.join(completions)}")
    if command == "train" and "=" not in first and not first.startswith("-"):
        raise UsageError(
            f"there is no command '{first}'{suggestion(first, known)}; commands are "
            f"{', '.join(known)}"
        )
    return command, list(argv)


def run(command: str, argv: Sequence[str], groups: Groups) -> int:
    """Run a command and return its exit status."""
    if command not in train.COMMANDS:
        with StopSignals():
            return workflow.run(command, argv, groups)
    if {"-h", "--help"} & set(argv):
        # Lightning's own takes seconds, and tells neither ranges nor what the config files set
        print(train_help.full_usage(groups, argv, command))
        return 0
    with StopSignals():  # training has its own handlers
        parsed = train.parse_command(command, argv, groups)
        train.check_folder(parsed)
    for note in parsed.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    with fitted(parsed.threads, parsed.processes):
        with StopSignals(), quick_imports():
            from lightning_gans.cli.lightning import run as run_lightning  # noqa: PLC0415  (seconds)

        run_lightning(parsed)
    return 0


@contextmanager
def drawing_off_screen() -> Iterator[None]:
    """Let a command import matplotlib, whatever screen ``MPLBACKEND`` names.

    A notebook's kernel passes its own to the programs that it starts, which cannot import it. A
    program that has imported matplotlib keeps its choice.
    """
    variable = "MPLBACKEND"
    chosen = os.environ.get(variable)
    if chosen is None or "matplotlib" in sys.modules:
        yield
        return
    os.environ[variable] = "agg"
    try:
        yield
    finally:
        os.environ[variable] = chosen


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line for a user error; status 2 for a usage error, otherwise 1.

    A signal to stop has its usual status, such as 130 for Ctrl-C.
    """
    try:
        yield
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        found = out_of_memory(error)
        if found is None:
            raise
        print(f"error: {found}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(stopped.exit_status)
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        sys.exit(130)


def usage(groups: Groups) -> str:
    """What ``--help`` prints."""
    summaries = {
        "train": "train a model: lightning-gans train model=dlsgan",
        "validate": "measure a checkpoint",
        "test": "the same, on the test images",
        "predict": "codes and reconstructions, or classes, of the validation images",
    }
    for name, found in workflow.workflows().items():
        summaries[workflow.typed_name(name, found)] = found.summary
    width = max(map(len, summaries)) + 2
    lines = ["lightning-gans COMMAND [group=name ...] [key=value ...]", ""]
    lines += [f"  {name:<{width}}{summary}" for name, summary in summaries.items()]
    lines += ["", "COMMAND --help lists its options; train is the default command.", ""]
    lines += train_help.usage(groups).splitlines()[8:]
    return "\n".join(lines)
