"""The grammar that all commands share: ``COMMAND [group=name] [key=value] [--key=value]``.

A group is a folder of YAML files: ``data=mnist`` means ``data/mnist.yaml``, first in ``configs`` of
the folder where the command is given, then among the configs that come with the package. Imports
nothing heavy, so that a wrong word is answered at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lightning_gans.errors import UsageError
from lightning_gans.safe_yaml import read_mapping

PACKAGE = Path(__file__).parent.parent
# in the installed package, or beside it in a checkout
CONFIGS = next(
    folder for folder in (PACKAGE / "configs", PACKAGE.parent / "configs") if folder.is_dir()
)

# options that stand alone, without a value
SWITCHES = ("--help", "-h", "--print_config", "--version")


def split_key_values(
    argv: Iterable[str], switches: Sequence[str] = SWITCHES
) -> Iterator[tuple[str, str | None]]:
    """Cut ``key=value``, ``--key=value`` and ``--key value`` apart; keys keep their dashes.

    A switch, such as ``--print_config=skip_null``, is its own key; a word that stands alone is
    too. Both have no value.

    Raises:
        UsageError: for an option that has no value.
    """
    words = iter(argv)
    for word in words:
        key, equals, value = word.partition("=")
        if key in switches:
            yield word, None
        elif equals:
            yield key, value
        elif key.startswith("-"):
            following = next(words, None)
            if following is None:
                raise UsageError(f"the option {word} has no value: write {word}=VALUE")
            yield key, following
        else:
            yield word, None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` if a known word is close, or ends as a dotted one does."""
    there = list(known)
    close = difflib.get_close_matches(word, there, n=1)
    ends = [name for name in there if name.endswith(f".{word}")]
    found = next(iter(close + ends), None)
    return f" (did you mean '{found}'?)" if found else ""


class Groups:
    """Folders of config files, those of the person's own first.

    Args:
        folders: of the groups, in the order in which they are searched; those that do not exist
            are left out. Without: ``configs`` here, and the package's.
    """

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        wanted = [Path("configs"), CONFIGS] if folders is None else folders
        self.folders = [folder for folder in wanted if folder.is_dir()]

    def __contains__(self, group: str) -> bool:
        return bool(group) and any((folder / group).is_dir() for folder in self.folders)

    def all(self) -> list[str]:
        """All groups, sorted."""
        return sorted({f.name for folder in self.folders for f in folder.iterdir() if f.is_dir()})

    def names(self, group: str) -> list[str]:
        """What a group holds, sorted."""
        return sorted({f.stem for folder in self.folders for f in (folder / group).glob("*.yaml")})

    def listing(self, group: str) -> str:
        """What a group holds, as text."""
        return ", ".join(self.names(group)) or "none"

    def find(self, group: str, name: str) -> Path:
        """The file that ``group=name`` means; a name with an ending is a path of one's own.

        Raises:
            UsageError: if there is no such file, with those that there are, or if it is not YAML.
        """
        if name.endswith((".yaml", ".yml")):
            return existing_config(name)
        if name and Path(name).name == name:
            for folder in self.folders:
                if (path := folder / group / f"{name}.yaml").is_file():
                    return existing_config(path)
        there = self.names(group)
        raise UsageError(
            f"there is no {group} '{name}'{suggestion(name, there)}; "
            f"configs/{group} has {self.listing(group)}"
        )


def existing_config(file: str | Path) -> Path:
    """A config file, if it is there and is YAML with sections.

    Raises:
        UsageError: if not.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise UsageError(f"there is no config file {file}")
    read_mapping(path, aliases=True)
    return path
