"""The config of a run that is given by its path, which may be a stranger's."""

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

from lightning_gans.callbacks.measurements import Measurement
from lightning_gans.compat import guarded_imports
from lightning_gans.data import DataModule
from lightning_gans.errors import UserError
from lightning_gans.metrics import FeatureExtractor
from lightning_gans.models import Model
from lightning_gans.models.base.building import Builder, declared, texts
from lightning_gans.models.base.constructor_spec import path_of
from lightning_gans.safe_yaml import UnreadableConfig, flaw, read_mapping
from lightning_gans.trust import (
    OWN,
    Untrusted,
    current,
    is_import_path,
    short,
    stock_loggers,
    within,
)

# the sections of a run's config, and of which kind the class is that one names
SECTIONS: dict[str, type | None] = {
    "model": Model,
    "data": DataModule,
    "trainer": None,
    "ema": None,
    "evaluation": None,
    "pictures": None,
    "checkpoint": None,
}
VALUES = ("seed_everything", "ckpt_path", "verbose", "weights_only", "return_predictions")
# arguments of Lightning's loggers that tell them nothing but names
LOGGER_ARGUMENTS = {
    *("save_dir", "name", "version", "prefix", "sub_dir", "log_graph", "default_hp_metric"),
    *("id", "project", "group", "tags", "notes", "job_type", "offline", "anonymous"),
    *("log_model", "dir", "experiment", "entity", "checkpoint_name", "add_file_policy"),
}
# of those, what stays at its default
LOGGER_FIXED = {"log_model", "dir", "experiment", "checkpoint_name", "anonymous"}
# names of files and folders are made of these
_BARE = re.compile(r"[\w][\w .=+-]{0,127}", re.ASCII)
# paths that a run writes to, and whether it may fetch files: for the person to say
WRITES = {"evaluation": ("cache",), "trainer": ("default_root_dir",)}


def vetted(file: Path, named: Iterable[str] = ()) -> dict[str, Any]:
    """A run's config, looked through: what it names is this package's own, or trusted.

    Where a run writes to, and whether it fetches files, is left out: a file does not say that.

    Args:
        file: the run's ``config.yaml``.
        named: import paths that the person typed.

    Raises:
        UnreadableConfig: if it is not such a config.
        Untrusted: if it names a class that is not allowed.
    """
    config = read_mapping(file)
    reason = flaw(config)
    if reason:
        raise UnreadableConfig(f"{file} holds {reason}")
    drop_accumulation(config, file)
    checker = Checker(str(file), current().also(named))
    for name, section in config.items():
        if name not in (*SECTIONS, *VALUES):
            raise UnreadableConfig(f"{file} has no section '{short(name)}' that a run has")
        if name in SECTIONS and not isinstance(section, (dict, type(None))):
            raise UnreadableConfig(f"{file}: expected values by name as {name}")
    checker.anywhere(config)
    for name in ("model", "data"):
        if config.get(name):
            checker.check(config[name], SECTIONS[name])
    trainer = config.get("trainer") or {}
    checker.check(trainer.get("logger"), Logger)
    checker.check(trainer.get("callbacks"), Callback)
    checker.loggers(trainer.get("logger"))
    checker.trainer(trainer)
    checker.check((config.get("evaluation") or {}).get("features"), FeatureExtractor)
    keep_foreign_measurements(config.get("evaluation") or {}, checker)
    for section, names in WRITES.items():
        for key in names:
            (config.get(section) or {}).pop(key, None)
    for key in ("ckpt_path", "weights_only"):
        config.pop(key, None)
    ((config.get("data") or {}).get("init_args") or {}).pop("download", None)
    weights = (config.get("evaluation") or {}).get("features")
    if isinstance(weights, dict):
        (weights.get("init_args") or {}).pop("weights", None)
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

    An evaluation has the package's own anyway, and a second one could be told where to write.

    Raises:
        UnreadableConfig: if they are not a list.
        Untrusted: if one is of a class that is not allowed.
    """
    given = evaluation.pop("measurements", None) or []
    if not isinstance(given, list):
        raise UnreadableConfig(f"{checker.origin}: expected a list as evaluation.measurements")
    checker.check(given, Measurement)
    paths = [m.get("class_path") if isinstance(m, dict) else m for m in given]
    foreign = [m for m, path in zip(given, paths, strict=True) if not is_own(path)]
    if foreign:
        evaluation["measurements"] = foreign


def is_own(path: object) -> bool:
    """Whether a class path is of this package; a bare name is."""
    return not is_import_path(str(path)) or str(path).partition(".")[0] == "lightning_gans"


class Checker(Builder):
    """Looks through a config without making anything of it."""

    def anywhere(self, value: object) -> None:
        """Refuse class paths that are not allowed, at any depth; update those that have moved."""
        if isinstance(value, dict):
            for key in ("class_path", "_class_path"):
                if key in value:
                    found = self.trust.find(value[key], self.origin)
                    if within(value[key], OWN):  # version 0.1.0 may have had it elsewhere
                        value[key] = path_of(found)
            if "_instantiator" in value:
                raise Untrusted(f"{self.origin} says by what it is to be made; nothing else may")
        parts: Any = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list, tuple)):
            for part in parts:
                self.anywhere(part)

    def check(self, value: object, expected: object) -> None:
        """Refuse a class of another kind than is expected, and such among its arguments."""
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
        if path in self.trust.named:
            return
        cls = self.class_of(path, expected)
        arguments = value.get("init_args") if isinstance(value, dict) else None
        if not isinstance(arguments, dict):
            return
        _, hints = declared(cls)
        for name, argument in arguments.items():
            for kind in kinds(hints.get(name, Any)):
                # what may be a text as well is one
                if kind is not None and not (isinstance(argument, str) and kind is str):
                    self.check_argument(argument, kind)

    def check_argument(self, value: object, kind: Any) -> None:
        """As :meth:`check`, for an argument that is a class or what makes an object."""
        if isinstance(value, dict) and "class_path" not in value:
            return
        if isinstance(value, (dict, str)):
            self.check(value, kind)

    def trainer(self, trainer: Mapping[str, object]) -> None:
        """Refuse texts that name classes where the Trainer takes objects."""
        for name in ("plugins", "profiler", "strategy", "accelerator"):
            values = trainer.get(name)
            for value in values if isinstance(values, list) else [values]:
                if isinstance(value, str) and is_import_path(value):
                    self.trust.find(value, self.origin)

    def loggers(self, value: object) -> None:
        """Refuse arguments of Lightning's loggers that are more than names.

        Raises:
            Untrusted: for such an argument.
        """
        for logger in value if isinstance(value, list) else [value]:
            if not isinstance(logger, dict) or logger.get("class_path") not in stock_loggers():
                continue
            if logger["class_path"] in self.trust.named or self.trust.covers(logger["class_path"]):
                continue
            parts = [logger.get(key) or {} for key in ("init_args", "dict_kwargs")]
            if not all(isinstance(part, dict) for part in parts):
                raise UnreadableConfig(f"{self.origin}: expected a logger's arguments by name")
            for name, argument in {**parts[0], **parts[1]}.items():
                self._logger_argument(name, argument)

    def _logger_argument(self, name: str, value: object) -> None:
        texts = value if isinstance(value, list) else [value]
        # the command line puts the run's own folder here
        free = name in ("save_dir", "notes", "tags")
        harmless = name in LOGGER_ARGUMENTS and all(
            isinstance(text, (bool, int, type(None)))
            or (isinstance(text, str) and (free or not text or _BARE.fullmatch(text)))
            for text in texts
        )
        defaults = (None, False, "", "mutable")
        if not harmless or (name in LOGGER_FIXED and value not in defaults):
            raise Untrusted(
                f"{self.origin} tells a logger {short(name)}={short(value)}, which is more than a "
                "name; leave that out of the file, or give logger=FILE, one of your own"
            )


def kinds(hint: Any) -> list[Any]:
    """Of what an argument takes, the classes whose subclasses may be named, or none."""
    parts = get_args(hint)
    if getattr(hint, "_is_protocol", False):
        return kinds_of_returned(get_type_hints(hint.__call__).get("return"))
    if str(hint).startswith(("typing.Callable", "collections.abc.Callable")) and parts:
        return kinds_of_returned(parts[-1])
    if parts and not inspect.isclass(hint):
        if str in parts:
            return []
        return [kind for part in parts for kind in kinds(part)]
    return []


def kinds_of_returned(hint: Any) -> list[Any]:
    """The class that a factory makes."""
    return [hint] if inspect.isclass(hint) else []


@contextmanager
def guarded(named: Iterable[str], origin: str) -> Iterator[None]:
    """Let jsonargparse import nothing that is not allowed, whatever text leads it there.

    Args:
        named: import paths that the person typed.
        origin: the file whose values are parsed, for messages.

    Raises:
        Untrusted: in place of what jsonargparse makes of it.
    """
    trust = current().also({*named, *code_defaults()})

    with guarded_imports(lambda path: trust.find(path, origin)) as refused:
        try:
            yield
        except Exception as error:
            if refused and not isinstance(error, UserError):
                raise refused[0] from None
            raise


def code_defaults() -> set[str]:
    """Import paths that stand in the code itself, as defaults of arguments."""
    return {"torch.nn.Linear", "torch.nn.modules.linear.Linear"}


def option(config: Mapping[str, Any]) -> str:
    """A looked-through config as the value of jsonargparse's ``--config``."""
    return json.dumps(config)


def typed_texts(args: Iterable[str]) -> set[str]:
    """All texts that a person typed, or that stand in config files which they named."""
    found: set[str] = set()
    for arg in args:
        key, _, value = arg.partition("=")
        found.add(value)
        if key == "--config" and Path(value).is_file():
            found |= texts(yaml.safe_load(Path(value).read_text()))
        elif value[:1] in ("{", "["):
            with suppress(yaml.YAMLError):
                found |= texts(yaml.safe_load(value))
    return found
