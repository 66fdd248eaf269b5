"""A folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn

from lightning_gans.data.check_readable import usable_sides
from lightning_gans.data.data_module import DataMissing, DataModule
from lightning_gans.data.decoded import DecodedFiles, decoded_files
from lightning_gans.data.images import SUFFIXES, Crop, ImageFiles, check_geometry, find_images
from lightning_gans.data.label_file import Labels, normal, read_labels
from lightning_gans.errors import InputError
from lightning_gans.paths import no_folder, typed_path
from lightning_gans.ranges import BatchSize, NonNegativeFloat, Seed, Side, Workers, checked
from lightning_gans.text import escape, printable


class Folder(DataModule):
    """All images in a folder and its subfolders, sorted by name.

    Without ``labels``, each first-level subfolder is a class, numbered in the order of the names;
    if any image lies in ``root`` itself, there are no labels. Images are decoded to 8 bits and
    rotated upright as their EXIF data say; transparent parts are shown on white; 16-bit grey is
    scaled, not clipped.

    Args:
        root: the folder.
        resolution: height and width to which images are resized (cubic, antialiased), in pixels.
        channels: 1 (grey) or 3 (RGB).
        labels: a file with the labels of the images, instead of subfolders. Its first column names
            the image, relative to ``root``. A single further column has the names of classes;
            several have attributes, 0 (or -1) and 1, called as the first line says. A CSV with
            commas, semicolons or tabs, or a list such as CelebA's.
        label_columns: which columns of ``labels`` to use, in this order; all by default.
        crop: what is kept before resizing: "center" is the largest centred square, "none" the
            whole image (squashed to a square); four numbers cut off (left, top, right, bottom)
            pixels.
        validation: which images to validate on: a number in (0, 1) is a random fraction, a whole
            number n the last n by name, and 0 the training images themselves.
        split_seed: seed of the random fraction.
        on_error: what to do about files that cannot be decoded, and images without a row in
            ``labels`` or rows without an image: "error" stops and names them, "skip" leaves them
            out with a warning. The split of the others does not change.
        cache: gigabytes of decoded images that are kept in the user's cache folder, those of other
            folders included, so that later epochs and runs need not decode them; 0 for none.
        flip: whether training sees a random half of the images mirrored (left and right swapped),
            in each epoch another half; not for images with text, or labels such as left and right.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Raises:
        ValueError: if an argument is out of its range.
    """

    # of 5,000 faces augmentation more than halves the FID, from 26.6 to 10.5; of 30,000 it lowers
    # it from 6.2 to 5.1, and of 70,000 it raises it from 3.8 to 4.2 (StyleGAN2 of 256 pixels,
    # published models of Zhao et al. 2020)
    few = 5_000
    loading_arguments = DataModule.loading_arguments | {"cache", "flip"}

    @checked
    def __init__(
        self,
        root: str,
        resolution: Side,
        *,
        channels: Literal[1, 3] = 3,
        labels: str | None = None,
        label_columns: tuple[str, ...] | None = None,
        crop: Crop = "center",
        validation: int | float = 0.1,
        split_seed: Seed = 0,
        on_error: Literal["error", "skip"] = "error",
        cache: NonNegativeFloat = 10.0,
        flip: bool = False,
        batch_size: BatchSize = 32,
        workers: Workers = 0,
    ) -> None:
        super().__init__(batch_size, workers)
        check_geometry(resolution, crop)
        if validation < 0 or (validation >= 1 and isinstance(validation, float)):
            raise ValueError(
                "validation: expected a whole number of images ≥ 0 or a fraction < 1, "
                f"got {validation}"
            )
        if label_columns is not None and labels is None:
            raise ValueError(
                f"label_columns={list(label_columns)} are columns of a file: set data.labels to it"
            )
        if on_error not in {"error", "skip"}:
            raise ValueError(f'on_error must be "error" or "skip", got "{on_error}"')
        self.root = typed_path(root)
        self.resolution = resolution
        self.channels: Literal[1, 3] = channels
        self.labels = labels
        self.label_columns = None if label_columns is None else list(label_columns)
        self.crop: Crop = crop
        self.validation = validation
        self.split_seed = split_seed
        self.on_error: Literal["error", "skip"] = on_error
        self.cache = cache
        self.flip = flip
        self.name = self.root.resolve().name or "folder"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.resolution, self.resolution

    @property
    def original_side(self) -> int | None:
        """The median of the shorter sides of all images as they are cropped, in pixels."""
        sides = sorted(side for side in self._sides if side)
        return sides[len(sides) // 2] if sides else None

    @property
    def classes(self) -> tuple[int, ...]:
        """Those of ``labels``; or one label, the subfolder, and none if images lie in ``root``.

        Raises:
            DataMissing: if there is no such folder or file, or no image in the folder.
            InputError: if ``labels`` cannot be used.
        """
        return tuple(map(len, self.class_names or ()))

    @property
    def class_names(self) -> tuple[tuple[str, ...], ...] | None:
        """Of each label: the names in ``labels`` or of the subfolders, sorted.

        Raises:
            DataMissing: as :attr:`classes`.
            InputError: as :attr:`classes`.
        """
        return self._labels.class_names or None

    @cached_property
    def files(self) -> list[str]:
        """Names of all images, relative to ``root``, sorted.

        Raises:
            DataMissing: if there is no such folder, or no image in it.
        """
        if not self.root.is_dir():
            raise DataMissing(no_folder(self.root))
        names = find_images(self.root)
        if not names:
            raise DataMissing(
                f"no images ({' '.join(SUFFIXES)}) in {self.root.resolve()} or its subfolders; "
                "put them there, or set data.root to their folder"
            )
        self._warn_of_empty_classes(names)
        return names

    def _warn_of_empty_classes(self, names: Sequence[str]) -> None:
        """Name the folders that look like classes, but have no images."""
        if any("/" not in name for name in names):
            return
        classes = {name.partition("/")[0] for name in names}
        empty = []
        for folder in sorted(self.root.iterdir()):
            if folder.name in classes or folder.name.startswith(".") or not folder.is_dir():
                continue
            endings = {path.suffix.lower() for path in folder.iterdir() if path.is_file()}
            found = f" (its files are {', '.join(sorted(endings - {''}))})" if endings else ""
            empty.append(f"{printable(folder.name)}{found}")
        if empty:
            rank_zero_warn(
                f"folders without images ({' '.join(SUFFIXES)}) in {printable(self.root)} are no "
                f"class: {', '.join(empty)}"
            )

    @cached_property
    def _labels(self) -> Labels:
        """The labels of all files, without those of images that are left out."""
        n = len(self.files)
        all_labelled = torch.ones(n, dtype=torch.bool)
        if self.labels is not None:
            return self._labels_of_file(typed_path(self.labels))
        if any("/" not in name for name in self.files):
            return Labels((), torch.zeros(n, dtype=torch.long), all_labelled, ())
        firsts = [name.partition("/")[0] for name in self.files]
        folders = sorted(set(firsts))
        number = {name: i for i, name in enumerate(folders)}
        values = torch.tensor([number[first] for first in firsts])
        # a name of a folder may hold anything
        return Labels((tuple(escape(normal(name)) for name in folders),), values, all_labelled, ())

    def _labels_of_file(self, path: Path) -> Labels:
        """The labels in a file.

        Raises:
            DataMissing: if there is no such file.
            InputError: if it cannot be used, or does not fit the images.
        """
        found = read_labels(path, self.files, self.label_columns)
        absent = [self.files[i] for i in (~found.labelled).nonzero()[:, 0].tolist()]
        file = printable(path)
        problems = []
        if absent:
            problems.append(
                f"images without a row in {file}: {len(absent):,} of {len(self.files):,}, the "
                f"first is {printable(absent[0])}"
            )
        if found.unknown:
            problems.append(
                f"rows of {file} without an image in {printable(self.root)}: "
                f"{len(found.unknown):,}, the first is {printable(found.unknown[0])}"
            )
        if problems and self.on_error == "error":
            raise InputError(
                f"{'; '.join(problems)}; correct the file, or leave them out with "
                "data.on_error=skip"
            )
        for problem in problems:
            rank_zero_warn(f"{problem}; left out")
        return found

    def all_images(self) -> ImageFiles:
        """Every image in the order of :attr:`files`, for who can do without those unreadable.

        Raises:
            DataMissing: if there is no such folder, or no image in it.
        """
        return self._images(torch.ones(len(self.files), dtype=torch.bool))

    def prepare_data(self) -> None:
        """Decode every file once, in one process; the others read its cached result.

        Raises:
            DataMissing: if there are no images.
            UnreadableImages: if some cannot be decoded and ``on_error`` is "error".
            ValueError: if ``validation`` leaves no image to train on.
        """
        # cheap checks first
        self._held_out()
        self._labels  # noqa: B018  (as below)
        self._sides  # noqa: B018  (cached for setup)

    @cached_property
    def _sides(self) -> list[int]:
        return usable_sides(self.root, self.files, self.crop, self.on_error)

    def setup(self, stage: str | None = None) -> None:
        """Find, check and split the images, once.

        Raises:
            DataMissing: if there are no images.
            UnreadableImages: if some cannot be decoded and ``on_error`` is "error".
            ValueError: if ``validation`` leaves no image to train on.
        """
        if hasattr(self, "train_set"):
            return
        held_out = self._held_out()
        fit = (torch.tensor(self._sides) > 0) & self._labels.labelled
        if not self.validation:
            self.train_set = self.validation_set = self._images(fit)
            return
        self.train_set = self._images(fit & ~held_out)
        self.validation_set = self._images(fit & held_out)

    def _held_out(self) -> torch.Tensor:
        """Which images are for validation, (n,) bool; unreadable ones do not move the others."""
        n = len(self.files)
        count = self.validation
        order = torch.arange(n)
        if isinstance(count, float):
            count = max(1, round(count * n)) if count else 0
            order = torch.randperm(n, generator=torch.Generator().manual_seed(self.split_seed))
        if count >= n:
            raise InputError(
                f"validation={self.validation} takes all {n:,} images of {self.root.resolve()}; "
                "leave some to train on, or set it to 0 to validate on the training images"
            )
        held_out = torch.zeros(n, dtype=torch.bool)
        held_out[order[n - count :]] = True
        return held_out

    @cached_property
    def _decoded(self) -> DecodedFiles | None:
        return decoded_files(self.root, self.files, self.image_shape, f"{self.crop}", self.cache)

    def _images(self, which: torch.Tensor) -> ImageFiles:
        rows = which.nonzero()[:, 0].tolist()
        names = [self.files[i] for i in rows]
        return ImageFiles(
            [str(self.root / name) for name in names],
            self._labels.values[which],
            resolution=self.resolution,
            channels=self.channels,
            crop=self.crop,
            decoded=self._decoded,
            rows=rows,
        )
