"""Which classes a file may name: those of this package and of modules that the user trusts.

Importing a module runs its code. A checkpoint or a run's config therefore cannot cause the import
of a module that is not trusted. Imports nothing heavy.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib import import_module

from lightning_gans.errors import UsageError, UserError

PACKAGE_NAME = "lightning_gans"
# classes of other packages that runs of this package use
OPTIMIZERS = "torch.optim"
LOGGERS = ("TensorBoardLogger", "WandbLogger")
# modules of version 0.1.0 that have moved
MOVED = {
    "lightning_gans.loggers": "lightning_gans.runs.metrics_csv",
    "lightning_gans.strategies": "lightning_gans.distributed",
    "lightning_gans.ood.sets": "lightning_gans.ood.datasets",
}


# jsonargparse handles ImportError and ValueError from an import
class Untrusted(UserError, ImportError, ValueError):
    """A file names a class that belongs neither to this package nor to a trusted module."""


class NoSuchClass(Untrusted):
    """A file names a class that does not exist."""


@dataclass(frozen=True)
class Trust:
    """What a file may cause to be imported.

    Attributes:
        modules: trusted modules; their submodules are trusted too.
        typed_paths: import paths that the user typed.
    """

    modules: tuple[str, ...] = ()
    typed_paths: frozenset[str] = frozenset()

    def with_typed_paths(self, paths: Iterable[str]) -> Trust:
        """This trust, extended by import paths that the user typed."""
        return replace(self, typed_paths=self.typed_paths | frozenset(paths))

    def covers(self, path: str) -> bool:
        """Whether an import path is that of a trusted module or of something in one."""
        return any(within(path, module) for module in self.modules)

    def resolve(self, path: object, origin: str) -> object:
        """Import the class that a file names; in a trusted module it may also be a function.

        Args:
            path: the import path in the file.
            origin: the file, for messages.

        Raises:
            Untrusted: if it is not allowed; nothing is imported then.
        """
        if not isinstance(path, str) or not is_import_path(path):
            raise Untrusted(f"{origin}: expected the import path of a class, got {shortened(path)}")
        if path in self.typed_paths:
            return resolve_path(path, origin, lambda module: True)
        if self.covers(path):
            found = resolve_path(path, origin, self.covers)
            if (inspect.isclass(found) or inspect.isroutine(found)) and self.covers(
                str(found.__module__)
            ):
                return found
            raise Untrusted(
                f"{origin} names {path}, which is defined in another module, "
                f"{shortened(getattr(found, '__module__', None) or 'unknown')}; if you trust it, "
                "add it with trust=MODULE"
            )
        if within(path, PACKAGE_NAME):
            found = resolve_own_path(path, origin)
            if inspect.isclass(found) and within(str(found.__module__), PACKAGE_NAME):
                return found
        elif within(path, OPTIMIZERS):
            found = resolve_path(path, origin, lambda module: False)
            base = vars(sys.modules[OPTIMIZERS])["Optimizer"]
            if inspect.isclass(found) and issubclass(found, base):
                return found
        elif path in stock_loggers():
            return resolve_path(path, origin, lambda module: False)
        raise self.refusal(path, origin)

    @staticmethod
    def refusal(path: str, origin: str) -> Untrusted:
        """The error for an import path that is not allowed."""
        module = path.rpartition(".")[0] or path
        if within(path, PACKAGE_NAME):
            return Untrusted(f"{origin} names {path}, which is not a class of {PACKAGE_NAME}")
        return Untrusted(
            f"{origin} names {path}, which is not part of {PACKAGE_NAME} and is imported only if "
            f"it is trusted; if you trust that module, add trust={module}"
        )


_current: ContextVar[Trust | None] = ContextVar("trust", default=None)


def current_trust() -> Trust:
    """The trust in effect."""
    return _current.get() or Trust()


@contextmanager
def trusting(modules: str | Sequence[str]) -> Iterator[Trust]:
    """Trust modules in addition to those already trusted, while the block runs.

    Args:
        modules: a list of names, or one string of names separated by commas.

    Raises:
        UsageError: for a string that is not the name of a module.
    """
    before = current_trust()
    trusted = (*before.modules, *module_names(modules))
    token = _current.set(replace(before, modules=tuple(dict.fromkeys(trusted))))
    try:
        yield current_trust()
    finally:
        _current.reset(token)


def module_names(modules: str | Sequence[str]) -> tuple[str, ...]:
    """The module names in a string separated by commas, or in several such strings.

    >>> module_names("mine.networks, other")
    ('mine.networks', 'other')
    """
    strings = [modules] if isinstance(modules, str) else list(modules)
    names = [name.strip() for string in strings for name in str(string).split(",")]
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"trust={name}: expected the name of a module, such as my.networks")
    return tuple(names)


def split_trust(argv: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """Split ``trust=MODULE``, ``--trust=MODULE`` and ``--trust MODULE`` off a command line.

    Returns:
        The other arguments, and the names of the trusted modules.

    Raises:
        UsageError: for a value that is not the name of a module.
    """
    rest: list[str] = []
    modules: list[str] = []
    remaining = iter(argv)
    for argument in remaining:
        key, equals, value = argument.partition("=")
        if key not in ("trust", "--trust") or (key == "trust" and not equals):
            rest.append(argument)
            continue
        if not equals:
            value = next(remaining, "")
        modules += module_names(value)
    return rest, tuple(modules)


def resolve_path(path: str, origin: str, importable: Callable[[str], bool]) -> object:
    """The object that an import path names.

    Args:
        path: identifiers separated by dots.
        origin: the file, for messages.
        importable: whether a module of this name may be imported. Other modules are used only if
            they are already imported.

    Raises:
        Untrusted: if there is no such object, or it is reached through one that is not a class.
    """
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:count])
        if name not in sys.modules and "__main__" not in parts and importable(name):
            try:
                import_module(name)
            except ModuleNotFoundError as error:
                if error.name is None or not within(name, error.name):
                    raise NoSuchClass(f"{origin} names {path}: {shortened(str(error))}") from error
        if name not in sys.modules:
            continue
        found: object = sys.modules[name]
        for number, part in enumerate(parts[count:]):
            # attributes are looked up in modules and classes only
            if number and not inspect.isclass(found):
                raise Untrusted(f"{origin} names {path}, which is not a class")
            try:
                found = getattr(found, part)
            except AttributeError:
                raise NoSuchClass(f"{origin} names {path}, but there is no such class") from None
        return found
    raise NoSuchClass(f"{origin} names {path}, but there is no such module")


def resolve_own_path(path: str, origin: str) -> object:
    """The object that an import path of this package names, in this version or an earlier one.

    A class that has left its old module is looked up by name in the parent packages, which export
    their classes.

    Raises:
        Untrusted: if there is no such object.
    """
    moved = path
    for old, new in MOVED.items():
        if within(path, old):
            moved = new + path.removeprefix(old)
    *modules, name = moved.split(".")
    exports = [[*modules[:count], name] for count in range(len(modules) - 1, 1, -1)]
    for candidate in [moved, *map(".".join, exports)]:
        with suppress(NoSuchClass):
            return resolve_path(candidate, origin, is_own)
    raise NoSuchClass(f"{origin} names {path}, but there is no such class")


def is_own(path: str) -> bool:
    """Whether an import path is part of this package."""
    return within(path, PACKAGE_NAME)


def within(path: str, module: str) -> bool:
    """Whether an import path is that of a module or of something in it."""
    return path == module or path.startswith(f"{module}.")


def is_import_path(path: str) -> bool:
    """Whether a string consists of identifiers separated by dots."""
    parts = path.split(".")
    return len(path) < 300 and 1 < len(parts) < 50 and all(part.isidentifier() for part in parts)


def stock_loggers() -> list[str]:
    """The import paths of Lightning's loggers, and the one that is built on one of them."""
    return [f"lightning.pytorch.loggers.{name}" for name in LOGGERS] + [
        "lightning_gans.runs.wandb_logger.WandbLogger",
        "lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
        "lightning.pytorch.loggers.wandb.WandbLogger",
    ]


def shortened(value: object) -> str:
    """A value as one line of at most 80 printable characters."""
    text = " ".join((value if isinstance(value, str) else f"{value!r:.80}").split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 80 else f"{text[:77]}..."
