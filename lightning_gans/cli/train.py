"""Translating a command line into the options of LightningCLI. Imports nothing heavy.

``model=dlsgan trainer.max_steps=300`` becomes ``--config configs/model/dlsgan.yaml
--trainer.max_steps=300``. Names, files and options are checked here against the
config files and the source of the constructors, in a fraction of a second, before torch is
imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from lightning_gans.cli.grammar import (
    BASE,
    DEFAULTS,
    GROUPS,
    SWITCHES,
    Groups,
    Repeated,
    existing_config,
    read_config,
    split_key_values,
    suggestion,
)
from lightning_gans.cli.implied_options import (
    fit_to_images,
    in_short,
    name_networks,
    name_optimizer,
)
from lightning_gans.cli.options import Settings, check_options, check_sections, trainer_parameters
from lightning_gans.errors import UsageError, UserError
from lightning_gans.paths import is_file, no_folder, typed_path
from lightning_gans.ranges import Seed, describe, fits, shown
from lightning_gans.runs.claim import hold, is_follower, release
from lightning_gans.runs.folder import EXPORTED_WEIGHTS, CheckpointMissing, find, newest
from lightning_gans.runs.layout import (
    CONFIG,
    VARIABLE,
    announced_checkpoint,
    find_checkpoint,
    names_of,
    requeued,
)
from lightning_gans.runs.settings import SHORT
from lightning_gans.safe_yaml import UnreadableConfig, parse_value, read_mapping, subsection
from lightning_gans.signatures import current_path, signature
from lightning_gans.text import printable
from lightning_gans.threads import read_threads

# the LightningCLI subcommand of each command
COMMANDS = {
    "train": "fit",
    "fit": "fit",
    "validate": "validate",
    "test": "test",
    "predict": "predict",
}
# what all processes of a job have in common
JOB_VARIABLES = ("SLURM_JOB_ID", "SLURM_STEP_ID", "TORCHELASTIC_RUN_ID", "MASTER_PORT")
# accepted synonyms of options
SYNONYMS = {**SHORT, "ckpt": "ckpt_path"}
# the class of data that are a folder of images
FOLDERS = ("lightning_gans.data.Folder", "lightning_gans.data.folder.Folder")
# an option that people look for among those of the Trainer, which has none of this name
THREADS = "trainer.threads"


@dataclass(frozen=True)
class TopLevelOptions:
    """The options without a dot, which apply to a run as a whole.

    Args:
        seed_everything: the seed of all random numbers; true draws one.
        ckpt_path: a run's folder, a checkpoint, ``last`` or ``best``, to resume from.
        verbose: whether validate and test print their results.
        weights_only: always true; checkpoints are only read as data.
        return_predictions: whether predict also keeps its results in memory.
        threads: how many compute; by default as many as fit the machine.
    """

    seed_everything: int | bool = 0
    ckpt_path: str | None = None
    verbose: bool = True
    weights_only: bool = True
    return_predictions: bool | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        subcommand: one of ``fit``, ``validate``, ``test``, ``predict``.
        options: the arguments of LightningCLI after the subcommand.
        names: of the model and the data, for the run's folder.
        run_config: the config file in ``options`` that belongs to the resumed run and may be
            untrusted; None if no run is resumed.
        derived: those of ``options`` that the config files imply; the user did not type them.
        fingerprint: a hash of the arguments, by which a requeued job finds its run.
        notes: what to tell the user before the command runs.
        threads: the number that the user, or the config of a resumed run, gives.
        processes: of this run on this machine.
        folder: of the images, where the data are one.
    """

    subcommand: str
    options: tuple[str, ...]
    names: Mapping[str, str]
    run_config: Path | None = None
    derived: tuple[str, ...] = ()
    fingerprint: str = field(default="", compare=False)
    notes: tuple[str, ...] = ()
    threads: int | None = None
    processes: int = 1
    folder: str | None = None


def parse_command(command: str, argv: Sequence[str], groups: Groups) -> Command:
    """Translate a command line.

    Args:
        command: one of ``COMMANDS``.
        argv: the arguments after it.
        groups: of config files.

    Raises:
        UsageError: for an unknown group, name, option or file, with the known ones.
    """
    subcommand = COMMANDS[command]
    repeated = Repeated()
    names, files, settings = read_arguments(argv, groups, repeated)
    check_names(names, files, groups)
    named = run_names(files, settings, names, groups)
    called = {"data": DEFAULTS["data"], **named}
    chosen_by_names = chooses_run(settings)
    fingerprint = hash_of(subcommand, argv)
    settings, run = resume(settings, named, called, subcommand, fingerprint)
    if run is not None and not any("model" in read_config(file) for file in files):
        # the run's config applies first; typed options override it
        check_run_config(run)
        choosing = {"model", "data"} if chosen_by_names else set()
        typed = {group: name for group, name in names.items() if group not in choosing}
        called = {**names_in_config(run / CONFIG), **names_of(run / CONFIG), **typed}
        called = {group: called[group] for group in ("model", "data")}
        chosen = [run / CONFIG] + [groups.find(g, n) for g, n in typed.items()]
    else:
        run = None
        asks_help = any(option in ("--help", "-h") for option in settings)
        chosen = choose_files(names, files, settings, groups, need_model=not asks_help)
    config = None if run is None else run / CONFIG
    configs = in_order(chosen, files, names, groups)
    content = [read_mapping(f) if f == config else read_config(f) for f in configs]
    settings = with_seed(settings, configs, content)
    threads = threads_of(settings, configs, content)
    derived = name_optimizer(settings, content)
    fitted: list[str] = []
    if run is None and "model" in names:
        own = groups.find("model", names["model"])
        fitted = fit_to_images(derived + settings, configs, content, own)
        if fitted and subcommand == "fit":
            repeated.notes.append(
                f"for images of this size model={names['model']} has {in_short(fitted)}; what you "
                "type yourself stays"
            )
    derived = name_networks(fitted + settings, content) + derived + fitted
    found = check_settings(configs, content, derived + settings, config)
    settings = derived + settings
    # the class of an argument is set before the options of that class
    settings.sort(key=lambda option: option.partition("=")[0].count("."))
    options = [f"--config={file if file == config else current_config(file)}" for file in configs]
    options += map(with_current_path, settings)
    return Command(
        subcommand,
        tuple(options),
        called,
        config,
        tuple(derived),
        fingerprint,
        tuple(repeated.notes),
        threads,
        processes_of(settings, content),
        folder_of(found),
    )


def folder_of(settings: Settings) -> str | None:
    """The folder of the images, where the data are one; None for other data."""
    root, _ = settings.values.get("data.root", (None, None))
    data = settings.classes.get("data")
    return root if isinstance(root, str) and data in FOLDERS else None


def check_folder(command: Command) -> None:
    """Refuse a folder of images that does not exist, before seconds of imports.

    Raises:
        UserError: with one of a similar name, if there is one.
    """
    shows = any(option.partition("=")[0] in SWITCHES for option in command.options)
    if command.folder is not None and not shows:
        root = typed_path(command.folder)
        if not root.is_dir():
            raise UserError(no_folder(root))


def read_arguments(
    argv: Sequence[str], groups: Groups, repeated: Repeated
) -> tuple[dict[str, str], list[Path], list[str]]:
    """The names of groups, the config files and the options that were typed.

    Raises:
        UsageError: for an unknown group, option or file, with the known ones.
    """
    names: dict[str, str] = {}
    files: list[Path] = []
    settings: list[str] = []
    unknown: list[str] = []
    for key, value in split_key_values(argv):
        bare = key.removeprefix("--")
        if value is not None:
            check_value(bare, value, repeated)
        if key.partition("=")[0] in SWITCHES:
            settings.append(key)
        elif value is None:
            raise UsageError(
                f"expected group=name, key=value or --key=value, got '{key}'"
                f"{suggestion(key, COMMANDS)}; the command comes first"
            )
        elif key in ("--config", "-c"):
            files.append(existing_config(value))
            if not read_config(files[-1]):
                raise UsageError(f"{files[-1]} is empty: it sets nothing")
        elif key in GROUPS:
            names[key] = value
        elif bare in GROUPS and value in groups.names(bare):
            names[bare] = value  # --model dlsgan is model=dlsgan
        elif is_option(bare):
            settings.append(f"--{full_option_name(bare)}={value}")
        else:
            unknown.append(bare)
    if unknown:
        raise unknown_option(unknown[0], names, files, groups)
    return names, files, settings


def check_value(key: str, value: str, repeated: Repeated) -> None:
    """Note a key with two values, and refuse an option without one.

    Args:
        key: as it was typed, without dashes.
        value: as it was typed.
        repeated: keys that were typed before.

    Raises:
        UsageError: with the key.
    """
    if key in ("config", "-c") or key.endswith("+"):
        return
    repeated.add(full_option_name(key), value)
    if not value and "." in key:
        raise UsageError(f"{key}= has no value: write {key}=VALUE, or {key}=null")


def hash_of(subcommand: str, argv: Sequence[str]) -> str:
    """A hash of a command line, in which the order of the arguments does not count."""
    return sha256(json.dumps([subcommand, sorted(argv)]).encode()).hexdigest()


def check_settings(
    files: Sequence[Path],
    content: Sequence[Mapping[str, Any]],
    settings: Sequence[str],
    run_config: Path | None,
) -> Settings:
    """Check the options and values of config files and of the command line.

    A run's own config may have options of an earlier version, which are dealt with elsewhere.

    Returns:
        All of them.

    Raises:
        UsageError: for an unknown option, or a value that is not of its type.
    """
    found = Settings()
    if any(option in ("--help", "-h") for option in settings):
        return found
    for file, sections in zip(files, content, strict=True):
        found.read(sections, file)
        if file != run_config:
            check_sections(sections, file, TopLevelOptions.__annotations__)
    found.type_in(settings)
    if "trainer.default_root_dir" in found.typed:
        raise UsageError(
            "trainer.default_root_dir is not used: a run has a folder of its own in ./runs; run "
            f"the command in another folder, or set {VARIABLE} to the folder of this run"
        )
    synonyms = {short: full for short, full in SYNONYMS.items() if short != "ckpt"}
    check_options(found, synonyms, run_config)
    return found


def with_current_path(option: str) -> str:
    """An option whose value, a class path of an earlier version, is that of this version."""
    key, equals, value = option.partition("=")
    return f"{key}{equals}{current_path(value)}"


def current_config(file: Path) -> str:
    """The path of a config file, or its content as JSON if it has class paths that have changed."""
    content = read_config(file)
    updated = with_current_paths(content)
    return str(file) if updated == content else json.dumps(updated)


def with_current_paths(value: Any) -> Any:
    """A config's content with the class paths of this version."""
    if isinstance(value, dict):
        return {key: with_current_paths(part) for key, part in value.items()}
    if isinstance(value, list):
        return [with_current_paths(part) for part in value]
    return current_path(value) if isinstance(value, str) else value


def is_option(key: str) -> bool:
    """Whether a key has the form of an option of LightningCLI."""
    known = (*TopLevelOptions.__annotations__, *GROUPS, *SYNONYMS)
    parts = key.split(".")
    return not key.startswith("-") and (len(parts) > 1 or key in known) and all(parts)


def chooses_run(settings: Iterable[str]) -> bool:
    """Whether the run is looked for by its model and data, as ``ckpt_path=last`` does."""
    return any(s in ("--ckpt_path=last", "--ckpt_path=best") for s in settings)


def full_option_name(key: str) -> str:
    """The full name of a single option.

    Raises:
        UsageError: for an option of a logger.
    """
    head, dot, rest = key.partition(".")
    if head == "logger" and dot:
        raise UsageError(
            f"there is no option '{key}'; a logger is configured in its file: copy one of "
            "configs/logger and name it with logger=path/to/mine.yaml"
        )
    if key == THREADS:
        return "threads"
    if key in SYNONYMS:
        return SYNONYMS[key]
    return f"{SYNONYMS[head]}{dot}{rest}" if head in SYNONYMS else key


def unknown_option(
    key: str, names: Mapping[str, str], files: Iterable[Path], groups: Groups
) -> UsageError:
    """The error for an unknown option, with the group or option that was probably meant."""
    undotted = [*GROUPS, *TopLevelOptions.__annotations__, "trust"]
    chosen = [groups.find(g, n) for g, n in {**DEFAULTS, **names}.items()]
    trainer = [f"trainer.{name}" for name in trainer_parameters()]
    dotted = list(dict.fromkeys([*options_of([*chosen, *files]), *trainer]))
    exact = [option for option in dotted if option.endswith(f".{key}")]
    hint = f" (did you mean '{exact[0]}'?)" if exact else suggestion(key, [*undotted, *dotted])
    return UsageError(
        f"there is no group or option '{key}'{hint}; groups are {', '.join(GROUPS)}; options are "
        f"{', '.join(TopLevelOptions.__annotations__)} and dotted keys such as trainer.max_steps"
    )


def options_of(files: Iterable[Path]) -> Iterator[str]:
    """The dotted options of the classes in config files, read from their source."""
    for file in files:
        for section, content in read_config(file).items():
            yield from options_below(section, content)


def options_below(key: str, content: Any) -> Iterator[str]:
    """The dotted options at and below a key of a config."""
    if isinstance(content, str) and "." in content:
        content = {"class_path": content}
    if not isinstance(content, dict):
        return
    path = content.get("class_path")
    prefix = next((s for s, full in SYNONYMS.items() if full == key), key)
    if isinstance(path, str) and "." in path:
        module, _, name = path.rpartition(".")
        found = signature(module, name)
        for parameter in found.parameters if found else ():
            yield f"{prefix}.{parameter}"
        content = content.get("init_args") or {}
    for name, value in content.items():
        yield f"{prefix}.{name}"
        yield from options_below(f"{key}.{name}", value)


def with_seed(
    settings: Sequence[str], files: Sequence[Path], content: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The settings, with a drawn seed if it is true; the config of the run then tells which.

    A resumed run keeps its seed.

    Raises:
        UsageError: for an invalid seed: without one, a run cannot be repeated.
    """
    key = "--seed_everything="
    others = [option for option in settings if not option.startswith(key)]
    typed = [option.removeprefix(key) for option in settings if option.startswith(key)]
    name = "seed_everything"
    read = [(c[name], f" (in {f})") for f, c in zip(files, content, strict=True) if name in c]
    if not typed and not read:
        return others
    given, where = [*read, *((value, "") for value in typed)][-1]
    seed = parse_value(given) if isinstance(given, str) else given
    if seed is True:
        return [*others, f"{key}{seed_of_resumed_run(others) or drawn_seed()}"]
    if not fits(seed, Seed):
        raise UsageError(
            f"seed_everything: expected {describe(Seed)}, or true to draw one, got "
            f"{shown(given)}{where}"
        )
    return [*others, f"{key}{seed}"] if typed else others


def seed_of_resumed_run(settings: Iterable[str]) -> str | None:
    """The seed in the config of the run that is resumed; None for a new run."""
    for option in settings:
        if option.startswith("--ckpt_path="):
            config = Path(option.partition("=")[2]).parent.parent / CONFIG
            seed = read_mapping(config).get("seed_everything") if config.is_file() else None
            return str(seed) if fits(seed, Seed) else None
    return None


def threads_of(
    settings: Iterable[str], files: Sequence[Path], content: Sequence[Mapping[str, Any]]
) -> int | None:
    """The number of threads that is typed, or in the last config file that has one.

    0 is typed for a number that fits the machine, whatever the resumed run had; None is not given.

    Raises:
        UsageError: if it is no such number.
    """
    count = None
    for file, sections in zip(files, content, strict=True):
        if "threads" in sections:
            count = read_threads(sections["threads"], f" (in {file})") or None
    for option in settings:
        key, _, value = option.partition("=")
        if key == "--threads":
            count = read_threads(value)
    return count


def processes_of(settings: Iterable[str], content: Iterable[Mapping[str, Any]]) -> int:
    """How many processes of a run share this machine, as far as that can be known before torch."""
    trainer: dict[str, Any] = {}
    for sections in content:
        trainer |= subsection(sections, "trainer")
    for option in settings:
        key, _, value = option.partition("=")
        if key.startswith("--trainer."):
            trainer[key.removeprefix("--trainer.")] = parse_value(value)
    devices = trainer.get("devices", "auto")
    if isinstance(devices, str) and "," in devices:
        devices = [part for part in devices.split(",") if part.strip()]
    if isinstance(devices, list):
        return max(1, len(devices))
    if isinstance(devices, int) and devices > 0:
        return devices
    if trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda"):
        gpus = Path("/proc/driver/nvidia/gpus")
        return max(1, len(list(gpus.iterdir()))) if gpus.is_dir() else 1
    return 1


def drawn_seed() -> int:
    """A seed of this run, the same in all of its processes."""
    if "LOCAL_RANK" in os.environ and (first := os.environ.get("PL_GLOBAL_SEED", "")).isdigit():
        return int(first)  # of the process that started this one
    shared = [f"{name}={os.environ[name]}" for name in JOB_VARIABLES if name in os.environ]
    if not shared:
        return int.from_bytes(os.urandom(4), "big")
    return int.from_bytes(sha256(" ".join(shared).encode()).digest()[:4], "big")


def check_names(names: Mapping[str, str], files: Iterable[Path], groups: Groups) -> None:
    """Refuse groups that do not fit each other or the config files.

    Raises:
        UsageError: with what to leave out, or the section that is missing.
    """
    check_one_model(names, files, groups)
    check_groups(names, groups)


def check_groups(names: Mapping[str, str], groups: Groups) -> None:
    """Refuse a file of a group that does not set what the group is about.

    Raises:
        UsageError: with the section that is missing.
    """
    for group, name in names.items():
        section, file = GROUPS[group], groups.find(group, name)
        if section is not None and section not in sections_of(file):
            first = section.partition(".")[0]
            raise UsageError(
                f"{file} does not set {section}, which {group}={name} is for; it begins with "
                f"'{first}:', and the rest is indented below"
            )


def check_one_model(names: Mapping[str, str], files: Iterable[Path], groups: Groups) -> None:
    """Refuse a model together with an experiment or a config file that sets the model."""
    if "experiment" in names and "model" in names:
        experiment = groups.find("experiment", names["experiment"])
        if "model" in read_config(experiment):
            raise UsageError(
                f"experiment={names['experiment']} sets the model; leave out model={names['model']}"
            )
    if "model" in names and (both := [file for file in files if "model" in read_config(file)]):
        raise UsageError(f"{both[0]} sets the model; leave out model={names['model']}")


def resume(
    settings: list[str],
    named: Mapping[str, str],
    called: Mapping[str, str],
    subcommand: str,
    fingerprint: str,
) -> tuple[list[str], Path | None]:
    """The settings with the path of the checkpoint, and its run's folder if that config applies.

    ``last`` and ``best`` are searched among the runs of the model and the data that are named, or
    of any; a run's folder means its newest checkpoint. A requeued SLURM job resumes from its newest
    checkpoint.

    Args:
        settings: the options.
        named: names of the model and the data, where the user named them.
        called: names of the model and the data of the folder of a new run.
        subcommand: of LightningCLI.
        fingerprint: a hash of the command line.
    """
    typed = [s.partition("=")[2] for s in settings if s.startswith("--ckpt_path=")]
    if not typed:
        checkpoint = announced_checkpoint()
        if subcommand == "fit":
            checkpoint = checkpoint or requeued(called, fingerprint)
        if checkpoint is not None:  # the job repeats the full command line that started the run
            return [*settings, f"--ckpt_path={checkpoint}"], None
    if not typed or typed[-1] == "null":
        return settings, None
    ckpt_path = typed[-1]
    if not ckpt_path:
        raise UsageError("ckpt_path= has no value: give a run's folder, a checkpoint, last or best")
    by_kind = ckpt_path in ("last", "best")
    try:
        if announced := announced_checkpoint():
            path = announced
        elif by_kind:
            path = find_checkpoint(ckpt_path, named)
        else:
            path = find(typed_path(ckpt_path))
            if path.name == EXPORTED_WEIGHTS:
                raise UsageError(
                    f"ckpt_path={ckpt_path}: an exported model has weights but no state of a run, "
                    f"which {subcommand} needs; give the run's own folder"
                )
        if subcommand == "fit" and ckpt_path != "best" and not tries_code(settings):
            path = hold_run(path, any_newer=not is_file(typed_path(ckpt_path)))
    except CheckpointMissing as error:
        raise UsageError(str(error)) from error
    if by_kind and not is_follower():
        print(printable(f"ckpt_path={ckpt_path}: {path}"), file=sys.stderr)
    settings = [s for s in settings if not s.startswith("--ckpt_path=")] + [f"--ckpt_path={path}"]
    run = path.parent.parent
    applies = by_kind or "model" not in named
    return settings, run if applies and (run / CONFIG).is_file() else None


def hold_run(path: Path, any_newer: bool) -> Path:
    """Hold the folder of a run that is resumed, before the run could write a newer checkpoint.

    Args:
        path: a checkpoint.
        any_newer: whether the run is meant, not this checkpoint of it.

    Returns:
        The run's newest checkpoint if the run is meant, otherwise the same one.

    Raises:
        FolderInUse: if another process trains there.
    """
    run = path.parent.parent
    if is_follower() or not (any_newer or newest(run) == path):
        return path
    hold(run)
    found = newest(run)
    if found == path or (any_newer and found is not None):
        return found
    release(run)  # it has become an older checkpoint, from which another run starts
    return path


def tries_code(settings: Iterable[str]) -> bool:
    """Whether a run only tries the code, and does not write to the folder of another one."""
    return any(
        key in ("--trainer.fast_dev_run", "--trainer.overfit_batches")
        and value.lower() not in ("false", "0", "0.0", "null", "none", "")
        for key, _, value in (setting.partition("=") for setting in settings)
    )


def check_run_config(run: Path) -> None:
    """Check that the config of a run that is resumed is one.

    Raises:
        UnreadableConfig: if it is damaged, with what to do.
    """
    try:
        if "model" in read_mapping(run / CONFIG):
            return
        reason = f"{run / CONFIG} sets no model"
    except UnreadableConfig as error:
        reason = str(error)
    raise UnreadableConfig(
        f"{reason}; put the file back, or name the settings that it held (model=NAME data=NAME "
        f"...) with ckpt_path={run}"
    )


def choose_files(
    names: Mapping[str, str],
    files: Sequence[Path],
    settings: Sequence[str],
    groups: Groups,
    need_model: bool,
) -> list[Path]:
    """The config files of all groups, named or by default, in the order in which they apply.

    An experiment applies last, so that it can override other files.

    Raises:
        UsageError: if no model is named.
    """
    named = {group: groups.find(group, name) for group, name in names.items()}
    typed = [*files, *(path for group, path in named.items() if group != "data")]
    present = {section for file in typed for section in sections_of(file)}
    if "data" in named:
        # its section on the model sets networks that suit the data, not the model
        present |= sections_of(named["data"]) - {"model"}
    present |= {s[2:].partition("=")[0] for s in settings}
    if need_model and "model" not in present:
        why = "no model is named"
        if any(s.startswith("--ckpt_path=") for s in settings):
            why += f", and the checkpoint has no {CONFIG} of its run"
        raise UsageError(f"{why}; give model=NAME, one of {groups.listing('model')}")
    chosen = [groups.find(BASE, DEFAULTS[BASE])]
    for group, section in GROUPS.items():
        if group in named:
            chosen.append(named[group])
        elif group in DEFAULTS and group != BASE and section not in present:
            chosen.append(groups.find(group, DEFAULTS[group]))
    return chosen


def in_order(
    chosen: Sequence[Path], files: Sequence[Path], names: Mapping[str, str], groups: Groups
) -> list[Path]:
    """All config files in the order in which they apply: groups, the experiment, ``--config``.

    A named group applies again after them if one of them sets the same section, so that typed
    options are never ignored.
    """
    later = [
        *files,
        *([groups.find("experiment", names["experiment"])] if "experiment" in names else []),
    ]
    again = [
        groups.find(group, names[group])
        for group, section in GROUPS.items()
        if group in names and section is not None and any(section in sections_of(f) for f in later)
    ]
    return [*chosen, *files, *again]


def sections_of(file: Path) -> set[str]:
    """The sections that a config file sets, such as ``model``, ``trainer``, ``trainer.logger``."""
    content = read_config(file)
    logger = "logger" in subsection(content, "trainer")
    return {*content, *(["trainer.logger"] if logger else [])}


def run_names(
    files: Iterable[Path], settings: Iterable[str], names: Mapping[str, str], groups: Groups
) -> dict[str, str]:
    """The names of the model and the data that are named, or set by config files."""
    called: dict[str, str] = {}
    all_files = list(files)
    if "experiment" in names:
        all_files.insert(0, groups.find("experiment", names["experiment"]))
    for file in all_files:
        # the config of a run is called as the run, not "config"
        own = names_of(file) if file.name == CONFIG else {}
        for group in ("model", "data"):
            if group in read_config(file):
                called[group] = own.get(group, file.stem)
    called.update((group, names[group]) for group in ("model", "data") if group in names)
    if any(setting.startswith("--model=") for setting in settings):
        called.setdefault("model", "model")  # a class has no file that its runs could be called by
    return called


def names_in_config(file: Path) -> dict[str, str]:
    """Names of the model and the data of a run whose folder does not tell them: their classes'."""
    config = read_mapping(file)
    paths = {group: subsection(config, group).get("class_path") for group in ("model", "data")}
    return {group: str(path or group).rpartition(".")[2].lower() for group, path in paths.items()}
