"""From what a person types to the options of Lightning's command line. Imports nothing heavy.

``model=dlsgan trainer.max_steps=300`` becomes ``--config configs/model/dlsgan.yaml
--trainer.max_steps=300``. Whatever can be checked by looking at names and files is checked here,
in a fraction of a second, before torch is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_gans.cli.pairs import SWITCHES, pairs, suggestion
from lightning_gans.errors import UsageError
from lightning_gans.runs.layout import CONFIG, find_checkpoint, requeued
from lightning_gans.safe_yaml import read_mapping

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


@dataclass(frozen=True)
class Command:
    """A command line, understood.

    Attributes:
        subcommand: one of ``fit``, ``validate``, ``test``, ``predict``.
        options: what Lightning's command line is given after the subcommand.
        names: of the model and the data, for the run's folder.
        run_config: that of the run that is gone on from, if the options have one; it may be a
            stranger's.
    """

    subcommand: str
    options: tuple[str, ...]
    names: Mapping[str, str]
    run_config: Path | None = None


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
    expected = "group=name, key=value or --key=value"
    hint = f"; commands are {', '.join(SUBCOMMANDS)} and come first"
    for key, value in pairs(words, SWITCHES, expected, hint):
        bare = key[2:] if key.startswith("--") else key
        if key.partition("=")[0] in SWITCHES:
            settings.append(key)
        elif key in ("--config", "-c"):
            files.append(existing(value))
        elif key in GROUPS:
            names[key] = value
        elif bare in GROUPS and (configs / bare / f"{value}.yaml").is_file():
            names[bare] = value  # --model dlsgan is model=dlsgan
        else:
            settings.append(f"--{setting(key)}={value}")
    check_seed(settings)
    if "experiment" in names and "model" in names:
        experiment = find("experiment", names["experiment"], configs)
        if "model" in sections(str(experiment)):
            raise UsageError(
                f"experiment={names['experiment']} says which model it trains; leave "
                f"model={names['model']} out"
            )
    called = {**name_all(files, names, configs), **names}
    called = {group: called[group] for group in ("model", "data") if group in called}
    settings, run = resume(settings, called, subcommand)
    if run is not None and not any("model" in sections(file) for file in files):
        # the run says what its model, data and all else were; what is typed is laid on top
        called = {"model": run.parent.parent.name, "data": run.parent.name}
        typed = {group: name for group, name in names.items() if group not in called}
        chosen = [str(run / CONFIG)] + [str(find(g, n, configs)) for g, n in typed.items()]
    else:
        asks_help = any(option in ("--help", "-h") for option in settings)
        chosen = choose(names, files, settings, configs, need_model=not asks_help)
        run = None
    contents = [
        read_mapping(Path(file)) if run and file == str(run / CONFIG) else own_mapping(file)
        for file in chosen + files
    ]
    settings = name_networks(settings, contents) + settings
    options = [f"--config={file}" for file in chosen + files] + settings
    return Command(subcommand, tuple(options), called, run and run / CONFIG)


def resume(
    settings: list[str], names: Mapping[str, str], subcommand: str
) -> tuple[list[str], Path | None]:
    """The settings with the checkpoint's own path, and the folder of its run if that applies.

    ``last`` and ``best`` are looked for among the runs of the same model and data. A SLURM job that
    was requeued goes on where it was.
    """
    ckpt_path = next((s.partition("=")[2] for s in settings if s.startswith("--ckpt_path=")), None)
    if ckpt_path is None:
        waiting = requeued(names) if subcommand == "fit" else None
        if waiting is not None:  # the command line is the whole one that began the run
            return [*settings, f"--ckpt_path={waiting}"], None
    if ckpt_path in (None, "null"):
        return settings, None
    path = Path(str(ckpt_path))
    if ckpt_path in ("last", "best"):
        path = find_checkpoint(ckpt_path, names)
    elif not path.is_file():
        raise UsageError(f"ckpt_path={path}: there is no such file; 'last' and 'best' find one")
    settings = [s for s in settings if not s.startswith("--ckpt_path=")] + [f"--ckpt_path={path}"]
    run = path.parent.parent
    ours = ckpt_path in ("last", "best") or "model" not in names
    return settings, run if ours and (run / CONFIG).is_file() else None


def setting(key: str) -> str:
    """The key of a single value, without dashes and under its full name."""
    bare = key.removeprefix("--")
    if bare.startswith("logger."):
        raise UsageError(
            f"there is no option '{bare}'; what a logger is told stands in its file: copy one of "
            "configs/logger and name it, logger=path/to/mine.yaml"
        )
    if bare.startswith("-") or not ("." in bare or bare in PLAIN or bare in GROUPS):
        raise UsageError(
            f"there is no group or option '{key}'{suggestion(bare, [*GROUPS, *PLAIN])}; "
            f"groups are {', '.join(GROUPS)}; options are {', '.join(PLAIN)} and dotted keys "
            "such as trainer.max_steps"
        )
    return alias(bare)


def check_seed(settings: Iterable[str]) -> None:
    """Refuse a seed that is none: without one, nothing could be repeated."""
    for option in settings:
        key, _, value = option.partition("=")
        if key == "--seed_everything" and not (value.isdigit() or value in ("true", "True")):
            raise UsageError(
                f"seed_everything={value}: expected a whole number from 0 on, or true to draw one"
            )


def choose(
    names: Mapping[str, str],
    files: Sequence[str],
    settings: Sequence[str],
    configs: Path,
    need_model: bool,
) -> list[str]:
    """The config files of all groups, named or by default, in the order in which they apply."""
    named = {group: find(group, name, configs) for group, name in names.items()}
    given = [*files, *(str(path) for group, path in named.items() if group != "data")]
    present = set().union(*(sections(file) for file in given))
    if "data" in named:
        # what it says of the model is which networks suit it, not which model
        present |= sections(str(named["data"])) - {"model"}
    present |= {s[2:].partition("=")[0] for s in settings}
    if need_model and "model" not in present:
        raise UsageError(f"no model is named; give model=NAME, one of {listing('model', configs)}")
    chosen = [find(BASE, DEFAULTS[BASE], configs)]
    for group, section in GROUPS.items():
        if group in named:
            chosen.append(named[group])
        elif group in DEFAULTS and group != BASE and section not in present:
            chosen.append(find(group, DEFAULTS[group], configs))
    return [str(path) for path in chosen]


def own_mapping(file: str) -> dict[str, Any]:
    """The sections of a config file that the person named."""
    content = yaml.safe_load(Path(file).read_text())
    return content if isinstance(content, dict) else {}


def name_networks(settings: Sequence[str], content: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which networks ``model.generator.channels=32`` means if none are named: the standard."""
    points = any("Gaussians" in str(found.get("data")) for found in content)
    named = []
    for part, network in (("generator", "Generator"), ("discriminator", "Discriminator")):
        chosen = any(s.startswith(f"--model.{part}=") for s in settings) or any(
            inside(inside(found, "model"), "init_args").get(part) for found in content
        )
        if not chosen and any(s.startswith(f"--model.{part}.") for s in settings):
            kind = "MLP" if points else "Conv"
            named.append(f"--model.{part}=lightning_gans.networks.{kind}{network}")
    return named


def inside(found: Mapping[str, Any], section: str) -> dict[str, Any]:
    """A section of a config, {} if it is none."""
    value = found.get(section)
    return value if isinstance(value, dict) else {}


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


def name_all(files: Iterable[str], names: Mapping[str, str], configs: Path) -> dict[str, str]:
    """What to call the model and the data that files set without being named for it."""
    found = {"data": DEFAULTS["data"]}
    whole = [Path(file) for file in files]
    if "experiment" in names:
        whole.insert(0, find("experiment", names["experiment"], configs))
    for file in whole:
        for group in ("model", "data"):
            if group in sections(str(file)):
                found[group] = file.stem
    return found


def alias(key: str) -> str:
    """Where a setting really is."""
    head, dot, rest = key.partition(".")
    return f"{ALIASES[head]}{dot}{rest}" if head in ALIASES else key


def listing(group: str, configs: Path) -> str:
    """The names in a group, as text."""
    return ", ".join(sorted(path.stem for path in (configs / group).glob("*.yaml"))) or "none"
