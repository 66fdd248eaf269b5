"""The results of an item in one profile: a small JSON file, from which all pages are written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightning_gans.errors import UserError
from lightning_gans.runs.atomic import write_text

FORMAT = 1
MAX_BYTES = 5_000_000


class UnreadableResults(UserError, ValueError):
    """A file that is not the results of an item."""


@dataclass(frozen=True)
class TrainingRecord:
    """How one training was made.

    Attributes:
        name: of its values.
        command: its words.
        hashes: of each seed; the ends of the folders of runs.
    """

    name: str
    command: str
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What was run, as the item's profile said then.

    Attributes:
        network: what was trained, in words.
        iterations: of each training.
        samples: what was measured on, in words.
    """

    network: str
    iterations: int
    samples: str


@dataclass(frozen=True)
class Results:
    """What was measured of an item.

    Attributes:
        item: its ID.
        profile: its name.
        version: of the package.
        seeds: in order.
        trainings: how each was made.
        values: of each seed, by name; None where a value is not finite.
        pictures: the names of files, with what they show.
        measured: of each seed, a hash of what was measured, with which arguments, code and files;
            empty in a file of an earlier version.
        setting: of the profile when it was run; None in a file of an earlier version.
        sources: of each set of OOD images, whether its images were read or made.
    """

    item: str
    profile: str
    version: str
    seeds: tuple[int, ...]
    trainings: tuple[TrainingRecord, ...]
    values: Mapping[str, tuple[float | None, ...]]
    pictures: Mapping[str, str] = field(default_factory=dict)
    measured: tuple[str, ...] = ()
    setting: Setting | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def of_seed(self, index: int) -> dict[str, float]:
        """All values of one seed, NaN where one is not finite."""
        return {name: as_number(values[index]) for name, values in self.values.items()}

    def all_of(self, name: str) -> list[float]:
        """A value over the seeds; empty if it was not measured."""
        return [as_number(value) for value in self.values.get(name, ())]


def as_number(value: float | None) -> float:
    """A value of a JSON file."""
    return math.nan if value is None else value


def file_of_results(folder: Path, item: str, profile: str) -> Path:
    """Where the results of an item in a profile are."""
    return folder / "data" / f"{item}-{profile}.json"


def write_results(folder: Path, results: Results) -> Path:
    """Write the results of an item; earlier ones of the same profile are replaced."""
    path = file_of_results(folder, results.item, results.profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, **asdict(results)}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def read_results(folder: Path, item: str, profile: str) -> Results | None:
    """The results of an item in a profile; None if it was not run.

    Raises:
        UnreadableResults: if the file is damaged, or of another item or version.
    """
    path = file_of_results(folder, item, profile)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        found = _results(json.loads(path.read_text(encoding="utf-8")))
        if (found.item, found.profile) != (item, profile):
            raise ValueError(f"it is of {found.item}, profile {found.profile}")
    except (
        *(ValueError, TypeError, KeyError, AttributeError),
        OverflowError,
        RecursionError,
    ) as error:
        raise UnreadableResults(
            f"{path} does not hold the results of {item}: {error}; run lightning-gans reproduce "
            f"run {item} profile={profile} again"
        ) from None
    return found


def _results(content: Any) -> Results:
    if content["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {content['format']!r:.20}")
    seeds = tuple(content["seeds"])
    if not all(type(seed) is int for seed in seeds) or len({*seeds}) < len(seeds):
        raise ValueError("seeds are no whole numbers, each once")
    values = {_text(name): _values(v, len(seeds)) for name, v in content["values"].items()}
    trainings = tuple(
        TrainingRecord(_text(t["name"]), _text(t["command"]), tuple(map(_text, t["hashes"])))
        for t in content["trainings"]
    )
    if any(len(training.hashes) != len(seeds) for training in trainings):
        raise ValueError(f"expected {len(seeds)} hashes of each training, one for each seed")
    pictures = {_text(name): _text(text) for name, text in content["pictures"].items()}
    if any(Path(name).name != name for name in pictures):
        raise ValueError("a picture is in another folder")
    item, profile, version = (_text(content[key]) for key in ("item", "profile", "version"))
    measured = tuple(map(_text, content.get("measured", ())))
    if len(measured) not in (0, len(seeds)):
        raise ValueError(f"expected {len(seeds)} hashes of measures, one for each seed")
    setting = _setting(content.get("setting"))
    sources = {_text(name): _text(text) for name, text in content.get("sources", {}).items()}
    return Results(
        item, profile, version, seeds, trainings, values, pictures, measured, setting, sources
    )


def _setting(given: Mapping[str, Any] | None) -> Setting | None:
    if given is None:
        return None
    return Setting(_text(given["network"]), int(given["iterations"]), _text(given["samples"]))


def _text(value: object) -> str:
    text = str(value)
    text.encode()  # a lone surrogate is a ValueError
    return text


def _values(given: Sequence[Any], count: int) -> tuple[float | None, ...]:
    if not isinstance(given, list) or len(given) != count:
        raise ValueError(f"expected {count} values, one for each seed")
    for value in given:
        if value is not None and type(value) not in (int, float):
            raise ValueError(f"{value!r:.40} is no number")
    return tuple(None if v is None else finite(v) for v in map(_float, given))


def _float(value: float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        raise ValueError(f"a number of {len(str(value)):,} digits is too large") from None


def finite(value: float) -> float | None:
    """A value as JSON has it."""
    return float(value) if math.isfinite(value) else None
