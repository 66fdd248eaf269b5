"""Claims as predicates of measured values, and their verdict over several seeds.

A predicate compares numbers: ``min(near.*.dlsgan) > 2 * near.mean.infogan and fid < 30``. It has
comparisons, which may be chained, ``and``, ``or``, parentheses, arithmetic, and the functions
``min``, ``max``, ``mean`` and ``abs``. A name with ``*`` stands for all names with any word in
that place, as arguments of a function. The text is parsed by :mod:`ast`, and every node that is not
listed here is refused; nothing is evaluated by Python.

**Verdict.** Seeds are independent repeats. For each comparison and each seed, the margin is what
the left side exceeds the right one by (for ``<`` the reverse). A comparison *holds* if the mean
margin is above t·s/√n, and *does not hold* if it is below -t·s/√n, where s is the standard
deviation of the margins over the n seeds and t the 97.5 % quantile of Student's distribution with
n - 1 degrees of freedom (4.30 for three seeds): a paired t-test at 5 %, two-sided. Otherwise, or
with a single seed, with sides that are equal for every seed, or if a value is not finite, it
*cannot be told*. Parts are joined by ``and`` and ``or`` as in Kleene's logic of three values.

A claim that is declared ``exact`` is about each single run, such as a number of categories: it
holds if it is true for every seed, and does not hold if it is false for one. Only such a claim may
use ``==`` and ``!=``.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev

from scipy.stats import t as student

from lightning_gans.errors import UsageError
from lightning_gans.reproduce.names import matching

CONFIDENCE = 0.95
FUNCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": fmean,
    "abs": lambda values: abs(values[0]),
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[float, float], bool]]] = {
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
# names, also with a "*" as a word; the first word may be one after "(" or ","
_NAMES = re.compile(r"(?<![\w.])(?:(?<=[(,])\s*\*|[A-Za-z_]\w*)(?:\.(?:\w+|\*))*", re.ASCII)
_KEYWORDS = {"and", "or", *FUNCTIONS}
# of a predicate: characters, and names, numbers and signs
MOST, MOST_PARTS = 2000, 400

Values = Mapping[str, float]


class Verdict(StrEnum):
    """What the measured values say of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNTOLD = "cannot be told at this size"
    ONE_SEED = "cannot be told from one seed"


@dataclass(frozen=True)
class Judged:
    """A verdict with its evidence.

    Attributes:
        verdict: over all seeds.
        evidence: a line for each comparison, with the values of both sides.
    """

    verdict: Verdict
    evidence: tuple[str, ...]


class Predicate:
    """A parsed predicate.

    Args:
        text: as in the module's docstring.
        known: the names of all values.
        exact: whether it is about each single run.

    Raises:
        UsageError: if it cannot be parsed, has anything that is not allowed, or an unknown name.
    """

    def __init__(self, text: str, known: Iterable[str], exact: bool = False) -> None:
        self.text, self.exact, self._known = text, exact, tuple(known)
        self._patterns: list[str] = []
        if not isinstance(text, str) or len(text) > MOST:
            raise UsageError(f"expected a predicate of at most {MOST} characters")
        if not text.isascii():  # Python would take letters of other alphabets for some of these
            raise UsageError(f"'{text}' is no predicate: names are of the letters a to z")
        if "#" in text:  # Python would leave out the rest
            raise UsageError(f"'{text}' is no predicate: # begins no comment here")
        # a dot and a star are no Python: names become placeholders, which no name can be
        replaced = _NAMES.sub(self._placeholder, text)
        try:
            self._tree = ast.parse(replaced.strip(), mode="eval").body
            self._check_size()
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise UsageError(f"'{text:.200}' is no predicate: {error}") from error
        self._check_truth(self._tree)

    @property
    def names(self) -> list[str]:
        """The names of the values that it needs, each once."""
        return list(dict.fromkeys(name for p in self._patterns for name in self._found(p)))

    def judge(self, seeds: Sequence[Values]) -> Judged:
        """The verdict over the values of several seeds.

        Args:
            seeds: the values of each; values that a name is missing of count as not finite.
        """
        comparisons = dict.fromkeys(self._comparisons(self._tree))
        evidence = tuple(self._evidence(c, seeds) for c in comparisons)
        if not seeds:
            return Judged(Verdict.UNTOLD, evidence)
        if self.exact:
            values = [self._value_of_exact(self._tree, seed) for seed in seeds]
            if any(value is False for value in values):
                verdict = Verdict.FAILS
            else:
                verdict = Verdict.UNTOLD if None in values else Verdict.HOLDS
            true = sum(value is True for value in values)
            return Judged(verdict, (f"true for {true} of {len(seeds)} seeds", *evidence))
        verdict = self._verdict(self._tree, seeds)
        if verdict is Verdict.UNTOLD and len(seeds) == 1:
            verdict = Verdict.ONE_SEED
        return Judged(verdict, evidence)

    # Parsing

    def _check_size(self) -> None:
        """Check that neither the predicate nor a number of it is too large to be evaluated."""
        parts = sum(not isinstance(node, ast.expr_context) for node in ast.walk(self._tree))
        if parts > MOST_PARTS:
            raise ValueError(f"it has {parts} parts; expected at most {MOST_PARTS}")
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Constant) and type(node.value) is int:
                try:
                    float(node.value)
                except OverflowError:
                    raise ValueError("a number of it is too large") from None

    def _placeholder(self, match: re.Match[str]) -> str:
        """A Python name for a name of the predicate."""
        name = match[0].strip()
        if name in _KEYWORDS:
            return match[0]
        self._patterns.append(name)
        if not self._found(name):
            raise UsageError(f"'{self.text}': there is no value '{name}'")
        return f" _{len(self._patterns) - 1} "

    def _found(self, pattern: str) -> list[str]:
        """The names of the values that a pattern stands for."""
        return list(matching(pattern, self._known))

    def _refuse(self, node: ast.AST, wanted: str) -> UsageError:
        return UsageError(f"'{self.text}': expected {wanted}, got '{self._source(node)}'")

    def _check_truth(self, node: ast.expr) -> None:
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                self._check_truth(part)
            return
        if not isinstance(node, ast.Compare):
            raise self._refuse(node, "a comparison")
        for kind in node.ops:
            if type(kind) not in _COMPARISONS:
                raise self._refuse(node, f"one of {', '.join(s for s, _ in _COMPARISONS.values())}")
            if isinstance(kind, (ast.Eq, ast.NotEq)) and not self.exact:
                raise UsageError(
                    f"'{self.text}': == and != are for claims with 'exact: true'; measured numbers "
                    "are never equal"
                )
        for side in (node.left, *node.comparators):
            self._check_number(side)

    def _check_number(self, node: ast.expr, many: bool = False) -> None:
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return
            case ast.Name() if node.id[1:].isdecimal():
                if "*" in self._patterns[int(node.id[1:])] and not many:
                    raise self._refuse(node, "a pattern inside min, max or mean")
                return
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                self._check_number(node.operand)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                self._check_number(node.left)
                self._check_number(node.right)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS and node.args:
                if name == "abs" and len(node.args) != 1:
                    raise self._refuse(node, "one argument of abs")
                for argument in node.args:
                    self._check_number(argument, many=name != "abs")
            case _:
                raise self._refuse(node, "a number, a name, + - * / or min, max, mean, abs")

    # Values

    def _number(self, node: ast.expr, values: Values) -> float:
        match node:
            case ast.Constant():
                return float(node.value)  # type: ignore[arg-type]  # checked when it was parsed
            case ast.Name():
                (name,) = self._found(self._patterns[int(node.id[1:])])
                return values.get(name, math.nan)
            case ast.UnaryOp():
                sign = -1 if isinstance(node.op, ast.USub) else 1
                return sign * self._number(node.operand, values)
            case ast.BinOp():
                left, right = (self._number(side, values) for side in (node.left, node.right))
                try:
                    return _ARITHMETIC[type(node.op)](left, right)
                except (ZeroDivisionError, OverflowError):
                    return math.nan
            case ast.Call(func=ast.Name(id=name)):
                numbers = [x for argument in node.args for x in self._numbers(argument, values)]
                return _applied(name, numbers)
        raise AssertionError("refused when it was parsed")

    def _numbers(self, node: ast.expr, values: Values) -> list[float]:
        if isinstance(node, ast.Name):
            found = self._found(self._patterns[int(node.id[1:])])
            return [values.get(name, math.nan) for name in found]
        return [self._number(node, values)]

    def _comparisons(self, node: ast.expr) -> Iterator[tuple[ast.expr, ast.cmpop, ast.expr]]:
        """The comparisons of two numbers, in order; a chain has several."""
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                yield from self._comparisons(part)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            yield from zip(sides[:-1], node.ops, sides[1:], strict=True)

    def _value_of_exact(self, node: ast.expr, values: Values) -> bool | None:
        """Whether a part is true of the values of one seed; None if a number is not finite."""
        if isinstance(node, ast.BoolOp):
            return _joined(node.op, [self._value_of_exact(part, values) for part in node.values])
        parts = []
        for left, kind, right in self._comparisons(node):
            numbers = self._number(left, values), self._number(right, values)
            finite = all(map(math.isfinite, numbers))
            parts.append(_COMPARISONS[type(kind)][1](*numbers) if finite else None)
        return _joined(ast.And(), parts)

    def _verdict(self, node: ast.expr, seeds: Sequence[Values]) -> Verdict:
        if isinstance(node, ast.BoolOp):
            parts = [_truth(self._verdict(part, seeds)) for part in node.values]
            return _named(_joined(node.op, parts))
        tests = [margin_test(*self._margins(c, seeds)) for c in self._comparisons(node)]
        return _named(_joined(ast.And(), tests))

    def _margins(
        self, comparison: tuple[ast.expr, ast.cmpop, ast.expr], seeds: Sequence[Values]
    ) -> tuple[list[float], bool]:
        """The margin for each seed, and whether a margin of 0 is enough."""
        left, kind, right = comparison
        sign = 1 if isinstance(kind, (ast.Gt, ast.GtE)) else -1
        margins = [sign * (self._number(left, v) - self._number(right, v)) for v in seeds]
        return margins, isinstance(kind, (ast.GtE, ast.LtE))

    # Text

    def _evidence(
        self, comparison: tuple[ast.expr, ast.cmpop, ast.expr], seeds: Sequence[Values]
    ) -> str:
        left, kind, right = comparison
        sides = [
            self._source(side)
            if isinstance(side, ast.Constant)
            else f"{self._source(side)} = {spread([self._number(side, v) for v in seeds])}"
            for side in (left, right)
        ]
        line = f" {_COMPARISONS[type(kind)][0]} ".join(sides)
        if self.exact or len(seeds) < 2:
            return line
        margins, _ = self._margins(comparison, seeds)
        return f"{line}; margin {interval(margins)}"

    def _source(self, node: ast.AST) -> str:
        """A part of the predicate as text."""
        text = ast.unparse(node)
        return re.sub(r"\b_(\d+)\b", lambda match: self._patterns[int(match[1])], text)


def margin_test(margins: Sequence[float], zero_is_enough: bool = False) -> bool | None:
    """Whether the margins of independent repeats are above zero; None if that cannot be told.

    Args:
        margins: one for each repeat.
        zero_is_enough: whether equal margins of exactly 0 count as above.
    """
    if len(margins) < 2 or not all(map(math.isfinite, margins)):
        return None
    mean, error = average(margins), half_width(margins)
    if mean == error == 0:  # a tie in every repeat, as of counts at their limit, tells nothing more
        return True if zero_is_enough else None
    return True if mean > error else False if mean < -error else None


def half_width(values: Sequence[float]) -> float:
    """Half the width of Student's 95 % interval of the mean of at least two values."""
    n = len(values)
    quantile = float(student.ppf((1 + CONFIDENCE) / 2, n - 1))
    return quantile * deviation(values) / math.sqrt(n)


def average(values: Sequence[float]) -> float:
    """The mean of values; NaN if their sum is too large for a number."""
    try:
        return fmean(values)
    except OverflowError:
        return math.nan


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of at least two values; NaN if their squares are too large."""
    try:
        return stdev(values)
    except OverflowError:
        return math.nan


def number(value: float) -> str:
    """A value to four significant digits.

    >>> number(83.25412), number(0.1), number(12000.0), number(float("nan"))
    ('83.25', '0.1', '12000', '-')
    """
    if not math.isfinite(value):
        return "-" if math.isnan(value) else str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def spread(values: Sequence[float]) -> str:
    """The mean of values over seeds and their standard deviation, as text."""
    if not values:
        return "-"
    finite = all(map(math.isfinite, values))
    if len(values) == 1 or not finite:
        return number(values[0] if len(values) == 1 else math.nan)
    return f"{number(average(values))} ± {number(deviation(values))}"


def interval(margins: Sequence[float]) -> str:
    """The mean of margins and Student's interval, as text."""
    if not all(map(math.isfinite, margins)):
        return "-"
    mean, error = average(margins), half_width(margins)
    return f"{number(mean)} (95 %: {number(mean - error)} to {number(mean + error)})"


def _applied(function: str, numbers: Sequence[float]) -> float:
    """The value of a function; NaN if it has none."""
    # min and max of Python may skip what is no number
    if any(map(math.isnan, numbers)):
        return math.nan
    try:
        return FUNCTIONS[function](numbers)
    except (ValueError, OverflowError):  # of infinities, or of a sum that is too large
        return math.nan


def _joined(kind: ast.boolop, parts: Sequence[bool | None]) -> bool | None:
    """``and`` or ``or`` of truth values of which some are unknown."""
    decides = isinstance(kind, ast.Or)
    if any(part is decides for part in parts):
        return decides
    return None if None in parts else not decides


def _truth(verdict: Verdict) -> bool | None:
    return {Verdict.HOLDS: True, Verdict.FAILS: False, Verdict.UNTOLD: None}[verdict]


def _named(truth: bool | None) -> Verdict:
    return {True: Verdict.HOLDS, False: Verdict.FAILS, None: Verdict.UNTOLD}[truth]
