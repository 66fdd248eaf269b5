"""Which classes a file may name: this package's own, and those of modules that a person trusts.

Importing a module runs its code, so nothing is imported because a checkpoint or a run's config
says so. Imports nothing heavy.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib import import_module

from lightning_gans.errors import UsageError, UserError

OWN = "lightning_gans"
# foreign classes that runs of this package have, and what they must be subclasses of
OPTIMIZERS = "torch.optim"
LOGGERS = ("TensorBoardLogger", "WandbLogger")
# modules of version 0.1.0 that have moved to another room
MOVED = {
    "lightning_gans.loggers": "lightning_gans.runs.metrics_csv",
    "lightning_gans.strategies": "lightning_gans.distributed",
    "lightning_gans.ood.sets": "lightning_gans.ood.datasets",
}


# jsonargparse expects an ImportError or a ValueError of what it imports
class Untrusted(UserError, ImportError, ValueError):
    """A file names a class that is neither this package's nor of a trusted module."""


class NoSuchClass(Untrusted):
    """A file names a class that there is not."""


@dataclass(frozen=True)
class Trust:
    """What may be imported on the word of a file.

    Attributes:
        modules: trusted with all their submodules.
        named: import paths that the person typed themselves.
    """

    modules: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()

    def also(self, named: Iterable[str]) -> Trust:
        """The same, and import paths that a person typed."""
        return replace(self, named=self.named | frozenset(named))

    def covers(self, path: str) -> bool:
        """Whether a module, or what is in it, belongs to a trusted one."""
        return any(within(path, module) for module in self.modules)

    def find(self, path: object, origin: str) -> object:
        """The class that a file names, or the function, in a trusted module.

        Args:
            path: the import path in the file.
            origin: the file, for messages.

        Raises:
            Untrusted: if it is not allowed. Then nothing was imported.
        """
        if not isinstance(path, str) or not is_import_path(path):
            raise Untrusted(f"{origin}: expected the import path of a class, got {short(path)}")
        if path in self.named:
            return walk(path, origin, lambda module: True)
        if self.covers(path):
            found = walk(path, origin, self.covers)
            if (inspect.isclass(found) or inspect.isroutine(found)) and self.covers(
                str(found.__module__)
            ):
                return found
            raise Untrusted(
                f"{origin} names {path}, which is defined elsewhere, in "
                f"{short(getattr(found, '__module__', None) or 'another module')}; if you trust "
                "that module, name it too with trust=MODULE"
            )
        if within(path, OWN):
            found = walk_own(path, origin)
            if inspect.isclass(found) and within(str(found.__module__), OWN):
                return found
        elif within(path, OPTIMIZERS):
            found = walk(path, origin, lambda module: False)
            base = vars(sys.modules[OPTIMIZERS])["Optimizer"]
            if inspect.isclass(found) and issubclass(found, base):
                return found
        elif path in stock_loggers():
            return walk(path, origin, lambda module: False)
        raise self.refusal(path, origin)

    @staticmethod
    def refusal(path: str, origin: str) -> Untrusted:
        """What to say of an import path that is not allowed."""
        module = path.rpartition(".")[0] or path
        if within(path, OWN):
            return Untrusted(f"{origin} names {path}, which is no class of {OWN}")
        return Untrusted(
            f"{origin} names {path}, which is not part of {OWN} and is not imported on a file's "
            f"word; if you trust that module, add trust={module}"
        )


_current: ContextVar[Trust | None] = ContextVar("trust", default=None)


def current() -> Trust:
    """What is trusted now."""
    return _current.get() or Trust()


@contextmanager
def trusting(modules: str | Sequence[str]) -> Iterator[Trust]:
    """Trust modules, and what is trusted already, while the block runs.

    Args:
        modules: names, or one text of names with commas between them.

    Raises:
        UsageError: for what is no name of a module.
    """
    before = current()
    found = (*before.modules, *names(modules))
    token = _current.set(replace(before, modules=tuple(dict.fromkeys(found))))
    try:
        yield current()
    finally:
        _current.reset(token)


def names(modules: str | Sequence[str]) -> tuple[str, ...]:
    """The names of modules in a text with commas, or in several.

    >>> names("mine.networks, other")
    ('mine.networks', 'other')
    """
    texts = [modules] if isinstance(modules, str) else list(modules)
    found = [name.strip() for text in texts for name in str(text).split(",")]
    for name in found:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"trust={name}: expected the name of a module, such as my.networks")
    return tuple(found)


def take(arguments: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """Take ``trust=MODULE``, ``--trust=MODULE`` and ``--trust MODULE`` out of a command line.

    Returns:
        The other words, and the names of the modules.

    Raises:
        UsageError: for what is no name of a module.
    """
    rest: list[str] = []
    found: list[str] = []
    words = iter(arguments)
    for word in words:
        key, equals, value = word.partition("=")
        if key not in ("trust", "--trust") or (key == "trust" and not equals):
            rest.append(word)
            continue
        if not equals:
            value = next(words, "")
        found += names(value)
    return rest, tuple(found)


def walk(path: str, origin: str, importable: object) -> object:
    """What an import path names.

    Args:
        path: of identifiers with dots between them.
        origin: the file, for messages.
        importable: says of a module's name whether it may be imported; of others only those are
            looked at that are there.

    Raises:
        Untrusted: if there is nothing of this name.
    """
    assert callable(importable)
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:count])
        if name not in sys.modules and "__main__" not in parts and importable(name):
            try:
                import_module(name)
            except ModuleNotFoundError as error:
                if error.name is None or not within(name, error.name):
                    raise NoSuchClass(f"{origin} names {path}: {short(str(error))}") from error
        if name not in sys.modules:
            continue
        found: object = sys.modules[name]
        for number, part in enumerate(parts[count:]):
            # of a module what it offers, of a class what is defined in it, and of nothing else
            if number and not inspect.isclass(found):
                raise Untrusted(f"{origin} names {path}, which is no class")
            try:
                found = getattr(found, part)
            except AttributeError:
                raise NoSuchClass(f"{origin} names {path}, and there is no such class") from None
        return found
    raise NoSuchClass(f"{origin} names {path}, and there is no such module")


def walk_own(path: str, origin: str) -> object:
    """What an import path of this package names, in this version or in an earlier one.

    A class that is no longer in its old module is looked up by name in the rooms above it, which
    export their classes.

    Raises:
        Untrusted: if there is nothing of this name.
    """
    moved = path
    for old, new in MOVED.items():
        if within(path, old):
            moved = new + path.removeprefix(old)
    *modules, name = moved.split(".")
    rooms = [[*modules[:count], name] for count in range(len(modules) - 1, 1, -1)]
    for candidate in [moved, *map(".".join, rooms)]:
        with suppress(NoSuchClass):
            return walk(candidate, origin, is_own)
    raise NoSuchClass(f"{origin} names {path}, and there is no such class")


def is_own(path: str) -> bool:
    """Whether a path is of this package."""
    return within(path, OWN)


def within(path: str, module: str) -> bool:
    """Whether an import path is a module's own or of something in it."""
    return path == module or path.startswith(f"{module}.")


def is_import_path(path: str) -> bool:
    """Whether a text is identifiers with dots between them."""
    parts = path.split(".")
    return 1 < len(parts) < 50 and all(part.isidentifier() for part in parts)


def stock_loggers() -> list[str]:
    """The import paths of Lightning's loggers that ``configs/logger`` names."""
    return [f"lightning.pytorch.loggers.{name}" for name in LOGGERS] + [
        "lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
        "lightning.pytorch.loggers.wandb.WandbLogger",
    ]


def short(value: object) -> str:
    """A value in one line that is not long."""
    text = " ".join((value if isinstance(value, str) else f"{value!r:.80}").split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 80 else f"{text[:77]}..."
