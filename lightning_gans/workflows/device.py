"""Parsing the name of a device."""

from __future__ import annotations

import torch

from lightning_gans.errors import UsageError


def parse_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one, otherwise the CPU.

    Raises:
        UsageError: if there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(0, device=name).device
    # torch raises almost anything for a wrong name or a missing driver
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device={name}: expected auto, cpu or cuda; {reason}") from error
