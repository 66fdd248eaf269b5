"""The data that a model was trained on, from its run's config."""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from lightning_gans.data import DataModule
from lightning_gans.errors import UsageError
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.folder import FOLDER
from lightning_gans.runs.layout import CONFIG
from lightning_gans.workflows.run_config import guarded, vetted_config


def run_data(ckpt: str, changes: Mapping[str, Any] | None = None) -> DataModule | None:
    """Build the data module of the run that a checkpoint is from.

    The run may be untrusted: its config is checked before any class that it names is imported.

    Args:
        ckpt: a run's folder, or a checkpoint.
        changes: constructor arguments with other values than in the config, such as ``root``.

    Returns:
        The data module; None if the run has no config.

    Raises:
        Untrusted: if the config names a class that is not allowed.
        UsageError: if the config has no data, or for an argument that these data do not have.
    """
    file = run_config_of(ckpt)
    if file is None:
        return None
    typed = {key: as_text(value) for key, value in (changes or {}).items()}
    section = vetted_config(file, typed.values()).get("data")
    if not section:
        raise UsageError(f"{file} has no section 'data'")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(DataModule, "data")
    options = [f"--data.{key}={value}" for key, value in typed.items()]
    with guarded(typed.values(), str(file)):
        settings = parser.parse_args([f"--data={json.dumps(section)}"])
        check_names(settings.data.class_path, typed)
        try:
            changed = parser.parse_args([f"--data={json.dumps(section)}", *options])
            data: DataModule = parser.instantiate(changed).data
        except (argparse.ArgumentError, ValueError) as error:
            shown = ", ".join(f"data.{key}={value}" for key, value in typed.items()) or str(file)
            raise UsageError(f"{shown}: {constructors_own(str(error))}") from error
    return data


def constructors_own(message: str) -> str:
    r"""What a constructor says, from what jsonargparse makes of it, on one line.

    >>> constructors_own("Errors:\n  - fold is 9\n  - Expected a <class 'NoneType'>")
    'fold is 9'
    """
    listed = re.findall(r"^ *- ((?!Expected a ).*)$", message, re.MULTILINE)
    return " ".join("; ".join(listed or [message]).split())


def run_config_of(ckpt: str) -> Path | None:
    """The config of the run that a checkpoint is from; None if it has none."""
    file = find(Path(ckpt))
    run = file.parent.parent if file.parent.name == FOLDER else file.parent
    return run / CONFIG if (run / CONFIG).is_file() else None


def as_text(value: object) -> str:
    """A value as the parser reads it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def check_names(class_path: str, names: Mapping[str, str]) -> None:
    """Raise a UsageError for a name that is not an argument of a class's constructor."""
    module, _, name = class_path.rpartition(".")
    known = list(inspect.signature(getattr(import_module(module), name)).parameters)
    for unknown in (name for name in names if name not in known):
        close = difflib.get_close_matches(unknown, known, n=1)
        hint = f" (did you mean 'data.{close[0]}'?)" if close else ""
        raise UsageError(
            f"there is no option 'data.{unknown}'{hint}; the options of {name} are "
            f"{', '.join(known)}"
        )
