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
    SWITCHES,
    Groups,
    Repeated,
    existing_config,
    split_key_values,
    suggestion,
)
from lightning_gans.cli.options import FIXED, Settings, check_options, check_sections, help_of
from lightning_gans.errors import UsageError
from lightning_gans.paths import is_file, typed_path
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
from lightning_gans.scaling import (
    BATCH,
    DISCRIMINATOR_RATE,
    GENERATOR_RATE,
    PENALTIES,
    SKIP_GENERATOR,
    draws_with_skips,
    image_shape_of,
    last_set,
    penalty_weight,
)
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
# the section that each group of config files sets, in the order in which the files apply
GROUPS = {
    "model": "model",
    "data": "data",
    "trainer": "trainer",
    "logger": "trainer.logger",
    "experiment": None,
}
# the default file of a group
DEFAULTS = {"trainer": "default", "data": "mnist5k", "logger": "csv"}
# the group whose default file always applies first
BASE = "trainer"
# the options of the Trainer that help lists
COMMON_TRAINER = (
    *("accelerator", "devices", "num_nodes", "precision", "max_steps", "max_epochs", "max_time"),
    *("val_check_interval", "limit_val_batches", "log_every_n_steps", "enable_progress_bar"),
    *("fast_dev_run", "deterministic", "profiler"),
)
# what the commands do that run a trained model
SUMMARIES = {
    "validate": "Evaluate a checkpoint on the validation images.",
    "test": "Evaluate a checkpoint on the test images.",
    "predict": "Write codes and reconstructions, or classes, of the validation images.",
}
# the sections that matter to them
EVALUATING = ("evaluation", "trainer")
EVALUATING_TRAINER = (
    *("accelerator", "devices", "num_nodes", "precision", "limit_val_batches"),
    *("limit_test_batches", "limit_predict_batches", "enable_progress_bar"),
)
TOP_LEVEL = "lightning_gans.cli.train.TopLevelOptions"
# what all processes of a job have in common
JOB_VARIABLES = ("SLURM_JOB_ID", "SLURM_STEP_ID", "TORCHELASTIC_RUN_ID", "MASTER_PORT")
# accepted synonyms of options
SYNONYMS = {**SHORT, "ckpt": "ckpt_path"}
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
    derived = name_networks(settings, content) + name_optimizer(settings, content)
    if run is None and "model" in names:
        own = groups.find("model", names["model"])
        fitted = fit_to_images(derived + settings, configs, content, own)
        derived += fitted
        if fitted and subcommand == "fit":
            repeated.notes.append(
                f"for images of this size model={names['model']} has {in_short(fitted)}; what you "
                "type yourself stays"
            )
    check_settings(configs, content, derived + settings, config)
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
    )


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
) -> None:
    """Check the options and values of config files and of the command line.

    A run's own config may have options of an earlier version, which are dealt with elsewhere.

    Raises:
        UsageError: for an unknown option, or a value that is not of its type.
    """
    if any(option in ("--help", "-h") for option in settings):
        return
    found = Settings()
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
    dotted = list(dict.fromkeys(options_of([*chosen, *files])))
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


def read_config(file: Path) -> dict[str, Any]:
    """The content of a config file that the user named."""
    return read_mapping(file, aliases=True)


def name_networks(settings: Sequence[str], content: Sequence[Mapping[str, Any]]) -> list[str]:
    """Options that set the default networks for ``model.generator.channels=32`` without a class."""
    points = any("Gaussians" in str(found.get("data")) for found in content)
    named = []
    for part, network in (("generator", "Generator"), ("discriminator", "Discriminator")):
        chosen = any(s.startswith(f"--model.{part}=") for s in settings) or any(
            subsection(subsection(found, "model"), "init_args").get(part) for found in content
        )
        if not chosen and any(s.startswith(f"--model.{part}.") for s in settings):
            kind = "MLP" if points else "Conv"
            named.append(f"--model.{part}=lightning_gans.networks.{kind}{network}")
    return named


def fit_to_images(
    settings: Sequence[str], files: Sequence[Path], content: Sequence[Mapping[str, Any]], own: Path
) -> list[str]:
    """Options that fit a model's config to the size of the images (:mod:`lightning_gans.scaling`).

    What the user, an experiment or another config file sets is left as it is.

    Args:
        settings: the typed options.
        files: the config files, in order.
        content: of each.
        own: the file of the model.
    """
    shape = size_of_images(settings, content)
    if shape is None:
        return []
    models = [subsection(subsection(found, "model"), "init_args") for found in content]

    def is_open(name: str, value: tuple[int, object] | None) -> bool:
        """Whether nobody but the model's file sets an argument."""
        typed = any(is_argument(s.partition("=")[0], "model", name) for s in settings)
        return not typed and (value is None or files[value[0]] == own)

    fitted = []
    for penalty in PENALTIES:
        value = last_set(models, penalty)
        if value is not None and isinstance(value[1], float) and is_open(penalty, value):
            weight = penalty_weight(value[1], shape)
            fitted += [f"--model.{penalty}={weight:g}"] if weight != value[1] else []
    path = subsection(read_config(own), "model").get("class_path")
    module, _, name = current_path(str(path)).rpartition(".")
    model = signature(module, name)
    known = model.parameters if model is not None else {}
    players = ("generator", "discriminator")
    plays = all(player in known for player in players) and any(p in known for p in PENALTIES)
    chosen = any(last_set(models, player) for player in players) or any(
        setting.startswith(f"--model.{player}") and not is_rate(setting)
        for setting in settings
        for player in players
    )
    if not plays or chosen or not draws_with_skips(shape):
        return fitted
    fitted.append("--model.generator=lightning_gans.networks.SkipGenerator")
    fitted += [f"--model.generator.{key}={value}" for key, value in SKIP_GENERATOR.items()]
    rates = [subsection(subsection(found, "optimizer"), "init_args") for found in models]
    if is_open("optimizer.lr", last_set(rates, "lr")) and is_open("optimizer", None):
        fitted.append(f"--model.optimizer.lr={GENERATOR_RATE:g}")
        if last_set(models, "discriminator_optimizer") is None and not any(map(is_rate, settings)):
            option = f"--model.discriminator_optimizer.lr={DISCRIMINATOR_RATE:g}"
            fitted += [*name_optimizer([option], content), option]
    data = [subsection(subsection(found, "data"), "init_args") for found in content]
    typed = any(is_argument(s.partition("=")[0], "data", "batch_size") for s in settings)
    if not typed and last_set(data, "batch_size") is None:
        fitted.append(f"--data.batch_size={BATCH}")
    return fitted


def is_rate(option: str) -> bool:
    """Whether an option sets the discriminator's optimiser, rather than its network."""
    return option.startswith("--model.discriminator_optimizer")


def in_short(options: Sequence[str]) -> str:
    """The options of :func:`fit_to_images` without widths and classes that follow from others."""
    shown = [option.removeprefix("--model.").removeprefix("--") for option in options]
    names = [option.replace("lightning_gans.networks.", "") for option in shown]
    return ", ".join(
        n for n in names if not n.startswith(("generator.", "discriminator_optimizer="))
    )


def size_of_images(
    settings: Sequence[str], content: Sequence[Mapping[str, Any]]
) -> tuple[int, int, int] | None:
    """The shape of the images, if their data have a resolution that can be chosen."""
    sections = [subsection(found, "data") for found in content]
    paths = [path for section in sections if (path := section.get("class_path"))]
    module, _, name = current_path(str(paths[-1])).rpartition(".") if paths else ("", "", "")
    data = signature(module, name)
    if data is None or "resolution" not in data.parameters:
        return None
    size: list[object] = []
    for argument in ("resolution", "channels"):
        typed = [
            value
            for key, _, value in (setting.partition("=") for setting in settings)
            if is_argument(key, "data", argument)
        ]
        set_to = last_set([subsection(section, "init_args") for section in sections], argument)
        parameter = data.parameters.get(argument)
        # data without the argument are in colour
        default = "3" if parameter is None else parameter.default
        size.append(typed[-1] if typed else set_to[1] if set_to else default)
    return image_shape_of(*size)


def is_argument(key: str, section: str, name: str) -> bool:
    """Whether an option sets an argument of a section's class."""
    return key in (f"--{section}.{name}", f"--{section}.init_args.{name}")


def name_optimizer(settings: Sequence[str], content: Sequence[Mapping[str, Any]]) -> list[str]:
    """An option that sets the class for ``discriminator_optimizer.lr=0.1``: the generator's."""
    key = "--model.discriminator_optimizer"
    models = [subsection(subsection(found, "model"), "init_args") for found in content]
    named = any(s.startswith(f"{key}=") for s in settings) or any(
        model.get("discriminator_optimizer") for model in models
    )
    if named or not any(s.startswith(f"{key}.") for s in settings):
        return []
    classes = [subsection(model, "optimizer").get("class_path") for model in models]
    return [f"{key}={next(filter(None, reversed(classes)), 'lightning_gans.optimizers.AdamW')}"]


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


def usage(groups: Groups) -> str:
    """What ``train --help`` prints."""
    lines = [
        "lightning-gans train [group=name ...] [key=value ...] [options]",
        "(also validate, test, predict; python train.py is the same)",
        "",
        "  lightning-gans train model=dlsgan",
        "  lightning-gans train model=dlsgan data=mnist data.root=data trainer.max_steps=20000",
        "  lightning-gans train model=dlsgan ckpt_path=last        resume the newest run",
        "  lightning-gans test ckpt_path=runs/.../last-step=20000.ckpt",
        "",
        "groups (files in ./configs or in the package; or the path of a YAML file):",
    ]
    for group in GROUPS:
        default = f"  [{DEFAULTS[group]}]" if group in DEFAULTS else ""
        lines.append(f"  {group + '=':<12}{groups.listing(group)}{default}")
    lines += [
        "",
        "keys set single values: model.latent_dim=64 trainer.max_steps=2000 optimizer.lr=0.001",
        "  data.batch_size=64 ema.decay=0.999 checkpoint.every=500 seed_everything=1 threads=2",
        "trust=my.module lets a checkpoint or a run's config name classes of that module",
        "--print_config prints the merged config; train --help lists the common options, and with",
        "  model=NAME those of the model; fit --help lists every option",
    ]
    return "\n".join(lines)


def full_usage(groups: Groups, argv: Iterable[str], command: str = "train") -> str:
    """What the help of a command prints: its usage, and its options as the source has them.

    Args:
        groups: of config files.
        argv: the other arguments, which may name a model and data.
        command: one of ``COMMANDS``; all options are listed for ``fit``, otherwise the common ones.
    """
    every = command == "fit"
    usual = COMMON_TRAINER if command in ("train", "fit") else EVALUATING_TRAINER
    lines = [usage(groups)] if command in ("train", "fit") else usage_of_checkpoint(command)
    trainer = subsection(read_config(groups.find(BASE, DEFAULTS[BASE])), "trainer")
    names = {"data": DEFAULTS["data"]}
    for key, value in split_key_values(word for word in argv if word not in SWITCHES):
        if key.removeprefix("--") in ("model", "data") and value:
            names[key.removeprefix("--")] = value
    lines += ["", "options without a section:", *help_of("", TOP_LEVEL, every=every)]
    for group, name in sorted(names.items(), reverse=True):
        section = read_config(groups.find(group, name)).get(group)
        path = section.get("class_path") if isinstance(section, Mapping) else section
        if isinstance(path, str):
            set_to = subsection(section, "init_args")
            options = help_of(group, current_path(path), defaults=set_to, every=every)
            lines += ["", f"{group}={name}, {path}:", *options]
    sections = FIXED if command in ("train", "fit") else {n: FIXED[n] for n in EVALUATING}
    if command in ("train", "fit"):
        sections = {"optimizer": "lightning_gans.optimizers.AdamW", **sections}
    for prefix, path in sections.items():
        common, set_to = ((), {}) if prefix != "trainer" else (usual, trainer)
        options = help_of(prefix, path, () if every else common, set_to, every)
        lines += ["", f"{path.rpartition('.')[2]}:", *options]
    return "\n".join(lines)


def usage_of_checkpoint(command: str) -> list[str]:
    """The first lines of the help of a command that runs a trained model."""
    return [
        f"lightning-gans {command} ckpt=RUN [group=name ...] [key=value ...]",
        "",
        SUMMARIES[command],
        "",
        f"  lightning-gans {command} ckpt=runs/dlsgan/mnist5k/TIME",
        f"  lightning-gans {command} ckpt=last data.batch_size=64",
        "",
        "ckpt= is a run's folder, a checkpoint, or last or best, of the newest run. Its settings",
        "are those of the run; what you type stays. fit --help lists every option.",
    ]
