"""Where a run keeps what it makes: ``runs/<model>/<data>/<time>/``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from lightning_gans.errors import UsageError

ROOT = "runs"
CONFIG = "config.yaml"
# tells the folder to the processes that Lightning starts for other devices
VARIABLE = "LIGHTNING_GANS_RUN"


def new_run(names: Mapping[str, str], subcommand: str) -> Path:
    """A folder for a new run, named by the time; the same in all processes of the run."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    moment = time.strftime("%Y-%m-%d_%H-%M-%S")
    suffix = "" if subcommand == "fit" else f"_{subcommand}"
    parent = family(names)
    copies = 1
    while True:
        run = parent / (f"{moment}{suffix}" + (f"_{copies}" if copies > 1 else ""))
        try:
            # made at once: another run may start in the same second
            run.mkdir(parents=True)
        except FileExistsError:
            copies += 1
        else:
            return announce(run)


def announce(run: Path) -> Path:
    """Tell the run's folder to processes that this one starts."""
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
    found = [
        (path.parent.parent.name, int(path.stem.rpartition("=")[2]), path)
        for path in family(names).glob(f"*/checkpoints/{kind}-step=*.ckpt")
    ]
    if not found:
        raise UsageError(
            f"ckpt_path={kind}: there is no run with a checkpoint in {family(names)}; "
            "leave ckpt_path out to start one"
        )
    return max(found)[2]
