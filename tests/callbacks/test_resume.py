"""Runs that are killed, told to stop, or requeued resume as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessException

from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.callbacks.signals import StoppedBySignal
from lightning_gans.data import Gaussians
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.models import CGPGAN, PVDGAN, Model
from lightning_gans.networks import DiscriminatorOutput, MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.runs.folder import newest
from tests.support.processes import several
from tests.support.scheduler import fake_slurm
from tests.support.training import Weights, data, points, trainer

STEPS = 23
PER_EPOCH = 5  # so that most iterations are within an epoch


class Forgetful(nn.Module):
    """A discriminator with dropout, which draws from torch's own stream."""

    def __init__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3)
        self.rest = MLPDiscriminator(image_shape, scores, code_dim, width=8, depth=1)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = self.rest(self.drop(x))
        return output


class Kill(Callback):
    """Ends its process as the system does when memory runs out, between two turns."""

    def __init__(self, iteration: int, number: int = signal.SIGKILL) -> None:
        self.iteration, self.number = iteration, number

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        last = optimizer is trainer.optimizers[1]
        if last and trainer.global_step + 1 == self.iteration:
            os.kill(os.getpid(), self.number)


def pvdgan() -> Model:
    return PVDGAN((2,), 3, partial(MLPGenerator, width=8, depth=1), Forgetful, optimizer=decaying)


def cgpgan() -> Model:
    return CGPGAN(
        (2,),
        3,
        4,
        1,
        partial(MLPGenerator, width=8, depth=1),
        Forgetful,
        optimizer=decaying,
        warmup=8,
    )


decaying = partial(AdamW, lr=0.01, epoch_decay=0.9)


def fit(
    rank: int,
    processes: int,
    make: Callable[[], Model],
    folder: Path,
    *callbacks: Callback,
    go_on: bool = False,
    rows: int = 8,
    steps: int = STEPS,
    **options: Any,
) -> dict[str, Tensor]:
    """What training ends with: weights, buffers, averages, optimisers."""
    os.environ["PL_GLOBAL_SEED"] = "5"
    torch.manual_seed(rank)
    model, ema = make(), EMA(0.9)
    saves = options.pop("saves", Checkpoint(every=3))
    if processes > 1:
        options |= {"strategy": GANDDP(), "devices": processes}
    run = trainer(folder, *callbacks, ema, saves, max_steps=steps, logger=False, **options)
    data = Gaussians(train=PER_EPOCH * 8 + 3, validation=4, batch_size=rows // processes)
    run.fit(model, data, ckpt_path=newest(folder) if go_on else None)
    states = [o.state_dict()["state"] for o in run.optimizers]
    moments = {
        f"{i}.{p}.{key}": torch.as_tensor(value)
        for i, state in enumerate(states)
        for p, entry in state.items()
        for key, value in entry.items()
    }
    averages = {f"average.{name}": value for name, value in ema.average.items()}
    return {**model.state_dict(), **moments, **averages}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("make", [pvdgan, cgpgan])
def test_a_killed_run_ends_as_if_it_had_not_been(
    make: Callable[[], Model], processes: int, tmp_path: Path
) -> None:
    whole = several(processes, partial(fit, make=make, folder=tmp_path / "whole"), tmp_path / "a")
    moments = random.Random(processes).sample(range(4, STEPS), 3)
    for number, iteration in enumerate(sorted(moments)):

        def killed(rank: int, count: int, iteration: int = iteration, go_on: bool = True) -> Any:
            # the one that goes is not always the first
            deadly = [Kill(iteration)] if rank == iteration % count else []
            return fit(rank, count, make, tmp_path / "cut", *deadly, go_on=go_on)

        with pytest.raises(ProcessException):
            several(processes, partial(killed, go_on=number > 0), tmp_path / f"b{number}")
        assert newest(tmp_path / "cut") is not None
    go_on = partial(fit, make=make, folder=tmp_path / "cut", go_on=True)
    found = several(processes, go_on, tmp_path / "c")
    for state, expected in zip(found, whole, strict=True):
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_another_number_of_processes_goes_on_and_says_so(tmp_path: Path) -> None:
    fit(0, 1, pvdgan, tmp_path, steps=6)

    def more(rank: int, processes: int) -> list[str]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            fit(rank, processes, pvdgan, tmp_path, go_on=True, steps=9)
        return [str(warning.message) for warning in said]

    said = several(2, more, tmp_path / "more")[0]
    assert any("resumes with 2 process(es) on cpu, after 1 on cpu" in line for line in said)
    path = newest(tmp_path)
    assert path is not None
    assert path.name == "last-step=9.ckpt"


def test_lightning_21699_checkpoints_by_time_are_written(tmp_path: Path) -> None:
    class Slow(Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            time.sleep(0.1)

    saves = Checkpoint(every=10_000, minutes=0.35 / 60)
    seen: list[str] = []

    class Look(Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            seen.extend(path.name for path in tmp_path.glob("checkpoints/last*"))

    fit(0, 1, pvdgan, tmp_path, Slow(), Look(), saves=saves, steps=12)
    assert 1 < len(set(seen)) < 12  # by the clock, neither once nor always
    assert "last-step=12.ckpt" not in seen


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_used(
    damage: str, tmp_path: Path
) -> None:
    whole = fit(0, 1, pvdgan, tmp_path / "whole")
    fit(0, 1, pvdgan, tmp_path / "run", steps=9)
    path = newest(tmp_path / "run")
    assert path is not None
    assert path.name == "last-step=9.ckpt"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        with zipfile.ZipFile(path) as file:
            largest = max(file.infolist(), key=lambda part: part.file_size)
        # behind the part's own header: a bit of what is in it
        middle = content.index(b"FB", largest.header_offset) + 64 + largest.file_size // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.warns(UserWarning, match=r"last-step=9.ckpt is damaged .*before it is used"):
        again = fit(0, 1, pvdgan, tmp_path / "run", go_on=True)
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def stopped(rank: int, processes: int, folder: Path, number: int) -> str:
    """One process of several is told to stop; how each ends."""
    deadly = [Kill(7, number)] if rank == 1 else []
    try:
        fit(rank, processes, pvdgan, folder, *deadly)
    except StoppedBySignal as end:
        return f"stopped, {end.code}"
    return "went on"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_one_process_stops_all_after_the_same_iteration(
    number: int, tmp_path: Path
) -> None:
    how = partial(stopped, folder=tmp_path / "run", number=number)
    assert several(2, how, tmp_path / "a") == [f"stopped, {128 + number}"] * 2
    path = newest(tmp_path / "run")
    assert path is not None
    assert path.name == "last-step=7.ckpt"
    whole = several(2, partial(fit, make=pvdgan, folder=tmp_path / "whole"), tmp_path / "b")
    go_on = partial(fit, make=pvdgan, folder=tmp_path / "run", go_on=True)
    found = several(2, go_on, tmp_path / "c")
    assert all(torch.equal(found[1][name], value) for name, value in whole[1].items())


@pytest.mark.parametrize("array", [False, True])
def test_lightning_20347_a_warning_signal_saves_requeues_and_the_job_goes_on(
    array: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(0, 1, pvdgan, tmp_path / "whole")
    asked = fake_slurm(tmp_path, monkeypatch)
    if array:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "120")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(SystemExit) as end:
        fit(0, 1, pvdgan, tmp_path / "run", Kill(8, signal.SIGUSR1))
    assert end.value.code == 128 + signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) == before
    assert asked.read_text() == f"requeue {'120_3' if array else '123'}\n"
    path = newest(tmp_path / "run")
    assert path is not None
    assert path.name == "last-step=8.ckpt"
    again = fit(0, 1, pvdgan, tmp_path / "run", go_on=True)
    assert all(torch.equal(again[name], value) for name, value in whole.items())


def test_lightning_21404_without_scontrol_it_is_said_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"not installed .*submit it again with ckpt_path=.*run"):
        fit(0, 1, pvdgan, tmp_path / "run", Kill(8, signal.SIGUSR1))
    assert newest(tmp_path / "run") is not None


def test_slurm_that_refuses_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_slurm(tmp_path, monkeypatch, status=1)
    with pytest.raises(RuntimeError, match=r"job 123 could not be requeued: no such job; submit"):
        fit(0, 1, pvdgan, tmp_path / "run", Kill(8, signal.SIGUSR1))


@pytest.mark.parametrize("stop", [4, 10, 17])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(stop: int, tmp_path: Path) -> None:
    """Within an epoch of ten iterations, at its end, and within the next."""

    def finish(folder: Path, steps: int, ckpt: Path | None = None, seed: int = 1) -> Weights:
        model, ema = points(seed=seed), EMA(0.8)
        runner = trainer(folder, ema, Checkpoint(every=4), max_steps=steps)
        runner.fit(model, data(), ckpt_path=ckpt)
        moments = [
            value
            for optimizer in runner.optimizers
            for state in optimizer.state_dict()["state"].values()
            for value in state.values()
        ]
        return {
            **model.state_dict(),
            **{f"average.{name}": value for name, value in ema.average.items()},
            **{f"optimizer.{index}": torch.as_tensor(value) for index, value in enumerate(moments)},
            "steps": torch.tensor(runner.global_step),
        }

    whole = finish(tmp_path / "whole", 30)
    finish(tmp_path / "parts", stop)
    stopped = tmp_path / "parts" / "checkpoints" / f"last-step={stop}.ckpt"
    parts = finish(tmp_path / "parts", 30, stopped, seed=99)  # other initial weights: all is loaded
    assert whole["steps"] == 30
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_best_is_kept_and_a_worse_one_is_not(tmp_path: Path) -> None:
    class Score(Callback):
        values = iter([5.0, 3.0, 4.0])

        def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            pl_module.log("fid/digits", next(self.values))

    checkpoint = Checkpoint(every=100)
    trainer(tmp_path, EMA(), Score(), checkpoint, max_steps=9, val_check_interval=3).fit(
        points(), data()
    )
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"best-step=6.ckpt", "last-step=9.ckpt"}
    assert checkpoint.best == 3
