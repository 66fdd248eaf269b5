"""Asks SLURM to run a job once more."""

from __future__ import annotations

import os
import subprocess

from lightning_gans.errors import UserError


class RequeueFailed(UserError, RuntimeError):
    """SLURM could not be asked, or refused."""


def job() -> str:
    """What SLURM calls this job; of an array, the task.

    Raises:
        KeyError: outside of SLURM.
    """
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ["SLURM_JOB_ID"]


def requeue() -> str:
    """Put this job back into the queue; SLURM then ends it.

    Returns:
        The job.

    Raises:
        RequeueFailed: if that is not possible.
    """
    name = job()
    try:
        done = subprocess.run(
            ["scontrol", "requeue", name], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        reason = "there is no scontrol on this node, or in this container"
    else:
        if done.returncode == 0:
            return name
        reason = " ".join(done.stderr.split()) or f"scontrol ended with status {done.returncode}"
    raise RequeueFailed(
        f"the run is saved, but job {name} could not be requeued: {reason}; submit it again with "
        "ckpt_path=last"
    )
