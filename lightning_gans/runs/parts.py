"""Results that come in parts: each is kept as soon as it is finished, and a later call goes on.

A folder of results holds ``parts/request.json``, what the parts depend on, and a file for each
part. A call with the same request takes the finished parts from there and computes the others, so
that its result is that of a call that was never interrupted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from filelock import FileLock, Timeout
from torch import Tensor

from lightning_gans.errors import Stopped, UsageError, UserError
from lightning_gans.files import open_file
from lightning_gans.paths import typed_path
from lightning_gans.runs import scheduler
from lightning_gans.runs.atomic import PART, Unwritable, write_text
from lightning_gans.runs.claim import NO_LOCKS
from lightning_gans.runs.layout import (
    CONFIG,
    PARTS,
    family,
    numbered_names,
    results_folder,
    take_up_command,
)
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.runs.tensor_files import DamagedFile, read_tensors, write_tensors
from lightning_gans.text import printable

REQUEST = "request.json"
SUFFIX = ".safetensors"
# tells other processes to stop, on other machines too
STOP_FILE = "stop"
LOCK = ".lock"
# the note of a part's file that holds the hash of its request
_OF_REQUEST = "request"

Content: TypeAlias = tuple[Mapping[str, Tensor], Mapping[str, str]]
"""The tensors and the notes of a part, by name."""


class Parts:
    """The finished parts in a folder of results.

    Args:
        results: the folder of results.
        request: what all parts depend on, as plain data; another request is refused.
        log: gets a line for each part that is damaged.
        signals: that stop the command; new ones by default.

    Attributes:
        folder: of the parts.
        signals: that stop the command.

    Raises:
        UsageError: if the folder has parts of another request.
        Unwritable: if the folder cannot be written to.
    """

    def __init__(
        self,
        results: Path,
        request: Mapping[str, object],
        log: Callable[[str], object] = print,
        signals: StopSignals | None = None,
    ) -> None:
        self.results, self.log = results, log
        self.folder = results / PARTS
        self.signals = signals or StopSignals()
        text = json.dumps(request, sort_keys=True, indent=1)
        self._request = hashlib.sha256(text.encode()).hexdigest()
        if not self._is_known(json.loads(text)):
            for path in self.folder.glob("*.json"):
                if not path.is_dir():
                    path.unlink()  # lists of a call that finished nothing
            write_text(self.folder / REQUEST, text)

    def part(
        self,
        name: str,
        compute: Callable[[], Content],
        is_final: Callable[[Content], bool] = lambda found: True,
    ) -> Content:
        """The tensors and notes of a part: the finished one, or one that is computed and kept.

        A signal to stop waits until it is kept.

        Args:
            name: of the part and of its file.
            compute: called if the part is not finished.
            is_final: whether a finished part need not be computed again.

        Raises:
            UsageError: if the part's file belongs to another request.
            Unwritable: if the operating system does not let its file be written.
            Stopped: if there was a signal.
        """
        with self.signals.deferred():
            return self.part_in_hand(name, compute, is_final)

    def part_in_hand(
        self,
        name: str,
        compute: Callable[[], Content],
        is_final: Callable[[Content], bool] = lambda found: True,
    ) -> Content:
        """As :meth:`part`, in a block in which signals are deferred."""
        found = self.get(name)
        if found is not None and is_final(found):
            return found
        made = compute()
        self.put(name, *made)
        return made

    def get(self, name: str) -> Content | None:
        """The tensors and notes of a part; None if it is not finished, or damaged.

        Raises:
            UsageError: if its file belongs to another request.
        """
        path = self._path(name)
        try:
            tensors, notes = read_tensors(path)
        except FileNotFoundError:
            return None
        except DamagedFile as error:
            self.log(f"{error}; this part is computed again")
            return None
        if notes.pop(_OF_REQUEST, None) != self._request or notes.pop("part", None) != name:
            raise UsageError(
                f"{path} is a part of other results; delete it, or choose another out=FOLDER"
            )
        return tensors, notes

    def put(self, name: str, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
        """Keep a finished part.

        Raises:
            Unwritable: if the operating system does not let its file be written.
        """
        own = {_OF_REQUEST: self._request, "part": name}
        write_tensors(self._path(name), tensors, {**notes, **own})

    def forget(self, prefix: str) -> None:
        """Delete the parts whose names have a prefix: what they are for is stored elsewhere."""
        for path in self.folder.glob(f"{prefix}*{SUFFIX}"):
            path.unlink(missing_ok=True)

    def count(self) -> int:
        """How many parts are finished."""
        return sum(1 for _ in self.folder.glob(f"*{SUFFIX}"))

    def listed(self, name: str, items: Sequence[str], is_all: bool = True) -> list[str]:
        """The items that the first call found, in their order, such as the names of files.

        Items that are gone stay in the list, so that the parts stay the same.

        Args:
            name: of the items.
            items: that are there now.
            is_all: whether these are all there are, and not just the first.

        Raises:
            UsageError: if there are items that the first call did not find.
        """
        path = self.folder / f"{name}.json"
        try:
            known = read_json(path)
        except FileNotFoundError:
            known = None
        except (OSError, ValueError):
            raise UsageError(
                f"{path} is damaged; delete {self.folder} to begin anew, or choose another "
                "out=FOLDER"
            ) from None
        if known is None:
            write_text(path, json.dumps(list(items)))
            return list(items)
        if is_all and (added := sorted(set(items) - set(known))):
            raise UsageError(
                f"{self.folder} has parts of {len(known):,} {name}, and there are "
                f"{len(added):,} others now, such as {added[0]}; choose another out=FOLDER"
            )
        return [str(item) for item in known]

    @property
    def is_stopping(self) -> bool:
        """Whether this process, or another that computes parts of these results, is to stop."""
        return self.signals.caught is not None or (self.folder / STOP_FILE).exists()

    def tell_to_stop(self) -> None:
        """Tell the other processes of a signal that this one has received, if it has."""
        if self.signals.caught is not None:
            write_text(self.folder / STOP_FILE, str(int(self.signals.caught)))

    def reset_stop(self) -> signal.Signals | None:
        """Let processes go on; the signal that another one has told, if one has."""
        file = self.folder / STOP_FILE
        try:
            number = int(file.read_text(encoding="ascii"))
            file.unlink()
            return signal.Signals(number)
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Delete the parts, once the results have what is in them."""
        own = (f"*{SUFFIX}", f"*{PART}", "*.json", STOP_FILE, LOCK)
        with contextlib.suppress(OSError):
            for path in (path for pattern in own for path in self.folder.glob(pattern)):
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def _is_known(self, request: Mapping[str, object]) -> bool:
        """Whether the folder is of this request; False if it is of none."""
        path = self.folder / REQUEST
        try:
            known = read_json(path)
        except FileNotFoundError:
            if self.count():
                raise UsageError(
                    f"{self.folder} has parts of unknown results, without {REQUEST}; choose "
                    "another out=FOLDER"
                ) from None
            return False
        except (OSError, ValueError):
            known = None
        if known == request:
            return True
        if not self.count():
            return False  # nothing was finished
        if not isinstance(known, dict):
            raise UsageError(
                f"{path} is damaged; choose another out=FOLDER, or delete {self.folder}"
            )
        changed = next(k for k in {**known, **request} if known.get(k) != request.get(k))
        raise UsageError(
            f"{self.folder} has parts of other results: {changed} was "
            f"{_short(known.get(changed))}, now it is {_short(request.get(changed))}; choose "
            "another out=FOLDER"
        )


@contextmanager
def new_results(
    names: Mapping[str, str],
    kind: str,
    request: Mapping[str, object],
    out: str | None = None,
    new: str | None = None,
) -> Iterator[Path]:
    """A folder of results, as results_folder() makes it; none is left if the block fails at once.

    The folder is made before the work, so that one that cannot be written to is known at once. A
    requeued SLURM job, whose command line does not change, goes on in its own folder.
    """
    if out is None and (unfinished := requeued_results(names, kind, request)) is not None:
        out = str(unfinished)
    nearest = family(names) if out is None else typed_path(out)
    absent = [path for path in (nearest, *nearest.parents) if not path.exists()]
    folder = results_folder(names, kind, out, new)
    is_new = out is None or nearest in absent
    try:
        yield folder
    except (UserError, Stopped):
        if is_new and {path.name for path in folder.iterdir()} <= {CONFIG}:
            with contextlib.suppress(OSError):
                (folder / CONFIG).unlink(missing_ok=True)
                for path in dict.fromkeys((folder, *absent)):
                    path.rmdir()
        raise


def requeued_results(
    names: Mapping[str, str], kind: str, request: Mapping[str, object]
) -> Path | None:
    """Where this SLURM job left parts of a request before it was requeued; None if nowhere."""
    job = scheduler.job_step()
    if job is None or not scheduler.restarted():
        return None
    for folder in numbered_names(family(names) / f"{job}_{kind}"):
        if not folder.is_dir():
            return None
        with contextlib.suppress(OSError, ValueError):
            known = read_json(folder / PARTS / REQUEST)
            if known == json.loads(json.dumps(request)):
                return folder
    return None


@contextmanager
def finished_parts(
    results: Path,
    request: Mapping[str, object],
    log: Callable[[str], object] = print,
    signals: StopSignals | None = None,
) -> Iterator[Parts]:
    """The parts in a folder of results, for a block that computes what is missing.

    In the block, signals to stop are obeyed once the part in hand is finished.

    Raises:
        UsageError: if the folder has parts of another request.
        Unwritable: if a file could not be written; the text says where the finished parts are.
        Stopped: after a signal, likewise.
    """
    with held(results / PARTS), (parts := Parts(results, request, log, signals)).signals:
        try:
            yield parts
        except Stopped as stopped:
            text = f"stopped by {stopped.number.name}; {whereabouts(parts)}"
            if not parts.count():
                parts.remove()
            raise Stopped(stopped.number, text) from None
        except Unwritable as error:
            error.args = (f"{error}; {whereabouts(parts)}",)
            raise
        except UserError:
            if not parts.count():
                parts.remove()  # nothing came of it
            raise


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A block in which no other process computes the parts in a folder.

    The lock ends with the process, however it ends.

    Raises:
        UserError: if another process does.
        Unwritable: if the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process computes the parts in {folder}; wait until it ends, stop it, or "
            "choose another out=FOLDER"
        ) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise Unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def whereabouts(parts: Parts) -> str:
    """Where finished parts lie, and how to go on from them."""
    count = parts.count()
    if not count:
        return "no part was finished"
    what = "1 finished part is" if count == 1 else f"{count:,} finished parts are"
    return f"{what} in {parts.folder}; to go on: {take_up_command(parts.results)}"


def read_json(path: Path) -> Any:
    """The content of a JSON file, which is no pipe that would be waited for.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged.
    """
    with open_file(path) as file:
        return json.load(file)


def _short(value: object) -> str:
    text = printable(json.dumps(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
