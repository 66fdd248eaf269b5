"""What a run is trained with: versions, system and CPUs. Imports nothing heavy."""

from __future__ import annotations

import os
import platform

from lightning_gans import __version__

# packages whose versions change results or speed
PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "numpy")


def environment() -> dict[str, str]:
    """Names and versions, as texts. Nothing names the machine or its user."""
    # takes a twentieth of a second, and each command imports this module
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  (as said above)

    found = {"lightning_gans": __version__, "Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    found["system"] = f"{platform.system()} {platform.machine()}".strip()
    found["CPUs"] = str(os.cpu_count() or "unknown")
    return found
