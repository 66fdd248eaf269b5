"""The grammar that all commands share: ``COMMAND [group=name] [key=value] [--key=value]``.

A group is a folder of YAML files: ``data=mnist`` means ``data/mnist.yaml`` in ``./configs``, or
otherwise in the configs of the package. Imports nothing heavy, so that a typing error is reported
at once.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning_gans.errors import UsageError
from lightning_gans.paths import is_file, is_folder, typed_path
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.signatures import CONFIGS
from lightning_gans.text import printable

# what editors make of "-" and of quotation marks
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"
QUOTES = "\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
# options without a value
SWITCHES = ("--help", "-h", "--print_config", "--version")
# the section that each group of config files sets, in the order in which the files apply
GROUPS = {
    "model": "model",
    "data": "data",
    "trainer": "trainer",
    "logger": "trainer.logger",
    "experiment": None,
}
# the default file of a group
DEFAULTS = {"trainer": "default", "data": "mnist5k", "logger": "csv"}
# the group whose default file always applies first
BASE = "trainer"


def split_key_values(
    argv: Iterable[str], switches: Sequence[str] = SWITCHES
) -> Iterator[tuple[str, str | None]]:
    """Split ``key=value``, ``--key=value`` and ``--key value``; keys keep their dashes.

    A switch, such as ``--print_config=skip_null``, is yielded as a key without a value, and so is
    an argument without an equals sign.

    Raises:
        UsageError: for an option that has no value.
    """
    remaining = iter(argv)
    for argument in remaining:
        key, equals, value = argument.partition("=")
        if key in switches:
            yield argument, None
        elif equals:
            yield key, value
        elif key.startswith("-"):
            following = next(remaining, None)
            if following is None:
                raise UsageError(f"the option {argument} has no value: write {argument}=VALUE")
            yield key, following
        else:
            yield argument, None


def check_spelling(argv: Iterable[str]) -> None:
    """Refuse what an editor, a chat or another shell makes of ``key=value``.

    Raises:
        UsageError: with the argument, and how it is written.
    """
    for argument in argv:
        key, equals, value = argument.partition("=")
        if not key or (not value and key.endswith((":", " "))):
            raise UsageError(f"'{argument}' has no key: write key=value without spaces around '='")
        if key[0] in DASHES:
            plain = argument.lstrip(DASHES)
            raise UsageError(
                f"'{argument}' begins with a typographic dash: write {plain} or --{plain}"
            )
        for text in (key, value):
            if (text and text[0] in QUOTES) or (
                len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
            ):
                bare = argument.replace(text, text.strip(f"{QUOTES}'\""))
                raise UsageError(
                    f"the quotes in {argument} are part of what was typed: write {bare}, or "
                    "quotes that your shell removes"
                )
        if not equals and re.fullmatch(r"[A-Za-z_][\w.]*:[^/\\\s]\S*", key) and "." in key + ".":
            name, _, rest = key.partition(":")
            if rest and not Path(argument).exists():
                raise UsageError(f"expected key=value, got '{argument}': write {name}={rest}")


class Repeated:
    """Keys that were typed with two values, as in a script with options of its own."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, key: str, value: str) -> None:
        """Add a key and its value, the last of which counts."""
        before = self.values.get(key, value)
        if before != value:
            self.notes.append(printable(f"{key} is given twice; {value} counts, not {before}"))
        self.values[key] = value


def suggestion(name: str, known: Iterable[str], before: str = "", after: str = "") -> str:
    """`` (did you mean 'x'?)`` if a known name is similar, or a dotted name ends in it.

    Args:
        name: that is not known.
        known: names.
        before: what is typed in front of a name, such as ``data.``.
        after: what is typed behind it.
    """
    names = list(known)
    by_lower = {known_name.lower(): known_name for known_name in reversed(names)}
    similar = [n for n in names if n == name] or [
        by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, n=1)
    ]
    dotted = [other for other in names if other.endswith(f".{name}")]
    best = next(iter(similar + dotted), None)
    return f" (did you mean '{before}{best}{after}'?)" if best else ""


class Groups:
    """Folders of config files; those of the user come first.

    Args:
        folders: that hold the groups, in the order in which they are searched; those that do not
            exist are skipped. By default ``./configs``, then the configs of the package.
    """

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        searched = [Path("configs"), CONFIGS] if folders is None else folders
        self.folders = [folder for folder in searched if folder.is_dir()]

    def __contains__(self, group: str) -> bool:
        return bool(group) and any((folder / group).is_dir() for folder in self.folders)

    def all(self) -> list[str]:
        """All groups, sorted."""
        return sorted({f.name for folder in self.folders for f in folder.iterdir() if f.is_dir()})

    def names(self, group: str) -> list[str]:
        """The names of the config files in a group, sorted."""
        return sorted({f.stem for folder in self.folders for f in (folder / group).glob("*.yaml")})

    def listing(self, group: str) -> str:
        """The names of the config files in a group, as text."""
        return ", ".join(self.names(group)) or "none"

    def find(self, group: str, name: str) -> Path:
        """The file that ``group=name`` means; a name that ends in ``.yaml`` is a path.

        Raises:
            UsageError: if there is no such file, with the existing ones, or if it is not YAML.
        """
        if name.endswith((".yaml", ".yml")):
            stem = Path(name).stem
            if (
                name == Path(name).name
                and stem in self.names(group)
                and not is_file(typed_path(name))
            ):
                raise UsageError(f"there is no config file {name} here; write {group}={stem}")
            return existing_config(name)
        if name and Path(name).name == name:
            for folder in self.folders:
                if is_file(path := folder / group / f"{name}.yaml"):
                    return existing_config(path)
        if group == "data" and name and is_folder(typed_path(name)):
            root = shlex.quote(f"data.root={name}")
            raise UsageError(f"data={name} is a folder; for its images, write data=folder {root}")
        raise UsageError(
            f"there is no {group} '{name}'{suggestion(name, self.names(group))}; "
            f"configs/{group} has {self.listing(group)}"
        )


def existing_config(file: str | Path) -> Path:
    """The path of a config file, after a check that it exists and is YAML with sections.

    Raises:
        UsageError: if it does not, or is not.
    """
    path = typed_path(file)
    if not is_file(path):
        raise UsageError(f"there is no config file {file}")
    read_mapping(path, aliases=True)
    return path


def read_config(file: Path) -> dict[str, Any]:
    """The content of a config file that the user named."""
    return read_mapping(file, aliases=True)
