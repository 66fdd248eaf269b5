"""The SLURM job of this process. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from lightning_gans.errors import UsageError, UserError

# what launchers tell a process, of which Lightning makes numbers while it is imported
_NUMBERS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "SLURM_NTASKS")


class RequeueFailed(UserError, RuntimeError):
    """SLURM did not requeue the job."""


def check_launcher() -> None:
    """Check the variables by which a launcher numbers processes.

    Raises:
        UsageError: for one that is set to no number.
    """
    for name in _NUMBERS:
        value = os.environ.get(name, "0")
        if not (value.isascii() and value.isdigit()):
            raise UsageError(
                f"the environment has {name}={value!r:.60}: expected the whole number that a "
                f"launcher sets; without a launcher, unset it (unset {name})"
            )


def job() -> str | None:
    """The id of this SLURM job, or of its task in an array; None elsewhere."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID") or None


def step() -> str | None:
    """The id of this job step; None if there is none."""
    return os.environ.get("SLURM_STEP_ID")


def task() -> str | None:
    """The number of this process in its job step; None outside of SLURM."""
    return os.environ.get("SLURM_PROCID")


def job_step() -> str | None:
    """The name of a run's folder under SLURM, from job and step; None elsewhere."""
    if (name := job()) is None:
        return None
    return f"slurm-{name}" if (number := step()) is None else f"slurm-{name}.{number}"


def restarted() -> bool:
    """Whether the job was requeued."""
    return bool(os.environ.get("SLURM_RESTART_COUNT", "0").strip("0"))


def requeue(run: Path) -> str:
    """Put this job back into the queue; SLURM then ends it.

    Args:
        run: the folder of the run, for messages.

    Returns:
        The id of the job.

    Raises:
        RequeueFailed: if that is not possible.
    """
    name = job()
    if name is None:
        raise RequeueFailed("this is not a SLURM job: SLURM_JOB_ID is not set")
    import subprocess  # noqa: PLC0415  (not at the start of each command)

    try:
        done = subprocess.run(
            ["scontrol", "requeue", name],
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
        )
    except FileNotFoundError:
        reason = "scontrol is not installed on this node or in this container"
    else:
        if done.returncode == 0:
            return name
        reason = " ".join(done.stderr.split()) or f"scontrol ended with status {done.returncode}"
    raise RequeueFailed(
        f"the run is saved, but job {name} could not be requeued: {reason}; submit it again with "
        f"ckpt_path={run}"
    )
