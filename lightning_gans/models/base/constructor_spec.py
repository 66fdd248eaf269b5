"""A model's constructor and its arguments, as plain data that a checkpoint can hold."""

from __future__ import annotations

import sys
from functools import partial
from inspect import signature
from typing import TypeAlias

import numpy as np
from lightning.pytorch import LightningModule

from lightning_gans.trust import PACKAGE_NAME

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


def constructor_spec(model: LightningModule) -> tuple[dict[str, Plain], list[str]]:
    """The class and constructor arguments from which a model can be built again.

    A network or optimiser that was given as a class, or as a ``functools.partial`` of one, is
    written as its import path and arguments. Something without an import path (a lambda, a class in
    a notebook) cannot be written, and must be given again to ``load``.

    Returns:
        The spec, and the names of the arguments that could not be written.
    """
    arguments: dict[str, Plain] = {}
    unwritten = []
    for name in list(signature(type(model)).parameters):
        try:
            # Lightning keeps no hyper-parameter that cannot be pickled
            arguments[name] = plain(model.hparams[name])
        except (KeyError, TypeError):
            unwritten.append(name)
    described: dict[str, Plain] = {
        "_class_path": class_path(type(model)),
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
    return described | arguments, unwritten


def plain(value: object) -> Plain:
    """A constructor argument as plain data.

    Raises:
        TypeError: if it is neither data nor has an import path.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, partial):
        if value.args:
            raise TypeError(f"arguments of a partial must be named: {value}")
        return {"class_path": path_of(value.func), "init_args": plain(value.keywords)}
    if isinstance(value, type):
        return path_of(value)
    raise TypeError(f"{value!r} is neither data nor a class nor a partial of one")


def path_of(target: object) -> str:
    """The import path of a class or function.

    For this package's own it is the shortest one under which a room exports it, as
    ``lightning_gans.networks.ConvGenerator``, so that files can be renamed.

    Raises:
        TypeError: for a lambda, and for anything defined in a function or in ``__main__``.
    """
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if not module or not name or "<" in name or module == "__main__":
        raise TypeError(f"{target!r} has no import path")
    parts = module.split(".")
    if parts[0] == PACKAGE_NAME:
        for count in range(2, len(parts)):
            room = ".".join(parts[:count])
            if vars(sys.modules[room]).get(name) is target:
                return f"{room}.{name}"
    return f"{module}.{name}"


def class_path(model: type) -> str:
    """The import path of a model's class; one that cannot be imported is refused on loading."""
    try:
        return path_of(model)
    except TypeError:
        return f"{model.__module__}.{model.__qualname__}"
