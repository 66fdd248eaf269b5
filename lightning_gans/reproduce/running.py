"""Running an item: its trainings, each resumed where it stopped, and its measurements.

    runs/reproduce/<hash>/              a training; ``finished.json`` once it has ended
    runs/reproduce/measures/<hash>/     what one measurement gave: ``values.json``
    runs/reproduce/configs/<hash>.yaml  the merged config of a command line

Hashes are those of :mod:`lightning_gans.reproduce.fingerprints`, so that a training which two items
have in common is made once. A training that differs from a finished one in more iterations alone
begins where that one ended, which gives the same as training it whole.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from lightning_gans import __version__
from lightning_gans.errors import InputError
from lightning_gans.paths import is_file
from lightning_gans.reproduce.commands import Commands, check
from lightning_gans.reproduce.fingerprints import (
    class_paths,
    code_version,
    hash_of,
    training_hash,
)
from lightning_gans.reproduce.items import Item, Measurement, Picture, argument, filled
from lightning_gans.reproduce.kept import cached, stored
from lightning_gans.reproduce.merged import check_words, merged_config
from lightning_gans.reproduce.names import expand_all
from lightning_gans.reproduce.results import (
    Results,
    Setting,
    TrainingRecord,
    UnreadableResults,
    file_of_results,
    finite,
    read_results,
    write_results,
)
from lightning_gans.reproduce.tables import (
    evaluate_values,
    last_evaluation,
    numbers,
    ood_values,
    rows_of,
)
from lightning_gans.runs.atomic import replacing, write_text
from lightning_gans.runs.claim import has_ended, hold, release
from lightning_gans.runs.folder import ROOT, checkpoints, newest, step_of
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.signatures import CONFIGS, PACKAGE

FOLDER = Path(ROOT, "reproduce")
FINISHED = "finished.json"
# what commands write at their end
TABLE, METRICS = "table.csv", "metrics.json"
# where a config of a name is looked for
OWN_FIRST = (Path("configs"), CONFIGS)
# of the files in a folder of data sets, by which it is known again
MOST_LISTED = 1000


@dataclass(frozen=True)
class Run:
    """One item in one profile.

    Attributes:
        item: what is run.
        profile: its name.
        root: the folder of the data sets.
        results: the folder of results, with ``data`` in it.
        commands: how commands are run.
        log: is told about progress.
        vet: raises an error for the file of a merged config that may not be loaded, as a config
            that is resumed.
    """

    item: Item
    profile: str
    root: str
    results: Path
    commands: Commands
    log: Callable[[str], None]
    vet: Callable[[Path], object] = lambda file: None

    def all_seeds(self, seeds: int) -> Results:
        """Train and measure for seeds 0, 1, ...; the results are written after each.

        Seeds that were run before with the same configs and code, and are not asked for now, are
        kept.

        Raises:
            UserError: if a command fails.
            Stopped: after a signal; the same call resumes.
        """
        folders = {seed: self._folders(seed) for seed in range(seeds)}
        self._measured(folders[0], 0)  # what cannot be measured is refused before it is trained
        before = self._before()
        found = self._kept(before, folders)
        lost = [seed for seed in before.seeds if seed not in found] if before is not None else []
        # until new ones are drawn with the last seed
        pictures = {} if before is None else dict(before.pictures)
        for seed in range(seeds):
            found[seed] = self._seed(seed, folders[seed])
            if lost:
                self._set_aside(lost)
                lost = []
            self._written(found, folders, pictures)
        pictures = self._pictures(folders, sorted(found), pictures)
        return self._written(found, folders, pictures)

    def _set_aside(self, lost: Sequence[int]) -> None:
        """Copy a file of results whose values of some seeds will not be in the new one."""
        file = file_of_results(self.results, self.item.id, self.profile)
        aside = _free(file, "earlier")
        shutil.copy2(file, aside)
        self.log(
            f"{self.item.id}: seeds {', '.join(map(str, lost))} were measured with other settings, "
            f"code or data; they stay in {aside}, and seeds={max(lost) + 1} runs all of them again"
        )

    def _folders(self, seed: int) -> dict[str, Path]:
        """The folder of each training of a seed."""
        own: dict[str, Path] = {}
        for training in self.item.trainings_of(self.profile):
            # the folder of a training is in the words of those that depend on it
            config = self._config(self._words(training.name, own, seed))
            own[training.name] = FOLDER / training_hash(config, seed, self.root)
        return own

    def _before(self) -> Results | None:
        """The results of earlier runs; a file that cannot be read is set aside."""
        try:
            return read_results(self.results, self.item.id, self.profile)
        except UnreadableResults as error:
            file = file_of_results(self.results, self.item.id, self.profile)
            aside = _free(file, "unreadable")
            file.rename(aside)
            self.log(f"{error}; it is {aside} now")
            return None

    def _kept(
        self, before: Results | None, folders: dict[int, dict[str, Path]]
    ) -> dict[int, dict[str, float]]:
        """The values of seeds that were run before, and would be the same now.

        ``folders`` gains those of seeds that only the results have.
        """
        for seed in before.seeds if before is not None else ():
            if seed not in folders:
                folders[seed] = self._folders(seed)
        if before is None or set(before.values) != set(self.item.values_of(self.profile)):
            return {}
        hashes = {record.name: record.hashes for record in before.trainings}
        return {
            seed: before.of_seed(i)
            for i, (seed, measured) in enumerate(zip(before.seeds, before.measured, strict=False))
            if {name: h[i] for name, h in hashes.items()}
            == {name: folder.name for name, folder in folders[seed].items()}
            and measured == self._measured(folders[seed], seed)
        }

    def _written(
        self,
        found: dict[int, dict[str, float]],
        folders: dict[int, dict[str, Path]],
        pictures: Mapping[str, str],
    ) -> Results:
        """Write the values of some seeds; ``found`` gains those that another process wrote."""
        for seed, values in self._kept(self._before(), folders).items():
            found.setdefault(seed, values)
        seeds = sorted(found)
        chosen = self.item.profiles[self.profile]
        setting = Setting(chosen.network, chosen.iterations, chosen.samples)
        results = Results(
            self.item.id,
            self.profile,
            __version__,
            tuple(seeds),
            tuple(
                TrainingRecord(
                    t.name,
                    self._shown(t.name),
                    tuple(folders[seed][t.name].name for seed in seeds),
                )
                for t in self.item.trainings_of(self.profile)
            ),
            {
                name: tuple(finite(found[seed][name]) for seed in seeds)
                for name in self.item.values_of(self.profile)
            },
            pictures,
            tuple(self._measured(folders[seed], seed) for seed in seeds),
            setting,
            self._sources({seed: folders[seed] for seed in seeds}),
        )
        write_results(self.results, results)
        return results

    # Trainings

    def _words(self, training: str, folders: Mapping[str, Path], seed: int) -> list[str]:
        names = {name: str(folder) for name, folder in folders.items()}
        variables = {"root": self.root, "seed": str(seed), **names}
        return self.item.train_words(training, self.profile, variables)

    def _shown(self, training: str) -> str:
        """The command of a training, for a reader: the runs of others have their names."""
        names = {name: name.upper() for name in self.item.trainings}
        variables = {"root": "data", "seed": "SEED", **names}
        words = self.item.train_words(training, self.profile, variables)
        return shlex.join(["lightning-gans", "train", *words])

    def _config(self, words: Sequence[str]) -> Any:
        """The merged config of a training; merged and checked once, whatever changes since."""
        key = shlex.join(words)
        if key not in self._configs:
            self._configs[key] = merged_config(
                words, self.item.id, FOLDER / "configs", self.commands, self.vet
            )
        return self._configs[key]

    @cached_property
    def _configs(self) -> dict[str, Any]:
        return {}

    def _seed(self, seed: int, folders: Mapping[str, Path]) -> dict[str, float]:
        """Train what is not trained for a seed, and measure."""
        trainings = self.item.trainings_of(self.profile)
        for number, training in enumerate(trainings, start=1):
            self._log(seed, f"training {training.name}, {number} of {len(trainings)}")
            words = self._words(training.name, folders, seed)
            self._train(words, seed, folders[training.name])
        values: dict[str, float] = {}
        for measure in self.item.measures_of(self.profile):
            what = " ".join(measure.command.split()) or measure.function or "evaluations"
            self._log(seed, f"measuring {what}")
            values |= self._measure(measure, folders, seed)
        return values

    def _train(self, words: Sequence[str], seed: int, folder: Path) -> None:
        """Train in a folder, or resume there; nothing if it is finished."""
        config = self._config(words)
        if (folder / FINISHED).is_file():
            # checkpoints may have been deleted for their size, once all was measured
            if not checkpoints(folder, "last") or _is_whole(folder, config["trainer"]["max_steps"]):
                self._say_finished(folder)
                return
            self.log(f"{folder} was trained, but its last checkpoint is damaged: it is made again")
            (folder / FINISHED).unlink()
        begun = bool(checkpoints(folder, "last")) and newest(folder) is not None
        if not begun:
            if folder.exists():  # it was stopped before its first checkpoint
                hold(folder)  # unless it is trained right now
                folder.rename(_free(folder))
                release(folder)
            shorter = _shorter(config, seed, self.root)
            if shorter is not None:
                self.log(f"{folder} begins where {shorter} ended")
                _copy_run(shorter, folder)
                begun = True
        if begun:
            steps = f"trainer.max_steps={config['trainer']['max_steps']}"
            status = self.commands.run(["train", f"ckpt={folder}", steps])
        else:
            status = self.commands.run(["train", *words, f"seed_everything={seed}"], folder)
        check(status, f"the training in {folder}")
        content = {
            "words": [*words, f"seed_everything={seed}"],
            "version": __version__,
            "files": self._root_files,
        }
        write_text(folder / FINISHED, json.dumps(content, indent=1) + "\n")

    def _say_finished(self, folder: Path) -> None:
        """Log that a training is there, and whether its data sets look different now."""
        self.log(f"{folder} is trained already")
        made = stored(folder / FINISHED)
        files = made.get("files") if isinstance(made, dict) else None
        if files not in (None, self._root_files):
            self.log(
                f"its files in {self.root} had other names or sizes then; if those of its data "
                f"set have changed, move {folder} away to train it again"
            )

    # Measurements

    def _measure(
        self, measure: Measurement, folders: Mapping[str, Path], seed: int
    ) -> dict[str, float]:
        if measure.evaluation:
            found = {
                f"{name}.{key}": value
                for name in measure.evaluation
                for key, value in last_evaluation(folders[name]).items()
            }
        elif measure.command:
            found = self._command(measure, folders, seed)
        else:
            found = {}
            for name in measure.of:
                own = self._function(measure, folders[name], seed)
                found |= {f"{name}.{key}": value for key, value in own.items()}
            if not measure.of:
                found = self._function(measure, None, seed)
        lacking = [name for name in measure.values if name not in found]
        if lacking:
            raise InputError(
                f"{self.item.id}: {lacking[0]} was not measured; there are "
                f"{', '.join(sorted(found))[:500]}"
            )
        return {name: found[name] for name in measure.values}

    def _command(
        self, measure: Measurement, folders: Mapping[str, Path], seed: int
    ) -> dict[str, float]:
        """The tables of a command that measures runs."""
        words = self._command_words(measure, folders, seed, self.root)
        folder = self._command_folder(measure, folders, seed)
        needed = expand_all(measure.names)

        def compute() -> dict[str, float]:
            if any((folder / name).exists() for name in (TABLE, METRICS)):
                folder.rename(_free(folder))  # it ended, but its values are lost
            check(self.commands.run([*words, f"out={folder}"]), f"'{shlex.join(words)}'")
            if words[:2] == ["ood", "table"]:
                return ood_values(folder / TABLE, measure.trainings)
            return evaluate_values(folder / METRICS, measure.trainings[0])

        return cached(folder, needed, compute)

    def _command_words(
        self, measure: Measurement, folders: Mapping[str, Path], seed: int, root: str
    ) -> list[str]:
        variables = {**self.item.profiles[self.profile].variables(), "seed": str(seed)}
        names = {name: str(folder) for name, folder in folders.items()}
        words = filled(measure.command, {**variables, "root": root, **names})
        check_words(words, self.item.id)
        return words

    def _command_folder(self, measure: Measurement, folders: Mapping[str, Path], seed: int) -> Path:
        """Where a command's tables are: by its words, its code and that of its data, and files."""
        words = self._command_words(measure, folders, seed, "{root}")
        name = "ood_table" if words[:2] == ["ood", "table"] else words[0]
        data = [
            data_config(word.removeprefix("data=")) for word in words if word.startswith("data=")
        ]
        code = code_version([f"{PACKAGE.name}.workflows.{name}", *class_paths(data)])
        return FOLDER / "measures" / hash_of([words, data, code, *self._files(measure.command)])

    def _function(self, measure: Measurement, run: Path | None, seed: int) -> dict[str, float]:
        """The values of a function, for one run."""
        variables = {**self.item.profiles[self.profile].variables(), "seed": seed}
        given = {**variables, "root": self.root}
        arguments = {key: argument(value, given) for key, value in measure.arguments.items()}
        folder = self._function_folder(measure, run, seed)

        def compute() -> dict[str, float]:
            function = imported(measure.function)
            result = function(**arguments) if run is None else function(run=run, **arguments)
            return numbers(result, measure.function)

        return cached(folder, expand_all(measure.names), compute)

    def _function_folder(self, measure: Measurement, run: Path | None, seed: int) -> Path:
        """Where a function's values are: by its arguments, its run, its code, and files."""
        variables = {**self.item.profiles[self.profile].variables(), "seed": seed, "root": ""}
        keyed = {key: argument(value, variables) for key, value in measure.arguments.items()}
        key = [measure.function, keyed, None if run is None else run.name]
        files = self._files(json.dumps(dict(measure.arguments)))
        return FOLDER / "measures" / hash_of([key, code_version([measure.function]), *files])

    def _files(self, text: str) -> list[Any]:
        """The files of the data sets, if a measure names their folder."""
        return [self._root_files] if "{root}" in text else []

    @cached_property
    def _root_files(self) -> str:
        """A hash of the files of the data sets; read once, as there may be many."""
        return hash_of(listing(Path(self.root)))

    def _measured(self, folders: Mapping[str, Path], seed: int) -> str:
        """A hash of all that is measured for a seed: what, how, by which code, on which files."""
        parts: list[Any] = []
        for measure in self.item.measures_of(self.profile):
            if measure.evaluation:
                parts.append([measure.evaluation, measure.names])
            elif measure.command:
                parts.append(self._command_folder(measure, folders, seed).name)
            else:
                runs: list[Path | None] = [folders[name] for name in measure.of]
                parts += [self._function_folder(measure, run, seed).name for run in runs or [None]]
        return hash_of(parts)

    def _sources(self, folders: Mapping[int, Mapping[str, Path]]) -> dict[str, str]:
        """Where the images of each OOD set that has a value came from."""
        found: dict[str, dict[str, None]] = {}
        sets = {name.rpartition(".")[2] for name in self.item.values_of(self.profile)}
        for seed, own in folders.items():
            for measure in self.item.measures_of(self.profile):
                if measure.command.startswith("ood table"):
                    for row in rows_of(self._command_folder(measure, own, seed) / TABLE):
                        if row["set"] in sets:
                            found.setdefault(row["set"], {})[row["source"]] = None
        return {name: " and ".join(sorted(kinds)) for name, kinds in found.items()}

    def _pictures(
        self,
        folders: Mapping[int, Mapping[str, Path]],
        seeds: Sequence[int],
        before: Mapping[str, str],
    ) -> dict[str, str]:
        """Draw all pictures of which there are runs; their texts by the names of their files."""
        drawn = {}
        for picture in self.item.pictures:
            if self.profile not in picture.profiles:
                continue
            name = f"{self.item.id}-{self.profile}-{picture.name}.png"
            there = [
                seed
                for seed in seeds
                if all(checkpoints(folders[seed][training], "last") for training in picture.of)
            ]
            if there:
                self.log(f"drawing {name}")
                self._draw(picture, folders, there, self.results / "images" / name)
                drawn[name] = picture.text
            else:
                self.log(f"{name} is not drawn, as its runs have no checkpoints any more")
                drawn |= {name: before[name]} if name in before else {}
        return drawn

    def _draw(
        self,
        picture: Picture,
        folders: Mapping[int, Mapping[str, Path]],
        seeds: Sequence[int],
        path: Path,
    ) -> None:
        runs = {name: [folders[seed][name] for seed in seeds] for name in picture.of}
        variables = {**self.item.profiles[self.profile].variables(), "root": self.root}
        arguments = {key: argument(value, variables) for key, value in picture.arguments.items()}
        if runs:
            arguments["runs"] = runs
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            imported(picture.function)(path=new, **arguments)

    def _log(self, seed: int, text: str) -> None:
        self.log(f"{self.item.id}, {self.profile}, seed {seed}: {text}")


def imported(path: str) -> Callable[..., Any]:
    """A function that an item names; items are checked when they are read."""
    module, _, name = path.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def data_config(name: str) -> Any:
    """What a name of data stands for: its config, the person's own or the package's."""
    file = next(
        (f for f in (folder / "data" / f"{name}.yaml" for folder in OWN_FIRST) if is_file(f)), None
    )
    return name if file is None else read_mapping(file)


def listing(root: Path) -> list[Any]:
    """What a folder of data sets has, two levels deep: names, and the sizes of files.

    A folder of more than a thousand files, such as one of images, is listed by their number.
    """
    found: list[Any] = []
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        if len(inside) > MOST_LISTED:
            found.append([path.name, len(inside)])
        else:
            found.append([path.name, [[p.name, p.stat().st_size] for p in inside if p.is_file()]])
            found[-1] += [[p.name, sum(1 for _ in p.iterdir())] for p in inside if p.is_dir()]
    return found


def _shorter(config: Mapping[str, Any], seed: int, root: str) -> Path | None:
    """The longest finished training that is the same but for fewer iterations; None if none is."""
    lasts = [checkpoints(mark.parent, "last")[-1:] for mark in FOLDER.glob(f"*/{FINISHED}")]
    for length in sorted({step_of(path) for last in lasts for path in last}, reverse=True):
        trainer = {**config["trainer"], "max_steps": length}
        folder = FOLDER / training_hash({**config, "trainer": trainer}, seed, root)
        is_shorter = length < config["trainer"]["max_steps"]
        if is_shorter and (folder / FINISHED).is_file() and _is_whole(folder, length):
            return folder
    return None


def _is_whole(folder: Path, length: int) -> bool:
    """Whether a finished training has its last checkpoint, intact.

    Args:
        folder: of the training.
        length: its iterations; below 0 if only its epochs are limited.
    """
    last = newest(folder)
    return last is not None and (length < 0 or step_of(last) >= length)


def _copy_run(source: Path, target: Path) -> None:
    """Copy a finished training, which the copy is not: it is to be longer."""
    prefix = f"{target.name}-copying-"
    for cut_off in target.parent.glob(f"{prefix}*"):
        if has_ended(int(cut_off.name.removeprefix(prefix))):
            shutil.rmtree(cut_off)
    half = target.with_name(f"{prefix}{os.getpid()}")
    shutil.copytree(source, half, symlinks=True, ignore=shutil.ignore_patterns(FINISHED))
    try:
        half.rename(target)
    except OSError:
        shutil.rmtree(half)
        if not target.exists():  # another process was not faster
            raise


def _free(path: Path, what: str = "unfinished") -> Path:
    """A name that nothing has, for a folder or file that is set aside."""
    names: Iterator[Path] = (path.with_name(f"{path.name}-{what}-{n}") for n in count(1))
    return next(name for name in names if not name.exists())
