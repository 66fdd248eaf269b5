"""Commands of an item that run in this process, and items of a few iterations."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from lightning_gans.cli import main
from lightning_gans.runs.layout import VARIABLE

TINY = """
title: A few iterations on four clusters
source: {document: thesis, place: Figure 900}
about: Only a test.
trainings:
  gan: model=dlsgan model.latent_dim=8
  cgpgan: model=cgpgan model.warmup=2
profiles:
  cpu:
    network: one layer of 8
    iterations: 8
    samples: 200 points
    minutes: 0.1
    seeds: 2
    values: {points: 200}
    words: >
      data=gaussians data.train=320 data.validation=64 model.generator.width=8
      model.discriminator.width=8 model.generator.depth=1 model.discriminator.depth=1
      trainer.accelerator=cpu trainer.enable_progress_bar=false trainer.max_steps={iterations}
      trainer.num_sanity_val_steps=0 trainer.val_check_interval={iterations}
      checkpoint.every=2 pictures.samples=4
measures:
  - evaluation: [gan]
    names: [latent.loss]
  - function: lightning_gans.reproduce.clusters.assignment
    of: [cgpgan]
    arguments: {points: "{points}"}
    names: [categories, entropy]
pictures:
  - name: points
    function: lightning_gans.reproduce.clusters.draw
    of: [cgpgan]
    text: Points
published: {cgpgan.categories: 4}
claims:
  - text: There are categories.
    holds: cgpgan.categories >= 0
    exact: true
  - text: The encoder of the GAN is poor.
    holds: gan.latent.loss > cgpgan.entropy
"""


def write_item(text: str = TINY, name: str = "thesis_figure_900") -> str:
    """Write an item to ./configs, where a person's own are; its ID."""
    folder = Path("configs", "reproduce")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return name.replace("_", "-")


class InProcess:
    """Runs commands in this process, which need not import torch again.

    Args:
        before: is called with the words of each command that runs.
    """

    def __init__(self, before: Callable[[Sequence[str]], None] = lambda words: None) -> None:
        self.before = before
        self.ran: list[list[str]] = []

    def run(self, words: Sequence[str], folder: Path | None = None) -> int:
        """Run a command; its exit status."""
        self.ran.append([*words])
        self.before(words)
        if folder is not None:
            os.environ[VARIABLE] = str(folder)
        try:
            return status_of(words)
        finally:
            os.environ.pop(VARIABLE, None)

    def output(self, words: Sequence[str]) -> str | None:
        """What a command prints; None if it fails."""
        with redirect_stdout(io.StringIO()) as text:
            status = status_of(words)
        return text.getvalue() if status == 0 else None


def status_of(words: Sequence[str]) -> int:
    """The exit status of a command line."""
    try:
        main([*words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
