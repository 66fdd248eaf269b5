"""What becomes of the output when nobody reads it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_gans.cli import CONFIGS
from tests.support.command_line import MLP


def run(words: list[str], stdout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lightning_gans", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CONFIGS.parent)},
        check=False,
    )


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["invert", "--help"]])
def test_a_reader_that_has_gone_is_no_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run(words, writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_under_the_output_is_one_line() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = run(["--help"], full.fileno())
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: [Errno 28] No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_of_three_thousand_iterations_is_a_short_log_without_chatter(tmp_path: Path) -> None:
    words = ["train", "model=dlsgan", *MLP, "trainer.enable_progress_bar=true"]
    words += ["trainer.max_steps=3000", "trainer.val_check_interval=1000"]
    words += ["evaluation.features=null", "trainer.log_every_n_steps=50", "pictures.first=null"]
    with (tmp_path / "log").open("w+b") as log:
        subprocess.run(
            [sys.executable, "-m", "lightning_gans", *words],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(CONFIGS.parent)},
            cwd=tmp_path,
            check=True,
        )
    text = (tmp_path / "log").read_text(encoding="utf-8")
    # one of the options that tests have is typed again
    lines = [line for line in text.splitlines() if not line.startswith("note: ")]
    assert lines[0].startswith("run: runs/dlsgan/gaussians/")
    assert len(lines) <= 200
    assert not set("\r\x1b") & set(text)
    chatter = r"litlogger|Tip|available|Seed set|Restor|log_every_n_steps|deprecat|Warning|stopped"
    assert not re.findall(chatter, "\n".join(lines))
    assert [n for n in lines if n.startswith("evaluation at iteration 2,000, latent/loss ")]
    told = [line for line in lines if line]
    assert len(told) == len(set(told))
    assert lines[-1].startswith("  lightning-gans train ckpt=runs/dlsgan/gaussians/")
    assert lines[-1].endswith(" trainer.max_steps=6000")
