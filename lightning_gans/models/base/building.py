"""A constructor's arguments from plain data: what a file says is checked, and no more is built.

The one place where a file's words become objects. Class paths are looked up by ``trust``, and a
class must be of the kind that its argument takes: a network for a network, a prior for a prior.
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
from lightning_gans.trust import OWN, Trust, Untrusted, short, within

# where this package's networks are: other modules of it are no networks, though they are nn.Module
NETWORKS = f"{OWN}.networks"
SPEC = {"class_path", "init_args", "dict_kwargs"}
DEEPEST = 20
SCALARS = (bool, int, float, str, None, type(None))
CONTAINERS = (tuple, list, dict, Sequence, Mapping)


class Mismatch(UnreadableCheckpoint):
    """A value that an argument does not take."""


class Builder:
    """Makes what a description says, or only looks whether it may be made.

    Args:
        origin: the file, for messages.
        trust: what it may name.
    """

    def __init__(self, origin: str, trust: Trust) -> None:
        self.origin, self.trust = origin, trust
        self._depth = 0

    def model(self, description: Mapping[str, object], given: Mapping[str, object]) -> Model:
        """The model of a checkpoint.

        Args:
            description: ``_class_path`` and the constructor's arguments.
            given: arguments that a person gives instead; they may be objects.

        Raises:
            Untrusted: for a class that is not allowed.
            UnreadableCheckpoint: if the model cannot be built of these arguments.
        """
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.mismatch("its model is nested too deeply")
        cls = self.class_of(description.get("_class_path"), Model)
        saved = {n: v for n, v in description.items() if n not in {"_class_path", "_instantiator"}}
        arguments = self.arguments(cls, {n: v for n, v in saved.items() if n not in given})
        own = Builder("the command line", self.trust.also(texts(given)))
        typed = {n: v for n, v in given.items() if isinstance(v, (str, dict, list, tuple))}
        arguments |= {**given, **own.arguments(cls, typed)}
        try:
            made = cls(**arguments)
        finally:
            self._depth -= 1
        assert isinstance(made, Model)
        return made

    def arguments(self, target: object, values: Mapping[str, object]) -> dict[str, object]:
        """Arguments of a class or function, each of the type that it declares.

        Raises:
            Untrusted: for a class that is not allowed.
            Mismatch: for an argument that there is not, or that takes no such value.
        """
        parameters, hints = declared(target)
        free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        made = {}
        for name, value in values.items():
            if name not in parameters and not free:
                where = short(getattr(target, "__name__", "it"))
                raise self.mismatch(f"{where} has no argument '{short(name)}'")
            made[name] = self.convert(value, hints.get(name, Any), name)
        return made

    def class_of(self, path: object, expected: object) -> type[Any]:
        """The class of an import path, if it is of the kind that is expected.

        Raises:
            Untrusted: if it is not allowed, or of another kind.
        """
        found = self.trust.find(path, self.origin)
        if not inspect.isclass(found):
            raise Untrusted(f"{self.origin} names {path}, which is no class")
        if not is_kind(found, expected):
            what = getattr(expected, "__name__", str(expected))
            what = "network" if expected is nn.Module else what
            raise Untrusted(f"{self.origin} names {path}, and a {what} is expected there")
        return found

    def convert(self, value: object, hint: Any, name: str) -> Any:
        """A value as an annotation asks for it.

        Raises:
            Untrusted: for a class that is not allowed.
            Mismatch: if there is no way.
        """
        origin, parts = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._one_of(value, parts, name)
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
        """A value for an argument of no declared type: data, or what a partial's description is."""
        if isinstance(value, dict) and "class_path" in value:
            return self._factory(value, Any, name)
        if isinstance(value, (list, tuple)):
            return [self.untyped(part, name) for part in value]
        return value

    def mismatch(self, reason: str) -> Mismatch:
        """An error that names the file."""
        return Mismatch(f"{self.origin}: its model cannot be built: {reason}")

    def _one_of(self, value: object, parts: Sequence[Any], name: str) -> Any:
        reasons = []
        # a path that a file gives is not followed, not even to another checkpoint
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
        raise self.mismatch(f"{name}: expected {words(hint)}, got {short(value)}")

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
        raise self.mismatch(f"{name}: expected {words(kind)}, got {short(value)}")

    def _factory(self, value: object, returned: Any, name: str) -> object:
        """What makes an object: a class, a partial of one, or a trusted module's function."""
        path, arguments = self._spec(value, name)
        found = self.trust.find(path, self.origin)
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
            raise self.mismatch(f"{name}: expected {words(hint)}, got {short(value)}")
        path, arguments = self._spec(value, name)
        cls = self.class_of(path, hint)
        return cls(**self._nested(cls, arguments))

    def _nested(self, target: object, values: Mapping[str, object]) -> dict[str, object]:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.mismatch("its arguments are nested too deeply")
        try:
            return self.arguments(target, values)
        finally:
            self._depth -= 1

    def _spec(self, value: object, name: str) -> tuple[object, dict[str, object]]:
        if isinstance(value, str):
            return value, {}
        if not isinstance(value, dict) or "class_path" not in value or set(value) - SPEC:
            raise self.mismatch(f"{name}: expected the import path of a class, got {short(value)}")
        arguments = [value.get(key) or {} for key in ("init_args", "dict_kwargs")]
        if not all(isinstance(part, dict) for part in arguments):
            raise self.mismatch(f"{name}: expected init_args by name, got {short(arguments[0])}")
        return value["class_path"], {**arguments[0], **arguments[1]}


def declared(target: object) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """The parameters of a class or function, and their types as far as they can be known."""
    assert callable(target)
    source: Any = target.__init__ if inspect.isclass(target) else target
    parameters = inspect.signature(target).parameters
    try:
        hints = get_type_hints(source)
    # whatever an annotation does when it is looked at
    except Exception:
        hints = {}
    return parameters, hints


def is_kind(found: type[Any], expected: object) -> bool:
    """Whether a class may stand where an object of a type is expected."""
    if expected is nn.Module and within(found.__module__, OWN):
        return within(found.__module__, NETWORKS) and issubclass(found, nn.Module)
    if not inspect.isclass(expected) or expected is object:
        # nothing is known of it: still none that opens files, as a model does
        return not (within(found.__module__, OWN) and issubclass(found, LightningModule))
    return issubclass(found, expected)


def texts(value: object) -> set[str]:
    """All texts in nested data."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return set().union(*map(texts, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(texts, value))
    return set()


def words(hint: Any) -> str:
    """A type in words."""
    return getattr(hint, "__name__", str(hint)) if not get_args(hint) else str(hint)
