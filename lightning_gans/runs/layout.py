"""The folders of runs: ``runs/<model>/<data>/<time>/``, or ``slurm-<job>`` under SLURM.

Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from lightning_gans.errors import UsageError, UserError, reason
from lightning_gans.paths import typed_path
from lightning_gans.runs import scheduler
from lightning_gans.runs.atomic import Unwritable, write_text
from lightning_gans.runs.folder import FOLDER, find, newest

ROOT = "runs"
CONFIG = "config.yaml"
CHECKPOINTS = f"{FOLDER}/*.ckpt"
# the folder in a folder of results that holds them as long as they are not complete
PARTS = "parts"
# passes the folder to the processes that Lightning starts for other devices
VARIABLE = "LIGHTNING_GANS_RUN"

# the resolved settings of a command, which are written to the folder of its results
_settings: ContextVar[str | None] = ContextVar("settings", default=None)
# the words of the command line, from the command on
_typed: ContextVar[Sequence[str] | None] = ContextVar("typed", default=None)


@contextmanager
def run_scope() -> Iterator[None]:
    """The scope of one run of a command.

    An OSError becomes an error of one line. At the end the run's folder is reset, so that another
    run in this process gets its own.

    Raises:
        UserError: with the message of an OSError.
    """
    already_set = os.environ.get(VARIABLE)
    try:
        yield
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(reason(error)) from error
    finally:
        if already_set is None:
            os.environ.pop(VARIABLE, None)


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
        Unwritable: if the folder cannot be written to.
    """
    folder = new_run(names, kind) if out is None else typed_path(out)
    if new is not None and is_complete(folder, new):
        raise UserError(f"{folder} already has a {new}; choose another folder with out=FOLDER")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unwritable(folder, error) from error
    if (text := _settings.get()) is not None:
        write_text(folder / CONFIG, text)
    return folder


def is_complete(folder: Path, result: str) -> bool:
    """Whether a folder has results, and no parts of them that a later call goes on from."""
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


def new_run(names: Mapping[str, str], subcommand: str) -> Path:
    """A folder for a new run, the same in all of its processes.

    It is named by the time; under SLURM by the job and its step, which all nodes know and which do
    not change when the job is requeued.
    """
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    suffix = "" if subcommand == "fit" else f"_{subcommand}"
    parent, job = family(names), job_name()
    if job is not None:
        run = next(
            r for r in numbered_names(parent / f"{job}{suffix}") if not any(r.glob(CHECKPOINTS))
        )
        run.mkdir(parents=True, exist_ok=True)
        return run
    return shared_by_processes(lambda: timestamped_run(parent, suffix))


def timestamped_run(parent: Path, suffix: str) -> Path:
    """A new folder, named by the time."""
    moment = time.strftime("%Y-%m-%d_%H-%M-%S")
    for run in numbered_names(parent / f"{moment}{suffix}"):
        # created at once: another run may start in the same second
        with contextlib.suppress(FileExistsError):
            run.mkdir(parents=True)
            return run
    raise AssertionError  # numbered_names never ends


def shared_by_processes(make: Callable[[], Path]) -> Path:
    """A folder made by the first process, shared with all others that ``torchrun`` started."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return make()
    # imported here: it takes seconds
    from torch.distributed import (  # type: ignore[attr-defined]  # noqa: PLC0415
        TCPStore,
    )

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(host, port, is_master=False)
    # restarted processes are a new run
    key = f"lightning_gans/run/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    if os.environ["RANK"] == "0":
        run = make()
        store.set(key, str(run))
        return run
    return Path(store.get(key).decode())


def numbered_names(run: Path) -> Iterator[Path]:
    """A folder's name, then numbered names in case it exists."""
    yield run
    for number in itertools.count(2):
        yield run.with_name(f"{run.name}_{number}")


def job_name() -> str | None:
    """The name of a run's folder under SLURM, from job and step; None elsewhere."""
    job, step = scheduler.job(), scheduler.step()
    if job is None:
        return None
    return f"slurm-{job}" if step is None else f"slurm-{job}.{step}"


def requeued(names: Mapping[str, str]) -> Path | None:
    """The checkpoint from which a requeued SLURM job resumes; None if it starts from scratch.

    The command line of the job does not change, and has no ``ckpt_path``.
    """
    job = job_name()
    if job is None or VARIABLE in os.environ:
        return None
    if not scheduler.restarted():
        return None
    return newest(family(names) / job)


def announce_run(run: Path) -> Path:
    """Pass the run's folder to the processes that this one starts."""
    os.environ[VARIABLE] = str(run)
    return run


def family(names: Mapping[str, str]) -> Path:
    """The folder of all runs of one model on one data set."""
    return (
        Path(ROOT) / Path(names.get("model", "model")).stem / Path(names.get("data", "data")).stem
    )


def find_checkpoint(kind: str, names: Mapping[str, str]) -> Path:
    """The ``last`` or ``best`` checkpoint of the newest run that has one, for ``ckpt_path=last``.

    Raises:
        UsageError: if there is none.
    """
    current = os.environ.get(VARIABLE)
    runs = (
        [Path(current)]
        if current
        else sorted(family(names).glob("*/"), key=last_checkpoint_time, reverse=True)
    )
    for run in runs:
        path = newest(run, kind)
        if path is not None:
            return path
    raise UsageError(
        f"ckpt_path={kind}: there is no run with a checkpoint in {current or family(names)}; "
        "leave ckpt_path out to start one"
    )


def last_checkpoint_time(run: Path) -> float:
    """When a run last wrote a checkpoint, in seconds since 1970; 0 if it never did."""
    return max((path.stat().st_mtime for path in run.glob(CHECKPOINTS)), default=0.0)
