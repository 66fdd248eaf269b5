"""What a recovery found, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lightning_gans.errors import UserError


class UnreadableRecovery(UserError, ValueError):
    """A file that is no recovery, or is not whole."""


@dataclass(frozen=True)
class Recovery:
    """The best code found for each of n images, with what it gives.

    ``images`` are the generator's images of ``codes``, and ``losses`` and ``reconstruction`` are
    those of these codes: all four belong together.

    Attributes:
        codes: (n, L), latents as the prior draws them.
        images: (n, *shape), generated from the codes.
        losses: (n,), total loss: reconstruction + weight · regulariser.
        reconstruction: (n,), the reconstruction loss alone.
        trace: (n, steps + 1), the chosen restart's total loss before each step and after the last;
            NaN after an early stop.
        restart: (n,), index of the chosen restart.
        dropped: (n,), how many restarts were lost to a loss or gradient that was not finite.
        indices: (n,), the position of each image in what was given to recover.
        seconds: time of the descent; of recoveries that are joined, the sum.
    """

    codes: Tensor
    images: Tensor
    losses: Tensor
    reconstruction: Tensor
    trace: Tensor
    restart: Tensor
    dropped: Tensor
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

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; it appears under its name only when it is whole."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            field.name: getattr(self, field.name).contiguous().cpu()
            for field in fields(self)
            if field.name != "seconds"
        }
        partial = path.with_name(path.name + ".part")
        save_file(tensors, partial, metadata={"seconds": repr(self.seconds)})
        partial.replace(path)

    @staticmethod
    def load(path: str | Path) -> Recovery:
        """Read what :meth:`save` wrote, on the CPU.

        Raises:
            FileNotFoundError: if there is no such file.
            UnreadableRecovery: if it is damaged or holds something else.
        """
        names = [field.name for field in fields(Recovery) if field.name != "seconds"]
        try:
            with safe_open(path, framework="pt") as file:
                seconds = float((file.metadata() or {})["seconds"])
                tensors = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, KeyError, ValueError) as error:
            raise UnreadableRecovery(
                f"{path} holds no recovery, or is not whole: {' '.join(str(error).split())}"
            ) from None
        return Recovery(seconds=seconds, **tensors)

    @staticmethod
    def join(parts: Sequence[Recovery]) -> Recovery:
        """Several as one, in the order of their images; seconds are added."""
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
