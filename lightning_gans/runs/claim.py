"""Whose folder it is: one training writes to a run's folder at a time.

A training holds a lock on the folder, which the operating system releases when its process ends,
however it ends; a loader's process that outlives it holds nothing (filelock before version 4
unlocked where such a process ended). ``run.json`` says who trains or last trained there, and since
when. Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_gans.errors import UserError
from lightning_gans.runs import scheduler
from lightning_gans.runs.atomic import Unwritable, write_text
from lightning_gans.runs.environment import environment
from lightning_gans.runs.folder import METRICS, ROOT, checkpoints

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = ".run.lock"
RECORD = "run.json"
# larger ones are not a run's
_MAX_BYTES = 10_000
# seconds since 1970 in the year 5138: a later moment is none
_LATEST = 1e11
# what a file system without locks answers
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
# by launcher: above 0 for all but the first of the processes that train together
_RANKS = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"),
    *("OMPI_COMM_WORLD_RANK", "PMI_RANK"),
)

# the folders that this process holds; None where the file system has no locks
_held: dict[Path, FileLock | None] = {}

if hasattr(os, "register_at_fork"):
    # a loader's process holds nothing, even if it outlives this one
    os.register_at_fork(after_in_child=_held.clear)


class FolderInUse(UserError, FileExistsError):
    """Another training writes, or wrote, to the folder."""


@dataclass(frozen=True)
class Training:
    """What tells the trainings of one SLURM job apart, and a debug run from work.

    Attributes:
        job: the name of the job and its step; None outside of SLURM.
        task: the number of this process in the step if it trains alone, None if all train together.
        command: a hash of the command line.
        debug: whether it only tries the code, so that ``ckpt_path=last`` never means it.
    """

    job: str | None = None
    task: str | None = None
    command: str | None = None
    debug: bool = False


@dataclass(frozen=True)
class Record:
    """What ``run.json`` says of a folder.

    Attributes:
        started: when the run was started or last resumed, in seconds since 1970. Never less than
            that of a run that was started before, even where the clocks of machines disagree.
        name: of the folder; that of a copy is another one.
        host, pid: of the process that trains or last trained.
        training: which training it is.
        environment: names and versions of what it is trained with; empty if unknown.
    """

    started: float
    name: str
    host: str
    pid: int
    training: Training
    environment: Mapping[str, str] = field(default_factory=dict)


def is_follower() -> bool:
    """Whether this is not the first of several processes that train together."""
    return any(os.environ.get(name, "0").strip("0").isdigit() for name in _RANKS)


def make_folder(folder: Path, tries: int = 3) -> None:
    """Make a new folder, with those above it.

    Args:
        folder: to make.
        tries: how often the folders above are made again if they vanish.

    Raises:
        FileExistsError: if it exists.
        Unwritable: if it cannot be made, naming what is in the way.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        above = [path for path in (folder.parent, *folder.parent.parents) if os.path.lexists(path)]
        if above and not above[0].is_dir():
            what = "a link that leads nowhere" if above[0].is_symlink() else "a file"
            raise UserError(
                f"the folder {folder} cannot be made: {above[0]} is {what}; move it away, or run "
                "the command in another folder"
            ) from error
        raise Unwritable(folder, error) from error
    try:
        folder.mkdir()
    except FileExistsError:
        raise
    except FileNotFoundError as error:
        # a run that wrote nothing has just removed the folder above
        if not tries:
            raise Unwritable(folder, error) from error
        make_folder(folder, tries - 1)
    except OSError as error:
        raise Unwritable(folder, error) from error


def hold(run: Path) -> bool:
    """Hold a run's folder until :func:`release` or the end of this process.

    Returns:
        Whether it was not held by this process before.

    Raises:
        FolderInUse: if another process holds it.
        Unwritable: if nothing can be written there.
    """
    key = run.resolve()
    if key in _held:
        return False
    if (key / LOCK).is_dir() or (key / LOCK).is_symlink():
        raise UserError(f"{run / LOCK} is no file, which a run locks; remove it")
    # each command imports this module, but only training locks a folder
    from filelock import FileLock, Timeout  # noqa: PLC0415  (as said above)

    lock = FileLock(key / LOCK, timeout=0)
    try:
        key.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        record = read_record(run)
        if record is not None and record.host == _host() and record.pid == os.getppid():
            return False  # the process that started this one holds it for both
        raise FolderInUse(_in_use(run, record)) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise Unwritable(run / LOCK, error) from error
        warnings.warn(
            f"the file system of {run} has no locks ({error}): start no second training there",
            stacklevel=2,
        )
        _held[key] = None
        return True
    _held[key] = lock
    return True


def _in_use(run: Path, record: Record | None) -> str:
    who = "by another process"
    # the one that resumes it now writes its record later
    if record is not None and not (record.host == _host() and has_ended(record.pid)):
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started))
        who = f"by process {record.pid} on {record.host}, since {since}"
    return (
        f"{run} is in use {who}; wait until that training ends, or stop it, or start another run "
        "in a folder of its own"
    )


def has_ended(pid: int) -> bool:
    """Whether there is no process of this number on this machine."""
    if os.name == "nt":  # where a signal of 0 would end it
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # it is another user's
        return False
    return False


def release(run: Path) -> None:
    """Let others have a folder; does nothing if this process does not hold it."""
    lock = _held.pop(run.resolve(), None)
    if lock is not None:
        lock.release()


def release_all() -> None:
    """Let others have all folders that this process holds."""
    for run in list(_held):
        release(run)


def discard_unused(run: Path, *unused: str) -> None:
    """Remove the folder of a run that wrote nothing, and the empty ones above it.

    Args:
        run: the folder.
        unused: names of files that count as nothing.
    """
    names = (RECORD, *unused, LOCK)
    with contextlib.suppress(OSError):
        if {path.name for path in run.iterdir()} <= {*names}:
            for name in names:
                (run / name).unlink(missing_ok=True)
            release(run)
            run.rmdir()
            if run.parent.parent.parent.name == ROOT:  # runs/<model>/<data>/<time>
                run.parent.rmdir()
                run.parent.parent.rmdir()


def check_unused(run: Path) -> None:
    """Check that no other run wrote to a folder.

    Raises:
        FolderInUse: with what it wrote.
    """
    wrote = [*checkpoints(run), *(path for path in [run / METRICS] if path.exists())]
    if wrote:
        raise FolderInUse(
            f"{run} holds another run: {wrote[-1].relative_to(run)}; choose another folder, or "
            f"give ckpt_path={run} to resume that run"
        )


def write_record(run: Path, training: Training, after: float = 0.0) -> None:
    """Write who trains in a folder.

    Args:
        run: the folder.
        training: which training it is.
        after: when the newest of all other runs was started; this one is later, also if the
            clock says otherwise.
    """
    moment = max(time.time(), after + 0.001)
    record = Record(moment, run.resolve().name, _host(), os.getpid(), training, environment())
    write_text(run / RECORD, json.dumps(asdict(record), indent=1) + "\n")


def add_to_record(run: Path, **environment: str) -> None:
    """Add what is known only once the training has begun, such as its GPU, to a run's record.

    A folder without a record gets none.
    """
    record = read_record(run)
    if record is not None:
        known = replace(record, environment={**record.environment, **environment})
        write_text(run / RECORD, json.dumps(asdict(known), indent=1) + "\n")


def read_record(run: Path) -> Record | None:
    """Who trains or last trained in a folder; None if that is not known.

    A run's folder may be untrusted: what is not a record counts as none.
    """
    try:
        if not (run / RECORD).is_file():
            return None
        with (run / RECORD).open("rb") as file:
            content: Any = json.loads(file.read(_MAX_BYTES))
        training = Training(**content.pop("training"))
        record = Record(**content, training=training)
    # damaged files are of any kind
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    texts = [training.job, training.task, training.command]
    right = (
        type(record.started) is float
        and math.isfinite(record.started)
        and 0 <= record.started < _LATEST
        and type(record.name) is type(record.host) is str
        and type(record.pid) is int
        and type(training.debug) is bool
        and all(isinstance(text, (str, type(None))) for text in texts)
        and type(record.environment) is dict
        and all(isinstance(text, str) for pair in record.environment.items() for text in pair)
    )
    return record if right else None


def started_before(run: Path) -> float:
    """When a run was started or last resumed; 0.0 if that is not known."""
    record = read_record(run)
    return record.started if record is not None else 0.0


def this_training(command: str | None, alone: bool, debug: bool) -> Training:
    """The training of this process.

    Args:
        command: a hash of the command line.
        alone: whether this process trains alone.
        debug: whether it only tries the code.
    """
    return Training(scheduler.job_step(), scheduler.task() if alone else None, command, debug)


def _host() -> str:
    return os.uname().nodename
