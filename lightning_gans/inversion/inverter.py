"""Recovery of many images by several processes, in Lightning's predict loop."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple, cast

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_gans.data.reading import read
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import UsageError, UserError
from lightning_gans.inversion.descent import AllRestartsDiverged
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.priors import Prior
from lightning_gans.runs.parts import Content, Parts

# names of tensors in a part: the images, their labels and positions
TARGETS, LABELS, POSITIONS = "target", "label", "position"


class PartsMissing(UserError, FileNotFoundError):
    """A part of a recovery is missing."""


class Part(NamedTuple):
    """Images that are recovered together.

    Attributes:
        x: those that could be read, (k, *shape).
        y: their labels.
        positions: of these among all images, (k,).
        first: the position of the first image of the part, whether it could be read or not.
        reasons: by position, why the other images could not be read.
    """

    x: Tensor
    y: Tensor
    positions: Tensor
    first: int
    reasons: Mapping[int, str]


class ImageParts(Dataset[Part]):
    """Images of a dataset, in parts of ``size``.

    Args:
        dataset: of items (x, y).
        items: for the image at each position, its number in the dataset; None if it is gone.
        size: images per part.
        change: applied to the images (k, *shape) of a part and the position of the first.
    """

    def __init__(
        self,
        dataset: Dataset[Batch],
        items: Sequence[int | None],
        size: int,
        change: Callable[[Tensor, int], Tensor] | None = None,
    ) -> None:
        self.dataset, self.items, self.size, self.change = dataset, items, size, change

    def __len__(self) -> int:
        return math.ceil(len(self.items) / self.size)

    def __getitem__(self, index: int) -> Part:
        first = index * self.size
        chosen = dict(enumerate(self.items[first : first + self.size], first))
        numbers = {number: place for place, number in chosen.items() if number is not None}
        there = read(self.dataset, list(numbers))
        reasons = {place: "the file is gone" for place, number in chosen.items() if number is None}
        reasons |= {numbers[number]: why for number, why in there.reasons.items()}
        x = there.x
        if self.change is not None and len(x):
            x = self.change(x, first)
        positions = torch.tensor([numbers[number] for number in there.indices], dtype=torch.long)
        return Part(x, there.y, positions, first, reasons)


class Shares(LightningDataModule):
    """Deals the parts out to the processes; the parts do not depend on how many there are.

    Args:
        parts: of all images.
        is_stopping: whether no further part is to be begun.
    """

    def __init__(self, parts: ImageParts, is_stopping: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self.parts, self.is_stopping = parts, is_stopping

    def predict_dataloader(self) -> DataLoader[Part]:
        """The parts of this process, in order."""
        rank, world = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        mine = range(rank, len(self.parts), world)
        return DataLoader(self.parts, batch_size=None, sampler=Until(mine, self.is_stopping))


class Until(Sequence[int]):
    """Numbers, as long as there is no reason to stop."""

    def __init__(self, numbers: range, is_stopping: Callable[[], bool]) -> None:
        self.numbers, self.is_stopping = numbers, is_stopping

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        return self.numbers[index]

    def __iter__(self) -> Iterator[int]:
        for number in self.numbers:
            if self.is_stopping():
                return
            yield number


class Inverter(LightningModule):
    """Recovers the parts of a set of images and keeps each as soon as it is done.

    Each part has its own random stream, so the result does not depend on the number of processes.

    Args:
        generator: see :func:`~lightning_gans.inversion.recover`.
        prior: of the latents.
        recover: :func:`~lightning_gans.inversion.recover` with its settings bound; called as
            ``recover(generator, x, prior, condition=..., first=..., progress=...)``.
        open_parts: opens the parts of a folder of results; without one, makes a folder. It is
            called without one in the first process, which sends the path to the others. All
            processes must be able to write to it.
        condition: images and labels to conditions, for class-conditional generators.
        model: used by ``recover`` and ``condition``; moved to the device with the generator.

    Attributes:
        parts: the finished parts, after ``setup``.
    """

    parts: Parts

    def __init__(
        self,
        generator: nn.Module,
        prior: Prior,
        recover: Callable[..., Recovery],
        open_parts: Callable[[Path | None], Parts],
        condition: Callable[[Tensor, Tensor], Tensor] | None = None,
        model: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.prior, self.model = generator, prior, model
        self.recover, self.open_parts, self.condition = recover, open_parts, condition

    def setup(self, stage: str) -> None:
        """Make the results folder and send its path to all processes.

        Raises:
            UserError: in the first process, if it cannot be made; others end.
        """
        if self.trainer.is_global_zero:
            path = ""
            try:
                self.parts = self.open_parts(None)
                path = str(self.parts.results)
            finally:
                self.trainer.strategy.broadcast(path)
            return
        path = str(self.trainer.strategy.broadcast(""))
        if not path:
            sys.exit(0)  # the first process says why
        self.parts = self.open_parts(Path(path))

    def on_predict_start(self) -> None:
        """Handle signals that Lightning has just begun to handle."""
        self.parts.signals.install()

    def predict_step(self, batch: Part, batch_idx: int) -> int:
        """Recover and keep a part, if that was not done before; returns how many images it has."""
        if self.parts.is_stopping:
            return 0
        self.parts.part_in_hand(
            part_name(batch.first), lambda: self._recovered(batch), lambda found: fits(found, batch)
        )
        self.parts.tell_to_stop()
        return len(batch.x)

    def _recovered(self, batch: Part) -> Content:
        """What is kept of a part; without the images that diverged, or could not be read."""
        tensors = {TARGETS: batch.x, LABELS: batch.y, POSITIONS: batch.positions}
        notes = {"reasons": json.dumps(dict(batch.reasons))}
        recovery = self._recover(batch) if len(batch.x) else None
        if recovery is None:
            return tensors, notes
        where = batch.positions.cpu()[recovery.indices - batch.first]
        recovery = replace(recovery, indices=where)
        return {**tensors, **recovery.tensors()}, {**notes, "seconds": repr(recovery.seconds)}

    def _recover(self, batch: Part) -> Recovery | None:
        try:
            return self.recover(
                self.generator,
                batch.x,
                self.prior,
                condition=None if self.condition is None else self.condition(batch.x, batch.y),
                first=batch.first,
                progress=self.trainer.is_global_zero,
            )
        except AllRestartsDiverged as error:
            return error.recovery

    def on_predict_end(self) -> None:
        """Wait until every process has written its parts."""
        self.trainer.strategy.barrier("parts")


def part_name(first: int) -> str:
    """The name of the part that begins with the image at position ``first``."""
    return f"{first:09d}"


def fits(found: Content, batch: Part) -> bool:
    """Whether a finished part need not be computed again: it has all images that can be read.

    Raises:
        UsageError: if it is of other images.
    """
    tensors, _ = found
    known = tensors[POSITIONS].tolist()
    now = batch.positions.tolist()
    for place in set(known) & set(now):
        if not torch.equal(tensors[TARGETS][known.index(place)], batch.x[now.index(place)].cpu()):
            raise UsageError(
                f"the image at position {place} is another than the one that was inverted; choose "
                "another out=FOLDER"
            )
    return not set(known) < set(now)


@dataclass(frozen=True)
class Gathered:
    """What all parts hold.

    Attributes:
        recovery: of the images; None if all diverged, or none could be read.
        x: these images, in the order of the recovery.
        y: their labels.
        diverged: the positions of images whose restarts all diverged.
        reasons: by position, why images could not be read.
    """

    recovery: Recovery | None
    x: Tensor
    y: Tensor
    diverged: list[int]
    reasons: dict[int, str]


def gather(parts: Parts, images: ImageParts) -> Gathered:
    """Join all parts.

    Raises:
        PartsMissing: if one is missing.
    """
    names = [part_name(first) for first in range(0, len(images.items), images.size)]
    contents = {name: parts.get(name) for name in names}
    absent = [name for name, content in contents.items() if content is None]
    if absent:
        raise PartsMissing(
            f"{len(absent)} of {len(names)} parts are not in {parts.folder}, among them "
            f"{absent[0]}; all processes must write to the same file system"
        )
    found = [cast(Content, content) for content in contents.values()]
    recoveries = [of_content(content) for content in found if "seconds" in content[1]]
    there = [tensors for tensors, _ in found if len(tensors[POSITIONS])]
    reasons: dict[int, str] = {}
    for _, notes in found:
        reasons |= {int(place): why for place, why in json.loads(notes["reasons"]).items()}
    positions = [place for tensors in there for place in tensors[POSITIONS].tolist()]
    if not recoveries:
        return Gathered(None, torch.empty(0), torch.empty(0), positions, reasons)
    recovery = Recovery.join(recoveries)
    number = {place: i for i, place in enumerate(positions)}
    rows = torch.tensor([number[place] for place in recovery.indices.tolist()])
    x, y = (torch.cat([tensors[name] for tensors in there])[rows] for name in (TARGETS, LABELS))
    diverged = sorted(set(positions) - set(recovery.indices.tolist()))
    return Gathered(recovery, x, y, diverged, reasons)


def of_content(content: Content) -> Recovery:
    """The recovery that a part holds."""
    tensors, notes = content
    names = [field.name for field in fields(Recovery) if field.name != "seconds"]
    return Recovery(seconds=float(notes["seconds"]), **{name: tensors[name] for name in names})
