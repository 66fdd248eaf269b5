"""GANs and their inversions on PyTorch Lightning.

Importing the package imports nothing heavy, so that a command line can be checked at once;
``load`` and the rooms (``models``, ``networks``, ``priors``, ...) are found when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_gans.models.base.load import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "load":
        from lightning_gans.models.base.load import load  # noqa: PLC0415  (torch takes seconds to import)

        return load
    raise AttributeError(f"module 'lightning_gans' has no attribute {name!r}")
