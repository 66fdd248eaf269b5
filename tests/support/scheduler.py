"""A SLURM job without a cluster."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest


def fake_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> Path:
    """Set a job's variables and put an ``scontrol`` on the path.

    Returns the file to which it writes what it is asked.
    """
    asked = folder / "asked"
    script = folder / "bin" / "scontrol"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >> {asked}\necho no such job >&2\nexit {status}\n')
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    return asked
