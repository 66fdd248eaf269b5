"""From what a person types to the options of Lightning's command line. Imports nothing heavy.

``model=dlsgan trainer.max_steps=300`` becomes ``--config configs/model/dlsgan.yaml
--trainer.max_steps=300``. Whatever can be checked by looking at names and files is checked here,
in a fraction of a second, before torch is imported.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lightning_gans.errors import UserError

SUBCOMMANDS = ("fit", "validate", "test", "predict")

# what each group of config files sets, in the order in which the files apply
GROUPS = {
    "model": "model",
    "data": "data",
    "trainer": "trainer",
    "logger": "trainer.logger",
    "experiment": None,
}
# the file of a group that applies unless another is named
DEFAULTS = {"trainer": "default", "data": "mnist5k", "logger": "csv"}
# always applied first: what it says is what every run starts from
BASE = "trainer"

# options without a dot
PLAIN = ("seed_everything", "ckpt_path", "verbose", "weights_only", "return_predictions")
# what people call a thing, and where it is
ALIASES = {
    "optimizer": "model.optimizer",
    "discriminator_optimizer": "model.discriminator_optimizer",
}
# options that stand alone, without a value
SWITCHES = ("--help", "-h", "--print_config", "--version")


class UsageError(UserError):
    """A command line that cannot be understood; the program ends with status 2."""


@dataclass(frozen=True)
class Command:
    """A command line, understood.

    Attributes:
        subcommand: one of ``fit``, ``validate``, ``test``, ``predict``.
        options: what Lightning's command line is given after the subcommand.
        names: the chosen file of each group, without folder and ending.
        ckpt_path: the checkpoint as it was typed, if one was.
    """

    subcommand: str
    options: tuple[str, ...]
    names: Mapping[str, str]
    ckpt_path: str | None

    @property
    def wants_only_words(self) -> bool:
        """Whether it only asks for help or for the merged config, and nothing is to be run."""
        return any(option.split("=")[0] in SWITCHES for option in self.options)


def understand(arguments: Sequence[str], configs: Path) -> Command:
    """Translate a command line.

    Args:
        arguments: as in ``sys.argv[1:]``.
        configs: the folder that holds a folder of YAML files for each group.

    Raises:
        UsageError: for a group, name, option or file that does not exist, with what does.
    """
    words = list(arguments)
    subcommand = words.pop(0) if words and words[0] in SUBCOMMANDS else "fit"
    names: dict[str, str] = {}
    files: list[str] = []
    settings: list[str] = []
    while words:
        word = words.pop(0)
        key, equals, value = word.partition("=")
        if key in SWITCHES:
            settings.append(word)
            continue
        if key.startswith("-") and not equals:
            if not words:
                raise UsageError(f"the option {word} has no value: write {word}=VALUE")
            value = words.pop(0)
        if key in ("--config", "-c"):
            files.append(existing(value))
        elif key in GROUPS and equals:
            names[key] = value
        else:
            settings.append(f"--{setting(key, equals)}={value}")
    ckpt_path = next(
        (option.partition("=")[2] for option in settings if option.startswith("--ckpt_path=")), None
    )
    if ckpt_path not in (None, "null", "last", "best") and not Path(str(ckpt_path)).is_file():
        raise UsageError(
            f"ckpt_path={ckpt_path}: there is no such file; 'last' and 'best' find one"
        )
    run = run_config(ckpt_path) if "model" not in names else None
    if run and not any("model" in sections(file) for file in files):
        # a checkpoint's own folder says what the model, the data and all else were
        files.insert(0, str(run))
    asks_help = any(option in ("--help", "-h") for option in settings)
    chosen = choose(names, files, settings, configs, need_model=not asks_help)
    options = [f"--config={file}" for file in chosen + files] + settings
    return Command(subcommand, tuple(options), {**name_all(files, configs), **names}, ckpt_path)


def setting(key: str, equals: str) -> str:
    """The key of a single value, without dashes and under its full name."""
    bare = key[2:] if key.startswith("--") else key
    if not key.startswith("-") and not equals:
        raise UsageError(
            f"expected group=name, key=value or --key=value, got '{key}'; "
            f"commands are {', '.join(SUBCOMMANDS)} and come first"
        )
    if bare.startswith("-") or not ("." in bare or bare in PLAIN or bare in GROUPS):
        raise UsageError(
            f"there is no group or option '{key}'{suggestion(bare, [*GROUPS, *PLAIN])}; "
            f"groups are {', '.join(GROUPS)}; options are {', '.join(PLAIN)} and dotted keys "
            "such as trainer.max_steps"
        )
    return alias(bare)


def choose(
    names: Mapping[str, str],
    files: Sequence[str],
    settings: Sequence[str],
    configs: Path,
    need_model: bool,
) -> list[str]:
    """The config files of all groups, named or by default, in the order in which they apply."""
    named = {group: find(group, name, configs) for group, name in names.items()}
    given = [*files, *(str(path) for path in named.values())]
    present = set().union(*(sections(file) for file in given))
    if "data" in named and "model" not in named and not any("model" in sections(f) for f in files):
        present.discard("model")  # a data set may say which networks suit it, not which model
    present |= {s[2:].partition("=")[0] for s in settings}
    if need_model and "model" not in present:
        raise UsageError(f"no model is named; give model=NAME, one of {listing('model', configs)}")
    chosen = [find(BASE, DEFAULTS[BASE], configs)] if not from_run(files) else []
    for group, section in GROUPS.items():
        if group in named:
            chosen.append(named[group])
        elif group in DEFAULTS and group != BASE and section not in present:
            chosen.append(find(group, DEFAULTS[group], configs))
    return [str(path) for path in chosen]


def find(group: str, name: str, configs: Path) -> Path:
    """The file that ``group=name`` means; a name with an ending is a path of the user's own."""
    if name.endswith((".yaml", ".yml")):
        return Path(existing(name))
    path = configs / group / f"{name}.yaml"
    if not path.is_file():
        there = [file.stem for file in (configs / group).glob("*.yaml")]
        raise UsageError(
            f"there is no {group} '{name}'{suggestion(name, there)}; "
            f"{configs.name}/{group} has {listing(group, configs)}"
        )
    return path


def existing(file: str) -> str:
    """The path of a config file, if it is there and is YAML with sections."""
    if not Path(file).is_file():
        raise UsageError(f"there is no config file {file}")
    sections(file)
    return file


def sections(file: str) -> set[str]:
    """The sections that a config file sets, such as ``model``, ``trainer``, ``trainer.logger``."""
    try:
        content = yaml.safe_load(Path(file).read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return set()
    if not isinstance(content, dict):
        raise UsageError(f"{file} should hold sections such as 'model:', got {content!r:.60}")
    found = {str(key) for key in content}
    trainer = content.get("trainer")
    if isinstance(trainer, dict) and "logger" in trainer:
        found.add("trainer.logger")
    return found


def run_config(ckpt_path: str | None) -> Path | None:
    """The config that the run of a checkpoint saved, if it is where a run keeps it."""
    if not ckpt_path:
        return None
    path = Path(ckpt_path).parent.parent / "config.yaml"
    return path if path.is_file() else None


def from_run(files: Iterable[str]) -> bool:
    """Whether one of the files is a whole run's config, on which no default should be laid."""
    return any(Path(file).name == "config.yaml" and "ema" in sections(file) for file in files)


def name_all(files: Iterable[str], configs: Path) -> dict[str, str]:
    """Names of what ``--config`` files of our own folder set, for the run's folder."""
    found = {"data": DEFAULTS["data"]}
    for file in map(Path, files):
        if file.parent.name in ("model", "data"):
            found[file.parent.name] = file.stem
    return found


def alias(key: str) -> str:
    """Where a setting really is."""
    head, dot, rest = key.partition(".")
    return f"{ALIASES[head]}{dot}{rest}" if head in ALIASES else key


def listing(group: str, configs: Path) -> str:
    """The names in a group, as text."""
    return ", ".join(sorted(path.stem for path in (configs / group).glob("*.yaml"))) or "none"


def suggestion(word: str, there: Iterable[str]) -> str:
    """``, did you mean 'x'?`` if something there is close to the word."""
    close = difflib.get_close_matches(word, list(there), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
