"""Models in the folders of runs, without a training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_gans.cli import main
from lightning_gans.models import Model
from tests.support.rounds import trainer


def save(model: Model, run: Path) -> Path:
    """The folder of a run whose one checkpoint holds a model."""
    made = trainer()
    made.strategy.connect(model)
    made.save_checkpoint(run / "checkpoints" / "last-step=1.ckpt")
    return run


def spread(model: Model, seed: int = 0, std: float = 0.5) -> Model:
    """A model with weights that make images differ."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return model


def status_of(words: list[str]) -> int:
    """The exit status of a command."""
    try:
        main(words)
    except SystemExit as exit_:
        return int(str(exit_.code))
    return 0


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and the one line of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(words)
    said = capsys.readouterr().err
    assert said.startswith("error: "), said
    assert said.count("\n") == 1, said
    return int(str(caught.value.code)), said
