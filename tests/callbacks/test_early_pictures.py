"""Pictures on the way to the first evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_gans.callbacks import EMA, Checkpoint, Evaluation, Pictures
from tests.support.training import Watch, data, points, trainer

pytestmark = pytest.mark.figures  # the pictures of points are compared


def train(folder: Path, first: int | None, steps: int, ckpt: str | None = None) -> Watch:
    watch = Watch()
    callbacks = [EMA(), Evaluation(), Pictures(samples=8, first=first), Checkpoint(every=3), watch]
    options = {"val_check_interval": 12, "max_epochs": -1, "check_val_every_n_epoch": None}
    runner = trainer(folder, *callbacks, max_steps=steps, num_sanity_val_steps=-1, **options)
    runner.fit(points(), data(), ckpt_path=ckpt, weights_only=True)
    return watch


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "images").iterdir()}


@pytest.mark.parametrize("stopped_at", [1, 5, 6])
def test_a_resumed_run_has_the_first_pictures_of_one_that_was_not_stopped(
    stopped_at: int, tmp_path: Path
) -> None:
    train(tmp_path / "whole", 2, 14)
    train(tmp_path / "parts", 2, stopped_at)
    last = tmp_path / "parts" / "checkpoints" / f"last-step={stopped_at}.ckpt"
    train(tmp_path / "parts", 2, 14, str(last))
    whole = pictures(tmp_path / "whole")
    assert sorted(whole) == [f"samples-step={n}.png" for n in (0, 12, 2, 4, 8)]
    assert pictures(tmp_path / "parts") == whole


def test_the_first_pictures_change_nothing_in_training(tmp_path: Path) -> None:
    with_them, without = train(tmp_path / "a", 2, 10), train(tmp_path / "b", None, 10)
    assert sorted(pictures(tmp_path / "b")) == ["samples-step=0.png"]
    for one, other in zip(with_them.after, without.after, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)
