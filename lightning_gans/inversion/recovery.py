"""The result of a recovery, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lightning_gans.errors import UserError
from lightning_gans.files import check_regular
from lightning_gans.runs.atomic import replacing

# what version 0.1 called a field
FORMER_NAMES = {"diverged": "dropped"}


class UnreadableRecovery(UserError, ValueError):
    """A file that holds no recovery, or is incomplete."""


@dataclass(frozen=True)
class Recovery:
    """The best code found for each of n images.

    ``codes``, ``images``, ``losses`` and ``reconstruction`` belong together: the images are those
    that the generator makes from the codes, and the losses are those of the codes.

    Attributes:
        codes: (n, L), latents as the prior draws them.
        images: (n, *shape), generated from the codes.
        losses: (n,), total loss: reconstruction + weight · regulariser.
        reconstruction: (n,), the reconstruction loss alone.
        trace: (n, steps + 1), the chosen restart's total loss before each step and after the last;
            NaN after an early stop.
        restart: (n,), index of the chosen restart.
        diverged: (n,), how many restarts reached a non-finite loss or gradient.
        indices: (n,), the position of each image in what was given to recover.
        seconds: duration of the descent; the sum for recoveries that are joined.
    """

    codes: Tensor
    images: Tensor
    losses: Tensor
    reconstruction: Tensor
    trace: Tensor
    restart: Tensor
    diverged: Tensor
    indices: Tensor
    seconds: float

    def __len__(self) -> int:
        return len(self.codes)

    def where(self, keep: Tensor) -> Recovery:
        """The images for which ``keep``, (n,) of bool, is true."""
        return Recovery(
            seconds=self.seconds,
            **{
                field.name: getattr(self, field.name)[keep]
                for field in fields(self)
                if field.name != "seconds"
            },
        )

    def tensors(self) -> dict[str, Tensor]:
        """All fields but the duration, by name, on the CPU."""
        names = [field.name for field in fields(self) if field.name != "seconds"]
        return {name: getattr(self, name).contiguous().cpu() for name in names}

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; it gets its name only once it is complete.

        Raises:
            Unwritable: if the operating system does not let it be written.
        """
        with replacing(Path(path)) as new:
            save_file(self.tensors(), new, metadata={"seconds": repr(self.seconds)})

    @staticmethod
    def load(path: str | Path) -> Recovery:
        """Read what :meth:`save` wrote, on the CPU.

        Raises:
            FileNotFoundError: if there is no such file.
            UnreadableRecovery: if it is damaged or holds something else.
        """
        names = [field.name for field in fields(Recovery) if field.name != "seconds"]
        try:
            check_regular(path)
            with safe_open(path, framework="pt") as file:
                seconds = float((file.metadata() or {})["seconds"])
                there = set(file.keys())
                tensors = {
                    name: file.get_tensor(name if name in there else FORMER_NAMES.get(name, name))
                    for name in names
                }
        except (SafetensorError, KeyError, ValueError) as error:
            raise UnreadableRecovery(
                f"{path} holds no recovery, or is incomplete: {' '.join(str(error).split())}"
            ) from None
        return Recovery(seconds=seconds, **tensors)

    @staticmethod
    def join(parts: Sequence[Recovery]) -> Recovery:
        """Join several into one, in the order of their images; seconds are added."""
        joined = {
            field.name: torch.cat([getattr(part, field.name) for part in parts])
            for field in fields(Recovery)
            if field.name != "seconds"
        }
        order = joined["indices"].argsort()
        return Recovery(
            seconds=sum(part.seconds for part in parts),
            **{name: values[order] for name, values in joined.items()},
        )
