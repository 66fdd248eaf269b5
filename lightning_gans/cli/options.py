"""Checking options and their values against signatures, before anything is imported.

The types are those of the constructors in this package's source, and those of Lightning's Trainer
in Lightning's; of other classes nothing is checked here. What passes is checked again where it is
used.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from lightning_gans.cli.grammar import suggestion
from lightning_gans.errors import UsageError
from lightning_gans.ranges import (
    ClosedUnitInterval,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Range,
    describe,
    fits,
    is_union,
    is_unknown,
    shown,
)
from lightning_gans.safe_yaml import parse_value
from lightning_gans.signatures import (
    Parameter,
    constant,
    constructor_parameters,
    current_path,
    find_definition,
    own_parameters,
    plain_text,
)

# the class of a section whose class is fixed
FIXED = {
    "compile": "lightning_gans.callbacks.Compile",
    "ema": "lightning_gans.callbacks.EMA",
    "evaluation": "lightning_gans.callbacks.Evaluation",
    "pictures": "lightning_gans.callbacks.Pictures",
    "checkpoint": "lightning_gans.callbacks.Checkpoint",
    "wandb": "lightning_gans.callbacks.Dashboard",
    "trainer": "lightning.pytorch.Trainer",
}
SECTIONS = ("model", "data", *FIXED)
# the rooms in which a class is looked up by its name alone
ROOMS = (
    *("models", "networks", "data", "priors", "losses", "augmentation", "optimizers", "metrics"),
    "inversion",
)

# of images, where a model's argument is None
USUAL_NETWORKS = {
    "generator": "lightning_gans.networks.ConvGenerator",
    "discriminator": "lightning_gans.networks.ConvDiscriminator",
}

_Batches = NonNegativeInt | ClosedUnitInterval | None
# the ranges of the Trainer's options, which Lightning checks late, by an assertion, or not at all
TRAINER: Mapping[str, Any] = {
    "accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"],
    # Lightning's other strategies wait for the gradients of the other player
    "strategy": Literal["auto", "gan_ddp"],
    "num_nodes": PositiveInt,
    "fast_dev_run": NonNegativeInt | bool,
    "max_epochs": Annotated[int, Range(-1)] | None,
    "min_epochs": NonNegativeInt | None,
    "max_steps": Annotated[int, Range(-1)],
    "min_steps": NonNegativeInt | None,
    "limit_train_batches": _Batches,
    "limit_val_batches": _Batches,
    "limit_test_batches": _Batches,
    "limit_predict_batches": _Batches,
    "overfit_batches": NonNegativeInt | ClosedUnitInterval,
    "val_check_interval": PositiveInt | Annotated[float, Range(0, 1, (0,))] | None,
    "check_val_every_n_epoch": PositiveInt | None,
    "num_sanity_val_steps": Annotated[int, Range(-1)] | None,
    "log_every_n_steps": NonNegativeInt | None,
    "accumulate_grad_batches": PositiveInt | None,
    "gradient_clip_val": NonNegativeFloat | None,
    "gradient_clip_algorithm": Literal["norm", "value"] | None,
    "deterministic": bool | Literal["warn"] | None,
    "reload_dataloaders_every_n_epochs": NonNegativeInt,
    "profiler": Literal["simple", "advanced", "pytorch", "xla"] | None,
}
# times such as 00:12:00:00, or as a mapping, which only the Trainer's own reader knows
TIMES = {"max_time", "val_check_interval"}
TIME = re.compile(r"\d+:\d+:\d+:\d+")
# constants as YAML writes them
WRITTEN = {"None": "null", "True": "true", "False": "false"}
# arguments that nobody types: the data set those of a model, the model those of an optimiser
LINKED = {"image_shape", "classes", "params"}
# options of the Trainer that runs refuse, as players take turns and folders are runs' own
REFUSED = {
    *(
        "default_root_dir",
        "accumulate_grad_batches",
        "gradient_clip_val",
        "gradient_clip_algorithm",
    ),
}
OWN_FORMAT = {"devices", *TIMES}
MOST_DEVICES = 1_024  # processes of one machine


@dataclass
class Settings:
    """What a command line and its config files set, by dotted keys without ``init_args``.

    Attributes:
        classes: the import path of the class at a key.
        values: the value at a key, as it was read or typed, and the file it is from.
        typed: the keys that were typed.
    """

    classes: dict[str, str] = field(default_factory=lambda: dict(FIXED))
    values: dict[str, tuple[object, Path | None]] = field(default_factory=dict)
    typed: set[str] = field(default_factory=set)

    def read(self, content: Mapping[str, Any], file: Path) -> None:
        """Add what a config file sets."""
        for key, value in content.items():
            self._add(key, value, file)

    def _add(self, key: str, value: object, file: Path | None) -> None:
        inner = value
        if isinstance(value, Mapping) and "class_path" in value:
            self._name_class(key, value["class_path"])
            inner = value.get("init_args") or {}
        elif isinstance(value, str):
            self._name_class(key, value)
        if isinstance(inner, Mapping) and (key in SECTIONS or key in self.classes):
            for name, part in inner.items():
                self._add(f"{key}.{name}", part, file)
            return
        self.values[key] = (value, file)

    def _name_class(self, key: str, path: object) -> None:
        if isinstance(path, str) and re.fullmatch(r"[A-Za-z_][\w.]*", path):
            before, found = self.classes.pop(key, None), import_path(path)
            if found is not None:
                self.classes[key] = found
            if before != found:
                # the arguments of another class do not apply to this one
                for other in [other for other in self.values if other.startswith(f"{key}.")]:
                    del self.values[other]

    def type_in(self, settings: Iterable[str]) -> None:
        """Add typed options such as ``--model.r1=3``."""
        for setting in settings:
            key, equals, value = setting.removeprefix("--").partition("=")
            if not equals or key.endswith("+"):
                continue
            parts = [part for part in key.split(".") if part != "init_args"]
            if parts[-1] == "class_path":
                parts.pop()
            name = ".".join(parts)
            if is_class_name(value):
                self._name_class(name, value)
            self.values[name] = (value, None)
            self.typed.add(name)


def is_class_name(text: str) -> bool:
    """Whether a typed value may name a class."""
    return bool(re.fullmatch(r"[A-Za-z_][\w.]*", text))


@lru_cache
def import_path(name: str) -> str | None:
    """The import path of a class of this package; None for what is none, or another package's."""
    if "." in name:
        path = current_path(name)
        module, _, last = path.rpartition(".")
        return path if find_definition(module, last) else None
    for room in ROOMS:
        if find_definition(f"lightning_gans.{room}", name) is not None:
            return f"lightning_gans.{room}.{name}"
    return None


@lru_cache
def trainer_parameters() -> Mapping[str, Parameter]:
    """The Trainer's parameters, read from its source; none if they are not found there."""
    spec = find_spec("lightning")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        file = Path(folder) / "pytorch" / "trainer" / "trainer.py"
        if not file.is_file():
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                text = plain_text(ast.get_docstring(node) or "")
                module = "lightning.pytorch.trainer.trainer"
                found = {p.name: p for p in own_parameters(module, node, text)}
                if "max_steps" in found:
                    return found
    return {}


def parameters_of(path: str) -> Mapping[str, Parameter] | None:
    """The parameters of a class; None if they are not known."""
    if path == FIXED["trainer"]:
        return trainer_parameters() or None
    module, _, name = path.rpartition(".")
    return constructor_parameters(module, name)


def check_sections(content: Mapping[str, Any], file: Path, others: Iterable[str]) -> None:
    """Refuse a section that does not exist, or that is no mapping.

    Args:
        content: of a config file.
        file: its path.
        others: the options without a section.

    Raises:
        UsageError: with the sections that there are.
    """
    for key in content:
        if key not in (*SECTIONS, *others):
            raise UsageError(
                f"{file} has an unknown section '{shown(key)}'{suggestion(key, SECTIONS)}; "
                f"sections are {', '.join(SECTIONS)}"
            )
    for key, value in content.items():
        named = isinstance(value, str) and key not in FIXED  # a class without arguments
        if key in SECTIONS and not isinstance(value, Mapping) and not named:
            raise UsageError(
                f"{file}: expected options, each 'name: value' and indented, below '{key}:', got "
                f"{'nothing' if value is None else shown(value)}"
            )


def check_options(
    settings: Settings, synonyms: Mapping[str, str], run_config: Path | None = None
) -> None:
    """Refuse options that do not exist, and values that are not of their types.

    Args:
        settings: of the command line.
        synonyms: the keys that stand for others, for messages.
        run_config: the config of a resumed run, whose options may be of an earlier version.

    Raises:
        UsageError: with the option, what was expected and what was given.
    """
    own = [key for key, (_, file) in settings.values.items() if file != run_config or not file]
    for key in sorted(own, key=lambda key: key.count(".")):
        file = settings.values[key][1]
        check_key(key, settings, synonyms, f" (in {file})" if file else "")
    for key, (given, file) in settings.values.items():
        value: Any = given
        parameter = parameter_of(key, settings)
        if parameter is None:
            continue
        hint = hint_of_option(key, parameter)
        section, _, name = key.partition(".")
        if file and file == run_config and isinstance(value, float) and value.is_integer():
            value = int(value)  # runs of 0.1.0 have written whole numbers so
        complaint = trainer_problem(name, value) if section == "trainer" else None
        if complaint is None and not (section == "trainer" and name in OWN_FORMAT):
            complaint = problem(value, hint)
        if complaint is not None:
            where = f" (in {file})" if file else ""
            raise UsageError(f"{shortest(key, synonyms)}: {complaint}{where}")
    check_sides(settings)


def check_sides(settings: Settings) -> None:
    """Refuse a resolution that the networks of this package do not have.

    Raises:
        UsageError: with those that the network has.
    """
    given, file = settings.values.get("data.resolution", (None, None))
    side = parse_value(given) if isinstance(given, str) else given
    if side is None or parameter_of("data.resolution", settings) is None:
        return
    for player, usual in USUAL_NETWORKS.items():
        key = f"model.{player}"
        path = class_at(key, settings)
        parameter = None if key in settings.values else parameter_of(key, settings)
        if path is None and parameter is not None and parameter.default == "None":
            path = usual
        sides = sides_of(path) if path else None
        if path and sides and side not in sides:
            raise UsageError(
                f"data.resolution={side}: {path.rpartition('.')[2]} takes images with a side of "
                f"{', '.join(map(str, sides))}; choose one of these, or another "
                f"model.{player}{f' (in {file})' if file else ''}"
            )


@lru_cache
def sides_of(path: str) -> tuple[int, ...] | None:
    """The sides of images that a network of this package has, in pixels; None if it has any."""
    module, _, name = path.rpartition(".")
    found = find_definition(module, name)
    nodes = ast.walk(found[1]) if found else iter(())
    if found and any(isinstance(node, ast.Name) and node.id == "SIDES" for node in nodes):
        sides = constant(found[0], "SIDES")
        return sides if isinstance(sides, tuple) else None
    return None


def class_at(key: str, settings: Settings) -> str | None:
    """The import path of the class that is set at a key, or of the default; None if unknown."""
    if key in settings.classes:
        return settings.classes[key]
    parameter = parameter_of(key, settings) if key not in settings.values else None
    default = parameter.default if parameter else None
    if parameter is None or default is None or not default.isidentifier():
        return None
    found = find_definition(parameter.module, default)
    return f"{found[0]}.{default}" if found else None


def parameter_of(key: str, settings: Settings) -> Parameter | None:
    """The parameter that a key sets; None if it is not known."""
    parent, dot, name = key.rpartition(".")
    path = class_at(parent, settings) if dot else None
    if path is None:
        return None
    return (parameters_of(path) or {}).get(name)


def hint_of_option(key: str, parameter: Parameter) -> Any:
    """The type of an option."""
    section, _, name = key.partition(".")
    return TRAINER.get(name, parameter.hint) if section == "trainer" else parameter.hint


def check_key(key: str, settings: Settings, synonyms: Mapping[str, str], where: str) -> None:
    """Refuse an option that its class does not have.

    Raises:
        UsageError: with the options that there are.
    """
    section, dot, rest = key.partition(".")
    if dot and section not in SECTIONS:
        known = [*SECTIONS, *(name for name in synonyms if name != "ckpt")]
        raise UsageError(
            f"there is no option '{key}'{suggestion(section, known, after=dot + rest)}; sections "
            f"are {', '.join(sorted(known))}"
        )
    parent, dot, name = key.rpartition(".")
    path = class_at(parent, settings) if dot else None
    parameters = parameters_of(path) if path else None
    if parameters is None or name in parameters or path is None:
        return
    typed = shortest(key, synonyms)
    # in a config file, the name alone is written
    before = "" if where else typed.removesuffix(name)
    raise UsageError(
        f"there is no option '{typed}'{suggestion(name, parameters, before)}; the "
        f"options of {path.rpartition('.')[2]} are {', '.join(sorted(parameters))}{where}"
    )


def shortest(key: str, synonyms: Mapping[str, str]) -> str:
    """An option as people type it: ``optimizer.lr`` for ``model.optimizer.lr``."""
    for short, full in synonyms.items():
        if key.startswith(f"{full}."):
            return short + key.removeprefix(full)
    return key


def problem(value: object, hint: Any) -> str | None:
    """What is wrong with a value, as far as it is a number, truth value or choice; None if nothing.

    Args:
        value: as it was typed, or read from a file.
        hint: the type of the option.
    """
    if isinstance(value, bool) and accepts_text(hint) and not fits(value, hint):
        return f"expected text, got {str(value).lower()}; put quotes around it"  # off, no, y
    if is_unknown(hint) or accepts_text(hint):
        return None
    read = parse_value(value) if isinstance(value, str) else value
    if fits(read, hint) or (read is not value and fits(value, hint)):
        return None
    if isinstance(value, str) and "." in value and is_class_name(value):
        return None  # the import path of a class, such as an accelerator of one's own
    text = f"expected {describe(hint)}, got {shown(value) if value is not None else 'null'}"
    return f"{text}{advice(read, hint)}"


def accepts_text(hint: Any) -> bool:
    """Whether an option may be any text."""
    return hint is str or (is_union(hint) and str in get_args(hint))


def advice(value: object, hint: Any) -> str:
    """How to write a value that was nearly right."""
    if isinstance(value, float) and value.is_integer() and fits(int(value), hint):
        return f"; write {int(value)}"
    text = str(value).strip()
    if text.lower() in ("none", "nil") and fits(None, hint):
        return "; write null"
    for replaced in (
        text.rstrip(",;"),
        text.replace(",", "."),
        text.replace(",", ""),
        f"[{text.strip('()')}]",
    ):
        if isinstance(value, str) and fits(parse_value(replaced), hint):
            return f"; write {replaced}"
    return ""


def trainer_problem(name: str, value: object) -> str | None:
    """What is wrong with an option of the Trainer that has a format of its own; None if nothing."""
    read = parse_value(value) if isinstance(value, str) else value
    if name == "devices":
        numbers: Any = [read] if isinstance(read, int) else read
        if isinstance(value, str) and re.fullmatch(r"\d+(,\d+)*,?", value):
            numbers = [int(part) for part in value.split(",") if part]
        listed = isinstance(numbers, list) and numbers and all(fits(n, int) for n in numbers)
        alone = isinstance(read, int) and (read == -1 or 0 < read <= MOST_DEVICES)
        several = not isinstance(read, int) and listed and min(numbers) >= 0
        if not (read in ("auto", "-1") or (alone and fits(read, int)) or several):
            return (
                "expected auto, a number of processes ≥ 1, -1 for all, or devices such as 0,1; "
                f"got {shown(value)}"
            )
    if name in TIMES:
        if isinstance(read, Mapping) or (isinstance(value, str) and TIME.fullmatch(value)):
            return None
        if name == "max_time" and read is not None:
            return f"expected days:hours:minutes:seconds such as 00:12:00:00, got {shown(value)}"
        return problem(value, TRAINER[name]) if name in TRAINER else None
    return None


def option_help(head: str, text: str) -> list[str]:
    """The lines of help for one option."""
    lines = textwrap.wrap(text, 66)
    head = f"  {head}"
    if len(head) > 28:
        return [head, *(" " * 30 + line for line in lines)]
    return [f"{head:<30}{line}" if i == 0 else " " * 30 + line for i, line in enumerate(lines)]


def written(value: object) -> str:
    """The value of an option in a config file as help shows it: a class by its name."""
    path = value.get("class_path") if isinstance(value, Mapping) else None
    return str(value) if path is None else str(path).rpartition(".")[2]


def help_of(
    prefix: str,
    path: str,
    names: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    every: bool = False,
) -> list[str]:
    """The lines of help for the options of a class.

    Args:
        prefix: of its options, such as ``ema``; empty if they have none.
        path: its import path.
        names: the options to list; by default all that are numbers, truth values, texts or choices.
        defaults: values that config files set.
        every: whether those of other types, such as classes, are listed as well.
    """
    lines = []
    for name, parameter in (parameters_of(path) or {}).items():
        hint = TRAINER.get(name, parameter.hint) if prefix == "trainer" else parameter.hint
        is_known = is_unknown(hint) is False and "Unknown" not in describe(hint)
        if name not in names if names else name in LINKED or not (is_known or every):
            continue
        if prefix == "trainer" and name in REFUSED:
            continue
        default = " ".join((parameter.default or "").split())
        if name in (defaults or {}):
            default = written((defaults or {})[name])
        default = {"None": "null", "True": "true", "False": "false"}.get(default, default).strip(
            "'"
        )
        first = re.split(r"(?<=[.;]) (?=[A-Za-z])", parameter.text, maxsplit=1)[0].rstrip(".;")
        kind = "" if not is_known or accepts_text(hint) else f" ({describe(hint)})"
        key = f"{prefix}.{name}" if prefix else name
        lines += option_help(f"{key}={default}", f"{first}{kind}.")
    return lines
