"""What becomes of the output when nobody reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_gans.cli import CONFIGS


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
