"""``python -m lightning_gans COMMAND ...``, and the installed program; see ``--help``.

Ctrl-C is one line and the status 130 from here on: also while the command line is imported, which
takes a fifth of a second, and while the program ends.
"""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None, command: str = "train") -> None:
    """Run a command line as a program.

    Args:
        argv: the arguments; ``sys.argv[1:]`` by default.
        command: the command if the first arguments do not name one.

    Raises:
        SystemExit: as :func:`lightning_gans.cli.main`.
    """
    try:
        import signal  # noqa: PLC0415  (as everything else, within this block)

        # a program in the background may have the signal ignored
        is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        try:
            if is_usual:
                signal.signal(signal.SIGINT, leave)
            from lightning_gans.cli import main as run  # noqa: PLC0415  (likewise)
            from lightning_gans.quick_imports import as_program  # noqa: PLC0415  (likewise)

            if is_usual:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            with as_program():
                run(argv, command)
        finally:
            if is_usual:
                signal.signal(signal.SIGINT, leave)
    except KeyboardInterrupt:
        leave()


def leave(*_: object) -> None:
    """End the program at once, as Ctrl-C asks: nothing is to be saved.

    An exception might be raised where Python only prints it, as in a callback of its imports.
    """
    try:  # noqa: SIM105  (what would suppress it takes time to import)
        sys.stdout.flush()
    except (RuntimeError, OSError, AttributeError):
        pass  # it is being written to, has gone, or is none
    os.write(2, b"stopped by SIGINT\n")
    os._exit(130)


if __name__ == "__main__":
    main()
