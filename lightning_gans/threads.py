"""How many threads compute, and how they wait for each other. Imports nothing heavy.

libgomp, which computes in torch, reads the environment once, when it is loaded: :func:`fitted`
must be entered before torch is imported.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lightning_gans.errors import UsageError
from lightning_gans.ranges import Threads, describe, fits, shown
from lightning_gans.safe_yaml import parse_value

COUNT = "OMP_NUM_THREADS"
# torch takes this number instead where it is set
_OF_MKL = "MKL_NUM_THREADS"
# A thread that is done spins so often, and then sleeps until the others are. By default it spins
# for up to 20 ms, which is longer than a core's turn: where another process keeps the last thread
# from running, the others burn what it needs. Sleeping at once costs a third of the speed of a
# quiet machine, as waking takes longer than most waits; 10,000 turns still cost 6 %, 20,000 2 %
# and 40,000 nothing (medians of seven rounds).
SPINS = "40000"
# variables by which people say themselves how threads wait, for libgomp and for the library of
# Intel and LLVM, which waits for a number of milliseconds
_WAITING = {"GOMP_SPINCOUNT": SPINS, "KMP_BLOCKTIME": "1"}
_OWN_WAITING = (*_WAITING, "OMP_WAIT_POLICY")

# seconds between two looks at the machine
LOOK = 0.4
# seconds for which there must be too many threads, or too few, before their number changes
LOWER_AFTER, RAISE_AFTER = 0.7, 3.0
# a core is taken if others use more than this share of it, and free again if they use less
TAKEN, FREE = 0.6, 0.25
# a number that was raised too soon is raised after twice as long the next time, up to these seconds
RAISE_AFTER_AT_MOST = 120.0


@dataclass(frozen=True)
class Choice:
    """A number of threads.

    Attributes:
        count: how many.
        adapts: whether fewer compute while other processes need the cores.
        why: what is worth saying of it; "" if nothing is.
        most: how many compute if no other process does; ``count`` if it is 0.
    """

    count: int
    adapts: bool = False
    why: str = ""
    most: int = 0


@dataclass(frozen=True)
class Usage:
    """What the cores of this process did, in seconds since any moment.

    Attributes:
        moment: of the measurement.
        idle: sum over the cores.
        own: of this process, all threads together.
    """

    moment: float
    idle: float
    own: float


def choose(
    cores: int,
    quota: float | None,
    environment: Mapping[str, str],
    typed: int | None = None,
    processes: int = 1,
) -> Choice:
    """The number of threads, from what is known before anything is computed.

    A person's own number counts first, then that of the environment, then SLURM's; otherwise each
    process of this machine has its share of the cores.

    Args:
        cores: on which this process may run.
        quota: processor time that a container has, in cores; None if it is not limited.
        environment: variables.
        typed: the number that a person gave.
        processes: of this run on this machine.
    """
    if typed is not None:
        return Choice(typed)
    if own := _of_environment(environment):
        return Choice(own)
    if given := _number(environment.get("SLURM_CPUS_PER_TASK", "")):
        return Choice(given, why="as many as SLURM gives a task")
    processes = max(processes, _number(environment.get("LOCAL_WORLD_SIZE", "")), 1)
    limit = cores if quota is None else max(1, min(cores, int(quota)))
    why = "" if limit == cores else f"as the container may use {quota:g} of {cores} cores"
    if processes > 1:
        count = max(1, limit // processes)
        return Choice(count, why=f"the share of each of {processes} processes in {limit} cores")
    return Choice(limit, adapts=limit > 1, why=why)


def _of_environment(environment: Mapping[str, str]) -> int:
    """The number that a person has set for all programs; 0 if there is none."""
    # one for each level of nested threads
    count = _number(environment.get(COUNT, "").partition(",")[0])
    return count or _number(environment.get(_OF_MKL, ""))


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def read_threads(value: object, where: str = "") -> int:
    """The value of the option ``threads``; 0, for null, is a number that fits the machine.

    Raises:
        UsageError: if it is none.
    """
    read = parse_value(value) if isinstance(value, str) else value
    if read is None:
        return 0
    if not fits(read, Threads):
        raise UsageError(
            f"threads: expected {describe(Threads)}, or null, got {shown(value)}{where}"
        )
    assert isinstance(read, int)
    return read


def split_threads(argv: Iterable[str]) -> tuple[list[str], int | None]:
    """Split ``threads=N``, ``trainer.threads=N`` and ``--threads N`` off a command line.

    Returns:
        The other arguments, and the number.

    Raises:
        UsageError: for a value that is no number of threads.
    """
    rest: list[str] = []
    count: int | None = None
    remaining = iter(argv)
    for argument in remaining:
        key, equals, value = argument.partition("=")
        if key.removeprefix("--") not in NAMES or not (equals or key.startswith("--")):
            rest.append(argument)
            continue
        count = read_threads(value if equals else next(remaining, ""))
    return rest, count


# how the option is spelt
NAMES = ("threads", "trainer.threads")


def cores() -> set[int]:
    """The numbers of the cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def quota(root: Path = Path("/")) -> float | None:
    """The processor time that the control groups of this process have, in cores; None if unlimited.

    Args:
        root: of the file system.
    """
    found = []
    for line in _lines(root / "proc/self/cgroup"):
        _, _, rest = line.partition(":")
        kind, _, path = rest.partition(":")
        controllers = kind.split(",")
        if kind and "cpu" not in controllers:
            continue
        # a container may see its own group as the root, or the path on its host
        base = root / "sys/fs/cgroup" / (kind if kind else "")
        group = base / path.strip("/")
        for folder in {group, *group.parents}:
            if not folder.is_relative_to(base):
                continue
            if kind:
                limits = [
                    " ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period")
                ]
            else:
                limits = " ".join(_lines(folder / "cpu.max")).split()
            if len(limits) == 2 and all(_number_of_any_size(limit) for limit in limits):
                found.append(int(limits[0]) / int(limits[1]))
    return min(found, default=None)


def _number_of_any_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def usage() -> Usage | None:
    """What the cores of this process have done so far; None where the system does not tell."""
    allowed = {f"cpu{number}" for number in cores()}
    # time of processes that yield to others ("nice"), as this one would have it if it asked
    others_yield = hasattr(os, "nice") and os.nice(0) <= 0
    idle, found = 0, 0
    for line in _lines(Path("/proc/stat")):
        name, *times = line.split()
        if name in allowed and len(times) > 4:
            idle += int(times[3]) + int(times[4]) + (int(times[1]) if others_yield else 0)
            found += 1
    if found < len(allowed):
        return None
    return Usage(time.monotonic(), idle / os.sysconf("SC_CLK_TCK"), time.process_time())


class Pace:
    """Lets fewer threads compute while other processes need the cores.

    Threads wait for each other a thousand times in an iteration: one that shares its core with
    another process slows all of them down, and one thread less is faster.

    Args:
        choice: the most threads.
        number_of_cores: on which they may run.
        measure: what the cores have done.
        apply: sets the number.
    """

    def __init__(
        self,
        choice: Choice,
        number_of_cores: int,
        measure: Callable[[], Usage | None],
        apply: Callable[[int], None],
    ) -> None:
        self.most, self.count = choice.most or choice.count, choice.count
        self.cores, self.measure, self.apply = number_of_cores, measure, apply
        self.before = measure() if choice.adapts else None
        self.adapts = self.before is not None
        # since when fewer, or more, threads than now would fit
        self.fewer_since: float | None = None
        self.more_since: float | None = None
        self.raise_after = RAISE_AFTER
        self.raised_at = -RAISE_AFTER_AT_MOST
        self.announced = False
        self.applied = False

    def look(self) -> None:
        """Change the number if the load of the machine has; cheap if it was looked at just now."""
        if not self.applied:
            # torch takes no more from the environment than there are cores
            self.applied = True
            self.apply(self.count)
        before = self.before
        if not self.adapts or before is None or time.monotonic() - before.moment < LOOK:
            return
        now = self.measure()
        if now is not None:
            self.before = now
            self.update(before, now)

    def update(self, before: Usage, now: Usage) -> None:
        """Take in what the cores did between two moments."""
        passed = now.moment - before.moment
        busy = passed * self.cores - (now.idle - before.idle) - (now.own - before.own)
        others = max(0.0, busy / passed)
        lower = min(self.most, max(1, int(self.cores - others + TAKEN)))
        higher = min(self.most, int(self.cores - others + FREE))
        if lower < self.count:
            self.more_since = None
            self.fewer_since = before.moment if self.fewer_since is None else self.fewer_since
            if now.moment - self.fewer_since >= LOWER_AFTER:
                if now.moment - self.raised_at < 10 * self.raise_after:
                    self.raise_after = min(2 * self.raise_after, RAISE_AFTER_AT_MOST)
                else:
                    self.raise_after = RAISE_AFTER
                self.change(lower)
                self.announce(others)
        elif higher > self.count:
            self.fewer_since = None
            self.more_since = before.moment if self.more_since is None else self.more_since
            if now.moment - self.more_since >= self.raise_after:
                self.change(higher)
                self.raised_at = now.moment
        else:
            self.fewer_since = self.more_since = None

    def change(self, count: int) -> None:
        """Let another number of threads compute."""
        self.fewer_since = self.more_since = None
        self.count = count
        self.apply(count)

    def announce(self, others: float) -> None:
        """Say once that the number changes with the load."""
        if not self.announced:
            self.announced = True
            print(
                f"threads: {self.count} instead of {self.most} while other processes keep "
                f"{others:.1f} of {self.cores} cores busy; the last digits of results depend on "
                f"it, and threads={self.most} keeps it",
                file=sys.stderr,
            )


# of the command that runs
_pace: Pace | None = None


def pace() -> None:
    """To be called between two iterations: fewer threads compute while others need the cores.

    Does nothing in a program that has not entered :func:`fitted`.
    """
    if _pace is not None:
        _pace.look()


def kept() -> Choice | None:
    """The number now, and whether it adapts; None outside of :func:`fitted`."""
    return None if _pace is None else Choice(_pace.count, _pace.adapts, most=_pace.most)


def keep(choice: Choice) -> None:
    """Go on with the number of an earlier process, as far as there are cores.

    A number that a person or the environment gives this process counts more.
    """
    if _pace is not None and not _given:
        _pace.adapts = _pace.adapts and choice.adapts
        there = max(_pace.cores, _pace.most)
        _pace.most = min(choice.most or choice.count, there)
        _pace.change(min(choice.count, there))


def fix() -> None:
    """Keep the number as it is from here on."""
    if _pace is not None:
        _pace.adapts = False


# whether a person or the environment has given the number
_given = False


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that say how threads wait, unless the environment says it already."""
    if any(name in environment for name in _OWN_WAITING):
        return {}
    return dict(_WAITING)


@contextmanager
def fitted(typed: int | None = None, processes: int = 1) -> Iterator[None]:
    """Let as many threads compute in the block as fit the machine, and say so if it matters.

    Args:
        typed: the number that a person gave; 0 if one that fits the machine was asked for.
        processes: of this run on this machine.
    """
    global _pace, _given  # noqa: PLW0603  (one command runs at a time)
    choice = choose(len(cores()), quota(), os.environ, typed or None, processes)
    set_to = {COUNT: str(choice.count), _OF_MKL: str(choice.count), **waiting(os.environ)}
    before = {name: os.environ.get(name) for name in set_to}
    outer, outer_given = _pace, _given
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    _given = typed is not None or bool(_of_environment(os.environ))
    os.environ.update(set_to)
    if torch:  # it has read the environment before
        torch.set_num_threads(choice.count)
    if choice.why:
        print(f"threads: {choice.count}, {choice.why}", file=sys.stderr)
    _pace = Pace(choice, len(cores()), usage, _set)
    try:
        yield
    finally:
        _pace, _given = outer, outer_given
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if torch and threads:
            torch.set_num_threads(threads)


def _set(count: int) -> None:
    import torch  # noqa: PLC0415  (the environment is set first)

    torch.set_num_threads(count)
