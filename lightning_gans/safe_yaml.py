"""Reading untrusted YAML as plain data of limited size. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_gans.errors import UsageError
from lightning_gans.files import open_file

# a run's config takes about ten thousand bytes
MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 100_000


class UnreadableConfig(UsageError, ValueError):
    """A config file that is not YAML, or exceeds a limit."""


def parse_value(text: str) -> Any:
    """A typed value as plain data; the text itself if it is not YAML.

    >>> parse_value("1e-3"), parse_value("null"), parse_value("2024-01-01"), parse_value("[1, 2]")
    (0.001, None, '2024-01-01', [1, 2])
    """
    if len(text) > MAX_BYTES:
        return text
    from lightning_gans.yaml_loader import load  # noqa: PLC0415  (its time)

    try:
        return load(text, MAX_DEPTH) if text.strip() else text
    # RecursionError of nesting, and what constructors of scalars raise
    except Exception:
        return text


def read_mapping(file: Path, aliases: bool = False) -> dict[str, Any]:
    """The sections of a YAML file; {} if it is empty.

    Args:
        file: of at most 1 MB.
        aliases: whether aliases are allowed, as in a file that the user named.

    Raises:
        UnreadableConfig: with the file and the reason, in one line.
    """
    try:
        with open_file(file) as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableConfig(f"{file} cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise UnreadableConfig(f"{file} is too large for a config: more than {MAX_BYTES:,} bytes")
    from lightning_gans.yaml_loader import load  # noqa: PLC0415  (its time)

    try:
        config = load(content.decode("utf-8"), MAX_DEPTH, aliases)
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text; save it as UTF-8"
        raise UnreadableConfig(f"{file} is not YAML: {reason}") from None
    except RecursionError:
        raise UnreadableConfig(f"{file} cannot be read: it is nested too deeply") from None
    # constructors of scalars raise anything: ValueError for 2000-13-01, IndexError for !!int alone
    except Exception as error:
        raise UnreadableConfig(f"{file} is not YAML: {yaml_reason(error):.300}") from None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise UnreadableConfig(f"{file}: expected sections such as 'model:', got {config!r:.60}")
    if aliases and (not_plain := plain_data_error(config)):
        raise UnreadableConfig(f"{file} holds {not_plain}")
    return config


def yaml_reason(error: Exception) -> str:
    """Why a text is not YAML, in one line, with the line of the text."""
    mark = getattr(error, "problem_mark", None)
    if "'\\t' that cannot start any token" in str(error) and mark is not None:
        return f"line {mark.line + 1} begins with a tab; indent it with spaces"
    text = " ".join(str(error).replace(' in "<unicode string>",', " in").split())
    return text or type(error).__name__


def subsection(mapping: object, key: str) -> Mapping[str, Any]:
    """A section of a mapping; {} if it is missing or is not a mapping.

    >>> subsection({"model": {"init_args": 1}}, "model"), subsection({"model": 3}, "model")
    ({'init_args': 1}, {})
    """
    value = mapping.get(key) if isinstance(mapping, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def plain_data_error(value: object, depth: int = 0, budget: list[int] | None = None) -> str | None:
    """Why a value is not plain data within the limits, for a message; None if it is.

    Plain data are None, booleans, numbers, strings, and lists and string-keyed dictionaries of
    plain data.
    """
    budget = [MAX_VALUES] if budget is None else budget
    budget[0] -= 1
    if budget[0] < 0 or depth > MAX_DEPTH:
        return f"more than {MAX_VALUES:,} values, or more than {MAX_DEPTH} levels of nesting"
    parts: Any = ()
    if isinstance(value, dict):
        if any(type(key) is not str for key in value):
            return "a key that is not a string"
        parts = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    elif value is not None and type(value) not in (bool, int, float, str):
        return f"a value of type {type(value).__name__}"
    elif type(value) is int and value.bit_length() > 64:
        return "an integer of more than 64 bits"
    errors = (plain_data_error(part, depth + 1, budget) for part in parts)
    return next(filter(None, errors), None)
