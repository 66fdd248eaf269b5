"""Loading that hangs, dies or fails."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import resource
import signal
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from lightning_gans.callbacks import EMA, Checkpoint, signals
from lightning_gans.callbacks.signals import StoppedBySignal
from lightning_gans.data import Gaussians, loader
from lightning_gans.data.loader import UNSENT, Loader, WorkerDied, death, readable
from lightning_gans.data.tensors import Batch, whole_batch
from lightning_gans.errors import InputError
from lightning_gans.runs.folder import newest
from tests.support.training import points, trainer

LABEL = torch.tensor(0)


class Points(Dataset[Batch]):
    """Points; something happens when the one with this index is asked for."""

    def __init__(self, index: int = -1, event: Any = None) -> None:
        self.index, self.event = index, event

    def __len__(self) -> int:
        return 80

    def __getitem__(self, index: int) -> Batch:
        if index == self.index:
            self.event()
        return torch.randn(2, generator=torch.Generator().manual_seed(index)) / 10, LABEL


class Data(Gaussians):
    """Ten batches of eight; the one with the index 40 is in the middle of an epoch."""

    def __init__(self, event: Any = None, workers: int = 0, everywhere: bool = False) -> None:
        super().__init__(train=80, validation=16, batch_size=8, workers=workers)
        self.event = event
        self.everywhere = everywhere

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        index = 40 if self.event is not None else -1
        self.train_set = Points(index, self.event)
        if self.everywhere:
            self.validation_set = Points(index, self.event)


def batches(event: Any, workers: int = 1, collate: Any = whole_batch) -> Loader:
    return Loader(Points(40, event), batch_size=8, num_workers=workers, collate_fn=collate)


def stack(items: list[Batch]) -> Batch:
    """A batch that is not in shared memory before it is handed over."""
    return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])


def hang() -> None:
    time.sleep(600)


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGTERM, 1), (signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 0)],
)
def test_a_run_whose_data_hang_is_stopped_saved_and_resumed(
    number: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "PATIENCE", 0.2)
    monkeypatch.setattr(loader, "GRACE", 0.1)
    # how long torch waits for a worker that hangs
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    whole, again = points(), points(seed=9)
    trainer(tmp_path / "whole", EMA(), Checkpoint(), max_steps=12).fit(whole, Data())
    first = next(k for k, b in enumerate(order()) if 40 in b)
    main = os.getpid()

    def hang_and_signal() -> None:
        threading.Timer(0.5, os.kill, (main, number)).start()
        hang()

    start = time.monotonic()
    with pytest.raises(StoppedBySignal) as stop:
        trainer(tmp_path / "cut", EMA(), Checkpoint(), max_steps=12).fit(
            points(), Data(hang_and_signal, workers)
        )
    assert stop.value.code == 128 + number
    assert time.monotonic() - start < 15
    path = newest(tmp_path / "cut")
    assert path is not None
    assert path.name == f"last-step={first}.ckpt"
    trainer(tmp_path / "cut", EMA(), Checkpoint(), max_steps=12).fit(again, Data(), ckpt_path=path)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def order() -> list[list[int]]:
    module = Data()
    module.setup("fit")
    indices = list(module.train_dataloader().sampler)
    return [indices[k : k + 8] for k in range(0, 80, 8)]


def refuse() -> None:
    raise InputError("a.png is no image; remove it")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unusable_image_is_the_same_one_line_with_and_without_workers(workers: int) -> None:
    with pytest.raises(InputError) as caught:
        list(batches(refuse, workers))
    assert str(caught.value) == "a.png is no image; remove it"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def limit_files() -> None:
    """From here on nothing can be handed over: files of shared memory are refused."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, resource.RLIM_INFINITY))


@pytest.mark.slow
def test_a_worker_that_the_system_kills_is_one_line_with_what_to_do() -> None:
    with pytest.raises(WorkerDied, match=r"killed, most often because memory .*fewer data.worker"):
        list(batches(die))


# torch's handler of a worker's death may run within a destructor, where Python only prints errors
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("collate", [whole_batch, stack])
def test_a_batch_that_cannot_be_handed_over_is_an_error_instead_of_a_wait_for_ever(
    collate: Any,
) -> None:
    """As with an /dev/shm of 1 MB, where torch may only print and wait."""
    with pytest.raises(WorkerDied, match=rf"exit status is {UNSENT + errno.EFBIG}; data.workers=0"):
        list(batches(limit_files, collate=collate))


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (UNSENT + errno.ENOSPC, "", r"shared memory \(/dev/shm.*data.workers=0"),
        (0, "DataLoader worker (pid 3) is killed by signal: Bus error. It", "enlarge /dev/shm"),
        (-signal.SIGBUS, "", "enlarge /dev/shm"),
        (0, "DataLoader worker (pid 3) is killed by signal: Killed. ", "fewer data.workers"),
        (UNSENT + errno.EMFILE, "", "too many files are open; raise the limit"),
        (3, "", "its exit status is 3; data.workers=0 shows the error"),
    ],
)
def test_the_cause_of_a_workers_death_is_named(status: int, text: str, message: str) -> None:
    line = death([status] if status else [], text)
    assert line.startswith("a process that loads data has died: ")
    assert re.search(message, line)


def test_a_worker_that_dies_between_two_epochs_is_one_line() -> None:
    loader = Loader(
        Points(), batch_size=8, num_workers=1, collate_fn=whole_batch, persistent_workers=True
    )
    before = multiprocessing.active_children()
    assert len(list(loader)) == 10
    (worker,) = set(multiprocessing.active_children()) - {*before}
    os.kill(worker.pid or 0, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="it was killed"):
        list(loader)


def leave() -> None:
    os._exit(0)


def test_a_worker_that_ends_as_if_all_were_well_is_one_line() -> None:
    with pytest.raises(WorkerDied, match="it ended without a message"):
        list(batches(leave))
    ended = SimpleNamespace(_workers=[SimpleNamespace(exitcode=0)])
    found = readable(FileNotFoundError(2, "No such file or directory"), ended)
    assert isinstance(found, WorkerDied)  # when a batch was being handed over


def stop() -> None:
    raise StopIteration


def test_a_dataset_that_raises_stopiteration_does_not_cut_each_epoch_short_for_ever() -> None:
    with pytest.raises(InputError, match="the dataset raised StopIteration"):
        list(batches(stop, 0))


@pytest.mark.slow
def test_a_worker_that_dies_during_an_iteration_costs_no_iteration(tmp_path: Path) -> None:
    """torch would raise within the iteration, after which the weights are of no use."""
    with pytest.raises(WorkerDied):
        trainer(tmp_path, Checkpoint(), max_steps=12).fit(points(), Data(die, 1))
    (path,) = (tmp_path / "checkpoints").iterdir()
    assert path.name.startswith("last-step=")


def test_it_is_said_when_no_batch_arrives_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "SLOW", 0.2)
    with pytest.warns(UserWarning, match=r"no batch of the data has arrived .* Ctrl-C stops"):
        list(batches(partial(time.sleep, 1.0), 0))


def watching() -> int:
    return sum("_watch" in thread.name for thread in threading.enumerate())


def test_a_thousand_short_epochs_leave_no_threads_behind() -> None:
    data = Gaussians(train=16, validation=8, batch_size=8)
    data.setup()
    batches_of_epochs, before = data.train_dataloader(), watching()
    for epoch in range(1000):
        batches = iter(batches_of_epochs)
        next(batches)
        if epoch % 2:  # the others end within the epoch
            list(batches)
    del batches
    until = time.monotonic() + 5
    while watching() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert watching() <= before
    assert time.monotonic() < until - 2, "they end at once"
