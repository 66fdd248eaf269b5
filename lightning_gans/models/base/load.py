"""Trained models back from their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from lightning_gans.models.base.model import Model
from lightning_gans.models.base.restore import restore
from lightning_gans.runs.checkpoints import find, read
from lightning_gans.trust import trusting


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    *,
    trust: str | Sequence[str] = (),
    **arguments: object,
) -> Model:
    """A trained model, in eval mode, with the averaged weights.

    The file is read as data: no code in it is run. Of the classes that it names only this package's
    own are built, and those of modules that you trust by name.

    Args:
        path: a checkpoint, or a run's folder, whose newest checkpoint is taken.
        device: where to put the model.
        trust: modules of your own whose classes the checkpoint may name, with their submodules,
            such as "my.networks".
        arguments: constructor arguments to use instead of the saved ones; needed for what could
            not be saved, such as a network given as a lambda.

    Raises:
        UserError: if something could not be saved and is not given.
        Untrusted: if the file names a class of a module that is not trusted.
        CheckpointMissing: if there is no such file, or no checkpoint in the folder.
        UnreadableCheckpoint: if the file is damaged or holds no model of this package.

    Example::

        model = lightning_gans.load("runs/dlsgan/mnist5k/2026-11-21_10-00-00")
        z = model.encode(x)        # images (n, 1, 32, 32) in [-1, 1] to latents
        y = model.decode(z)        # and back
    """
    file = find(Path(path))
    with trusting(trust):
        return restore(read(file), file, **arguments).eval().to(device)
