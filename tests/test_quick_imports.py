"""Imports that take less time leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from lightning_gans.quick_imports import quick_imports
from tests.support.command_line import ROOT

SCRIPT = """
import gc, sys, warnings
from lightning_gans.quick_imports import quick_imports
from lightning_gans.text import console
with console():
    with quick_imports():
        assert not gc.isenabled()
        assert "torchmetrics" in sys.modules and "scipy.signal" not in sys.modules
        import lightning_gans.cli.lightning
    # Lightning would write the path of each file of this package
    warnings.warn_explicit("skipped", UserWarning, lightning_gans.cli.lightning.__file__, 1)
assert gc.isenabled()
assert "lightning.fabric.utilities.warnings" in sys.modules
for late in ("scipy.signal", "scipy.stats", "wandb", "pandas", "gradio"):
    assert late not in sys.modules, late
import scipy.signal
assert scipy.signal.windows.hann(3).max() == 1
frozen = gc.get_freeze_count()
with quick_imports():
    assert gc.isenabled()
assert gc.get_freeze_count() == frozen > 0
"""


def test_a_command_imports_no_more_than_it_needs_and_leaves_all_as_it_was() -> None:
    # other packages open files without an encoding, which the suite's own setting would report
    environment = {**os.environ, "PYTHONWARNDEFAULTENCODING": ""}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == "warning: skipped\n"


def test_ctrl_c_while_a_library_is_imported_is_raised_once_it_is() -> None:
    before = signal.getsignal(signal.SIGINT)
    steps = []

    def imports() -> None:
        with quick_imports():
            signal.raise_signal(signal.SIGINT)
            steps.append("the rest of the import")

    with pytest.raises(KeyboardInterrupt):
        imports()
    assert steps == ["the rest of the import"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_program_imports_a_library_ends_it_at_once(number: signal.Signals) -> None:
    code = (
        "import signal, sys\n"
        "sys.modules['torchmetrics'] = sys\n"
        "from lightning_gans.quick_imports import as_program, quick_imports\n"
        "with as_program(), quick_imports():\n"
        f"    signal.raise_signal({int(number)})\n"
        "    print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (128 + number, "")
    assert done.stderr == f"stopped by {number.name}\n"
