"""Text from outside is shown without harm, and file names survive being written to a list."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lightning_gans.errors import InputError, UserError, reason
from lightning_gans.text import console, escape, printable, printable_lines, unescape

# hypothesis leaves out surrogates by default: a byte that is not UTF-8 becomes one
names = st.text(st.characters(exclude_categories=[]))
likely = st.text(st.sampled_from("\\x1bu0aé\n\t\x1b\udcff,\"'"))


@given(names | likely)
@example("\\x1b")
@example("\\\x1b")
@example("\\x5cx1b")
@example("C:\\users\\x10.png")
def test_a_name_written_to_a_list_is_found_again(name: str) -> None:
    written = escape(name)
    assert unescape(written) == name
    assert len(written.splitlines()) <= 1
    written.encode("utf-8")


@given(names | likely)
def test_what_is_shown_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert printable(shown) == shown
    shown.encode("utf-8")


def test_ordinary_names_are_unchanged() -> None:
    for name in ("a b,c.png", "Zürich/übung.png", "数字.png", "C:\\data\\new.png", 'it\'s "x"'):
        assert escape(name) == printable(name) == name


def test_an_error_that_names_a_hostile_file_is_one_harmless_line() -> None:
    error = InputError("no file a\nb\x1b[2Jc\udcff.png")
    assert str(error) == r"no file a\x0ab\x1b[2Jc\udcff.png"
    assert isinstance(error, ValueError)


def test_an_error_of_a_loader_process_is_as_short_as_in_this_process() -> None:
    # as torch passes it on: _utils.ExceptionWrapper
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    raise b: c\n'
    message = (
        f"Caught InputError in DataLoader worker process 0.\nOriginal {trace}ValueError: x\n\n"
        f"During handling of the above exception, another exception occurred:\n\n{trace}"
        "lightning_gans.errors.InputError: a.png: broken\n"
    )
    assert str(InputError(message)) == "a.png: broken"
    assert reason(ValueError(message)) == "a.png: broken"
    assert reason(ValueError()) == "ValueError"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_console_that_lacks_a_letter_shows_its_escape(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    with console():
        print("ω² ≤ 1", flush=True)
    assert b"\\u03c9" in written.getvalue()


@pytest.fixture
def shown_warnings() -> Iterator[None]:
    """Warnings are written as outside of tests: pytest records them instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda m, c, f, n, file=None, line=None: sys.stderr.write(  # type: ignore[assignment]
            warnings.formatwarning(m, c, f, n, line)
        )
        yield


@pytest.mark.usefixtures("shown_warnings")
def test_a_warning_that_names_a_hostile_file_is_harmless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console():
        warnings.warn("skipped \x1b[2J\udcff.png", stacklevel=1)
    assert r"skipped \x1b[2J\udcff.png" in capsys.readouterr().err


@pytest.mark.usefixtures("shown_warnings")
def test_a_warning_is_one_line_without_its_place_in_the_code_and_is_shown_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console():
        for text in ("the file\n is damaged", "the file\n is damaged", "another"):
            warnings.warn(text, stacklevel=1)
    assert capsys.readouterr().err == "warning: the file is damaged\nwarning: another\n"


def test_lines_of_a_report_stay_lines() -> None:
    assert printable_lines("a\tb\nc\x1b") == "a\\x09b\nc\\x1b"
    assert issubclass(InputError, UserError)
