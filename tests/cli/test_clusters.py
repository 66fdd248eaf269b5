"""The command line on a cluster: processes that end, and jobs that are stopped and requeued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.runs.folder import newest
from tests.support.command_line import MLP, ROOT, only, rows
from tests.support.scheduler import fake_slurm

# seconds in which a process must end after the other one; gloo notices at once
LIMIT = 60


def start(folder: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "model=gan", *MLP, *argv],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.fail(process.stderr.read()[-2000:])
        time.sleep(0.1)


def trains(folder: Path) -> bool:
    return any(
        len(file.read_text().splitlines()) > 20 for file in folder.glob("runs/*/*/*/metrics.csv")
    )


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux which processes live")
@pytest.mark.slow
@pytest.mark.parametrize("killed", ["first", "second"])
def test_when_a_process_ends_the_other_ends_with_one_line(killed: str, tmp_path: Path) -> None:
    process = start(tmp_path, "trainer.devices=2", "trainer.max_steps=1000000")
    wait_until(process, lambda: trains(tmp_path))
    (second,) = children(process.pid)
    moment = time.monotonic()
    os.kill(process.pid if killed == "first" else second, signal.SIGKILL)
    stderr = process.communicate(timeout=LIMIT)[1]  # of both: it ends when both have ended
    while alive(second):
        assert time.monotonic() - moment < LIMIT
        time.sleep(0.1)
    assert time.monotonic() - moment < LIMIT
    assert process.returncode == (-signal.SIGKILL if killed == "first" else 1)
    (error,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: another process of this run ended, or did not respond in time")
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_lightning_16639_a_requeued_job_resumes_in_its_folder_with_the_same_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["model=gan", *MLP, "trainer.max_steps=600"])
    asked = fake_slurm(tmp_path, monkeypatch)
    for name in ("PROCID", "LOCALID", "NODEID", "RESTART_COUNT"):
        monkeypatch.setenv(f"SLURM_{name}", "0")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    argv = ("trainer.max_steps=600", "data.seed=0")
    folder = tmp_path / "job"
    folder.mkdir()
    process = start(folder, *argv)
    wait_until(process, lambda: trains(folder))
    process.send_signal(signal.SIGUSR1)
    assert process.wait(LIMIT) == 128 + signal.SIGUSR1
    assert asked.read_text() == "requeue 123\n"
    run = only(folder / "runs" / "gan" / "gaussians")
    assert run.name == "slurm-123"
    path = newest(run)
    assert path is not None
    assert "step=600" not in path.name

    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = start(folder, *argv)
    assert again.wait(180) == 0
    assert only(folder / "runs" / "gan" / "gaussians") == run
    trained = [row["step"] for row in rows(run) if row["generator/adversarial"]]
    assert trained == [str(step) for step in range(1, 601)]
    states = [
        torch.load(found, weights_only=True)["state_dict"]
        for found in (newest(run), newest(only(tmp_path / "runs" / "gan" / "gaussians")))
        if found is not None
    ]
    assert len(states) == 2
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    assert lightning_gans.load(run).prior.dim == lightning_gans.load(path).prior.dim
