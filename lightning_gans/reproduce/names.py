"""Names of measured values: ``dlsgan.nll.near.mean``, braces that stand for several, patterns."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from lightning_gans.errors import UsageError

# a name is several words with dots between them; a word may begin with a digit, except the first
NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)
MOST = 10_000  # names that one text stands for
_BRACES = re.compile(r"\{([^{}]*)\}")


def expand(text: str) -> list[str]:
    """The names that a name with braces stands for, in order.

    >>> expand("dlsgan.{nll,reconstruction}.near")
    ['dlsgan.nll.near', 'dlsgan.reconstruction.near']
    >>> expand("a.{1..3}")
    ['a.1', 'a.2', 'a.3']

    Raises:
        UsageError: for too many.
    """
    pieces = _BRACES.split(text)
    choices = [_choices(piece) if i % 2 else [piece] for i, piece in enumerate(pieces)]
    if math.prod(map(len, choices)) > MOST:
        raise UsageError(f"'{text:.60}' stands for more than {MOST:,} names")
    return ["".join(map(str, parts)) for parts in itertools.product(*choices)]


def _choices(text: str) -> Sequence[object]:
    """What stands in braces: words with commas between them, or a range of whole numbers."""
    numbers = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", text, re.ASCII)
    if numbers:
        return range(int(numbers[1]), int(numbers[2]) + 1)
    return [word.strip() for word in text.split(",")]


def expand_all(texts: Iterable[str]) -> list[str]:
    """The names that several names with braces stand for, each once."""
    return list(dict.fromkeys(name for text in texts for name in expand(text)))


def as_name(text: str) -> str:
    """A text of another room as part of a name.

    >>> as_name("psnr/real"), as_name("energy(t=1,p=0.9)"), as_name("nll+reconstruction")
    ('psnr.real', 'energy_t_1_p_0_9', 'nll_reconstruction')
    """
    words = [re.sub(r"\W+", "_", part, flags=re.ASCII).strip("_") for part in text.split("/")]
    return ".".join(words)


def matching(pattern: str, names: Iterable[str]) -> Iterator[str]:
    """The names that a pattern stands for: each ``*`` is one word.

    >>> list(matching("a.*.x", ["a.b.x", "a.b.c.x", "a.x"]))
    ['a.b.x']
    """
    wanted = re.compile(re.escape(pattern).replace(r"\*", r"\w+"), re.ASCII)
    return (name for name in names if wanted.fullmatch(name))
