"""What a run that resumes does with the results that it made after its checkpoint."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from lightning_gans.runs.damaged import salvage_rows
from lightning_gans.runs.folder import PICTURES, checkpoints, step_of
from lightning_gans.runs.metrics_csv import FILE, drop_rows_after

_PICTURE = re.compile(r"[a-z_]+-step=([0-9]{1,18})\.png")


def drop_results_after(run: Path, step: int, measured_at: int | None) -> None:
    """Drop the rows, pictures and best checkpoints that a run made after a checkpoint.

    The resumed run makes them again; if its settings have changed, the old ones would be another
    run's.

    Args:
        run: the run's folder.
        step: the checkpoint's iterations.
        measured_at: the iterations at the last evaluation before the checkpoint was saved; if they
            differ from ``step``, an evaluation at that step is dropped too.
    """
    salvage_rows(run / FILE)
    drop_rows_after(run / FILE, step, measured=measured_at == step)
    later = [path for path in checkpoints(run, "best") if step_of(path) > step]
    for path in (run / PICTURES).glob("*-step=*.png"):
        match = _PICTURE.fullmatch(path.name)
        if match and int(match[1]) > step:
            later.append(path)
    for path in later:
        with contextlib.suppress(OSError):
            path.unlink()
