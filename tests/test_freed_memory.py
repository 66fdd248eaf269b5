"""Memory that one iteration frees serves the next."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gans.data import Gaussians
from lightning_gans.models import CGPGAN
from tests.support.training import trainer


class Faults(Callback):
    """Counts the pages that the system had to clear for this process, after each iteration."""

    def __init__(self) -> None:
        self.after: list[int] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *_: object, **__: object
    ) -> None:
        self.after.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of another C library")
def test_an_iteration_asks_the_system_for_no_memory_that_the_last_one_had(tmp_path: Path) -> None:
    """The gradients of three million weights are 3,000 pages, of which a third came anew."""
    seen = Faults()
    model = CGPGAN((2,), 256, 16)
    trainer(tmp_path, seen, max_steps=40, log_every_n_steps=50).fit(
        model, Gaussians(train=1600, validation=16, batch_size=16)
    )
    assert (seen.after[-1] - seen.after[19]) / 20 < 100
