"""Checkpoint files as a whole, in the run's own folder."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from typing_extensions import Buffer, override

from lightning_gans.runs.atomic import replacing


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its final name and renames it when it is complete.

    Lightning's writes it to the system's temporary folder first, which may be full although the
    run's disk has room.
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            Unwritable: if the operating system does not let the file be written.
        """
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with replacing(Path(path)) as temporary:
            write(checkpoint, temporary)


def write(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint to a new file.

    Raises:
        OSError: if the operating system does not let it be written; torch's own writer hides why.
    """
    with path.open("xb") as file:
        noted = _Noted(file)
        try:
            torch.save(checkpoint, cast(IO[bytes], noted))
        except RuntimeError as error:
            if noted.error is None:
                raise
            raise noted.error from error


class _Noted:
    """A file that remembers the first error, of which torch's writer in C++ raises another."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, content: Buffer) -> int:
        try:
            return self.file.write(content)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()
