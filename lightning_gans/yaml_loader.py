"""A YAML loader that makes plain data alone.

Apart from :mod:`lightning_gans.safe_yaml`, so that an error in a word of the command line is told
without the time that ``yaml`` takes to be imported.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver


class _Rules(Composer, SafeConstructor, Resolver):
    """What a document's events become: plain data, with keys that are unique strings."""

    depth = 0
    max_depth = 0
    aliases = True

    def compose_node(self, parent: Any, index: Any) -> Any:
        # the parser is that of each loader below
        if not self.aliases and self.check_event(yaml.AliasEvent):  # type: ignore[attr-defined]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed")
        self.depth += 1
        if self.depth > self.max_depth:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {self.max_depth} levels of nesting"
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
                    None, None, "expected keys that are strings", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key '{key.value:.40}'", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# scalars are read as jsonargparse reads them: dates are strings, and 1e-3 is a number
_Rules.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in pairs if not tag.endswith(":timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Rules.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


class _Loader(_Rules, yaml.SafeLoader):
    """Reads the text in Python."""


_LOADERS: list[type[Any]] = [_Loader]
if yaml.__with_libyaml__:

    class _FastLoader(_Rules, yaml.CSafeLoader):
        """Reads the text by libyaml, in a fifth of the time."""

        def __init__(self, stream: str) -> None:
            yaml.CSafeLoader.__init__(self, stream)
            Composer.__init__(self)

    _LOADERS.insert(0, _FastLoader)


def load(text: str, max_depth: int, aliases: bool = False) -> Any:
    """The value of a YAML text; a ``yaml.YAMLError``, or whatever a constructor of scalars raises.

    Args:
        text: one document.
        max_depth: levels of nesting that are allowed.
        aliases: whether aliases are allowed: a few lines of them can expand to more than fits in
            memory.
    """
    for kind in _LOADERS[:-1]:
        # the other loader says in more words what is wrong, and where
        with suppress(Exception):
            return _load(kind, text, max_depth, aliases)
    return _load(_LOADERS[-1], text, max_depth, aliases)


def _load(kind: type[Any], text: str, max_depth: int, aliases: bool) -> Any:
    loader = kind(text)
    loader.max_depth, loader.aliases = max_depth, aliases
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
