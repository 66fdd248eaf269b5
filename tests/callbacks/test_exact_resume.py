"""A run that was stopped and resumed leaves the same files as one that was not."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.multiprocessing.spawn import ProcessException

from lightning_gans.callbacks import EMA, Checkpoint, Evaluation, Pictures
from lightning_gans.callbacks.measurements import EvaluationBatch, Measurement
from lightning_gans.data import DataModule, Gaussians
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.models import Model
from lightning_gans.runs.claim import LOCK, RECORD
from lightning_gans.runs.folder import newest, step_of
from tests.support.processes import several
from tests.support.training import points, trainer

PER_EPOCH = 5


class Ups(Measurement):
    """A value that is best at evaluations in the middle and, if asked, at the end."""

    order = (5.0, 4.0, 1.0, 3.0, 2.0, 0.5)

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return True

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        self.value = self.order[model.iterations % len(self.order)]

    def update(self, batch: EvaluationBatch) -> None:
        pass

    def results(self) -> dict[str, torch.Tensor]:
        return {"fid/made": torch.tensor(self.value)}


class Send(Callback):
    """Sends a signal to this process at one of the places where a run can be."""

    def __init__(self, iteration: int, place: str, number: int = signal.SIGTERM) -> None:
        self.iteration, self.place, self.number = iteration, place, number

    def reached(self, trainer: Trainer, place: str, iteration: int) -> None:
        if (place, iteration) == (self.place, self.iteration) and not trainer.sanity_checking:
            os.kill(os.getpid(), self.number)

    def on_before_optimizer_step(self, trainer: Trainer, *args: Any) -> None:
        self.reached(trainer, "iteration", trainer.global_step + 1)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.reached(trainer, "end", trainer.global_step)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.reached(trainer, "evaluation", trainer.global_step)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.reached(trainer, "evaluated", trainer.global_step)


def fit(folder: Path, *callbacks: Callback, **options: Any) -> None:
    """Train as the command line does, from the newest checkpoint if there is one."""
    evaluation = Evaluation(measurements=[Ups()])
    kinds = [
        EMA(0.8, warmup=None),
        evaluation,
        Pictures(samples=8),
        *callbacks,
        Checkpoint(every=4),
    ]
    limits = {"max_epochs": -1, "check_val_every_n_epoch": None, "num_sanity_val_steps": -1}
    limits |= {"max_steps": 17, "val_check_interval": 3, "log_every_n_steps": 2}
    runner = trainer(folder, *kinds, **{**limits, **options})
    model = points()
    data = Gaussians(train=PER_EPOCH * 8 + 3, validation=12, batch_size=8)
    ckpt = newest(folder)
    if ckpt is None and (folder / "checkpoints").exists():
        (folder / "checkpoints").rmdir()
    runner.fit(model, data, ckpt_path=ckpt)
    evaluation.drop_later_results(runner)
    if evaluation.measured_at != runner.global_step:
        runner.validate(model, data, verbose=False)


def left(folder: Path) -> dict[str, object]:
    """What a run leaves: files to the byte, checkpoints by their content.

    Of the last checkpoints only the newest: a run that was stopped has saved at other iterations.
    """
    last, found = newest(folder), dict[str, object]()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if name in (LOCK, RECORD):
            continue  # which process trains
        if path.suffix != ".ckpt":
            found[name] = path.read_bytes()
        elif path == last or not path.name.startswith("last"):
            found[name] = dict(content(path))
    return found


def content(path: Path) -> Iterator[tuple[str, object]]:
    saved = torch.load(path, weights_only=True)
    saved.pop("loops")  # counts of events, from which a run does not resume
    saved["callbacks"]["Checkpoint"]["written"].pop("last", None)
    stack: list[tuple[str, object]] = [("", saved)]
    while stack:
        where, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{where}.{key}", part) for key, part in value.items()]
        elif isinstance(value, list):
            stack += [(f"{where}.{key}", part) for key, part in enumerate(value)]
        else:
            yield where, value.tolist() if isinstance(value, torch.Tensor) else value


def assert_same(found: dict[str, object], expected: dict[str, object]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            other = found[name]
            assert isinstance(other, dict)
            differ = {key for key in {*value, *other} if value.get(key) != other.get(key)}
            assert not differ, f"{name}: {sorted(differ)[:5]}"
        else:
            assert found[name] == value, name


SETTINGS: dict[str, dict[str, Any]] = {
    "by iterations": {},
    "longer than an epoch": {"val_check_interval": 7},
    "part of an epoch": {"val_check_interval": 0.4, "check_val_every_n_epoch": 1},
    "shortened epoch": {"limit_train_batches": 3},
    "by epochs": {
        "max_steps": -1,
        "max_epochs": 3,
        "val_check_interval": 1.0,
        "check_val_every_n_epoch": 1,
    },
}


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(name, marks=[pytest.mark.slow] if "an epoch" in name else [])
        for name in SETTINGS
    ],
)
def test_sigterm_at_every_iteration_in_turn_changes_nothing_that_a_run_leaves(
    setting: str, tmp_path: Path
) -> None:
    """In the first iteration, at evaluations and ends of epochs, and in the last one."""
    fit(tmp_path / "whole", **SETTINGS[setting])
    for iteration in range(1, 18):
        with suppress(SystemExit):
            fit(tmp_path / "cut", Send(iteration, "iteration"), **SETTINGS[setting])
        checkpoint = newest(tmp_path / "cut")
        assert checkpoint is not None
        assert step_of(checkpoint) == min(iteration, 15 if "epochs" in setting else 17)
    fit(tmp_path / "cut", **SETTINGS[setting])
    assert_same(left(tmp_path / "cut"), left(tmp_path / "whole"))


@pytest.mark.parametrize("place", ["end", "evaluation", "evaluated"])
def test_ctrl_c_during_and_around_evaluations_loses_no_row(place: str, tmp_path: Path) -> None:
    """At 3, 6, ... an evaluation is due; at 6 and 12 the best so far is found; 17 is the end."""
    fit(tmp_path / "whole")
    for iteration in (3, 6, 12, 15, 17):
        with suppress(SystemExit):
            fit(tmp_path / "cut", Send(iteration, place, signal.SIGINT))
    fit(tmp_path / "cut")
    assert_same(left(tmp_path / "cut"), left(tmp_path / "whole"))


def killed(rank: int, processes: int, folder: Path, iteration: int, place: str) -> None:
    fit(folder, Send(iteration, place, signal.SIGKILL))


def test_a_run_that_is_killed_anywhere_leaves_what_an_uninterrupted_one_does(
    tmp_path: Path,
) -> None:
    """What was made after the newest checkpoint is dropped and made again, the best included."""
    fit(tmp_path / "whole")
    moments = [(3, "evaluation"), (5, "iteration"), (8, "end"), (9, "evaluated"), (13, "iteration")]
    for number, (iteration, place) in enumerate([*moments, (16, "end"), (17, "end")]):
        work = partial(killed, folder=tmp_path / "cut", iteration=iteration, place=place)
        with pytest.raises(ProcessException):
            several(1, work, tmp_path / str(number))
        if newest(tmp_path / "cut") is None:
            shutil.rmtree(tmp_path / "cut")
    fit(tmp_path / "cut")
    assert_same(left(tmp_path / "cut"), left(tmp_path / "whole"))


def fit_one_of_two(rank: int, processes: int, folder: Path, send: Send | None = None) -> None:
    os.environ["PL_GLOBAL_SEED"] = "5"
    sends = [send] if send is not None and rank == 1 else []
    with suppress(SystemExit):
        fit(folder, *sends, strategy=GANDDP(), devices=processes)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["iteration", "evaluated"])
def test_two_processes_of_which_one_is_told_to_stop_resume_exactly(
    place: str, tmp_path: Path
) -> None:
    several(2, partial(fit_one_of_two, folder=tmp_path / "whole"), tmp_path / "a")
    for iteration in (3, 9):
        send = Send(iteration, place)
        work = partial(fit_one_of_two, folder=tmp_path / "cut", send=send)
        several(2, work, tmp_path / f"b{iteration}")
        checkpoint = newest(tmp_path / "cut")
        assert checkpoint is not None
        assert step_of(checkpoint) == iteration
    several(2, partial(fit_one_of_two, folder=tmp_path / "cut"), tmp_path / "c")
    assert_same(left(tmp_path / "cut"), left(tmp_path / "whole"))


def test_a_best_checkpoint_of_another_folder_or_one_that_was_deleted_is_not_the_runs(
    tmp_path: Path,
) -> None:
    fit(tmp_path / "run", max_steps=8)
    (best,) = (tmp_path / "run" / "checkpoints").glob("best-*")
    assert step_of(best) == 8
    best.unlink()
    fit(tmp_path / "run", max_steps=9)  # its value is not as good
    (best,) = (tmp_path / "run" / "checkpoints").glob("best-*")
    assert step_of(best) == 9


def test_a_second_ctrl_c_in_an_evaluation_keeps_the_models_own_weights(tmp_path: Path) -> None:
    """Averaged weights are in the model then."""
    seen: dict[str, torch.Tensor] = {}

    class Impatient(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, *args: Any
        ) -> None:
            seen.update({n: v.clone() for n, v in pl_module.state_dict().items()})

        def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.global_step:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):
        fit(tmp_path, Impatient())
    signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored, about to exit
    saved = torch.load(tmp_path / "checkpoints" / "last-step=3.ckpt", weights_only=True)
    average = saved["callbacks"]["EMA"]["average"]
    for name, value in seen.items():
        assert torch.equal(saved["state_dict"][name], value), name
    assert not all(torch.equal(value, seen[name]) for name, value in average.items())


def test_an_epoch_that_max_steps_cut_short_is_completed_on_resume(tmp_path: Path) -> None:
    epochs = {"max_steps": -1, "max_epochs": 2}
    fit(tmp_path / "whole", **epochs)
    fit(tmp_path / "cut", max_steps=2, max_epochs=1)
    fit(tmp_path / "cut", **{**epochs, "max_epochs": 1})
    fit(tmp_path / "cut", **epochs)
    last = newest(tmp_path / "cut")
    assert last is not None
    assert last.name == f"last-step={2 * PER_EPOCH}.ckpt"
    assert (tmp_path / "whole" / "checkpoints" / last.name).is_file()
