"""CelebA: faces with attributes."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lightning_gans.data.check_readable import usable_sides
from lightning_gans.data.data_module import DataMissing, DataModule
from lightning_gans.data.decoded import DecodedFiles, decoded_files
from lightning_gans.data.images import Crop, ImageFiles, check_geometry
from lightning_gans.data.label_file import attribute
from lightning_gans.errors import InputError, reason
from lightning_gans.paths import typed_path
from lightning_gans.ranges import BatchSize, NonNegativeFloat, Side, Workers, checked

_LAST_TRAINING = 162_770
_LAST_TUNING = 182_637


class _Table(NamedTuple):
    """``list_attr_celeba.txt``: a row for each image, a column for each attribute."""

    attributes: list[str]
    names: list[str]
    rows: list[list[str]]


class CelebA(DataModule):
    """Aligned faces (Liu et al. 2015); ``y`` is (n, attributes), 1 where a face has an attribute.

    162,770 to train on and the last 19,962 to validate, which is the authors' split.

    Args:
        root: folder with ``img_align_celeba/``, ``list_attr_celeba.txt`` and optionally
            ``list_eval_partition.txt``; without it, the numbers in the file names decide the split.
        attributes: which of the 40 attributes ``y`` has, in this order.
        resolution: height and width to which images are resized (cubic, antialiased), in pixels.
        crop: what is kept of the 178×218 pixels before resizing: "none" is the whole image
            (squashed to a square, as in the thesis's section 4.2.3), "center" the largest centred
            square; four numbers cut off (left, top, right, bottom) pixels, 25, 45, 25 and 45 in its
            section 4.3.3.
        on_error: what to do about files that cannot be decoded: "error" stops and names them,
            "skip" leaves them out with a warning.
        cache: gigabytes of decoded images that are kept in the user's cache folder, those of other
            folders included, so that later epochs and runs need not decode them; 0 for none.
        flip: whether training sees a random half of the images mirrored (left and right swapped),
            in each epoch another half; not for images with text, or labels such as left and right.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Raises:
        ValueError: if an argument is out of its range.
    """

    loading_arguments = DataModule.loading_arguments | {"cache", "flip"}

    @checked
    def __init__(
        self,
        root: str,
        *,
        attributes: tuple[str, ...] = ("Bangs", "Male", "Smiling"),
        resolution: Side = 256,
        crop: Crop = "none",
        on_error: Literal["error", "skip"] = "error",
        cache: NonNegativeFloat = 10.0,
        flip: bool = False,
        batch_size: BatchSize = 32,
        workers: Workers = 0,
    ) -> None:
        super().__init__(batch_size, workers)
        check_geometry(resolution, crop)
        if not attributes:
            raise ValueError("attributes must name at least one attribute")
        if on_error not in {"error", "skip"}:
            raise ValueError(f'on_error must be "error" or "skip", got "{on_error}"')
        self.root = typed_path(root)
        self.attributes = list(attributes)
        self.resolution = resolution
        self.crop: Crop = crop
        self.on_error: Literal["error", "skip"] = on_error
        self.cache = cache
        self.flip = flip

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return 3, self.resolution, self.resolution

    @property
    def classes(self) -> tuple[int, ...]:
        """Two for each attribute: 0 without it, 1 with it."""
        return (2,) * len(self.attributes)

    @property
    def class_names(self) -> tuple[tuple[str, ...], ...]:
        """Of each attribute "not NAME" and NAME."""
        return tuple(map(attribute, self.attributes))

    def prepare_data(self) -> None:
        """Decode every file once, in one process; the others read its cached result.

        Raises:
            DataMissing: if a list or an image is not there.
            UnreadableImages: if some cannot be decoded and ``on_error`` is "error".
            ValueError: if there is no such attribute, or a list is damaged.
        """
        # cheap checks first
        self._labels()
        self._partition()
        self._sides  # noqa: B018  (cached for setup)

    def setup(self, stage: str | None = None) -> None:
        """Read the lists, check the images and split them, once.

        Raises:
            DataMissing: if a list or an image is not there.
            UnreadableImages: if some cannot be decoded and ``on_error`` is "error".
            ValueError: if there is no such attribute, or a list is damaged.
        """
        if hasattr(self, "train_set"):
            return
        labels = self._labels()
        partition = self._partition()
        self.train_set = self._images(partition == 0, labels)
        self.validation_set = self._images(partition == 2, labels)

    @cached_property
    def _table(self) -> _Table:
        count, header, *lines = self._lines("list_attr_celeba.txt", at_least=3)
        attributes = header.split()
        split = sorted(line.split() for line in lines)
        names = [row[0] for row in split]
        damage = None
        if any(len(row) != len(attributes) + 1 for row in split):
            damage = f"expected a name and {len(attributes)} values in each line"
        elif not {value for row in split for value in row[1:]} <= {"1", "-1", "0"}:
            damage = "expected values of 1 and -1"
        elif count.strip() != str(len(lines)):
            damage = f"its first line is {count.strip():.20}, but it lists {len(lines):,} images"
        elif len(set(names)) < len(names):
            damage = f"it lists {next(a for a, b in pairwise(names) if a == b)} twice"
        if damage is not None:
            raise InputError(
                f"list_attr_celeba.txt in {self.root.resolve()} is damaged: {damage}; "
                "download it again"
            )
        return _Table(attributes, names, [row[1:] for row in split])

    @cached_property
    def _sides(self) -> list[int]:
        names = self._table.names
        folder = self.root / "img_align_celeba"
        if absent := [name for name in names if not (folder / name).is_file()]:
            raise DataMissing(
                f"{len(absent):,} of the {len(names):,} images of list_attr_celeba.txt are not in "
                f"{folder.resolve()}, the first is {absent[0]}; unpack img_align_celeba.zip there"
            )
        return usable_sides(folder, names, self.crop, self.on_error)

    def _labels(self) -> Tensor:
        known = self._table.attributes
        if unknown := [name for name in self.attributes if name not in known]:
            raise InputError(
                f"CelebA has no attribute {', '.join(unknown)}; it has {', '.join(known)}"
            )
        columns = [known.index(name) for name in self.attributes]
        return torch.tensor([[int(row[c] == "1") for c in columns] for row in self._table.rows])

    def _partition(self) -> Tensor:
        """0 to train, 1 to tune (not used here), 2 to validate; (n,)."""
        if (self.root / "list_eval_partition.txt").is_file():
            rows = [line.split() for line in self._lines("list_eval_partition.txt", at_least=1)]
            if any(len(row) != 2 or row[1] not in ("0", "1", "2") for row in rows):
                raise InputError(
                    f"list_eval_partition.txt in {self.root.resolve()} is damaged: expected a name "
                    "and 0, 1 or 2 in each line; download it again"
                )
            parts = dict(rows)
            if absent := [name for name in self._table.names if name not in parts]:
                raise InputError(
                    f"list_eval_partition.txt in {self.root.resolve()} does not name {absent[0]}; "
                    "download it again, or delete it to split by the numbers in the file names"
                )
            return torch.tensor([int(parts[name]) for name in self._table.names])
        stems = [Path(name).stem for name in self._table.names]
        if odd := [stem for stem in stems if not (stem.isascii() and stem.isdigit())]:
            raise InputError(
                f"{odd[0]} in list_attr_celeba.txt is no number, which decides the split; put "
                f"list_eval_partition.txt in {self.root.resolve()}"
            )
        numbers = torch.tensor([int(stem[-18:]) for stem in stems])
        return (numbers > _LAST_TRAINING).long() + (numbers > _LAST_TUNING).long()

    def _lines(self, name: str, at_least: int) -> list[str]:
        path = self.root / name
        if not path.is_file():
            raise DataMissing(
                f"no {name} in {self.root.resolve()}; put CelebA's img_align_celeba/ and "
                "list_attr_celeba.txt there, or set data.root to their folder"
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{path.resolve()} is damaged: {reason(error)}") from error
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < at_least:
            raise InputError(f"{path.resolve()} is damaged: {len(lines)} lines; download it again")
        return lines

    @cached_property
    def _decoded(self) -> DecodedFiles | None:
        folder = self.root / "img_align_celeba"
        return decoded_files(
            folder, self._table.names, self.image_shape, f"{self.crop}", self.cache
        )

    def _images(self, which: Tensor, labels: Tensor) -> ImageFiles:
        chosen = which & (torch.tensor(self._sides) > 0)
        folder = self.root / "img_align_celeba"
        rows = chosen.nonzero()[:, 0].tolist()
        names = [self._table.names[i] for i in rows]
        return ImageFiles(
            [str(folder / name) for name in names],
            labels[chosen],
            resolution=self.resolution,
            crop=self.crop,
            decoded=self._decoded,
            rows=rows,
        )
