"""Which checkpoint a path means, which one is the best, and what of it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import lightning_gans
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.errors import UserError
from lightning_gans.runs.checkpoints import (
    CheckpointMissing,
    UnreadableCheckpoint,
    averaged,
    find,
    read,
)
from lightning_gans.runs.folder import newest, step_of
from tests.support.training import data, points, trainer


class Score(Callback):
    """Logs given values, one a validation."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = iter(values)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("psnr/real", next(self.values))


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("max", [3.0, 5.0, 4.0], 4),
        ("min", [5.0, 3.0, 4.0], 4),
        ("max", [float("nan"), 2.0, float("nan")], 4),
        ("max", [2.0, 2.0, 2.0], 2),
    ],
)
def test_the_best_is_the_least_or_the_greatest(
    mode: Literal["min", "max"], values: list[float], best: int, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(100, "psnr/real", mode)
    options = {"max_steps": 6, "val_check_interval": 2}
    trainer(tmp_path, Score(values), checkpoint, **options).fit(points(), data())
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {f"best-step={best}.ckpt", "last-step=6.ckpt"}
    assert checkpoint.best == values[best // 2 - 1]


def test_a_metric_that_is_not_measured_makes_no_best(tmp_path: Path) -> None:
    callbacks = (Score([1.0, 2.0]), Checkpoint(100, "fid"))
    trainer(tmp_path, *callbacks, max_steps=4, val_check_interval=2).fit(points(), data())
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last-step=4.ckpt"]


def test_a_mode_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="mode: expected one of min, max, got higher"):
        Checkpoint(mode="higher")  # type: ignore[arg-type]  # on purpose


def test_a_folder_means_its_newest_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("last-step=9.ckpt", "last-step=10.ckpt", "best-step=11.ckpt", "last-step=12.part"):
        torch.save({}, folder / name)
    expected = folder / "last-step=10.ckpt"
    assert newest(tmp_path / "run") == expected
    assert find(tmp_path / "run") == find(folder) == find(expected) == expected
    assert step_of(expected) == 10
    with pytest.raises(CheckpointMissing, match=r"it is no run's folder; those .* such as .*/run"):
        find(tmp_path)
    with pytest.raises(UserError, match="nowhere: it does not exist"):
        find(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"broken", b"", b"\x80\x02}q\x00.", b"cos\nsystem\n."])
def test_whatever_is_no_checkpoint_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    path.write_bytes(content)
    with pytest.raises(UnreadableCheckpoint, match=r"^[^\n]*file\.ckpt (cannot|holds)[^\n]*$"):
        read(path)


def test_other_peoples_checkpoints_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    others: list[Any] = [[1, 2], {"state_dict": {}}, {"hyper_parameters": {"lr": 1.0}}]
    for content in others:
        torch.save(content, path)
        with pytest.raises(UnreadableCheckpoint, match="holds no model of lightning_gans"):
            read(path)


def test_averages_take_the_place_of_parameters_and_only_of_those() -> None:
    old, new, buffer = torch.zeros(2), torch.ones(2), torch.full((2,), 5.0)
    weights = {"a": old, "b": buffer}
    checkpoint = {"state_dict": weights, "callbacks": {"EMA": {"average": {"a": new}}}}
    found = averaged(checkpoint)
    assert found["a"] is new
    assert found["b"] is buffer
    assert averaged({"state_dict": weights}) == weights
    assert weights["a"] is old


def test_the_averages_of_a_subclass_are_found_too(tmp_path: Path) -> None:
    class Slower(EMA):
        """Another one's average."""

    ema = Slower(0.8, warmup=None)
    trainer(tmp_path, ema, Checkpoint(), max_steps=4).fit(points(), data())
    loaded = dict(lightning_gans.load(tmp_path).named_parameters())
    for name, value in ema.average.items():
        assert torch.equal(loaded[name], value)
