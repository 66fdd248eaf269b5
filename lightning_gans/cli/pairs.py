"""From the words of a command line to keys and values. Imports nothing heavy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence

from lightning_gans.errors import UsageError

# options that stand alone, without a value
SWITCHES = ("--help", "-h", "--print_config", "--version")


def pairs(
    arguments: Iterable[str],
    switches: Sequence[str] = (),
    expected: str = "key=value or --key=value",
    hint: str = "",
) -> Iterator[tuple[str, str]]:
    """Cut ``key=value``, ``--key=value`` and ``--key value`` apart; keys keep their dashes.

    Args:
        arguments: the words.
        switches: options without a value; the key is then the whole word, such as
            ``--print_config=skip_null``, and the value is empty.
        expected: what a word that stands alone should have been.
        hint: what else to say of such a word.

    Raises:
        UsageError: for a word that stands alone, or an option that has no value.
    """
    words = iter(arguments)
    for word in words:
        key, equals, value = word.partition("=")
        if key in switches:
            yield word, ""
        elif equals:
            yield key, value
        elif key.startswith("-"):
            following = next(words, None)
            if following is None:
                raise UsageError(f"the option {word} has no value: write {word}=VALUE")
            yield key, following
        else:
            raise UsageError(f"expected {expected}, got '{word}'{hint}")


def unknown_option(key: str, known: Sequence[str], dotted: str) -> UsageError:
    """What to say of an option that does not exist; ``dotted`` is one of the dotted that do."""
    return UsageError(
        f"there is no option '{key}'{suggestion(key, known)}; options are "
        f"{', '.join(known)}, and dotted keys such as {dotted}"
    )


def suggestion(word: str, there: Iterable[str]) -> str:
    """``, did you mean 'x'?`` if something there is close to the word."""
    close = difflib.get_close_matches(word, list(there), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
