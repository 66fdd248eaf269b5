"""Rewrite tests/fixtures/reference_curves.json after an intended change of training.

python -m scripts.reference_curves [CONFIG ...]    without names: every config in configs/model
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

import torch

from tests.support.reference_curves import FILE, RUNS, curve


def main(names: list[str]) -> None:
    """Train the named configs and replace their curves."""
    torch.set_num_threads(1)
    curves = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    for name in names or RUNS:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            curves[name] = curve(name)
            os.chdir(FILE.parent)
    lines = [f"{json.dumps(name)}: {json.dumps(curves[name])}" for name in RUNS]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
