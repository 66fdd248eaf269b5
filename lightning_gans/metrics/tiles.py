"""All pairs of vectors of large samples, one tile of rows and columns at a time.

All N x M pairs of two samples do not fit into memory, but a tile of a few thousand rows and columns
does, and multiplying block by block is as fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lightning_gans.metrics.work_sharing import Team


class Sample:
    """Vectors stored without a copy, and returned in float64 one block at a time.

    Args:
        parts: (n, F) each, floating point; F is the same in all but empty ones.
        block: how many vectors a block has, at least 1.
    """

    def __init__(self, parts: Sequence[Tensor], block: int) -> None:
        self.parts = [part for part in parts if len(part)]
        self.block = block
        # where each part begins, and where the last one ends
        self._starts = [0]
        for part in self.parts:
            self._starts.append(self._starts[-1] + len(part))

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def width(self) -> int:
        """F; 0 if there are no vectors."""
        return self.parts[0].shape[1] if self.parts else 0

    @property
    def device(self) -> torch.device:
        """The device on which vectors are returned."""
        here = self.parts[0].device if self.parts else torch.device("cpu")
        return torch.device("cpu") if here.type == "mps" else here

    @property
    def blocks(self) -> list[slice]:
        """The rows of each block; the last may have fewer."""
        ends = [*range(self.block, len(self), self.block), len(self)]
        return [slice(max(0, i * self.block), end) for i, end in enumerate(ends)]

    def rows(self, where: slice) -> Tensor:
        """Vectors from ``where.start`` to ``where.stop``, (n, F)."""
        return _wide(self.stored(where))

    def stored(self, where: slice) -> Tensor:
        """As :meth:`rows`, in the type and on the device on which they are stored."""
        return torch.cat(
            [
                part[max(0, where.start - start) : where.stop - start]
                for start, part in zip(self._starts, self.parts, strict=False)
                if start < where.stop and where.start < start + len(part)
            ]
        )

    def chosen(self, indices: Tensor) -> Tensor:
        """Vectors of these indices (n,), in their order, (n, F)."""
        found = torch.empty(len(indices), self.width, dtype=torch.float64, device=self.device)
        part_of = torch.bucketize(indices, torch.tensor(self._starts), right=True) - 1
        for number in sorted(set(part_of.tolist())):
            (here,) = (part_of == number).nonzero(as_tuple=True)
            part = self.parts[number]
            inside = indices[here] - self._starts[number]
            found[here.to(found.device)] = _wide(part[inside.to(part.device)])
        return found

    def mean(self) -> Tensor:
        """The mean of all vectors, at least one, (F,)."""
        return torch.stack([self.rows(where).sum(0) for where in self.blocks]).sum(0) / len(self)


class Blocks(Protocol):
    """Vectors that are returned one block at a time."""

    @property
    def blocks(self) -> list[slice]:
        """The rows of each block; the last may have fewer."""
        ...

    def rows(self, where: slice) -> Tensor:
        """The vectors of a block, (n, F)."""
        ...


class Tile(NamedTuple):
    """Some vectors of one sample, as rows, and some of another, as columns.

    Attributes:
        number: of this tile among those of all processes.
        rows: which vectors of the first sample.
        columns: which of the second.
        left: the vectors of the rows, (rows, F).
        right: the vectors of the columns, (columns, F).
    """

    number: int
    rows: slice
    columns: slice
    left: Tensor
    right: Tensor


def tiles_between(first: Blocks, second: Blocks, team: Team) -> Iterator[Tile]:
    """This process's share of the tiles that cover every pair of two samples once."""
    places = [(rows, columns) for rows in first.blocks for columns in second.blocks]
    return _tiles(places, first, second, team)


def tiles_within(sample: Blocks, team: Team) -> Iterator[Tile]:
    """This process's share of the tiles of a sample with itself, on and above the diagonal.

    A tile with ``rows == columns`` is on the diagonal; each other one also stands for its mirror
    image.
    """
    blocks = sample.blocks
    places = [(rows, columns) for i, rows in enumerate(blocks) for columns in blocks[i:]]
    return _tiles(places, sample, sample, team)


def count_between(first: Blocks, second: Blocks) -> int:
    """The number of tiles between two samples, of all processes."""
    return len(first.blocks) * len(second.blocks)


def count_within(sample: Blocks) -> int:
    """The number of tiles within a sample, of all processes."""
    return len(sample.blocks) * (len(sample.blocks) + 1) // 2


def _tiles(
    places: Sequence[tuple[slice, slice]], first: Blocks, second: Blocks, team: Team
) -> Iterator[Tile]:
    loaded: tuple[slice, Tensor] | None = None
    for number, (rows, columns) in team.share(list(enumerate(places))):
        if loaded is None or loaded[0] != rows:  # consecutive tiles share their rows
            loaded = rows, first.rows(rows)
        yield Tile(number, rows, columns, loaded[1], second.rows(columns))


def _wide(rows: Tensor) -> Tensor:
    # Apple's devices have no float64
    return (rows.cpu() if rows.device.type == "mps" else rows).double()
