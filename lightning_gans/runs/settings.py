"""A run's settings, by the names that are typed, with the values that they have by default.

Defaults are read from the source: nothing that a run's config names is imported.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightning_gans.safe_yaml import read_mapping
from lightning_gans.signatures import CONFIGS, constructor_parameters
from lightning_gans.text import printable

# synonyms of options, which are shorter or easier to find
SHORT = {
    "optimizer": "model.optimizer",
    "discriminator_optimizer": "model.discriminator_optimizer",
    "evaluation.every": "trainer.val_check_interval",
}
# the sections of a config whose class is always the same
CLASSES = {
    "compile": "lightning_gans.callbacks.Compile",
    "ema": "lightning_gans.callbacks.EMA",
    "evaluation": "lightning_gans.callbacks.Evaluation",
    "pictures": "lightning_gans.callbacks.Pictures",
    "checkpoint": "lightning_gans.callbacks.Checkpoint",
    "wandb": "lightning_gans.callbacks.Dashboard",
}
# values that are not in a section, with their defaults
TOP: Mapping[str, object] = {"seed_everything": 0, "threads": None}
# where a run writes and what it resumes: not what it is
PLACES = ("trainer.default_root_dir", "evaluation.cache")
# the longest value that is shown in full
LONGEST = 80


class Unknown:
    """Stands for a default that cannot be read, or a value that must be given."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Setting:
    """The value of an option.

    Attributes:
        value: plain data; of a part, the name of its class.
        default: likewise, or :data:`UNKNOWN`.
    """

    value: object
    default: object = UNKNOWN

    @property
    def is_default(self) -> bool:
        """Whether the value is known to be the default."""
        return type(self.default) is not Unknown and self.value == self.default


@dataclass(frozen=True)
class Part:
    """The class that an argument has by default, with arguments for it."""

    name: str
    arguments: Mapping[str, object]


def settings(config: Mapping[str, Any]) -> dict[str, Setting]:
    """All options of a run.

    Args:
        config: of the run, as its ``config.yaml`` holds it; it may be untrusted.

    Returns:
        By name, in the order model, data, then the others of the config.
    """
    found: dict[str, Setting] = {}
    for name in ("model", "data"):
        if name in config:
            found |= dict(_below(name, config[name], UNKNOWN))
    for name, section in config.items():
        if name in TOP:
            found[name] = Setting(section, TOP[name])
        elif name == "trainer" and isinstance(section, dict):
            found |= dict(_of_trainer(section))
        elif name in CLASSES and isinstance(section, dict):
            found |= dict(_arguments(name, section, CLASSES[name], {}))
    long = {full: short for short, full in SHORT.items()}
    return {
        _shortened(name, long): setting for name, setting in found.items() if name not in PLACES
    }


def changed(options: Mapping[str, Setting]) -> dict[str, Setting]:
    """The options of a run that do not have their default, or have none."""
    return {name: found for name, found in options.items() if not found.is_default}


def shown(value: object) -> str:
    """A value as it is typed, on one line of limited length.

    >>> shown(None), shown(True), shown([0.0, 0.99]), shown("center")
    ('null', 'true', '[0.0, 0.99]', 'center')
    """
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(map(shown, value))}]"
    elif value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    else:
        text = str(value)
    text = printable(" ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _shortened(name: str, long: Mapping[str, str]) -> str:
    for full, short in long.items():
        if name == full or name.startswith(f"{full}."):
            return short + name.removeprefix(full)
    return name


def _of_trainer(section: Mapping[str, Any]) -> Iterator[tuple[str, Setting]]:
    """The options of the Trainer; its defaults are those of its file, then Lightning's."""
    from lightning.pytorch import Trainer  # noqa: PLC0415  (heavy)

    own = {
        name: parameter.default
        for name, parameter in inspect.signature(Trainer).parameters.items()
        if parameter.default is not parameter.empty
    }
    own |= read_mapping(CONFIGS / "trainer" / "default.yaml").get("trainer") or {}
    for name, value in section.items():
        if name == "logger":
            yield "logger", Setting(_class_names(value), ["MetricsCSV"])
        else:
            yield from _below(f"trainer.{name}", value, own.get(name, UNKNOWN))


def _below(key: str, value: Any, default: object) -> Iterator[tuple[str, Setting]]:
    """The option of a key, and those of the class that it names."""
    path = value.get("class_path") if isinstance(value, dict) else None
    if isinstance(path, str):
        name = path.rpartition(".")[2]
        usual = default.name if isinstance(default, Part) else default
        yield key, Setting(name, usual)
        given = value.get("init_args")
        known = default.arguments if isinstance(default, Part) and default.name == name else {}
        yield from _arguments(key, given if isinstance(given, dict) else {}, path, known)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        yield key, Setting(_class_names(value), default)
    else:
        usual = default.name if isinstance(default, Part) else default
        yield key, Setting(value, usual)


def _arguments(
    key: str, given: Mapping[str, Any], path: str, known: Mapping[str, object]
) -> Iterator[tuple[str, Setting]]:
    """The options of a class.

    Args:
        key: of the class.
        given: its arguments.
        path: its import path.
        known: arguments that it has by default where it is the default itself.
    """
    module, _, name = path.rpartition(".")
    parameters = constructor_parameters(module, name) or {}
    for argument, value in given.items():
        default: object = UNKNOWN
        if argument in parameters and (text := parameters[argument].default) is not None:
            default = default_of(text)
        yield from _below(f"{key}.{argument}", value, known.get(argument, default))


def _class_names(value: object) -> object:
    """The names of classes in a list or alone; other values as they are."""
    items = value if isinstance(value, list) else [value]
    names = [item.get("class_path") if isinstance(item, dict) else item for item in items]
    return [str(name).rpartition(".")[2] if isinstance(name, str) else name for name in names]


def default_of(text: str) -> object:
    """A default from its source: plain data, a :class:`Part`, or :data:`UNKNOWN`.

    >>> default_of("(0.0, 0.99)"), default_of("Normal"), default_of("partial(AdamW, lr=0.1)")
    ([0.0, 0.99], Part(name='Normal', arguments={}), Part(name='AdamW', arguments={'lr': 0.1}))
    """
    try:
        return _plain(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    node: ast.expr = ast.parse(text, mode="eval").body
    arguments: dict[str, object] = {}
    if isinstance(node, ast.Call):
        arguments = {
            word.arg: default_of(ast.unparse(word.value)) for word in node.keywords if word.arg
        }
        is_partial = ast.unparse(node.func).rpartition(".")[2] == "partial" and node.args
        node = node.args[0] if is_partial else node.func
    name = ast.unparse(node).rpartition(".")[2]
    # a constant of a module is no class
    return Part(name, arguments) if name[:1].isupper() and not name.isupper() else UNKNOWN


def _plain(value: object) -> object:
    """A value as YAML has it."""
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def differences(
    runs: Sequence[Mapping[str, Setting]],
) -> dict[str, list[Setting | None]]:
    """The options in which runs differ.

    Args:
        runs: the settings of each.

    Returns:
        By name, the setting of each run; None where it has none, as the options of another class.
    """
    found: dict[str, list[Setting | None]] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        values = [run.get(name) for run in runs]
        there = [value for value in values if value is not None]
        if len(there) == len(values):
            differ = any(value.value != there[0].value for value in there)
        else:
            # the options that only one of two classes has differ where somebody has set them
            differ = any(not value.is_default for value in there)
        if differ:
            found[name] = values
    return found
