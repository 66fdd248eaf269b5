"""The parameters of functions and classes of this package, read from their source.

Nothing is imported, so that help and usage errors appear before torch is loaded. The options of a
command are the parameters of its workflow; there is no second list of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lightning_gans.ranges import NAMES, describe, hint_of, is_unknown, without_null
from lightning_gans.trust import MOVED, within

PACKAGE = Path(__file__).parent
# inside the installed package, or next to it in a checkout
CONFIGS = next(
    folder for folder in (PACKAGE / "configs", PACKAGE.parent / "configs") if folder.is_dir()
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function or constructor.

    Attributes:
        name: as it is written.
        annotation: its type, as it is written.
        default: as it is written; None if a value must be given.
        text: its description in the docstring.
        module: where it is defined, dotted.
    """

    name: str
    annotation: str
    default: str | None
    text: str
    module: str

    @property
    def repeatable(self) -> bool:
        """Whether the option may be repeated."""
        return self.annotation.startswith(("Sequence[", "list["))

    @property
    def choices(self) -> list[str]:
        """The values that a ``Literal`` allows."""
        return [
            str(ast.literal_eval(item))
            for literal in re.findall(r"Literal\[([^]]*)\]", self.annotation)
            for item in literal.split(",")
        ]

    def classes(self) -> dict[str, str]:
        """The classes that it accepts, as import paths by the names that are typed.

        For ``Regularizer | None`` these are all subclasses in the package of ``Regularizer``.
        """
        found: dict[str, str] = {}
        for base in re.findall(r"\b[A-Z]\w+", re.sub(r"Literal\[[^]]*\]", "", self.annotation)):
            home = None if base in NAMES else find_definition(self.module, base)
            if home is not None:
                package = ".".join(home[0].split(".")[:2])
                found |= {
                    snake_case(name): f"{package}.{name}" for name in subclasses(home[0], base)
                }
        return found

    @property
    def range(self) -> str | None:
        """The range of a number as text; None for other types."""
        hint = without_null(self.hint)
        return None if is_unknown(hint) or hint in (str, bool) else describe(hint)

    @property
    def hint(self) -> Any:
        """Its type, as far as it is of numbers, truth values or choices."""
        return hint_of(self.annotation)


@dataclass(frozen=True)
class Signature:
    """A function's parameters and docstring.

    Attributes:
        module: dotted, of the file that defines it.
        summary: the first line of its docstring.
        description: the text between the first line and the arguments.
        parameters: by name, in order; including those of the function that gets ``**options``.
        returns: the return type, as it is written.
    """

    module: str
    summary: str
    description: str
    parameters: dict[str, Parameter]
    returns: str = ""


@lru_cache
def parse(file: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(file.read_text(encoding="utf-8"))


def file_of(module: str) -> Path | None:
    """The source file of a module of this package; None for other modules."""
    first, *rest = module.split(".")
    # an absolute path as a part would lead out of the package
    if first != PACKAGE.name or not all(part.isidentifier() for part in rest):
        return None
    path = PACKAGE.joinpath(*rest)
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


# a run asks a hundred times for each of some dozens; a config may name anything
@lru_cache(maxsize=2048)
def find_definition(module: str, name: str) -> tuple[str, ast.FunctionDef | ast.ClassDef] | None:
    """The module and definition of a function or class of this package, following imports."""
    file = file_of(module)
    if file is None:
        return None
    tree = parse(file)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return module, node
    for source, original, alias in imports_of(tree, module, file):
        # a star import may provide any name
        wanted = original if alias == name else name if original == "*" else None
        if wanted is not None and (source, wanted) != (module, name):
            found = find_definition(source, wanted)
            if found is not None:
                return found
    return None


def constant(module: str, name: str) -> object:
    """The value of a module's constant, following imports; None if it is not written out."""
    file = file_of(module)
    tree = ast.Module([], []) if file is None else parse(file)
    for node in tree.body:
        names = [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
        if isinstance(node, ast.Assign) and name in names:
            with suppress(ValueError):
                return ast.literal_eval(node.value)
    for source, original, alias in () if file is None else imports_of(tree, module, file):
        if alias == name:
            return constant(source, original)
    return None


def imports_of(tree: ast.Module, module: str, file: Path) -> Iterator[tuple[str, str, str]]:
    """What a module imports: the source module, the name there, and the name here."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield source, alias.name, alias.asname or alias.name


def current_path(path: str) -> str:
    """The import path of this package's class that a path of an earlier version names.

    >>> current_path("lightning_gans.models.mixing.MixedBatches")
    'lightning_gans.models.MixedBatches'
    >>> current_path("torch.optim.Adam")
    'torch.optim.Adam'
    """
    module, _, name = path.rpartition(".")
    if not within(path, PACKAGE.name) or find_definition(module, name) is not None:
        return path
    for old, new in MOVED.items():
        if within(module, old):
            module = new + module.removeprefix(old)
    while "." in module:
        if find_definition(module, name) is not None:
            return f"{module}.{name}"
        module = module.rpartition(".")[0]
    return path


def signature(module: str, name: str) -> Signature | None:
    """The signature of a function or constructor; None if it is not of this package."""
    found = find_definition(module, name)
    if found is None:
        return None
    home, node = found
    doc = plain_text(ast.get_docstring(node) or "")
    function = node
    if isinstance(node, ast.ClassDef):
        init = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not init:
            return Signature(home, *summary_of(doc), fields_of(home, node, doc))
        (function,) = init
    assert isinstance(function, ast.FunctionDef)
    parameters = parameters_in(home, node, function)
    returns = ast.unparse(function.returns) if function.returns else ""
    return Signature(home, *summary_of(doc), parameters, returns)


def constructor_parameters(module: str, name: str) -> dict[str, Parameter] | None:
    """All parameters of a constructor or function; None if they cannot all be read.

    An inherited constructor is that of the first base in this package that has one.
    """
    found = find_definition(module, name)
    if found is None:
        return None
    home, node = found
    if isinstance(node, ast.FunctionDef):
        return None if node.args.kwarg is not None else parameters_in(home, node, node)
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            forwarded = inner.args.kwarg
            if forwarded is not None and not forwarded_parameters(home, inner, forwarded.arg):
                return None
            return parameters_in(home, node, inner)
    if any("dataclass" in ast.unparse(mark) for mark in node.decorator_list):
        return fields_of(home, node, plain_text(ast.get_docstring(node) or ""))
    bases = (constructor_parameters(home, ast.unparse(base)) for base in node.bases)
    return next((parameters for parameters in bases if parameters is not None), None)


def parameters_in(
    home: str, node: ast.FunctionDef | ast.ClassDef, function: ast.FunctionDef
) -> dict[str, Parameter]:
    """The parameters of a function, described in the docstring of a node."""
    doc = plain_text(ast.get_docstring(node) or "")
    parameters = {p.name: p for p in own_parameters(home, function, doc)}
    if function.args.kwarg is not None:
        parameters |= forwarded_parameters(home, function, function.args.kwarg.arg)
    return parameters


def own_parameters(module: str, function: ast.FunctionDef, doc: str) -> Iterator[Parameter]:
    """The parameters that a function itself declares."""
    texts = arguments_of(doc)
    arguments = [*function.args.posonlyargs, *function.args.args]
    missing = len(arguments) - len(function.args.defaults)
    defaults = [None] * missing + list(function.args.defaults)
    arguments += function.args.kwonlyargs
    for argument, default in zip(arguments, [*defaults, *function.args.kw_defaults], strict=True):
        if argument.arg != "self":
            kind = ast.unparse(argument.annotation) if argument.annotation else ""
            written = None if default is None else ast.unparse(default)
            yield Parameter(argument.arg, kind, written, texts.get(argument.arg, ""), module)


def fields_of(module: str, node: ast.ClassDef, doc: str) -> dict[str, Parameter]:
    """The fields of a dataclass."""
    texts = arguments_of(doc)
    return {
        n.target.id: Parameter(
            n.target.id,
            ast.unparse(n.annotation),
            None if n.value is None else ast.unparse(n.value),
            texts.get(n.target.id, ""),
            module,
        )
        for n in node.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }


def forwarded_parameters(module: str, function: ast.FunctionDef, name: str) -> dict[str, Parameter]:
    """The parameters of the function that gets ``**name``, except those passed explicitly."""
    for call in ast.walk(function):
        if not isinstance(call, ast.Call):
            continue
        if any(k.arg is None and ast.unparse(k.value) == name for k in call.keywords):
            target = signature(module, ast.unparse(call.func))
            if target is not None:
                given = {k.arg for k in call.keywords} | set(
                    list(target.parameters)[: len(call.args)]
                )
                return {n: p for n, p in target.parameters.items() if n not in given}
    return {}


def summary_of(doc: str) -> tuple[str, str]:
    """The first line of a docstring, and the text between it and the first section."""
    head, _, rest = doc.partition("\n")
    return head, re.split(r"^\w+:$", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()


def plain_text(doc: str) -> str:
    """A docstring's text without markup; a reference becomes the name it refers to.

    >>> plain_text("``n`` of :func:`~lightning_gans.inversion.recover`, :class:`L1`")
    'n of recover, L1'
    """
    doc = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", doc)
    return re.sub(r"``([^`]+)``", r"\1", doc)


def arguments_of(doc: str) -> dict[str, str]:
    r"""The descriptions in the ``Args`` section of a docstring by name, each on one line.

    >>> arguments_of("Do it.\n\nArgs:\n    x: what\n        it is.\n    y: more.")
    {'x': 'what it is.', 'y': 'more.'}
    """
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", doc, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section else ():
        begun = re.match(r"    (\w+): (.*)", line)
        if begun:
            name = begun[1]
            found[name] = begun[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def subclasses(module: str, base: str) -> list[str]:
    """The names of the concrete subclasses of a class in its package, sorted."""
    found = find_definition(module, base)
    if found is None:
        return []
    package = PACKAGE / found[0].split(".")[1]
    parents: dict[str, list[str]] = {}
    abstract = set()
    for file in sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]:
        for node in parse(file).body:
            if isinstance(node, ast.ClassDef):
                parents[node.name] = [ast.unparse(b).rpartition(".")[2] for b in node.bases]
                if "ABC" in parents[node.name] or has_abstract(node):
                    abstract.add(node.name)

    def derives(name: str) -> bool:
        return any(p == base or (p in parents and derives(p)) for p in parents[name])

    return sorted(n for n in parents if n not in abstract and n[0] != "_" and derives(n))


def has_abstract(node: ast.ClassDef) -> bool:
    """Whether a class has its own abstract methods."""
    return any(
        "abstractmethod" in ast.unparse(mark)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef)
        for mark in inner.decorator_list
    )


def snake_case(name: str) -> str:
    """A class name in snake case: ``HardCutoff`` is ``hard_cutoff``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
