"""YAML that may be a stranger's: read as plain data, within bounds. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lightning_gans.errors import UsageError

# a run's config has some ten thousand bytes
LARGEST = 1_000_000
DEEPEST = 50
MOST_VALUES = 100_000


class UnreadableConfig(UsageError, ValueError):
    """A config file that is not YAML, or not within bounds."""


class _Loader(yaml.SafeLoader):
    """The safe loader, with each key once and a text."""

    depth = 0
    aliases = True

    def compose_node(self, parent: Any, index: Any) -> Any:
        if not self.aliases and self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not read")
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.constructor.ConstructorError(
                None, None, f"it is nested more than {DEEPEST} levels deep"
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(
                    None, None, "expected keys that are text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value:.40}' is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _LoaderWithoutAliases(_Loader):
    """The same without aliases, a few lines of which can stand for more than memory holds."""

    aliases = False


# as jsonargparse reads them: 1e-3 is a number, and a date is text
_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in pairs if not tag.endswith(":timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_mapping(file: Path, aliases: bool = False) -> dict[str, Any]:
    """A YAML file's sections, {} if it is empty.

    Args:
        file: of at most 1 MB.
        aliases: whether one part may refer to another, as in a file that a person wrote.

    Raises:
        UnreadableConfig: naming the file and why, in one line.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise UnreadableConfig(f"{file} cannot be read: {error.strerror or error}") from None
    if len(content) > LARGEST:
        raise UnreadableConfig(f"{file} is larger than a config: over {LARGEST:,} bytes")
    try:
        loader = _Loader if aliases else _LoaderWithoutAliases
        found = yaml.load(content.decode("utf-8"), loader)
    except UnicodeDecodeError:
        raise UnreadableConfig(f"{file} is not YAML: it is not text in UTF-8") from None
    # the constructors of scalars raise ValueError, as of the date 2000-13-01
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise UnreadableConfig(f"{file} is not YAML: {reason:.300}") from None
    except RecursionError:
        raise UnreadableConfig(f"{file} is not YAML that can be read: nested too deeply") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UnreadableConfig(f"{file} should hold sections such as 'model:', got {found!r:.60}")
    if aliases and (wrong := flaw(found)):
        raise UnreadableConfig(f"{file} holds {wrong}")
    return found


def inside(mapping: object, key: str) -> Mapping[str, Any]:
    """A section of a mapping, {} if there is none or it is none.

    >>> inside({"model": {"init_args": 1}}, "model"), inside({"model": 3}, "model")
    ({'init_args': 1}, {})
    """
    found = mapping.get(key) if isinstance(mapping, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def flaw(value: object, depth: int = 0, budget: list[int] | None = None) -> str | None:
    """In words why a value is not plain data within bounds; None if it is.

    Plain are None, booleans, numbers, texts, and lists and dictionaries by text of such.
    """
    budget = [MOST_VALUES] if budget is None else budget
    budget[0] -= 1
    if budget[0] < 0 or depth > DEEPEST:
        return f"more than {MOST_VALUES:,} values, or more than {DEEPEST} levels of them"
    parts: Any = ()
    if isinstance(value, dict):
        if any(type(key) is not str for key in value):
            return "a key that is no text"
        parts = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    elif value is not None and type(value) not in (bool, int, float, str):
        return f"a value of type {type(value).__name__}"
    elif type(value) is int and value.bit_length() > 64:
        return "a whole number of more than 64 bits"
    found = (flaw(part, depth + 1, budget) for part in parts)
    return next(filter(None, found), None)
