"""How to build a model again, as plain data that a checkpoint can hold and anyone can read."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import TypeAlias

import numpy as np
from lightning.pytorch import LightningModule

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


def constructor_spec(model: LightningModule) -> tuple[dict[str, Plain], list[str]]:
    """The constructor's arguments, in the form in which Lightning builds a model of any class.

    A network or optimiser given as a class or as ``functools.partial`` of one is written as its
    path and arguments. What has no path (a lambda, a class in a notebook) cannot be written; it
    must be given again to load, and is named in the list that comes second.
    """
    arguments: dict[str, Plain] = {}
    unwritten = []
    for name in list(signature(type(model)).parameters):
        try:
            # what cannot be pickled is not even among the hyper-parameters
            arguments[name] = plain(model.hparams[name])
        except (KeyError, TypeError):
            unwritten.append(name)
    described: dict[str, Plain] = {
        "_class_path": f"{type(model).__module__}.{type(model).__qualname__}",
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
    return described | arguments, unwritten


def plain(value: object) -> Plain:
    """Write a constructor's argument as plain data.

    Raises:
        TypeError: for what has no importable path and is not data.
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
    """The importable path of a class or function.

    Raises:
        TypeError: for lambdas and what is defined inside a function.
    """
    module, name = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if not module or not name or "<" in name or module == "__main__":
        raise TypeError(f"{target!r} has no importable path")
    return f"{module}.{name}"
