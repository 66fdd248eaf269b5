"""What a job knows of SLURM, and asks it; nothing heavy is imported."""

from __future__ import annotations

import os
import subprocess

from lightning_gans.errors import UserError


class RequeueFailed(UserError, RuntimeError):
    """SLURM could not be asked, or refused."""


def job() -> str | None:
    """What SLURM calls this job, or task of an array; None elsewhere."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID")


def step() -> str | None:
    """Which of its job's steps this is; None where the job has none."""
    return os.environ.get("SLURM_STEP_ID")


def restarted() -> bool:
    """Whether the job was requeued and runs once more."""
    return bool(os.environ.get("SLURM_RESTART_COUNT", "0").strip("0"))


def requeue() -> str:
    """Put this job back into the queue; SLURM then ends it.

    Returns:
        The job.

    Raises:
        RequeueFailed: if that is not possible.
    """
    name = job()
    if name is None:
        raise RequeueFailed("this is no job of SLURM: there is no SLURM_JOB_ID")
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
