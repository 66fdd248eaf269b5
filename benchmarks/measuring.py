"""What the benchmarks share: timing in turns, medians with their spread, and files of figures.

A benchmark is a script that prints a table and, with ``--json FILE``, writes its figures::

    quiet = Quiet()
    times = in_turns({"ours": ours, "bare": bare}, rounds=9)
    figures = [Figure.of("iteration", "ms", [1e3 * t for t in times["ours"]], threads=1)]
    figures.append(Figure.of("over the bare loop", "", ratios(times, "ours", "bare"), threads=1))
    write_figures(path, figures, quiet)
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "lightning", "torchmetrics", "numpy", "scipy")
# the share of all cores that other processes may take while something is measured
BUSY = 0.05

Label = str | int | float


@dataclass(frozen=True)
class Figure:
    """One measured quantity.

    Args:
        name: what was measured, such as ``iteration``.
        unit: of the values, such as ``ms``; empty for a ratio.
        median: of the rounds.
        low: the lowest of the rounds.
        high: the highest of the rounds.
        rounds: how many there were.
        case: under which circumstances, such as ``{"model": "dlsgan", "threads": 1}``.
    """

    name: str
    unit: str
    median: float
    low: float
    high: float
    rounds: int
    case: Mapping[str, Label]

    @classmethod
    def of(cls, name: str, unit: str, values: Sequence[float], **case: Label) -> Figure:
        """The figure of the values of all rounds.

        Raises:
            ValueError: if there are none.
        """
        if not values:
            raise ValueError(f"expected at least one value of {name}, got none")
        middle = statistics.median(values)
        return cls(name, unit, middle, min(values), max(values), len(values), case)

    def __str__(self) -> str:
        return f"{digits(self.median)} ({digits(self.low)} to {digits(self.high)})"


def digits(value: float) -> str:
    """A number with three significant digits, and all digits before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{3 if abs(value) < 1 else 2 if abs(value) < 10 else 1}f}"


def in_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Seconds of each function in each round.

    They run one after another within a round, so that a drift of the machine's speed affects all
    of them alike, and each round begins with another, so that none always follows the same one.

    Args:
        functions: what is measured, by name.
        rounds: how often each one runs.
        warm: rounds before those, which are not kept.
    """
    names, kept = list(functions), {name: list[float]() for name in functions}
    for number in range(warm + rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter()
            functions[name]()
            kept[name].append(time.perf_counter() - start)
    return {name: times[warm:] for name, times in kept.items()}


def ratios(times: Mapping[str, Sequence[float]], of: str, to: str) -> list[float]:
    """The time of one function over that of another, round by round."""
    return [a / b for a, b in zip(times[of], times[to], strict=True)]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; all columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))


def machine() -> dict[str, Any]:
    """What the figures depend on: the CPU, the system and the versions."""
    import torch  # noqa: PLC0415  (a script may have to set the environment first)

    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "cpu": cpu_name(),
        "cores": usable,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        **{name: version(name) for name in PACKAGES},
    }


def cpu_name() -> str:
    """The name of the CPU, as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class Quiet:
    """Watches, from its creation on, how much of the machine other processes use."""

    def __init__(self) -> None:
        self.load = os.getloadavg()[0]
        self.started, self.before = time.perf_counter(), (busy_seconds(), own_seconds())

    def others(self) -> float:
        """The share of all cores that others have used so far; 0 where the system does not tell."""
        cores = os.cpu_count() or 1
        theirs = (busy_seconds() - self.before[0]) - (own_seconds() - self.before[1])
        return max(0.0, theirs / max(1e-9, cores * (time.perf_counter() - self.started)))

    def report(self) -> dict[str, float]:
        """The load before and after, the share of others, and the seconds in between."""
        return {
            "load_before": self.load,
            "load_after": os.getloadavg()[0],
            "others": round(self.others(), 4),
            "seconds": round(time.perf_counter() - self.started, 1),
        }


def busy_seconds() -> float:
    """CPU seconds of all processes since the system started."""
    file = Path("/proc/stat")
    if not file.is_file():
        return own_seconds()
    user, nice, system, _, _, irq, softirq = map(
        int, file.read_text(encoding="ascii").split("\n")[0].split()[1:8]
    )
    return float(user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def write_figures(path: str | Path, figures: Iterable[Figure], quiet: Quiet) -> None:
    """Write figures as JSON, with the machine and how busy it was."""
    content = {
        "machine": machine(),
        "quiet": quiet.report(),
        "figures": [asdict(figure) for figure in figures],
    }
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_figures(path: str | Path) -> tuple[dict[str, Any], list[Figure]]:
    """A file of :func:`write_figures`: all that it holds, and its figures."""
    content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return content, [Figure(**figure) for figure in content["figures"]]
