"""Run all benchmarks, collect their figures in one file, and write the tables of a page.

    python -m benchmarks                          (all parts; at most 15 minutes; ``make bench``)
    python -m benchmarks --only floor,scaling     (the other parts keep their figures)
    python -m benchmarks --only ""                (measures nothing, and writes the page again)

Each part is a script of its own, which prints tables and writes its figures as JSON. Its tables are
written to docs/performance.md between two markers; everything else on the page stays. A part that
would not end within the remaining time is left out, and a part during which other processes used
much of the machine says so.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measuring import BUSY, Quiet, machine

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
FIGURES = ROOT / "docs" / "performance.json"
END = "<!-- end of the part -->"


@dataclass(frozen=True)
class Part:
    """One benchmark.

    Args:
        name: for ``--only`` and the markers of the page.
        script: the module that is run, with its arguments.
        seconds: that it takes on two quiet cores of 2023, about.
        measures: whether it measures; others read the file of figures.
        times: whether it measures times, which other processes make longer.
    """

    name: str
    script: str
    seconds: int
    measures: bool = True
    times: bool = True


PARTS = (
    Part("floor", "benchmarks.floor", 50),
    Part("scaling", "benchmarks.scaling", 85),
    Part("processes", "benchmarks.processes", 130),
    Part("thin", "benchmarks.thin_networks --thin", 40),
    Part("neighbours", "benchmarks.neighbours", 135, times=False),
    Part("iteration", "benchmarks.iteration_time --threads 1 2", 100),
    Part("evaluation", "benchmarks.evaluation_time", 50),
    Part("recover", "benchmarks.recover --images 4 64 --steps 100 20 --threads 2 --sizes", 100),
    Part("metrics", "benchmarks.metrics_at_scale --samples 5000 --root 0", 45),
    Part("memory", "benchmarks.memory", 45, times=False),
    Part("startup", "benchmarks.startup --rounds 3", 50),
    Part("loading", "benchmarks.loading", 10),
    Part("loaders", "benchmarks.loaders", 15),
    Part("ood", "benchmarks.ood", 15),
    Part("distances", "benchmarks.distances", 10),
    Part("growth", f"benchmarks.growth {FIGURES}", 20, measures=False, times=False),
)


def run(part: Part, limit: float, prefix: Sequence[str]) -> dict[str, Any]:
    """What a part printed and wrote.

    Args:
        part: to run.
        limit: seconds, after which it is stopped.
        prefix: a command that starts it, such as ``taskset -c 0``.
    """
    module, *arguments = shlex.split(part.script)
    quiet = Quiet()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "figures.json")
        options = ["--json", str(file)] if part.measures else []
        command = [*prefix, sys.executable, "-m", module, *arguments, *options]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"it took longer than {limit:.0f} s"}
        if done.returncode:
            print(done.stderr[-3000:], file=sys.stderr)
            return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {
        "times": part.times,
        "tables": tables(done.stdout),
        "content": content,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "quiet": content.get("quiet") or quiet.report(),
    }


def tables(text: str) -> str:
    """The tables in Markdown of what a script printed, and the lines between them."""
    lines = [line.rstrip() for line in text.splitlines()]
    # a rule needs an empty line before its table and after it
    spaced = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|") != before.startswith("|") and before and line:
            spaced.append("")
        spaced.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(spaced)).strip()


def block(name: str, result: dict[str, Any]) -> str:
    """The text of a part on the page, between its markers."""
    if "failed" in result:
        return f"Not measured: {result['failed']}."
    quiet = result["quiet"]
    said = f"`python -m benchmarks --only {name}`, {result['date']}, {quiet['seconds']:.0f} s."
    if result["times"] and quiet["others"] > BUSY:
        said += (
            f" **The machine was not quiet**: other processes used {100 * quiet['others']:.0f} % "
            "of its cores, so that times are too long; ratios suffer less."
        )
    return f"{result['tables']}\n\n{said}"


def rewritten(page: str, content: dict[str, Any]) -> str:
    """The page with the blocks of all parts of the file.

    Raises:
        SystemExit: if the page lacks the markers of a part.
    """
    about = content["machine"]
    parts = {"machine": described(about)}
    parts |= {name: block(name, found) for name, found in content["parts"].items()}
    for name, text in parts.items():
        begin = f"<!-- part: {name} -->"
        before, found, rest = page.partition(begin)
        _, end, after = rest.partition(END)
        if not found or not end:
            sys.exit(f"expected the lines '{begin}' and '{END}' in the page; put them back")
        page = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return page


def described(about: dict[str, Any]) -> str:
    """The machine in one sentence."""
    versions = ", ".join(f"{n} {about[n]}" for n in ("python", "torch", "lightning", "numpy"))
    return (
        f"Measured on {about['cores']} cores of {about['cpu']} ({about['instructions']}) "
        f"with {about['memory_gb']:.0f} GB of memory; {versions}."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts; return the number of those that failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [part.name for part in PARTS]
    parser.add_argument("--only", help=f"parts, separated by commas: {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=900, help="of all parts together")
    parser.add_argument("--json", type=Path, default=FIGURES, help="the file of all figures")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--prefix", default="", help="a command that starts each part")
    given = parser.parse_args(argv)
    chosen = names if given.only is None else [name for name in given.only.split(",") if name]
    for name in chosen:
        if name not in names:
            parser.error(f"no part '{name}'; choose from {', '.join(names)}")
    start, failed = time.perf_counter(), 0
    content: dict[str, Any] = {"machine": {}, "parts": {}}
    if given.json.is_file():
        content = json.loads(given.json.read_text(encoding="utf-8"))
    for part in PARTS:
        if part.name not in chosen:
            continue
        left = given.seconds - (time.perf_counter() - start)
        print(f"{part.name}: about {part.seconds} s", file=sys.stderr, flush=True)
        if part.seconds > left:
            result = {"failed": f"{left:.0f} s were left of {given.seconds:.0f} s"}
        else:
            # a slower machine may take twice as long, but not the time of all others
            result = run(part, min(left, 2 * part.seconds + 30), shlex.split(given.prefix))
        if "failed" in result:
            failed += 1
            print(f"{part.name}: {result['failed']}", file=sys.stderr, flush=True)
            if part.name in content["parts"]:
                continue  # its earlier figures are better than none
        content["parts"][part.name] = result
        content["machine"] = machine()
        # at once, so that nothing is lost if a later part is interrupted
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    content["machine"] = content["machine"] or machine()
    page = given.page.read_text(encoding="utf-8")
    given.page.write_text(rewritten(page, content), encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
