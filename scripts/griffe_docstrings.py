"""For the API reference: docstrings as Markdown, which is what mkdocstrings takes them for.

References such as :func:`recover` become the name as code, and examples become blocks of code.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")
# an example and what it prints, up to a blank line
EXAMPLE = re.compile(r"^(?P<margin> *)>>> .*(?:\n(?P=margin)(?! *$).+)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites each docstring."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a class, function, module or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring as Markdown."""
    text = ROLE.sub(r"`\1`", text)
    return EXAMPLE.sub(_fenced, text)


def _fenced(found: re.Match[str]) -> str:
    margin = found["margin"]
    return f"{margin}```pycon\n{found[0]}\n{margin}```"
