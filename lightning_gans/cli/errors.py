"""Turning the long error messages of jsonargparse into one line."""

from __future__ import annotations

import inspect
import re
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, get_origin

from lightning_gans.cli.grammar import suggestion
from lightning_gans.errors import UsageError, UserError
from lightning_gans.ranges import KINDS, NAMES, describe
from lightning_gans.signatures import PACKAGE

# the endings of the names of networks that fit an argument without a default class
NETWORKS = {"generator": ("Generator",), "discriminator": ("Discriminator", "Critic")}


def one_line(message: str, options: Iterable[str]) -> UsageError:
    """A usage error that names what is wrong, where, and the alternatives.

    Args:
        message: of jsonargparse, with any number of lines.
        options: all dotted options of the parser.
    """
    where = ".".join(re.findall(r'[Pp]arser key "([^"]+)"', message))
    classes = re.findall(r"Problem with given class_path '([^']+)'", message)
    classes += re.findall(r"class_path='([^']+)'", message)

    message = re.sub(
        r"'utf-8' codec can't encode .*surrogates not allowed",
        "expected text, got a name that is not UTF-8; give the file or folder another",
        message,
    )
    unknown = re.search(r"(?:Option|Key) '([^']+)' is not (?:accepted|expected)", message)
    unknown = unknown or re.search(r"[Uu]nrecognized arguments: --([^\s=]+)", message)
    if unknown:
        return unknown_option(unknown[1], where, classes, options)
    missing = re.search(r"the following arguments are required: ([\w, ]+)", message)
    if missing:
        names = [f"{where or 'model'}.{name}" for name in missing[1].split(", ")]
        return UsageError(f"{', '.join(names)} must be given: write {names[0]}=VALUE")
    path = re.search(r"Expected a dot import path string: (\S+)", message)
    if path:
        known = alternatives(classes[-1], where.rpartition(".")[2]) if classes else []
        return UsageError(
            f"{where}: no class '{path[1]}'{suggestion(path[1], known)}; give an import path"
            + (f", or one of {', '.join(known)}" if known else "")
        )
    absent = re.search(r"No module named '([^']+)'", message)
    unusable = re.search(r"Expected path but (\S+)\.(\w+) either not accessible", message)
    unusable = unusable or re.search(r"module '(\S+)' has no attribute '(\w+)'", message)
    if absent or unusable:
        what = f"module '{absent[1]}'" if absent else ""
        what = what or f"'{unusable[2]}' in {unusable[1]} that fits" if unusable else what
        return UsageError(f"{where}: there is no {what}; give an import path")
    value = re.search(r"(?:Got|Given) value: ([^:\n]*)|Not of type \w+: (\S+) does not", message)
    value = value or re.search(r"Not of type \w+: .*'(.*)'", message)
    expected = re.findall(r"Expected (?:an? )?(.+?)(?:\. Got value: .*)?$", message, re.MULTILINE)
    expected += re.findall(r"Not of type (\w+)", message)
    kinds = [kind for kind in dict.fromkeys(map(type_label, expected)) if kind != "NoneType"]
    received = value[value.lastindex or 0] if value else None
    # a constructor that refused its arguments says so itself
    if received and kinds and not received.startswith("Namespace("):
        return UsageError(f"{where}: expected {' or '.join(kinds)}, got {received}")
    # between the lines of jsonargparse is the message of the constructor that raised
    noise = r"(Does not validate|Subtypes:|Errors:|Given value|Expected|Parser key|Problem with)"
    lines = [line.strip(" -") for line in message.splitlines()]
    kept = [line for line in lines if line and not re.match(noise, line)]
    text = "; ".join(kept or [line for line in lines if line])
    return UsageError(f"{where}: {text}" if where and where not in text else text)


def type_label(kind: str) -> str:
    """A readable name of a type that jsonargparse prints.

    >>> type_label("typing.Literal['prior', 'zeros']"), type_label("<class 'float'>")
    ('one of prior, zeros', 'number')
    """
    kind = re.sub(r"<class '([^']+)'>", r"\1", kind).removeprefix("typing.")
    if choices := re.fullmatch(r"Literal\[(.*)\]", kind):
        listed = choices[1].replace("'", "")
        return f"one of {listed}" if "," in listed else listed
    found = NAMES.get(kind.rpartition(".")[2])
    return describe(found) if found in KINDS or get_origin(found) is Annotated else kind


def unknown_option(
    key: str, where: str, classes: Sequence[str], options: Iterable[str]
) -> UsageError:
    """The error for an option that does not exist.

    Args:
        key: the option, relative to ``where``.
        where: the dotted place of the part that refuses it.
        classes: the import paths of the parts down to that one.
        options: all dotted options of the parser.
    """
    known = list(options)
    parent, _, name = key.rpartition(".")
    place = ".".join(part for part in (where, parent) if part)
    names = parameters(classes[-1]) if classes else option_names_below(known, place)
    if not names and not classes:
        sections = option_names_below(known, "")
        head, dot, rest = key.partition(".")
        section_hint = suggestion(head, sections, after=dot + rest)
        return UsageError(
            f"there is no option '{key}'{section_hint}; sections are {', '.join(sections)}"
        )
    of = f" of {classes[-1].rpartition('.')[2]}" if classes else ""
    before = f"{place}." if place else ""
    return UsageError(
        f"there is no option '{before}{name}'{suggestion(name, names, before)}; "
        f"the options{of} are {', '.join(names) or 'none'}"
    )


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the errors of constructors into one line; a UserError is passed on.

    Raises:
        UsageError: with the message of the constructor.
        UserError: with the place in the user's own code, if that failed.
    """
    try:
        yield
    # a constructor of the user's own may raise anything; what is not handled here is raised again
    except Exception as error:
        if isinstance(error, UserError):
            raise
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from error  # raised by the data when their shape was read
        if (user_error := out_of_memory(error) or in_own_code(error)) is not None:
            raise user_error from error
        if not isinstance(error, ValueError):
            raise
        raise one_line(str(error), []) from error


def out_of_memory(error: BaseException) -> UserError | None:
    """An error of one line for one that says that memory is short, or was caused by one."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        text = " ".join(str(following).split())
        cuda = type(following).__name__ == "OutOfMemoryError"
        cpu = isinstance(following, RuntimeError) and "memory" in text and "alloc" in text
        if isinstance(following, MemoryError) or cuda or cpu:
            return UserError(
                "there is not enough memory; choose a smaller data.batch_size, or smaller networks "
                f"({text:.200})"
            )
        following = following.__cause__ or following.__context__
    return None


def in_own_code(error: BaseException) -> UserError | None:
    """The place where the user's own code failed, as an error of one line; None if it did not.

    It is the innermost frame in a file that is neither installed nor part of this package.
    """
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        frames = traceback.extract_tb(following.__traceback__)
        ours = [i for i, frame in enumerate(frames) if not is_user_file(frame.filename)]
        if isinstance(following, SyntaxError) and is_user_file(following.filename or ""):
            line = f": {following.text.strip()}" if following.text else ""
            return UserError(
                f"{following.filename}, line {following.lineno}: {type(following).__name__}: "
                f"{following.msg}{line}"
            )
        deeper = [f for f in frames[ours[0] if ours else 0 :] if is_user_file(f.filename)]
        if deeper and not isinstance(following, UserError):
            place = deeper[-1]
            return UserError(
                f"{place.filename}, line {place.lineno}, in {place.name}: "
                f"{type(following).__name__}: {' '.join(str(following).split())}"
            )
        following = following.__cause__ or following.__context__
    return None


def is_user_file(filename: str) -> bool:
    """Whether a source file belongs to the user: neither installed nor part of this package."""
    path = Path(filename)
    installed = [PACKAGE, *(Path(folder) for folder in sysconfig.get_paths().values())]
    return path.is_file() and not any(path.is_relative_to(folder) for folder in installed)


def parameters(class_path: str) -> list[str]:
    """The constructor arguments of a class that a config may set."""
    module, _, name = class_path.rpartition(".")
    try:
        found = inspect.signature(getattr(import_module(module), name)).parameters
    except (ImportError, AttributeError, ValueError):
        return []
    return sorted(found)


def alternatives(class_path: str, argument: str) -> list[str]:
    """The classes of this package that an argument accepts instead of its default class."""
    module, _, name = class_path.rpartition(".")
    try:
        found = inspect.signature(getattr(import_module(module), name)).parameters[argument].default
    except (ImportError, AttributeError, KeyError, ValueError):
        return []
    if found is None and argument in NETWORKS:
        networks = import_module("lightning_gans.networks")
        return sorted(name for name in vars(networks) if name.endswith(NETWORKS[argument]))
    if not inspect.isclass(found):
        return []
    # a package exports the classes of its modules
    home = ".".join(found.__module__.split(".")[:2])
    base = found.__mro__[1]
    return sorted(
        name
        for name, value in vars(import_module(home)).items()
        if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
        if value.__module__.startswith(home)
    )


def option_names_below(options: Iterable[str], place: str) -> Sequence[str]:
    """The next part of the names of all options below a dotted place."""
    prefix = f"{place}." if place else ""
    below = {o[len(prefix) :].split(".")[0] for o in options if o.startswith(prefix)}
    return sorted(below - {""})
