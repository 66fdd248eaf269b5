"""Items: one figure or table of a paper each, read from a YAML file and checked whole.

    title: ...                      what it shows
    source: {document: thesis, place: Table 5}      a key of docs/bibliography.md, and the place
    about: ...                      what differs from the paper, in a paragraph
    shared: {digits: data=mnist data.root={root}}   words that {digits} stands for
    trainings:                      the words of a ``train`` command line, by name; {name} in them
      dlsgan: experiment=...        is the run of another training, {root} the folder of data sets,
      encoder: model=encoder model.checkpoint={dlsgan}          {iterations} that of the profile,
                                    and {seed} the number of the repeat, such as a fold
    profiles:
      cpu:                          what it takes; ``words`` are added to all trainings
        network: ...
        iterations: 5000
        samples: 10,000 test images
        minutes: 40                 of one seed, on one core
        seeds: 3
        words: trainer.max_steps={iterations}
        trainings: {dlsgan: ...}    words that are added to one
        values: {n: 1000}           further {n} for this profile
    measures:                       names of values have braces for several
      - evaluation: [dlsgan]        the last evaluation of each run: dlsgan.psnr.real
        names: [psnr.real, latent.loss]
      - command: ood table ckpt={dlsgan} data=mnist_ood ...     its tables
        names: ["dlsgan.nll.{near,far}.mean"]
      - function: lightning_gans.reproduce.clusters.assignment      called with each run
        of: [dlsgan]
        arguments: {points: 10000}
        names: [categories]
    pictures:
      - function: ...               called with the file, and the runs if it is of some
        of: [dlsgan]
        name: clusters
    published: {dlsgan.nll.near.mean: 84.67}        a list where each run's value is printed
    claims:
      - text: ...
        holds: dlsgan.nll.near.mean > infogan.nll.near.mean
        exact: false                see lightning_gans.reproduce.predicate
        ours: false                 true for a question that the document does not answer in words
        investigation: ...          why it does not hold in the cpu profile, if that was looked into

A training, a measure or a claim with ``profiles: [paper]`` is of these profiles only.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_gans.errors import UsageError
from lightning_gans.paths import is_file
from lightning_gans.ranges import describe, fits, is_unknown
from lightning_gans.reproduce.names import NAME, expand_all
from lightning_gans.reproduce.predicate import Predicate
from lightning_gans.safe_yaml import UnreadableConfig, read_mapping
from lightning_gans.signatures import CONFIGS, signature

GROUP = "reproduce"
PROFILES = ("cpu", "paper")
SEEDS, MOST_SEEDS = 3, 1000
# the pages of results are in this order: the keys of the bibliography, by the first word of an ID
DOCUMENTS = {
    "thesis": "thesis",
    "cho2021": "Cho 2021",
    "choshort": "Cho, short paper",
    "egan2018": "Egan 2018",
    "latent2019": "Latent Space 2019",
}
# what a command's results are read from; other commands have no values
COMMANDS = ("ood table", "evaluate")
WORKFLOWS = "lightning_gans.workflows"
# modules of lightning_gans.reproduce whose functions an item may not call
MACHINERY = (
    *("commands", "fingerprints", "items", "kept", "merged", "names", "pages", "predicate"),
    *("results", "running", "tables"),
)
# what words may name besides trainings and the values of a profile
FOLDER_VALUES = ("root", "seed")

_TEMPLATE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Profile:
    """A size at which an item is run.

    Attributes:
        name: cpu or paper.
        network: what is trained, in words.
        iterations: of each training.
        samples: what is measured on, in words.
        minutes: about how long one seed takes, of cpu on one core.
        seeds: how many are run by default.
        words: added to every training.
        trainings: words that are added to single ones.
        values: what ``{name}`` stands for in words and arguments.
    """

    name: str
    network: str
    iterations: int
    samples: str
    minutes: float
    seeds: int = SEEDS
    words: str = ""
    trainings: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def variables(self) -> dict[str, Any]:
        """All that ``{name}`` may stand for in this profile, but for folders."""
        return {"iterations": self.iterations, **self.values}


@dataclass(frozen=True)
class Training:
    """A training, as the words of a ``train`` command line.

    Attributes:
        name: of its values.
        words: with ``{name}`` in them.
        profiles: in which it is made.
    """

    name: str
    words: str
    profiles: tuple[str, ...] = PROFILES


@dataclass(frozen=True)
class Measurement:
    """What is measured after the trainings; exactly one of the first three is set.

    Attributes:
        evaluation: trainings whose last evaluation is taken.
        command: the words of a command whose tables are read.
        function: the import path of a function that is called with each run.
        of: the trainings that the function is called with.
        arguments: of the function.
        names: of its values; those of an evaluation or function without the training's name.
        profiles: in which it is measured.
    """

    names: tuple[str, ...]
    evaluation: tuple[str, ...] = ()
    command: str = ""
    function: str = ""
    of: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    profiles: tuple[str, ...] = PROFILES

    @property
    def trainings(self) -> tuple[str, ...]:
        """The trainings that it measures, in order."""
        if self.command:
            return tuple(re.findall(r"\bckpt=\{(\w+)\}", self.command))
        return self.evaluation or self.of

    @property
    def values(self) -> list[str]:
        """The full names of its values."""
        names = expand_all(self.names)
        if self.command or not self.trainings:
            return names
        return [f"{training}.{name}" for training in self.trainings for name in names]


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn from runs.

    Attributes:
        name: the end of its file's name.
        function: its import path.
        of: the trainings whose runs it is given.
        arguments: further ones.
        text: what it shows.
        profiles: in which it is drawn.
    """

    name: str
    function: str
    of: tuple[str, ...]
    text: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    profiles: tuple[str, ...] = PROFILES


@dataclass(frozen=True)
class Claim:
    """What a paper says, as a predicate of values.

    Attributes:
        text: a sentence.
        holds: the predicate.
        exact: whether it is about each single run.
        ours: whether it is a question of this project, which the document does not say in words.
            Pages mark it, and count it apart.
        profiles: in which its values are measured.
        investigation: why it does not hold in the cpu profile, or cannot be told there, as far as
            that was found out. Pages print it unless it holds.
    """

    text: str
    holds: str
    exact: bool = False
    ours: bool = False
    profiles: tuple[str, ...] = PROFILES
    investigation: str = ""


@dataclass(frozen=True)
class Item:
    """One figure or table.

    Attributes:
        id: by which commands name it.
        title: what it shows.
        document: a key of the bibliography.
        place: the figure or table in it.
        about: what differs from the paper.
        trainings: by name.
        profiles: by name.
        measures: what is measured.
        pictures: what is drawn.
        published: the values that the document prints, by name; several if it prints each run's.
        claims: what it says of them.
    """

    id: str
    title: str
    document: str
    place: str
    about: str
    trainings: Mapping[str, Training]
    profiles: Mapping[str, Profile]
    measures: tuple[Measurement, ...]
    pictures: tuple[Picture, ...]
    published: Mapping[str, tuple[float, ...]]
    claims: tuple[Claim, ...]

    def trainings_of(self, profile: str) -> list[Training]:
        """The trainings of a profile, each after those that its words name."""
        found = [t for t in self.trainings.values() if profile in t.profiles]
        return sorted(found, key=lambda training: self._depth(training.name, profile))

    def _depth(self, name: str, profile: str, above: tuple[str, ...] = ()) -> int:
        if name in above:
            raise UsageError(f"the trainings {', '.join(above)} name each other")
        named = _TEMPLATE.findall(self._words(name, profile))
        needed = [n for n in named if n in self.trainings]
        return 1 + max((self._depth(n, profile, (*above, name)) for n in needed), default=0)

    def _words(self, training: str, profile: str) -> str:
        chosen = self.profiles[profile]
        texts = self.trainings[training].words, chosen.words, chosen.trainings.get(training, "")
        return " ".join(texts)

    def measures_of(self, profile: str) -> list[Measurement]:
        """What is measured in a profile."""
        return [m for m in self.measures if profile in m.profiles]

    def values_of(self, profile: str) -> list[str]:
        """The names of all values that are measured in a profile."""
        return [name for m in self.measures_of(profile) for name in m.values]

    def claims_of(self, profile: str) -> list[Claim]:
        """The claims whose values are measured in a profile."""
        return [c for c in self.claims if profile in c.profiles]

    def train_words(self, training: str, profile: str, folders: Mapping[str, str]) -> list[str]:
        """The words of a ``train`` command line, without the seed.

        Args:
            training: its name.
            profile: its name.
            folders: what root, seed and the names of other trainings stand for.
        """
        variables = {**self.profiles[profile].variables(), **folders}
        return filled(self._words(training, profile), variables)


def filled(text: str, variables: Mapping[str, object]) -> list[str]:
    """The words of a text, with the values of the variables in braces.

    >>> filled("model=gan trainer.max_steps={n}", {"n": 3})
    ['model=gan', 'trainer.max_steps=3']
    """
    return [_TEMPLATE.sub(lambda found: str(variables[found[1]]), word) for word in split(text)]


def split(text: str) -> list[str]:
    """The words of a text, as a shell would split it.

    Raises:
        UsageError: if a quote has no end.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"'{text:.100}' cannot be split into words: {error}") from None


def argument(value: Any, variables: Mapping[str, object]) -> Any:
    """An argument of a function; a text that is one variable becomes its value."""
    if isinstance(value, (list, tuple)):
        return [argument(part, variables) for part in value]
    if not isinstance(value, str):
        return value
    whole = _TEMPLATE.fullmatch(value)
    if whole:
        return variables[whole[1]]
    return _TEMPLATE.sub(lambda found: str(variables[found[1]]), value)


# Reading


def item_files() -> dict[str, Path]:
    """The file of each item by its ID: those in ``./configs/reproduce``, then the package's."""
    found: dict[str, Path] = {}
    for folder in (CONFIGS / GROUP, Path("configs") / GROUP):
        own: dict[str, Path] = {}
        for file in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
            if _id(file) in own:
                raise UsageError(f"{own[_id(file)]} and {file} are one item; rename one of them")
            own[_id(file)] = file
        found |= own
    return found


def _id(file: Path) -> str:
    return file.stem.replace("_", "-").lower()


def all_items() -> dict[str, Item]:
    """All items by ID, in the order of their documents and of the places in them."""
    items = [read_item(file) for file in item_files().values()]
    items.sort(key=lambda item: (list(DOCUMENTS.values()).index(item.document), natural(item.id)))
    return {item.id: item for item in items}


def find_item(name: str) -> Item:
    """The item of an ID.

    Raises:
        UsageError: if there is none, with similar IDs.
    """
    files = item_files()
    wanted = name.replace("_", "-").lower()
    if wanted in files and is_file(files[wanted]):
        return read_item(files[wanted])
    near = difflib.get_close_matches(wanted, files, n=3, cutoff=0.5)
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise UsageError(
        f"there is no figure or table '{name}'{meant}; lightning-gans reproduce list shows all"
    )


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in a text by their size.

    >>> sorted(["t-10", "t-9"], key=natural)
    ['t-9', 't-10']
    """
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", text)]


def read_item(file: Path) -> Item:
    """Read the file of an item, and check all that can be checked before anything is trained.

    Raises:
        UsageError: with the file, what was expected and what it has.
    """
    try:
        item = _item(file, read_mapping(file, aliases=True))
        _check(item)
    except UnreadableConfig:
        raise
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    return item


def _item(file: Path, content: Mapping[str, Any]) -> Item:
    identity = _id(file)
    if not re.fullmatch(r"[a-z0-9-]{1,80}", identity):
        raise UsageError("the file's name is an ID: at most 80 letters of a to z, digits, _ and -")
    keys = ("title", "source", "about", "shared", "trainings", "profiles", "measures", "pictures")
    _check_keys("the file", content, (*keys, "published", "claims"))
    source = _mapping("source", content.get("source"))
    _check_keys("source", source, ("document", "place"))
    document = _text("source.document", source.get("document"))
    expected = DOCUMENTS.get(identity.partition("-")[0])
    if document != expected:
        raise UsageError(
            f"source.document is '{document}', but a file of this name is of '{expected}'"
        )
    shared = {
        name: _text(f"shared.{name}", value)
        for name, value in _mapping("shared", content.get("shared", {})).items()
    }
    profiles = {
        name: _profile(name, _mapping(f"profiles.{name}", value), shared)
        for name, value in _mapping("profiles", content.get("profiles")).items()
    }
    every = tuple(name for name in PROFILES if name in profiles)
    trainings = {
        name: _training(name, value, shared, every)
        for name, value in _mapping("trainings", content.get("trainings", {})).items()
    }
    return Item(
        identity,
        " ".join(_text("title", content.get("title")).split()),
        document,
        " ".join(_text("source.place", source.get("place")).split()),
        " ".join(_text("about", content.get("about", "")).split()),
        trainings,
        profiles,
        tuple(_measurement(m, every) for m in _list("measures", content.get("measures"))),
        tuple(_picture(p, every) for p in _list("pictures", content.get("pictures", []))),
        _published(_mapping("published", content.get("published", {}))),
        tuple(_claim(c, every) for c in _list("claims", content.get("claims"))),
    )


def _training(
    name: str, value: object, shared: Mapping[str, str], every: tuple[str, ...]
) -> Training:
    if not NAME.fullmatch(name) or "." in name or name in (*FOLDER_VALUES, "iterations"):
        raise UsageError(f"trainings.{name}: expected a name of letters, digits and _")
    section = {"words": value} if isinstance(value, str) else _mapping(f"trainings.{name}", value)
    _check_keys(f"trainings.{name}", section, ("words", "profiles"))
    words = _text(f"trainings.{name}.words", section.get("words"))
    return Training(name, _with_shared(words, shared), _profiles(section, every))


def _with_shared(words: str, shared: Mapping[str, str]) -> str:
    """Words with those that are shared in them, put in before the text is split."""
    return _TEMPLATE.sub(lambda found: shared.get(found[1], found[0]), words)


def _profile(name: str, section: Mapping[str, Any], shared: Mapping[str, str]) -> Profile:
    where = f"profiles.{name}"
    if name not in PROFILES:
        raise UsageError(f"{where}: profiles are {', '.join(PROFILES)}")
    needed = ("network", "iterations", "samples", "minutes")
    _check_keys(where, section, (*needed, "seeds", "words", "trainings", "values"))
    for key in needed:
        if key not in section:
            raise UsageError(f"{where} has no {key}: a profile states what it takes")
    iterations, seeds, minutes = (
        section.get(key, SEEDS) for key in ("iterations", "seeds", "minutes")
    )
    if type(iterations) is not int or not 0 <= iterations < 2**53:
        raise UsageError(f"{where}.iterations: expected a whole number, got {iterations!r:.40}")
    if type(seeds) is not int or not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"{where}.seeds: expected 1 to {MOST_SEEDS}, got {seeds!r:.40}")
    if type(minutes) not in (int, float) or not 0 < minutes < 1e9:
        raise UsageError(f"{where}.minutes: expected a number above 0, got {minutes!r:.40}")
    values = _mapping(f"{where}.values", section.get("values", {}))
    for key in values:
        if key in (*FOLDER_VALUES, "iterations"):
            raise UsageError(f"{where}.values.{key}: {{{key}}} stands for something else already")
    added = _mapping(f"{where}.trainings", section.get("trainings", {}))
    return Profile(
        name,
        _text(f"{where}.network", section["network"]),
        iterations,
        _text(f"{where}.samples", section["samples"]),
        float(minutes),
        seeds,
        _with_shared(_text(f"{where}.words", section.get("words", "")), shared),
        {
            key: _with_shared(_text(f"{where}.trainings.{key}", value), shared)
            for key, value in added.items()
        },
        values,
    )


def _measurement(value: object, every: tuple[str, ...]) -> Measurement:
    section = _mapping("measures", value)
    keys = ("names", "evaluation", "command", "function", "of", "arguments", "profiles")
    _check_keys("measures", section, keys)
    found = Measurement(
        tuple(_texts("measures.names", section.get("names"))),
        tuple(_texts("measures.evaluation", section.get("evaluation", []))),
        _text("measures.command", section.get("command", "")),
        _text("measures.function", section.get("function", "")),
        tuple(_texts("measures.of", section.get("of", []))),
        _mapping("measures.arguments", section.get("arguments", {})),
        _profiles(section, every),
    )
    if sum(map(bool, (found.evaluation, found.command, found.function))) != 1:
        raise UsageError("a measure is one of evaluation, command and function")
    if found.command:
        _check_command(found)
    if not found.names:
        raise UsageError("a measure has no names")
    return found


def _check_command(measure: Measurement) -> None:
    """Check the words of a command whose tables are measured."""
    words = split(measure.command)
    name = next((c for c in COMMANDS if words[: len(c.split())] == c.split()), None)
    if name is None:
        raise UsageError(
            f"measures.command: '{measure.command[:40]}' is none of {', '.join(COMMANDS)}"
        )
    if not measure.trainings:
        raise UsageError("measures.command: expected ckpt={NAME} with the name of a training")
    function = name.replace(" ", "_")
    found = signature(f"{WORKFLOWS}.{function}", function)
    assert found is not None
    for word in words[len(name.split()) :]:
        option = word.partition("=")[0].removeprefix("--").partition(".")[0]
        if option not in found.parameters:
            meant = _meant(option, found.parameters)
            raise UsageError(f"measures.command: {name} has no option '{option:.60}'{meant}")


def _picture(value: object, every: tuple[str, ...]) -> Picture:
    section = _mapping("pictures", value)
    _check_keys("pictures", section, ("name", "function", "of", "arguments", "text", "profiles"))
    name = _text("pictures.name", section.get("name"))
    if not re.fullmatch(r"[\w-]{1,80}", name, re.ASCII):
        raise UsageError(
            f"pictures.name: expected at most 80 letters, digits, _ and -, got {name!r:.60}"
        )
    return Picture(
        name,
        _text("pictures.function", section.get("function")),
        tuple(_texts("pictures.of", section.get("of", []))),
        " ".join(_text("pictures.text", section.get("text")).split()),
        _mapping("pictures.arguments", section.get("arguments", {})),
        _profiles(section, every),
    )


def _published(section: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    found = {}
    for name, value in section.items():
        values = value if isinstance(value, list) else [value]
        if not values or any(type(v) not in (int, float) for v in values):
            raise UsageError(
                f"published.{name}: expected a number, or a list of the runs' numbers, got "
                f"{value!r:.40}"
            )
        found[name] = tuple(map(float, values))
    return found


def _claim(value: object, every: tuple[str, ...]) -> Claim:
    section = _mapping("claims", value)
    keys = ("text", "holds", "exact", "ours", "profiles", "investigation")
    _check_keys("claims", section, keys)
    return Claim(
        " ".join(_text("claims.text", section.get("text")).split()),
        " ".join(_text("claims.holds", section.get("holds")).split()),
        _flag("claims.exact", section.get("exact", False)),
        _flag("claims.ours", section.get("ours", False)),
        _profiles(section, every),
        " ".join(_text("claims.investigation", section.get("investigation", "")).split()),
    )


# Checks


def _check(item: Item) -> None:
    """Check that all names resolve.

    Raises:
        UsageError: with the first that does not.
    """
    if not item.profiles:
        raise UsageError("it has no profiles")
    values = {profile: item.values_of(profile) for profile in item.profiles}
    for profile in item.profiles:
        _check_profile(item, profile)
        seen: set[str] = set()
        for name in values[profile]:
            if not NAME.fullmatch(name):
                raise UsageError(f"measures: '{name}' is no name: words with dots between them")
            if name in seen:
                raise UsageError(f"measures: {name} is measured twice in profile {profile}")
            seen.add(name)
        for claim in item.claims_of(profile):
            Predicate(claim.holds, values[profile], claim.exact)
    everywhere = [name for found in values.values() for name in found]
    for name in item.published:
        if name not in everywhere:
            raise UsageError(
                f"published.{name}{_meant(name, everywhere)}: no measure has that name"
            )


def _check_profile(item: Item, profile: str) -> None:
    """Check the words and functions of one profile."""
    trainings = [training.name for training in item.trainings_of(profile)]
    given = {**item.profiles[profile].variables(), "root": "data", "seed": 0}
    variables = {*given}
    for name in item.profiles[profile].trainings:
        if name not in trainings:
            raise UsageError(f"profiles.{profile}.trainings.{name}: there is no such training")
    for name in trainings:
        texts = item.trainings[name].words, item.profiles[profile].words
        own = item.profiles[profile].trainings.get(name, "")
        _check_variables(f"trainings.{name}", " ".join((*texts, own)), {*variables, *trainings})
    for measure in item.measures_of(profile):
        _check_trainings("measures", measure.trainings, trainings, profile)
        if measure.command:
            _check_variables("measures.command", measure.command, {*variables, *trainings})
        if measure.function:
            run = ("run",) if measure.of else ()
            for text in _strings(measure.arguments):
                _check_variables("measures.arguments", text, variables)
            _check_function("measures", measure.function, run, measure.arguments, given)
    drawn: set[str] = set()
    # a picture is of all seeds
    given = {name: value for name, value in given.items() if name != "seed"}
    for picture in item.pictures:
        if profile in picture.profiles:
            if picture.name in drawn:
                raise UsageError(f"pictures: {picture.name} is drawn twice in profile {profile}")
            drawn.add(picture.name)
            _check_trainings("pictures", picture.of, trainings, profile)
            for text in _strings(picture.arguments):
                _check_variables("pictures.arguments", text, given)
            firsts = ("runs", "path") if picture.of else ("path",)
            _check_function("pictures", picture.function, firsts, picture.arguments, given)


def _check_trainings(where: str, names: Iterable[str], known: Sequence[str], profile: str) -> None:
    for name in names:
        if name not in known:
            meant = _meant(name, known)
            raise UsageError(f"{where}: there is no training {name}{meant} in profile {profile}")


def _check_variables(where: str, text: str, known: Iterable[str]) -> None:
    for name in _TEMPLATE.findall(text):
        if name not in known:
            raise UsageError(f"{where}: {{{name}}}{_meant(name, known)} stands for nothing")


def _check_function(
    where: str,
    path: str,
    first: Sequence[str],
    arguments: Mapping[str, Any],
    variables: Mapping[str, object],
) -> None:
    """Check that a function exists, is of this room, and takes arguments of these names and types.

    An item may come from elsewhere, and must not run what it likes.

    Args:
        where: it is named, for messages.
        path: its import path.
        first: the arguments that it is given besides those of the item.
        arguments: of the item.
        variables: what ``{name}`` in them stands for.
    """
    module, _, name = path.rpartition(".")
    rooms = module.split(".")
    if rooms[:2] != ["lightning_gans", "reproduce"] or len(rooms) != 3 or rooms[2] in MACHINERY:
        raise UsageError(f"{where}: {path} is no measure or picture of lightning_gans.reproduce")
    found = signature(module, name)
    if found is None or not found.returns or name.startswith("_"):
        raise UsageError(f"{where}: there is no function {path}")
    if where == "measures" and "path" in found.parameters:
        raise UsageError(f"{where}: {path} draws a picture")
    parameters = dict(found.parameters)
    for own in first:
        if parameters.pop(own, None) is None:
            raise UsageError(f"{where}: {path} has no argument {own}")
    for key, value in arguments.items():
        if key not in parameters:
            raise UsageError(f"{where}: {path} has no argument {key}{_meant(key, parameters)}")
        hint, filled_in = parameters[key].hint, argument(value, variables)
        if not is_unknown(hint) and not fits(filled_in, hint):
            origin = "" if filled_in == value else f" from {value!r:.60}"
            raise UsageError(
                f"{where}: {key} of {path}: expected {describe(hint)}, got {filled_in!r:.60}"
                f"{origin}"
            )
    for key, parameter in parameters.items():
        if parameter.default is None and key not in arguments:
            raise UsageError(f"{where}: {path} needs the argument {key}")


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value
    return [s for p in parts for s in _strings(p)] if isinstance(parts, Iterable) else []


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, [*known], n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _check_keys(where: str, section: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in section:
        if key not in known:
            raise UsageError(
                f"{where} has an unknown key '{key}'{_meant(key, known)}; keys are "
                f"{', '.join(known)}"
            )


def _mapping(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: expected a mapping, got {value!r:.60}")
    return value


def _list(where: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list, got {value!r:.60}")
    return value


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: expected text, got {value!r:.60}")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise UsageError(f"{where}: {value!r:.60} has what is no letter of a text")
    return value


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where}: expected true or false, got {value!r:.40}")
    return value


def _texts(where: str, value: object) -> list[str]:
    return [_text(where, part) for part in _list(where, value)]


def _profiles(section: Mapping[str, Any], every: tuple[str, ...]) -> tuple[str, ...]:
    found = section.get("profiles", [*every])
    if found == []:
        raise UsageError(f"profiles: expected some of {', '.join(every)}")
    for name in _texts("profiles", found):
        if name not in every:
            raise UsageError(f"profiles: {name} is none of those of the item: {', '.join(every)}")
    return tuple(found)
