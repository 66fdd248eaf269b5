"""The folders of runs: ``runs/<model>/<data>/<time>/``, or ``slurm-<job>`` under SLURM.

Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from lightning_gans.errors import UsageError, UserError, reason
from lightning_gans.paths import typed_path
from lightning_gans.runs import scheduler
from lightning_gans.runs.atomic import Unwritable, write_text
from lightning_gans.runs.claim import (
    RECORD,
    FolderInUse,
    Training,
    check_unused,
    discard_unused,
    hold,
    is_follower,
    make_folder,
    read_record,
    release_all,
    started_before,
    write_record,
)
from lightning_gans.runs.folder import FOLDER as CHECKPOINTS
from lightning_gans.runs.folder import METRICS, ROOT, checkpoints, find, newest
from lightning_gans.text import is_utf8, name_part

CONFIG = "config.yaml"
# the folder in a folder of results that holds them as long as they are not complete
PARTS = "parts"
# pass the folder, and the checkpoint that is resumed, to the processes that Lightning starts for
# other devices; a person may set the first one, to choose the folder
VARIABLE = "LIGHTNING_GANS_RUN"
CHECKPOINT_VARIABLE = "LIGHTNING_GANS_CKPT"
# seconds that a requeued job waits for its folder, which a file system may release late
WAIT = 120

_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{2}-[0-9]{2}-[0-9]{2})(?:_([0-9]{1,6}))?")

# the resolved settings of a command, which are written to the folder of its results
_settings: ContextVar[str | None] = ContextVar("settings", default=None)
# the words of the command line, from the command on
_typed: ContextVar[Sequence[str] | None] = ContextVar("typed", default=None)


@contextmanager
def run_scope() -> Iterator[None]:
    """The scope of one run of a command.

    An OSError becomes an error of one line. At the end the run's folder is reset, so that another
    run in this process gets its own, and others may have the folders that it held.

    Raises:
        UserError: with the message of an OSError.
    """
    already_set = {name: os.environ.get(name) for name in (VARIABLE, CHECKPOINT_VARIABLE)}
    try:
        yield
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(reason(error)) from error
    finally:
        for name, value in already_set.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        release_all()


@contextmanager
def keep_settings(text: str) -> Iterator[None]:
    """Write a text as ``config.yaml`` to the result folders that are made in the block."""
    token = _settings.set(text)
    try:
        yield
    finally:
        _settings.reset(token)


@contextmanager
def keep_typed(words: Sequence[str]) -> Iterator[None]:
    """Let :func:`take_up_command` repeat the words of a command line in the block."""
    token = _typed.set(words)
    try:
        yield
    finally:
        _typed.reset(token)


def take_up_command(folder: Path) -> str:
    """What goes on with the unfinished results in a folder: the command, or what Python calls."""
    words = _typed.get()
    if words is None:
        return f"call it again with out={str(folder)!r}"
    names = [word.removeprefix("--").partition("=")[0] for word in words]
    out = [] if "out" in names else [f"out={folder}"]
    return shlex.join(["lightning-gans", *words, *out])


def results_folder(
    names: Mapping[str, str], kind: str, out: str | None = None, new: str | None = None
) -> Path:
    """A folder for the results of a command, with its settings.

    Args:
        names: of the model and the data.
        kind: the kind of results, such as ``invert``; the end of the folder's name.
        out: the folder itself, if the user chose one.
        new: the name of a result file, which must not exist.

    Raises:
        UserError: if the result file exists, for example from the same SLURM job.
        UsageError: if the name of the folder is not UTF-8, or it is a run's.
        Unwritable: if the folder cannot be written to.
    """
    if out is not None and not is_utf8(out):
        # safetensors takes no other path
        raise UsageError(f"out={out}: expected a name in UTF-8; choose another")
    folder = new_run(names, kind) if out is None else typed_path(out)
    if out is not None and is_run(folder):
        # its settings would be replaced by those of this command
        raise UsageError(f"out={out} is the folder of a run; choose another")
    if new is not None and is_complete(folder, new):
        raise UserError(f"{folder} already has a {new}; choose another folder with out=FOLDER")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unwritable(folder, error) from error
    # where there are parts, a call that may be refused goes on
    if (text := _settings.get()) is not None and not (folder / PARTS).is_dir():
        write_text(folder / CONFIG, text)
    return folder


def is_run(folder: Path) -> bool:
    """Whether a folder has what only trainings write: the results of commands have settings too."""
    return any((folder / name).exists() for name in (METRICS, CHECKPOINTS, RECORD))


def is_complete(folder: Path, result: str) -> bool:
    """Whether a folder has results, and no parts of them from which a later call resumes."""
    return (folder / result).exists() and not (folder / PARTS).is_dir()


def family_of(ckpt: str | Path, default: str) -> str:
    """The name of a checkpoint's model in the path of its run.

    Args:
        ckpt: a run's folder, or a checkpoint.
        default: the name for a checkpoint outside of ``runs``.
    """
    folders = find(Path(ckpt)).resolve().parents
    if len(folders) > 4 and folders[4].name == ROOT:
        return folders[3].name
    return default.lower()


def new_run(names: Mapping[str, str], subcommand: str, training: Training | None = None) -> Path:
    """A new folder, which is this run's from its first moment.

    It is named by the time; under SLURM by the job and its step. A name that is taken is numbered.

    Args:
        names: of the model and the data.
        subcommand: the end of the folder's name, except for ``fit``.
        training: which training holds the folder, if one does.

    Raises:
        FolderInUse: if the folder is set from outside, and is another run's.
    """
    if (chosen := chosen_folder()) is not None:
        run = chosen
        with contextlib.suppress(FileExistsError):
            make_folder(run)
    else:
        suffix = "" if subcommand == "fit" else f"_{subcommand}"
        suffix += "_debug" if training is not None and training.debug else ""
        moment = scheduler.job_step() or time.strftime("%Y-%m-%d_%H-%M-%S")
        for run in numbered_names(family(names) / f"{moment}{suffix}"):
            # made at once: another run may start at the same moment
            with contextlib.suppress(FileExistsError):
                make_folder(run)
                break
    if training is not None:
        try:
            hold(run)
            check_unused(run)
            start(run, training)
        except OSError:
            discard_unused(run)
            raise
    return run


def start(run: Path, training: Training) -> None:
    """Make a run the newest of all, as it is started or resumed."""
    write_record(run, training, after=max(map(started_before, runs({})), default=0.0))


def expected_run(names: Mapping[str, str]) -> Path:
    """The folder that another process makes; its name is told when the processes are connected."""
    return chosen_folder() or family(names) / "of-the-first-process"


def chosen_folder() -> Path | None:
    """The folder that a person, or the process that started this one, chose; None if none did."""
    chosen = os.environ.get(VARIABLE)
    return typed_path(chosen) if chosen else None


def numbered_names(run: Path) -> Iterator[Path]:
    """A folder's name, then numbered names in case it exists."""
    yield run
    for number in itertools.count(2):
        yield run.with_name(f"{run.name}_{number}")


def requeued(names: Mapping[str, str], command: str) -> Path | None:
    """The checkpoint from which a requeued SLURM job resumes; None if it starts from scratch.

    The command line of the job does not change, and has no ``ckpt_path``. A job may have several
    trainings: each resumes its own, which is held from here on.

    Args:
        names: of the model and the data.
        command: a hash of the command line.

    Raises:
        FolderInUse: if other processes hold all of its folders, and do not end.
    """
    job, chosen = scheduler.job_step(), chosen_folder()
    # the processes that the first one starts are told by announced_checkpoint
    if job is None or not scheduler.restarted() or (chosen and is_follower()):
        return None
    found = [chosen] if chosen else trainings_of(job, names, command)
    saved = [run for run in found if checkpoints(run, "last")]
    deadline = time.monotonic() + WAIT
    while saved:
        for run in saved:
            if is_follower() or holds(run):  # the first process holds it for all
                return newest(run)
        # another training of this command was stopped before it saved anything: that was this one
        if any(holds(run) for run in found if run not in saved):
            return None
        if time.monotonic() > deadline:
            hold(saved[0])
        time.sleep(1)
    return None


def holds(run: Path) -> bool:
    """Whether this process can hold a folder, and now does."""
    try:
        hold(run)
    except FolderInUse:
        return False
    return True


def trainings_of(job: str, names: Mapping[str, str], command: str) -> list[Path]:
    """The folders that a command of a SLURM job made, in order."""
    numbered = re.compile(rf"{re.escape(job)}(_[0-9]{{1,6}})?")
    found = [run for run in folders(family(names)) if numbered.fullmatch(run.name)]
    found.sort(key=lambda run: (len(run.name), run.name))
    same = []
    for run in found:
        record = read_record(run)
        if record is not None and record.training.command == command:
            same += [run] if record.training.task in (None, scheduler.task()) else []
    # a command line may hold what differs each time; and version 0.2.0 kept no record
    return same or (found if len(found) == 1 else [])


def announce_run(run: Path, checkpoint: str | Path | None = None) -> Path:
    """Pass a run's folder, and what it resumes from, to the processes that this one starts."""
    os.environ[VARIABLE] = str(run)
    os.environ.pop(CHECKPOINT_VARIABLE, None)
    if checkpoint is not None:
        os.environ[CHECKPOINT_VARIABLE] = str(checkpoint)
    return run


def announced_checkpoint() -> Path | None:
    """The checkpoint from which the process that started this one resumes; None if there is none.

    Found again, it might be another one.
    """
    found = os.environ.get(CHECKPOINT_VARIABLE)
    return Path(found) if found and is_follower() else None


def family(names: Mapping[str, str]) -> Path:
    """The folder of all runs of one model on one data set."""
    model, data = (Path(names.get(key, key)).stem for key in ("model", "data"))
    return Path(ROOT, name_part(model), name_part(data))


def names_of(file: Path) -> dict[str, str]:
    """The names of the model and the data of a file in ``runs/<model>/<data>/<time>``; or {}.

    A run's folder that a person chose does not tell them.
    """
    above = file.resolve().parents
    if len(above) > 3 and above[3].name == ROOT:
        return {"model": above[2].name, "data": above[1].name}
    return {}


def folders(path: Path) -> list[Path]:
    """The folders in a folder, by name; what cannot be read is named in a warning."""
    try:
        return sorted(found for found in path.iterdir() if found.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        warnings.warn(f"{path} cannot be read ({error.strerror}), and is left out", stacklevel=2)
        return []


def runs(names: Mapping[str, str]) -> list[Path]:
    """The folders of the runs of a model, of a data set or of both; of all where none is named.

    Those of all include runs whose folders a person chose with ``LIGHTNING_GANS_RUN``, less deep in
    ``runs``.
    """
    level, chosen = [Path(ROOT)], []
    for group in ("model", "data"):
        name = Path(names[group]).stem if group in names else None
        level = [f for above in level for f in folders(above) if name in (None, f.name)]
        chosen += [] if names else [run for run in level if read_record(run) is not None]
    return chosen + [run for parent in level for run in folders(parent)]


def find_checkpoint(kind: str, names: Mapping[str, str], option: str = "ckpt_path") -> Path:
    """The ``last`` or ``best`` checkpoint of the newest run that has any, for ``ckpt_path=last``.

    Debug runs do not count, and the newest run is the one that was started or resumed last.

    Args:
        kind: ``last`` or ``best``.
        names: of the model, the data or both, where they are named.
        option: of the command line, for messages.

    Raises:
        UsageError: if there is none.
    """
    current = chosen_folder()
    candidates = [current] if current else sorted(runs(names), key=recency, reverse=True)
    for run in candidates:
        if not checkpoints(run, "last") and not checkpoints(run, kind):
            continue
        record = read_record(run)
        if record is not None and record.training.debug and not current:
            continue
        path = newest(run, kind)
        if path is not None:
            return path
        lacks = "no intact" if checkpoints(run, kind) else "no"
        raise UsageError(
            f"{option}={kind}: the newest run, {run}, has {lacks} {kind} checkpoint; give "
            f"{option}=FILE or another run's folder"
        )
    for run in candidates:
        record = read_record(run)
        if record is not None and not record.training.debug:
            has = f"has no {kind} checkpoint" if checkpoints(run) else "has no checkpoint yet"
            raise UsageError(
                f"{option}={kind}: the newest run, {run}, {has}; repeat the command when it has "
                f"saved one, or give {option}=FILE or another run's folder"
            )
    searched = Path(ROOT, *(Path(names.get(g, "*")).stem for g in ("model", "data") if names))
    first = f", without {option}" if option == "ckpt_path" else ""
    raise UsageError(
        f"{option}={kind}: there is no run with a checkpoint in {current or searched}; train one "
        f"first{first}"
    )


def recency(run: Path) -> tuple[float, bool, int, str]:
    """A key that orders runs by when they were started or last resumed.

    It is what the run itself recorded: a copy has new times of its files, and a clock may be wrong.
    A copy comes before its original. Runs of version 0.2.0 recorded nothing but their names.
    """
    record = read_record(run)
    match = _MOMENT.match(run.name)
    number = int(match[2] or 1) if match else 1
    if record is not None:
        return record.started, record.name == run.name, number, run.name
    with contextlib.suppress(ValueError, OverflowError):
        if match:
            moment = time.mktime(time.strptime(match[1], "%Y-%m-%d_%H-%M-%S"))
            return moment, match[0] == run.name, number, run.name
    return last_checkpoint_time(run), True, number, run.name


def last_checkpoint_time(run: Path) -> float:
    """When a run last wrote a checkpoint, in seconds since 1970; 0 if it never did."""
    moments = [0.0]
    for path in checkpoints(run):
        with contextlib.suppress(OSError):  # a run that still trains may remove it
            moments.append(path.stat().st_mtime)
    return max(moments)
