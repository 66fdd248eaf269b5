"""Number types with a range, for the command line and constructors. Imports nothing heavy.

An annotation is the only place where a range is written. :func:`checked` checks the arguments of a
function or constructor against its annotations; the command line checks typed values against the
same annotations, read from the source. To a type checker they are plain numbers.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import operator
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    Optional,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from lightning_gans.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

# a checkpoint holds integers of at most 64 bits
LARGEST = 2**63 - 1


class OutOfRange(UsageError, ValueError):
    """An argument that is not of its type, or out of its range."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; NaN is in no range.

    Attributes:
        low: the lower end.
        high: the upper end.
        without: the ends that do not belong to the range.
        text: for messages instead of one made from the ends.
    """

    low: float = -math.inf
    high: float = math.inf
    without: tuple[float, ...] = ()
    text: str = ""

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and value not in self.without

    def describe(self, kind: str) -> str:
        """The range as text.

        >>> Range(1).describe("whole number"), Range(0, 1, (1,)).describe("number")
        ('whole number ≥ 1', 'number ≥ 0 and < 1')
        """
        if self.text:
            return self.text
        above = "" if self.low == -math.inf else f"{'>' if self.low in self.without else '≥'} "
        below = "" if self.high == math.inf else f"{'<' if self.high in self.without else '≤'} "
        if above and below and not self.without:
            return f"{kind} from {self.low:,} to {self.high:,}"
        ends = [f"{above}{self.low:,}"] * bool(above) + [f"{below}{self.high:,}"] * bool(below)
        return f"{kind} {' and '.join(ends)}" if ends else kind


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
# sizes of layers, latents and codes: a wider layer would not fit into memory
Width = Annotated[int, Range(1, 65_536)]
# of a head of a discriminator; 0 for none
HeadWidth = Annotated[int, Range(0, 65_536)]
# of a label: with one category there is nothing to tell apart
CategoryCount = Annotated[int, Range(2, 65_536)]
SmallCount = Annotated[int, Range(1, 1_000)]
# pixels along the side of an image
Side = Annotated[int, Range(1, 8_192)]
# black pixels around an image
Padding = Annotated[int, Range(0, 1_000)]
# examples that are held in memory at once
ExampleCount = Annotated[int, Range(1, 100_000_000)]
BatchSize = Annotated[int, Range(1, 1_000_000)]
Workers = Annotated[int, Range(0, 1_024)]
# that compute in one process
Threads = Annotated[int, Range(1, 1_024)]
# torch and numpy take seeds of 32 bits
Seed = Annotated[int, Range(0, 2**32 - 1)]
PositiveFloat = Annotated[float, Range(0, without=(0,))]
NonNegativeFloat = Annotated[float, Range(0)]
ClosedUnitInterval = Annotated[float, Range(0, 1)]
OpenUnitInterval = Annotated[float, Range(0, 1, (0, 1), "number between 0 and 1")]
ProperFraction = Annotated[float, Range(0, 1, (1,))]
# a GIF counts hundredths of a second, and browsers slow down frames of less than two
FramesPerSecond = Annotated[float, Range(0.1, 50)]
# in degrees
Angle = Annotated[float, Range(0, 180)]
# factors of running averages: with 1 nothing would be learnt
Decay = Annotated[float, Range(0, 1, (1,))]


class Unknown:
    """Stands for a type of which nothing is checked, in an annotation that is not imported."""

    def __class_getitem__(cls, item: object) -> type[Unknown]:
        return cls


class _Names(dict[str, Any]):
    """The names in an annotation; those that are not listed are unknown types."""

    def __missing__(self, name: str) -> Any:
        return Unknown


NAMES: Mapping[str, Any] = {
    **{name: value for name, value in globals().items() if get_origin(value) is Annotated},
    "Range": Range,
    **{"int": int, "float": float, "bool": bool, "str": str, "tuple": tuple, "list": list},
    **{"Literal": Literal, "Optional": Optional, "Union": Union, "Sequence": Sequence},
    "Annotated": Annotated,
}


def hint_of(annotation: str) -> Any:
    """The type that an annotation in trusted source text describes, as far as it is of numbers.

    >>> hint_of("float | None"), hint_of("PriorFactory") is Unknown
    (float | None, True)
    """
    try:
        return eval(annotation, {"__builtins__": {}}, _Names(NAMES))
    except (TypeError, NameError, AttributeError, SyntaxError):
        return Unknown


def describe(hint: Any) -> str:
    """A type as text, for messages.

    >>> describe(PositiveInt), describe(float | None), describe(tuple[float, float])
    ('whole number ≥ 1', 'number or null', 'list of 2 numbers')
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        (found,) = (part for part in parts if isinstance(part, Range))
        return found.describe(KINDS[parts[0]])
    if is_union(hint):
        return " or ".join(dict.fromkeys(map(describe, parts)))
    if origin is Literal:
        return ("one of " if len(parts) > 1 else "") + ", ".join(map(str, parts))
    if origin in CONTAINERS:
        if not parts:
            return "list"
        fixed = origin is tuple and parts[-1] is not Ellipsis
        each = describe(parts[0]).replace("number", "numbers", 1).replace("list", "lists", 1)
        return f"list of {f'{len(parts)} ' if fixed else ''}{each}"
    return KINDS.get(hint, getattr(hint, "__name__", str(hint)))


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a type, as far as the type is of numbers, truth values or choices.

    Plain ``float`` means a finite number, plain ``int`` one of at most 64 bits.

    >>> fits(3, PositiveInt), fits(0, PositiveInt), fits(True, int), fits(float("nan"), float)
    (True, False, False, False)
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        (found,) = (part for part in parts if isinstance(part, Range))
        return fits(value, parts[0]) and cast(float, value) in found
    if is_union(hint):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin in CONTAINERS or hint in CONTAINERS:
        return fits_container(value, origin or hint, parts)
    return SCALARS[hint](value) if hint in SCALARS else True


def fits_container(value: object, kind: Any, parts: Sequence[Any]) -> bool:
    """Whether a value is a list of the right length and types; other collections are passed."""
    if not isinstance(value, (list, tuple)):
        return not isinstance(value, (str, bytes, numbers.Number, Mapping, type(None)))
    if not parts:
        return True
    fixed = kind is tuple and parts[-1] is not Ellipsis
    each = parts if fixed else [parts[0]] * len(value)
    return len(each) == len(value) and all(map(fits, value, each))


KINDS: Mapping[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "truth value (true or false)",
    str: "text",
    None: "null",
    type(None): "null",
}
CONTAINERS = (tuple, list, Sequence)


def is_union(hint: Any) -> bool:
    """Whether a type is ``A | B``, ``Union`` or ``Optional``."""
    return get_origin(hint) in (Union, types.UnionType)


def without_null(hint: Any) -> Any:
    """A type without the null that it also allows.

    >>> without_null(int | None)
    <class 'int'>
    """
    if not is_union(hint):
        return hint
    return functools.reduce(operator.or_, (p for p in get_args(hint) if p is not type(None)))


def is_truth(value: object) -> bool:
    """Whether a value is a truth value; numpy has a type of its own."""
    return isinstance(value, bool) or type(value).__name__ == "bool"


def is_whole(value: object) -> bool:
    """Whether a value is a whole number of at most 64 bits."""
    whole = isinstance(value, numbers.Integral) and not is_truth(value)
    return whole and abs(int(cast(int, value))) <= LARGEST


def is_finite(value: object) -> bool:
    """Whether a value is a finite number, and of at most 64 bits if it is a whole number."""
    if isinstance(value, numbers.Integral):
        return is_whole(value)
    return isinstance(value, numbers.Real) and not is_truth(value) and math.isfinite(value)


SCALARS: Mapping[Any, Callable[[object], bool]] = {
    int: is_whole,
    float: is_finite,
    bool: is_truth,
    str: lambda value: isinstance(value, str),
    None: lambda value: value is None,
    type(None): lambda value: value is None,
}


def check(name: str, value: object, hint: Any) -> None:
    """Refuse a value that is not of a type.

    Args:
        name: of the argument.
        value: as it was given.
        hint: a type, such as ``PositiveInt | None``.

    Raises:
        OutOfRange: with what was expected and what was given.
    """
    if not fits(value, hint):
        raise OutOfRange(f"{name}: expected {describe(hint)}, got {shown(value)}")


def shown(value: object) -> str:
    """A value in a message, on one line of bounded length; what is no text is as Python writes it.

    >>> shown("many"), shown(""), shown(None), shown([1, 2])
    ('many', "''", 'None', '[1, 2]')
    """
    try:
        text = value if isinstance(value, str) and value.strip() else repr(value)
    except ValueError:  # Python refuses to print an integer of thousands of digits
        text = "a number of thousands of digits"
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= 80 else f"{text[:77]}..."


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function or constructor against the ranges of its annotations."""

    @functools.wraps(function)
    def with_checked_arguments(*args: P.args, **kwargs: P.kwargs) -> R:
        signature, hints = annotations_of(function)
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            given = {}  # the call below raises it, with the function's name
        check_values(hints, given)
        return function(*args, **kwargs)

    return with_checked_arguments


def check_values(hints: Mapping[str, Any], values: Mapping[str, object]) -> None:
    """Refuse a value that is not of the type of its name; names without a type are passed.

    Raises:
        OutOfRange: with the name, what was expected and what was given.
    """
    for name, hint in hints.items():
        if name in values:
            check(name, values[name], hint)


@functools.cache
def annotations_of(
    function: Callable[..., object],
) -> tuple[inspect.Signature, Mapping[str, Any]]:
    """A function's signature, and the types of its parameters that can be checked."""
    signature = inspect.signature(function)
    return signature, dict(checkable(signature))


def checkable(signature: inspect.Signature) -> Iterator[tuple[str, Any]]:
    """The parameters with a type of numbers, truth values or choices, with that type."""
    for name, parameter in signature.parameters.items():
        hint = parameter.annotation
        if hint is inspect.Parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        hint = hint_of(hint) if isinstance(hint, str) else hint
        if hint is not str and not is_unknown(hint):
            yield name, hint


def is_unknown(hint: Any) -> bool:
    """Whether nothing of a type can be checked, as it is, or may be, of a class."""
    parts = get_args(hint) if is_union(hint) else (hint,)
    return any(part is Unknown for part in parts)
