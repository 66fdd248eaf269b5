"""Imports that take less time leave nothing behind."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, sys
from lightning_gans.quick_imports import quick_imports
with quick_imports():
    assert not gc.isenabled()
    assert "torchmetrics" in sys.modules and "scipy.signal" not in sys.modules
    import lightning_gans.cli.lightning
assert gc.isenabled()
for late in ("scipy.signal", "wandb", "pandas", "gradio"):
    assert late not in sys.modules, late
import scipy.signal
assert scipy.signal.windows.hann(3).max() == 1
frozen = gc.get_freeze_count()
with quick_imports():
    assert gc.isenabled()
assert gc.get_freeze_count() == frozen > 0
"""


def test_a_command_imports_no_more_than_it_needs_and_scipy_signal_works_later() -> None:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
