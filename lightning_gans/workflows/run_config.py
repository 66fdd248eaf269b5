"""Checks of a run's config file, which may be untrusted."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from lightning_gans.callbacks import Evaluation
from lightning_gans.callbacks.measurements import Measurement, SampleQuality
from lightning_gans.compat import guarded_imports
from lightning_gans.data import DataModule
from lightning_gans.errors import UserError
from lightning_gans.metrics import FeatureExtractor
from lightning_gans.models import Model
from lightning_gans.models.base.building import Builder, declared_parameters, strings_in
from lightning_gans.models.base.constructor_spec import path_of
from lightning_gans.safe_yaml import UnreadableConfig, plain_data_error, read_mapping
from lightning_gans.trust import (
    PACKAGE_NAME,
    Untrusted,
    current_trust,
    is_import_path,
    shortened,
    stock_loggers,
    within,
)

# the sections of a run's config, and the base of the class that a section names
SECTIONS: dict[str, type | None] = {
    "model": Model,
    "data": DataModule,
    "trainer": None,
    "compile": None,
    "ema": None,
    "evaluation": None,
    "pictures": None,
    "checkpoint": None,
    "wandb": None,
}
VALUES = (
    *("seed_everything", "ckpt_path", "verbose", "weights_only", "return_predictions"),
    "threads",
)
# arguments of Lightning's loggers that only set names
LOGGER_ARGUMENTS = {
    *("save_dir", "name", "version", "prefix", "sub_dir", "log_graph", "default_hp_metric"),
    *("id", "project", "group", "tags", "notes", "job_type", "offline", "anonymous"),
    *("log_model", "dir", "experiment", "entity", "checkpoint_name", "add_file_policy"),
    *("comment", "filename_suffix", "purge_step", "max_queue", "flush_secs"),  # of TensorBoard
}
# those that must keep their defaults
LOGGER_FIXED = {"log_model", "dir", "experiment", "checkpoint_name", "anonymous"}
# a safe name of a file or folder
_PLAIN_NAME = re.compile(r"[\w][\w .=+-]{0,127}", re.ASCII)
# jsonargparse reads "a.b" as b in a, and "a+" as more items of a
_KEY = re.compile(r"\w+")
# paths of files and permissions to download, which only the user may set
WITHHELD: dict[type, str] = {
    Evaluation: "cache",
    SampleQuality: "cache",
    FeatureExtractor: "weights",
    DataModule: "download",
}


def vetted_config(file: Path, typed: Iterable[str] = ()) -> dict[str, Any]:
    """A run's config, after a check that every class it names is of this package or trusted.

    Settings of where a run writes and whether it downloads files are removed: only the user may
    make them.

    Args:
        file: the run's ``config.yaml``.
        typed: import paths that the user typed.

    Raises:
        UnreadableConfig: if it is not the config of a run.
        Untrusted: if it names a class that is not allowed.
    """
    config = read_mapping(file)
    reason = plain_data_error(config)
    if reason:
        raise UnreadableConfig(f"{file} holds {reason}")
    drop_accumulation(config, file)
    checker = Checker(str(file), current_trust().with_typed_paths(typed))
    for name, section in config.items():
        if name not in (*SECTIONS, *VALUES):
            raise UnreadableConfig(f"{file} has an unknown section '{shortened(name)}'")
        if name in SECTIONS and not isinstance(section, (dict, type(None))):
            raise UnreadableConfig(f"{file}: expected the section {name} to be a mapping")
    checker.check_keys(config)
    checker.check_class_paths(config)
    for name in ("model", "data"):
        if config.get(name):
            checker.check(config[name], SECTIONS[name])
    trainer = config.get("trainer") or {}
    checker.check(trainer.get("logger"), Logger)
    checker.check(trainer.get("callbacks"), Callback)
    checker.check_loggers(trainer.get("logger"))
    checker.check_trainer(trainer)
    checker.check((config.get("evaluation") or {}).get("features"), FeatureExtractor)
    keep_foreign_measurements(config.get("evaluation") or {}, checker)
    (config.get("evaluation") or {}).pop("cache", None)
    # only the user may have weights sent
    (config.get("wandb") or {}).pop("checkpoints", None)
    trainer.pop("default_root_dir", None)
    for key in ("ckpt_path", "weights_only"):
        config.pop(key, None)
    seed = config.get("seed_everything", 0)
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UnreadableConfig(
            f"{file}: expected seed_everything to be an integer in [0, 2^32), got {shortened(seed)}"
        )
    return config


def drop_accumulation(config: dict[str, Any], file: Path) -> None:
    """Remove the section ``accumulation``, which version 0.1.0 had, from a run's config.

    Raises:
        UnreadableConfig: if the run used it.
    """
    section = config.pop("accumulation", None)
    if section not in (None, {}, {"micro_batches": 1}):
        raise UnreadableConfig(
            f"{file} sets accumulation, which only version 0.1.0 supports; train again with "
            "trainer.devices=N, which shares the batch between processes, or with a smaller "
            "data.batch_size"
        )


def keep_foreign_measurements(evaluation: dict[str, Any], checker: Checker) -> None:
    """Check the classes of further measurements, and drop those of this package.

    An evaluation makes those of this package anyway, and their arguments could set paths to
    write to.

    Raises:
        UnreadableConfig: if they are not a list.
        Untrusted: if one is of a class that is not allowed.
    """
    measurements = evaluation.pop("measurements", None) or []
    if not isinstance(measurements, list):
        raise UnreadableConfig(f"{checker.origin}: expected evaluation.measurements to be a list")
    checker.check(measurements, Measurement)
    paths = [m.get("class_path") if isinstance(m, dict) else m for m in measurements]
    foreign = [m for m, path in zip(measurements, paths, strict=True) if not is_own_class(path)]
    if foreign:
        evaluation["measurements"] = foreign


def is_own_class(path: object) -> bool:
    """Whether a class path belongs to this package, as a bare class name does."""
    return not is_import_path(str(path)) or str(path).partition(".")[0] == "lightning_gans"


def withhold(found: object, spec: dict[str, Any]) -> None:
    """Remove the arguments of a class of this package that only the user may set."""
    for base, name in WITHHELD.items():
        if inspect.isclass(found) and issubclass(found, base):
            for key in ("init_args", "dict_kwargs"):
                if isinstance(spec.get(key), dict):
                    spec[key].pop(name, None)


class Checker(Builder):
    """Checks a config without building anything."""

    def check_keys(self, value: object) -> None:
        """Refuse keys that jsonargparse reads as more than a name, at any depth."""
        for key in value if isinstance(value, dict) else ():
            if not _KEY.fullmatch(key):
                raise UnreadableConfig(
                    f"{self.origin}: expected a name as key, got {shortened(key)}"
                )
        if isinstance(value, (dict, list)):
            for part in value.values() if isinstance(value, dict) else value:
                self.check_keys(part)

    def check_class_paths(self, value: object) -> None:
        """Refuse class paths that are not allowed, at any depth; update those that have moved.

        Arguments that only the user may set are removed.
        """
        if isinstance(value, dict):
            for key in ("class_path", "_class_path"):
                if key in value:
                    found = self.trust.resolve(value[key], self.origin)
                    withhold(found, value)
                    if within(value[key], PACKAGE_NAME):  # it may have moved since version 0.1.0
                        value[key] = path_of(found)
            if "_instantiator" in value:
                raise Untrusted(f"{self.origin} sets _instantiator, which is not allowed")
        parts: Any = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list, tuple)):
            for part in parts:
                self.check_class_paths(part)

    def check(self, value: object, expected: object) -> None:
        """Refuse a class that is not of the expected type, also among its arguments."""
        if isinstance(value, (list, tuple)):
            for part in value:
                self.check(part, expected)
            return
        if isinstance(value, str):
            path: object = value
        elif isinstance(value, dict) and "class_path" in value:
            path = value["class_path"]
        else:
            return
        if path in self.trust.typed_paths:
            return
        cls = self.class_of(path, expected)
        arguments = value.get("init_args") if isinstance(value, dict) else None
        if not isinstance(arguments, dict):
            return
        _, hints = declared_parameters(cls)
        for name, argument in arguments.items():
            for kind in class_kinds(hints.get(name, Any)):
                # a string that is allowed as such names no class
                if kind is not None and not (isinstance(argument, str) and kind is str):
                    self.check_argument(argument, kind)

    def check_argument(self, value: object, kind: Any) -> None:
        """As :meth:`check`, for an argument that takes a class or an object."""
        if isinstance(value, dict) and "class_path" not in value:
            return
        if isinstance(value, (dict, str)):
            self.check(value, kind)

    def check_trainer(self, trainer: Mapping[str, object]) -> None:
        """Refuse strings that name classes where the Trainer takes objects."""
        for name in ("plugins", "profiler", "strategy", "accelerator"):
            values = trainer.get(name)
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, str) and is_import_path(value):
                    self.trust.resolve(value, self.origin)

    def check_loggers(self, value: object) -> None:
        """Refuse arguments of Lightning's loggers that are not plain names.

        Raises:
            Untrusted: for such an argument.
        """
        for logger in value if isinstance(value, list) else [value]:
            if not isinstance(logger, dict) or logger.get("class_path") not in stock_loggers():
                continue
            if logger["class_path"] in self.trust.typed_paths or self.trust.covers(
                logger["class_path"]
            ):
                continue
            parts = [logger.get(key) or {} for key in ("init_args", "dict_kwargs")]
            if not all(isinstance(part, dict) for part in parts):
                raise UnreadableConfig(
                    f"{self.origin}: expected the arguments of a logger to be a mapping"
                )
            for name, argument in {**parts[0], **parts[1]}.items():
                self._logger_argument(name, argument)

    def _logger_argument(self, name: str, value: object) -> None:
        if value is None:
            return  # a run writes all arguments, of which most are not set
        texts = value if isinstance(value, list) else [value]
        # the command line puts the run's own folder here
        free = name in ("save_dir", "notes", "tags")
        harmless = name in LOGGER_ARGUMENTS and all(
            isinstance(text, (bool, int, type(None)))
            or (isinstance(text, str) and (free or not text or _PLAIN_NAME.fullmatch(text)))
            for text in texts
        )
        defaults = (None, False, "", "mutable")
        if not harmless or (name in LOGGER_FIXED and value not in defaults):
            raise Untrusted(
                f"{self.origin} sets {shortened(name)}={shortened(value)} of a logger, which may "
                "be unsafe; remove it from the file, or give logger=FILE with your own settings"
            )


def class_kinds(hint: Any) -> list[Any]:
    """The classes whose subclasses an argument of a type may name."""
    parts = get_args(hint)
    if getattr(hint, "_is_protocol", False):
        return returned_class(get_type_hints(hint.__call__).get("return"))
    if str(hint).startswith(("typing.Callable", "collections.abc.Callable")) and parts:
        return returned_class(parts[-1])
    if parts and not inspect.isclass(hint):
        if str in parts:
            return []
        return [kind for part in parts for kind in class_kinds(part)]
    return []


def returned_class(hint: Any) -> list[Any]:
    """The class of the objects that a factory returns, in a list; empty if it is unknown."""
    return [hint] if inspect.isclass(hint) else []


@contextmanager
def guarded(typed: Iterable[str], origin: str) -> Iterator[None]:
    """Keep jsonargparse from importing anything that is not allowed.

    Args:
        typed: import paths that the user typed.
        origin: the file whose values are parsed, for messages.

    Raises:
        Untrusted: instead of the error that jsonargparse makes of it.
    """
    trust = current_trust().with_typed_paths({*typed, *code_defaults()})

    with guarded_imports(lambda path: trust.resolve(path, origin)) as refused:
        try:
            yield
        # jsonargparse wraps a refusal in errors of several kinds; others are raised again
        except Exception as error:
            if refused and not isinstance(error, UserError):
                raise refused[0] from None
            raise


def code_defaults() -> set[str]:
    """Import paths that are defaults of arguments in the code."""
    return {"torch.nn.Linear", "torch.nn.modules.linear.Linear"}


def as_json(config: Mapping[str, Any]) -> str:
    """A config as the value of jsonargparse's ``--config``."""
    return json.dumps(config)


def typed_strings(args: Iterable[str]) -> set[str]:
    """All strings that the user typed, or that are in config files which they named."""
    found: set[str] = set()
    for arg in args:
        key, _, value = arg.partition("=")
        found.add(value)
        if key == "--config" and Path(value).is_file():
            found |= strings_in(yaml.safe_load(Path(value).read_text(encoding="utf-8")))
        elif value[:1] in ("{", "["):
            with suppress(yaml.YAMLError):
                found |= strings_in(yaml.safe_load(value))
    return found
