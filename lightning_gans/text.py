"""Text from outside, such as the names of files: shown to people, and written to lists.

A file's name may hold anything but "/" and a zero byte: line breaks, sequences that a terminal
obeys, bytes that are not valid UTF-8 (Python reads each as a lone surrogate). All files of text
that this package writes are UTF-8.
"""

from __future__ import annotations

import io
import os
import re
import select
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

# what a terminal obeys, breaks a line at or writes backwards (C0, C1, separators, bidirectional
# controls), what no encoding can write (surrogates), and what nobody sees (byte-order mark)
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")
# a backslash that would be read as the beginning of an escape
_AMBIGUOUS = re.compile(r"\\(?=x[0-9a-f]{2}|u[0-9a-f]{4})")


def printable(text: object) -> str:
    r"""A text on one line as it is shown to people: control characters and stray bytes are escaped.

    Applying it twice changes nothing more.

    >>> print(printable("new\nline"), printable("\x1b[31mred"), printable("ω"))
    new\x0aline \x1b[31mred ω
    """
    return _UNPRINTABLE.sub(_escaped, str(text))


def printable_lines(text: object) -> str:
    """A text of several lines; each is :func:`printable`."""
    return "\n".join(map(printable, str(text).split("\n")))


def escape(name: str | PurePath) -> str:
    r"""A file's name for a list with one name a line, or for a cell; :func:`unescape` reverts it.

    Ordinary names are unchanged, whatever their alphabet.

    >>> print(escape("a b.png"), escape("new\nline.png"), escape(r"\x0a.png"))
    a b.png new\x0aline.png \x5cx0a.png
    """
    return printable(_AMBIGUOUS.sub(lambda _: r"\x5c", str(name)))


def unescape(text: str) -> str:
    r"""The name that :func:`escape` wrote.

    >>> unescape(r"new\x0aline.png")
    'new\nline.png'
    """
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), text)


def is_utf8(name: str) -> bool:
    """Whether a name has no stray bytes, which Python reads as surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def name_part(text: str) -> str:
    r"""A text as part of the name of a file of ours, with "_" for what a list would escape.

    >>> print(name_part("a\x1b[1mb\n"))
    a_[1mb_
    """
    return _UNPRINTABLE.sub("_", text)


def cell(text: str) -> str:
    r"""A text as a cell of a Markdown table, where a line would begin another cell.

    >>> print(cell("a|b"))
    a\|b
    """
    return printable(text).replace("|", "\\|")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


@contextmanager
def console() -> Iterator[None]:
    """In the block, printing never fails for a character, and a warning is one line, shown once.

    A console that lacks a letter (cp1252 on Windows, ASCII under ``LC_ALL=C``) shows its escape.

    Raises:
        SystemExit: with the status of SIGPIPE if whoever reads the output has gone, as ``head``
            does.
        OSError: if what was printed cannot be written.
    """
    for stream in (sys.stdout, sys.stderr):
        # a notebook's streams have no encoding to fail in
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    format_before = warnings.formatwarning
    shown: set[str] = set()

    def formatted(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        # where in the code it was found means nothing to whoever typed a command
        text = f"warning: {printable(' '.join(str(message).split()))}\n"
        is_new = text not in shown
        shown.add(text)
        return text if is_new else ""

    warnings.formatwarning = formatted
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # what is left in the buffer goes nowhere, and is no error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)
    finally:
        warnings.formatwarning = format_before


def _reader_is_gone() -> bool:
    """Whether it is the standard output that is broken, and not another pipe."""
    if not hasattr(select, "poll"):  # Windows
        return True
    output = select.poll()
    try:
        output.register(sys.stdout.fileno(), 0)  # a pipe without a reader is reported unasked
    except (AttributeError, ValueError, OSError):  # no standard output, or none of the system
        return False
    return any(event & select.POLLERR for _, event in output.poll(0))
