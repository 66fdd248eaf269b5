"""Building a model from the constructor arguments in a file, which are checked first.

Only this module turns the contents of a checkpoint into objects. Class paths are resolved by
``trust``, and a class must have the type that the argument declares.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lightning.pytorch import LightningModule
from torch import nn

from lightning_gans.models.base.model import Model
from lightning_gans.runs.checkpoints import UnreadableCheckpoint
from lightning_gans.trust import PACKAGE_NAME, Trust, Untrusted, shortened, within

# the nn.Module classes of this package that may be passed as networks are all in here
NETWORKS = f"{PACKAGE_NAME}.networks"
SPEC = {"class_path", "init_args", "dict_kwargs"}
MAX_DEPTH = 20
SCALARS = (bool, int, float, str, None, type(None))
CONTAINERS = (tuple, list, dict, Sequence, Mapping)


class Mismatch(UnreadableCheckpoint):
    """A value that does not fit the type of its argument."""


class Builder:
    """Builds a model from a spec.

    Args:
        origin: the file, for messages.
        trust: which classes the file may name.
    """

    def __init__(self, origin: str, trust: Trust) -> None:
        self.origin, self.trust = origin, trust
        self._depth = 0

    def model(self, spec: Mapping[str, object], overrides: Mapping[str, object]) -> Model:
        """The model of a checkpoint.

        Args:
            spec: ``_class_path`` and the constructor's arguments.
            overrides: arguments that replace those of the spec; they may be objects.

        Raises:
            Untrusted: for a class that is not allowed.
            UnreadableCheckpoint: if the model cannot be built from these arguments.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.mismatch("its model is nested too deeply")
        cls = self.class_of(spec.get("_class_path"), Model)
        saved = {n: v for n, v in spec.items() if n not in {"_class_path", "_instantiator"}}
        arguments = self.arguments(cls, {n: v for n, v in saved.items() if n not in overrides})
        typed_builder = Builder(
            "the command line", self.trust.with_typed_paths(strings_in(overrides))
        )
        typed = {n: v for n, v in overrides.items() if isinstance(v, (str, dict, list, tuple))}
        arguments |= {**overrides, **typed_builder.arguments(cls, typed)}
        try:
            model = cls(**arguments)
        finally:
            self._depth -= 1
        assert isinstance(model, Model)
        return model

    def arguments(self, target: object, values: Mapping[str, object]) -> dict[str, object]:
        """Arguments of a class or function, each of the type that it declares.

        Raises:
            Untrusted: for a class that is not allowed.
            Mismatch: for an unknown argument, or a value that does not fit its type.
        """
        parameters, hints = declared_parameters(target)
        free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        arguments = {}
        for name, value in values.items():
            if name not in parameters and not free:
                where = shortened(getattr(target, "__name__", "it"))
                raise self.mismatch(f"{where} has no argument '{shortened(name)}'")
            arguments[name] = self.convert(value, hints.get(name, Any), name)
        return arguments

    def class_of(self, path: object, expected: object) -> type[Any]:
        """The class of an import path, if it is of the expected type.

        Raises:
            Untrusted: if it is not allowed, or of another type.
        """
        found = self.trust.resolve(path, self.origin)
        if not inspect.isclass(found):
            raise Untrusted(f"{self.origin} names {path}, which is not a class")
        if not is_kind(found, expected):
            what = getattr(expected, "__name__", str(expected))
            what = "network" if expected is nn.Module else what
            raise Untrusted(f"{self.origin} names {path}, but a {what} is expected")
        return found

    def convert(self, value: object, hint: Any, name: str) -> Any:
        """Convert a value to the type of an annotation.

        Raises:
            Untrusted: for a class that is not allowed.
            Mismatch: if it cannot be converted.
        """
        origin, parts = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._union(value, parts, name)
        if origin is Callable or hint is Callable or getattr(hint, "_is_protocol", False):
            returned = parts[-1] if parts else Any
            if not origin and hint is not Callable:
                returned = get_type_hints(hint.__call__).get("return", Any)
            return self._factory(value, returned, name)
        if (origin or hint) in CONTAINERS:
            return self._container(value, origin or hint, parts, name)
        if origin is Literal or hint in SCALARS:
            return self._scalar(value, hint, name)
        if origin is type or (
            inspect.isclass(hint) and hint not in (Any, object, inspect.Parameter.empty)
        ):
            return self._class_or_instance(value, hint, name)
        return self.untyped(value, name)

    def untyped(self, value: object, name: str) -> object:
        """A value for an argument without a declared type: data, or what a spec builds."""
        if isinstance(value, dict) and "class_path" in value:
            return self._factory(value, Any, name)
        if isinstance(value, (list, tuple)):
            return [self.untyped(part, name) for part in value]
        return value

    def mismatch(self, reason: str) -> Mismatch:
        """An error that names the file."""
        return Mismatch(f"{self.origin}: its model cannot be built: {reason}")

    def _union(self, value: object, parts: Sequence[Any], name: str) -> Any:
        reasons = []
        # a path in a file is never opened, even if it is that of a checkpoint
        if any(inspect.isclass(part) and issubclass(part, Model) for part in parts):
            parts = [part for part in parts if part is not str]
        for part in parts:
            try:
                return self.convert(value, part, name)
            except Mismatch as error:
                reasons.append(error)
        raise reasons[-1]

    def _scalar(self, value: object, hint: Any, name: str) -> object:
        allowed = get_args(hint)
        if any(type(part) is type(value) and part == value for part in allowed):
            return value
        if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if not allowed and type(value) is (type(None) if hint is None else hint):
            return value
        raise self.mismatch(f"{name}: expected {type_name(hint)}, got {shortened(value)}")

    def _container(self, value: object, kind: Any, parts: Sequence[Any], name: str) -> object:
        if kind in (dict, Mapping) and isinstance(value, dict):
            inner = parts[1] if parts else Any
            return {key: self.convert(part, inner, name) for key, part in value.items()}
        if kind not in (dict, Mapping) and isinstance(value, (list, tuple)):
            fixed = kind is tuple and bool(parts) and parts[-1] is not Ellipsis
            each = parts if fixed else [parts[0] if parts else Any] * len(value)
            if len(each) != len(value):
                raise self.mismatch(f"{name}: expected {len(each)} values, got {len(value)}")
            made = [self.convert(v, part, name) for v, part in zip(value, each, strict=True)]
            return tuple(made) if kind is tuple else made
        raise self.mismatch(f"{name}: expected {type_name(kind)}, got {shortened(value)}")

    def _factory(self, value: object, returned: Any, name: str) -> object:
        """A factory: a class, a partial of one, or a function of a trusted module."""
        path, arguments = self._spec(value, name)
        found = self.trust.resolve(path, self.origin)
        if inspect.isclass(found):
            found = self.class_of(path, returned)
        assert callable(found)
        made = self._nested(found, arguments)
        return partial(found, **made) if isinstance(value, dict) else found

    def _class_or_instance(self, value: object, hint: Any, name: str) -> object:
        if get_origin(hint) is type:
            return self.class_of(value, get_args(hint)[0])
        if isinstance(value, dict) and "_class_path" in value and issubclass(hint, Model):
            return self.model(value, {})
        if not isinstance(value, dict) or "class_path" not in value:
            raise self.mismatch(f"{name}: expected {type_name(hint)}, got {shortened(value)}")
        path, arguments = self._spec(value, name)
        cls = self.class_of(path, hint)
        return cls(**self._nested(cls, arguments))

    def _nested(self, target: object, values: Mapping[str, object]) -> dict[str, object]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.mismatch("its arguments are nested too deeply")
        try:
            return self.arguments(target, values)
        finally:
            self._depth -= 1

    def _spec(self, value: object, name: str) -> tuple[object, dict[str, object]]:
        if isinstance(value, str):
            return value, {}
        if not isinstance(value, dict) or "class_path" not in value or set(value) - SPEC:
            raise self.mismatch(
                f"{name}: expected the import path of a class, got {shortened(value)}"
            )
        arguments = [value.get(key) or {} for key in ("init_args", "dict_kwargs")]
        if not all(isinstance(part, dict) for part in arguments):
            raise self.mismatch(
                f"{name}: expected init_args to be a dictionary, got {shortened(arguments[0])}"
            )
        return value["class_path"], {**arguments[0], **arguments[1]}


def declared_parameters(target: object) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """The parameters of a class or function, and their types as far as they can be resolved."""
    assert callable(target)
    source: Any = target.__init__ if inspect.isclass(target) else target
    parameters = inspect.signature(target).parameters
    try:
        hints = get_type_hints(source)
    # evaluating an annotation can raise anything
    except Exception:
        hints = {}
    return parameters, hints


def is_kind(found: type[Any], expected: object) -> bool:
    """Whether an instance of a class is allowed where a type is expected."""
    if expected is nn.Module and within(found.__module__, PACKAGE_NAME):
        return within(found.__module__, NETWORKS) and issubclass(found, nn.Module)
    if not inspect.isclass(expected) or expected is object:
        # any type, but not a model: its constructor may open files
        return not (within(found.__module__, PACKAGE_NAME) and issubclass(found, LightningModule))
    return issubclass(found, expected)


def strings_in(value: object) -> set[str]:
    """All strings in nested data."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return set().union(*map(strings_in, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(strings_in, value))
    return set()


def type_name(hint: Any) -> str:
    """The name of a type, for messages."""
    return getattr(hint, "__name__", str(hint)) if not get_args(hint) else str(hint)
