"""What a run or an exported model is, on one screen."""

from __future__ import annotations

import json
import math
import pickletools
import shlex
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from lightning_gans import __version__
from lightning_gans.errors import UserError, reason
from lightning_gans.models.base.capabilities import capabilities
from lightning_gans.paths import near_miss, typed_path
from lightning_gans.ranges import checked
from lightning_gans.runs.claim import RECORD
from lightning_gans.runs.exported import as_names, read_config
from lightning_gans.runs.folder import (
    EXPORTED_CONFIG,
    EXPORTED_WEIGHTS,
    FOLDER,
    CheckpointMissing,
    checkpoints,
    damage,
    is_exported,
    step_of,
)
from lightning_gans.runs.layout import CONFIG, find_checkpoint, is_run
from lightning_gans.runs.measures import described, number
from lightning_gans.runs.metrics_csv import FILE, SAMPLES
from lightning_gans.runs.report import measures_of, progress_of
from lightning_gans.runs.report import read as read_log
from lightning_gans.safe_yaml import UnreadableConfig, read_mapping
from lightning_gans.status_line import duration
from lightning_gans.text import printable
from lightning_gans.trust import current_trust
from lightning_gans.workflows.outcome import Outcome

# the names of what torch stores in a checkpoint, as operations of the pickle format
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"}
_COUNTS = {"BININT", "BININT1", "BININT2", "INT", "LONG1"}
# bytes of a checkpoint's description that are read; weights are elsewhere in the file
LARGEST = 50_000_000
# names of classes that are listed
NAMED = 20


@dataclass(frozen=True)
class Info(Outcome):
    """What is known of a run or an exported folder.

    Attributes:
        values: plain data, as ``format=json`` prints them; what is unknown is None.
    """

    values: Mapping[str, Any] | None = None


@checked
def info(run: str, format: Literal["text", "json"] = "text") -> Info:  # noqa: A002
    """Say what a run or an exported model is: model, data, progress, measurements, files.

    lightning-gans info runs/dlsgan/mnist5k/TIME
    lightning-gans info runs/dlsgan/mnist5k/TIME format=json

    Nothing is loaded or run: checkpoints are listed and checked by their own checksums. Young and
    damaged runs are described as far as they go.

    Args:
        run: a run's folder, a checkpoint in one, or a folder that export wrote; also last or best,
            of the newest run.
        format: text, or json for programs.

    Returns:
        The description.

    Raises:
        CheckpointMissing: if it is neither.
        UsageError: if there is no newest run.
    """
    path = find_checkpoint(run, {}, "run") if run in ("last", "best") else typed_path(run)
    if not path.exists():
        hint = near_miss(path, ("last", "best"))
        raise CheckpointMissing(
            f"{path} does not exist{hint}; give a run's folder or an exported one"
        )
    if path.is_file():
        path = path.parent
    folder = path.resolve().parent if path.resolve().name == FOLDER else path
    if is_exported(folder) or (folder / EXPORTED_CONFIG).is_file():
        values = exported_values(folder)
    elif is_run(folder) or trains(folder / CONFIG):
        values = run_values(folder)
    elif (folder / CONFIG).is_file():
        raise CheckpointMissing(
            f"{folder} has the results of a command, and is not a run's folder: it has no {FILE}, "
            f"{FOLDER} or {RECORD}; give a run's folder such as runs/dlsgan/mnist5k/TIME"
        )
    else:
        raise CheckpointMissing(
            f"{folder} is neither a run's folder nor an exported one: it has no {CONFIG}, {FILE}, "
            f"{FOLDER} or {EXPORTED_CONFIG}"
        )
    text = json.dumps(finite(values), indent=2) if format == "json" else screen(values)
    return Info(folder, text, 0, values)


def trains(config: Path) -> bool:
    """Whether a file is the config of a training, or a damaged one: results of commands have one.

    The model of a command is that of a checkpoint.
    """
    try:
        return config.is_file() and "model" in read_mapping(config)
    except UnreadableConfig:
        return True


def run_values(run: Path) -> dict[str, Any]:
    """What is known of a run."""
    problems: list[str] = []
    config = _read(lambda: read_mapping(run / CONFIG), run / CONFIG, problems)
    log = _read(lambda: read_log(run / FILE), run / FILE, problems)
    found = checkpoints(run)
    states = {path.name: damage(path) for path in found}
    problems += [f"{name} is damaged: {why}" for name, why in states.items() if why]
    intact = [path for path in found if states[path.name] is None]
    model, data = _section(config, "model"), _section(config, "data")
    progress = progress_of(run, config or {}, log)
    return {
        "kind": "run",
        "path": str(run),
        "model": model["class"],
        "model_arguments": model["arguments"],
        "networks": weight_counts(intact[-1], problems) if intact else None,
        "class_names": class_names_in(intact[-1]) if intact else None,
        "data": data["class"],
        "data_arguments": data["arguments"],
        "iterations": progress.iterations,
        "max_iterations": progress.most,
        "started": progress.started,
        "seconds": progress.seconds,
        "images_per_second": progress.images_per_second,
        "metrics": measurements(log),
        "capabilities": capabilities_of(model["class"]),
        "disk": disk_use(run),
        "checkpoints": {name: why is None for name, why in states.items()},
        "versions": {"lightning_gans": __version__, "lightning": _lightning_of(run / CONFIG)},
        "problems": problems,
    }


def exported_values(folder: Path) -> dict[str, Any]:
    """What is known of an exported folder."""
    problems: list[str] = []
    config = _read(lambda: read_config(folder), folder / EXPORTED_CONFIG, problems) or {}
    spec = config.get("model") if isinstance(config.get("model"), dict) else {}
    arguments = {k: v for k, v in (spec or {}).items() if not k.startswith("_")}
    path = (spec or {}).get("_class_path")
    metrics = config.get("metrics") if isinstance(config.get("metrics"), dict) else {}
    return {
        "kind": "exported",
        "path": str(folder),
        "model": path if isinstance(path, str) else None,
        "model_arguments": arguments,
        "networks": exported_counts(folder / EXPORTED_WEIGHTS, problems),
        "class_names": as_names(config.get("class_names")),
        "data": config.get("data"),
        "data_arguments": {},
        "iterations": config.get("iterations"),
        "max_iterations": None,
        "started": None,
        "seconds": None,
        "images_per_second": None,
        "metrics": {
            name: {"last": value, "step": config.get("iterations")}
            for name, value in (metrics or {}).items()
            if isinstance(value, (int, float))
        },
        "capabilities": capabilities_of(path),
        "disk": disk_use(folder),
        "checkpoints": {},
        "versions": {"lightning_gans": config.get("version"), "lightning": None},
        "problems": problems,
    }


def _read(content: Any, path: Path, problems: list[str]) -> Any:
    """What a function reads from a file; None if it cannot, which is a problem."""
    if not path.exists():
        problems.append(f"{path.name} does not exist")
        return None
    try:
        return content()
    except (UserError, OSError, ValueError, RecursionError) as error:
        problems.append(reason(error))
        return None


def _section(config: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """The class and arguments of a section of a run's config."""
    section = (config or {}).get(name)
    section = section if isinstance(section, dict) else {}
    path, arguments = section.get("class_path"), section.get("init_args")
    return {
        "class": path if isinstance(path, str) else None,
        "arguments": arguments if isinstance(arguments, dict) else {},
    }


def _lightning_of(config: Path) -> str | None:
    """The version of Lightning that wrote a config, which its first line names."""
    with suppress(OSError, UnicodeDecodeError), config.open(encoding="utf-8") as file:
        first = file.readline(200)
        if first.startswith("#") and "==" in first:
            return printable(first.rpartition("==")[2].strip())
    return None


def weight_counts(checkpoint: Path, problems: list[str]) -> dict[str, int] | None:
    """The number of weights of each network, from a checkpoint's description of its tensors.

    The description is a pickle, which is read as a list of operations and never carried out.
    """
    counts: dict[str, int] = {}
    try:
        with zipfile.ZipFile(checkpoint) as file:
            (name,) = [part for part in file.namelist() if part.endswith("/data.pkl")]
            if file.getinfo(name).file_size > LARGEST:
                raise ValueError("its description is too long")
            content = file.read(name)
        inside, weight, count = False, "", 0
        for operation, argument, _ in pickletools.genops(content):
            if operation.name in _TEXTS and isinstance(argument, str):
                if argument == "state_dict":
                    inside = True
                elif inside and argument in ("loops", "callbacks", "optimizer_states"):
                    break
                elif "." in argument:
                    weight = argument
            elif operation.name in _COUNTS and isinstance(argument, int):
                count = argument
            elif operation.name == "BINPERSID" and inside:  # a tensor's memory, and its size
                network = weight.partition(".")[0]
                counts[network] = counts.get(network, 0) + count
    # a damaged file can raise anything
    except Exception as error:
        problems.append(f"{checkpoint.name}: its weights cannot be counted: {reason(error)}")
        return None
    return counts or None


def class_names_in(checkpoint: Path) -> tuple[tuple[str, ...], ...] | None:
    """The names of the classes in a checkpoint's description, which is never carried out.

    None if it has none, or is damaged.
    """
    with suppress(Exception), zipfile.ZipFile(checkpoint) as file:
        (name,) = [part for part in file.namelist() if part.endswith("/data.pkl")]
        if file.getinfo(name).file_size <= LARGEST:
            return as_names(list_after("class_names", file.read(name)))
    return None


def list_after(key: str, content: bytes) -> object:
    """The list of texts and lists that follows a key in a pickle; None if none does."""
    memo: dict[object, object] = {}
    # the list's parts while it is read, and None for a mark in front of several of them
    stack: list[Any] | None = None
    last: object = None
    for operation, argument, _ in pickletools.genops(content):
        kind = operation.name
        if kind in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = last
            continue
        if stack is None:
            last = argument if kind in _TEXTS else None
            stack = [] if last == key else None
            continue
        if kind == "EMPTY_LIST" or kind in _TEXTS or kind in ("BINGET", "LONG_BINGET"):
            last = memo[argument] if "GET" in kind else [] if kind == "EMPTY_LIST" else argument
            stack.append(last)
        elif kind == "MARK" and stack:
            stack.append(None)
        elif kind == "APPENDS":
            mark = len(stack) - 1 - stack[::-1].index(None)
            stack[mark - 1].extend(stack[mark + 1 :])
            del stack[mark:]
        elif kind == "APPEND":
            stack[-2].append(stack.pop())
        else:
            break
        # a key is followed by one value; what comes next is the next key
        if kind in ("APPENDS", "APPEND") and len(stack) == 1:
            return stack[0]
    return None


def exported_counts(weights: Path, problems: list[str]) -> dict[str, int] | None:
    """The number of weights of each network, from the header of a safetensors file."""
    counts: dict[str, int] = {}
    try:
        with safe_open(weights, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                network = name.partition(".")[0]
                size = math.prod(file.get_slice(name).get_shape())
                counts[network] = counts.get(network, 0) + size
    except (SafetensorError, OSError, ValueError) as error:
        problems.append(f"{weights.name} cannot be read: {reason(error)}")
        return None
    return counts


def measurements(log: Any) -> dict[str, dict[str, float]]:
    """For each measure the last value and, if one way is better, the best one, with their steps."""
    found = {}
    for measure in measures_of(log) if log is not None else ():
        if measure.name == SAMPLES:
            continue
        entry = {"last": measure.last.value, "step": measure.last.step}
        if measure.best is not None:
            entry |= {"best": measure.best.value, "best_step": measure.best.step}
        found[measure.name] = entry
    return found


def capabilities_of(path: object) -> list[str] | None:
    """What models of a class can do; None if it may not be imported, or is none."""
    try:
        found = current_trust().resolve(path, "the folder")
    except UserError:
        return None
    return list(capabilities(found)) if isinstance(found, type) else None


def disk_use(folder: Path) -> dict[str, int]:
    """Bytes of the files, by the folder within; what links lead to is elsewhere, or counted."""
    found: dict[str, int] = {}
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                parts = path.relative_to(folder).parts
                place = parts[0] if len(parts) > 1 else "."
                found[place] = found.get(place, 0) + path.stat().st_size
    return found


def finite(value: Any) -> Any:
    """Values as JSON has them: what is not finite becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return value


def screen(values: Mapping[str, Any]) -> str:
    """The description as lines of a label and what it says."""
    lines = [
        ("folder", values["path"]),
        ("model", _called(values["model"], values["model_arguments"])),
        ("weights", _counts(values["networks"])),
        *(("classes", _listed(label)) for label in values["class_names"] or ()),
        ("data", _called(values["data"], values["data_arguments"])),
        ("iterations", _progress(values)),
        ("trained", _trained(values)),
    ]
    for name, entry in values["metrics"].items():
        lines.append((name, _measure(name, entry)))
    can = values["capabilities"]
    lines.append(("can", ", ".join(can) if can else "unknown" if can is None else "nothing"))
    disk = values["disk"]
    parts = ", ".join(f"{place} {size(n)}" for place, n in sorted(disk.items()) if place != ".")
    lines.append(("disk", size(sum(disk.values())) + (f" ({parts})" if parts else "")))
    if values["kind"] == "run":
        names = [f"{n}{'' if ok else ' (damaged)'}" for n, ok in values["checkpoints"].items()]
        lines.append(("checkpoints", ", ".join(names) or "none yet"))
    versions = [f"{name} {version}" for name, version in values["versions"].items() if version]
    lines.append(("versions", ", ".join(versions)))
    lines += [("problem", problem) for problem in values["problems"]]
    lines += [("next", command) for command in next_commands(values)]
    width = max(len(label) for label, _ in lines)
    return "\n".join(printable(f"{label:<{width}}  {text}") for label, text in lines)


def _called(path: object, arguments: Mapping[str, Any]) -> str:
    if not path:
        return "unknown"
    shown = {
        name: value
        for name, value in arguments.items()
        if isinstance(value, (bool, int, float, str)) and len(str(value)) < 40
    }
    text = ", ".join(f"{name}={value}" for name, value in list(shown.items())[:8])
    return f"{str(path).rpartition('.')[2]}{f' ({text})' if text else ''}"


def _counts(networks: Mapping[str, int] | None) -> str:
    if not networks:
        return "unknown"
    parts = ", ".join(f"{name} {count:,}" for name, count in networks.items())
    return f"{sum(networks.values()):,} ({parts})"


def _listed(label: Sequence[str]) -> str:
    return ", ".join(label[:NAMED]) + (f", ... ({len(label)})" if len(label) > NAMED else "")


def _progress(values: Mapping[str, Any]) -> str:
    done, most = values["iterations"], values["max_iterations"]
    if not isinstance(done, int):
        return "unknown"
    return f"{done:,} of {most:,}" if isinstance(most, int) and most > 0 else f"{done:,}"


def _trained(values: Mapping[str, Any]) -> str:
    if values["started"] is None:
        return "unknown"
    text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(values["started"]))
    if values["seconds"] is None:
        return f"last started {text}"
    text += f", {duration(values['seconds'])}"
    rate = values["images_per_second"]
    return f"{text}, {rate:.3g} images/s with evaluations" if rate else text


def _measure(name: str, entry: Mapping[str, float]) -> str:
    arrow = described(name)[0]
    text = f"{number(float(entry['last']))}{f' {arrow}' if arrow else ''}"
    if "best" in entry and entry["best_step"] != entry["step"]:
        text += f" (best {number(entry['best'])} at {entry['best_step']:,.0f})"
    return text


def next_commands(values: Mapping[str, Any]) -> list[str]:
    """Commands for this run or folder: those that would do something."""
    path, can, commands = values["path"], values["capabilities"] or [], []
    if values["kind"] == "run":
        intact = [Path(name) for name, is_intact in values["checkpoints"].items() if is_intact]
        # in the order of their iterations
        last, best = (
            [name for name in intact if name.stem.startswith(f"{kind}-")]
            for kind in ("last", "best")
        )
        most = values["max_iterations"]
        if last and isinstance(most, int) and step_of(last[-1]) < most:
            commands.append(f"lightning-gans train {quoted('ckpt', path)}")
        if not last and not best:
            return commands
        if not last:
            # a folder means its last checkpoint
            path = str(Path(path, FOLDER, best[-1]))
        commands.append(f"lightning-gans export {quoted('ckpt', path)} out=FOLDER")
    ckpt = quoted("ckpt", path)
    if "reconstruct" in can:
        commands.append(f"lightning-gans invert {ckpt} images=FOLDER start=encoder")
        commands.append(f"lightning-gans ood score {ckpt} images=FOLDER")
    if can:
        commands.append(f"python: lightning_gans.load({json.dumps(path, ensure_ascii=False)})")
    return commands


def quoted(option: str, value: str) -> str:
    """An option as it is typed in a shell."""
    return shlex.quote(f"{option}={value}")


def size(count: int) -> str:
    """Bytes in words.

    >>> size(1536), size(12)
    ('1.5 kB', '12 B')
    """
    value, units = float(count), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"
