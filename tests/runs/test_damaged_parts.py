"""Checkpoints with damaged or missing parts: one line that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.runs.checkpoint_format import stamp
from lightning_gans.runs.checkpoints import PARTS, UnreadableCheckpoint, check_parts
from tests.support.training import data, points, trainer

Saved = dict[str, Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp("run")
    trainer(folder, EMA(), Checkpoint(), max_steps=3).fit(points(), data())
    content: Saved = torch.load(folder / "checkpoints" / "last-step=3.ckpt", weights_only=True)
    return content


def resume(path: Path) -> None:
    trainer(path.parent.parent, EMA(), Checkpoint(), max_steps=5).fit(
        points(), data(), ckpt_path=path
    )


def damaged(saved: Saved, folder: Path, change: Callable[[Saved], object]) -> Path:
    path = folder / "checkpoints" / "last-step=3.ckpt"
    path.parent.mkdir()
    torch.save(saved, path)
    content = torch.load(path, weights_only=True)
    change(content)
    stamp(content)
    torch.save(content, path)
    return path


# Lightning itself looks for its version before anything can be checked
@pytest.mark.parametrize("part", [part for part in PARTS if "version" not in part])
def test_a_part_that_is_missing_is_named(part: str, saved: Saved, tmp_path: Path) -> None:
    path = damaged(saved, tmp_path, lambda content: content.pop(part))
    content = path.read_bytes()
    with pytest.raises(UnreadableCheckpoint, match=rf"checkpoints/last-step=3.ckpt.*{part}"):
        resume(path)
    assert path.read_bytes() == content


def test_the_version_is_looked_for_before_lightning_does(saved: Saved) -> None:
    without = {key: value for key, value in saved.items() if "version" not in key}
    with pytest.raises(UnreadableCheckpoint, match=r"a\.ckpt lacks pytorch-lightning_version"):
        check_parts(without, "a.ckpt")


STEPS = "epoch_loop.manual_optimization.optim_step_progress"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["loops"]["fit_loop"].pop(STEPS),
            "3 iterations, and its loops count None",
        ),
        (lambda c: c.update(global_step=400), "is of 400 iterations, and its loops count 3"),
        (lambda c: c["optimizer_states"].pop(), "has 1 optimizer states, the model has 2"),
        (lambda c: c["optimizer_states"][0]["param_groups"].clear(), "state of optimizer 0"),
        (lambda c: c["random"][0].update(own=torch.zeros(3, dtype=torch.uint8)), "random generat"),
        (lambda c: c["random"][0].pop("torch"), "random generators cannot be restored"),
        (lambda c: c["callbacks"]["Evaluation"].update(measured_at="x"), "measured_at to be a c"),
    ],
)
def test_a_damaged_part_is_one_line_with_the_files_path(
    change: Callable[[Saved], object], message: str, saved: Saved, tmp_path: Path
) -> None:
    if "measured_at" in message:
        saved = {**saved, "callbacks": {**saved["callbacks"], "Evaluation": {"measured_at": 3}}}
    path = damaged(saved, tmp_path, change)
    with pytest.raises(UnreadableCheckpoint, match=message) as caught:
        resume(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
