"""How long commands take to start: a wrong word, help, training to the end of an iteration.

Each is a process of its own, from its start; medians of several, in turns. The run is
``lightning-gans train model=dlsgan`` with its defaults, once as it is and once without the
evaluation that comes before the first iteration.

    python -m benchmarks.startup --rounds 5 --json startup.json
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Quiet, table, write_figures

COMMAND = [sys.executable, "-m", "lightning_gans"]
TRAIN = ["train", "model=dlsgan", "trainer.callbacks=benchmarks.startup.Leave"]
CASES = {
    "a wrong word": ["train", "modle=dlsgan"],
    "--help": ["--help"],
    "train --help": ["train", "--help"],
    "first iteration, no evaluation": [*TRAIN, "trainer.num_sanity_val_steps=0"],
    "first iteration, with evaluation": TRAIN,
}
# tells the process when it was started
STARTED = "BENCHMARK_STARTED"

if STARTED in os.environ:
    from lightning.pytorch import Callback

    class Leave(Callback):
        """Prints the seconds since the start once an iteration is over, and leaves."""

        def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
            print(f"seconds {time.time() - float(os.environ[STARTED])}", flush=True)
            os._exit(0)


def seconds(words: list[str]) -> float:
    """How long a command takes: to its end, or to where the callback leaves it."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
        variables = os.environ | {"PYTHONPATH": path, STARTED: str(time.time())}
        found = subprocess.run(
            [*COMMAND, *words],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.time() - float(variables[STARTED])
    lines = [line for line in found.stdout.splitlines() if line.startswith("seconds ")]
    if "trainer.callbacks=benchmarks.startup.Leave" in words and not lines:
        sys.exit(f"{' '.join(words)} did not train:\n{found.stderr}")
    return float(lines[-1].split()[1]) if lines else took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    quiet = Quiet()
    times: dict[str, list[float]] = {name: [] for name in arguments.only}
    # the first round reads the files from the disk
    for _ in range(arguments.rounds + 1):
        for name in arguments.only:
            times[name].append(seconds(CASES[name]))
    figures, rows = [], []
    for name, found in times.items():
        figures.append(Figure.of("start", "s", found[1:] or found, to=name))
        rows.append([name, figures[-1]])
    print(table(["from the start of the process to", "seconds"], rows))
    if arguments.json:
        write_figures(arguments.json, figures, quiet)


if __name__ == "__main__":
    main()
