"""A YAML loader that makes plain data alone.

Apart from :mod:`lightning_gans.safe_yaml`, so that an error in a word of the command line is told
without the time that ``yaml`` takes to be imported.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """The safe loader, with keys that are unique strings."""

    depth = 0
    max_depth = 0
    aliases = True

    def compose_node(self, parent: Any, index: Any) -> Any:
        if not self.aliases and self.check_event(yaml.AliasEvent):
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


class _LoaderWithoutAliases(_Loader):
    """The same without aliases: a few lines of them can expand to more than fits in memory."""

    aliases = False


# scalars are read as jsonargparse reads them: dates are strings, and 1e-3 is a number
_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in pairs if not tag.endswith(":timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load(text: str, max_depth: int, aliases: bool = False) -> Any:
    """The value of a YAML text; a ``yaml.YAMLError``, or whatever a constructor of scalars raises.

    Args:
        text: one document.
        max_depth: levels of nesting that are allowed.
        aliases: whether aliases are allowed.
    """
    loader = (_Loader if aliases else _LoaderWithoutAliases)(text)
    loader.max_depth = max_depth
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
