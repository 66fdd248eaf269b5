"""Faces, and eight OOD sets (thesis, section 4.3.3)."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset, Subset

from lightning_gans.data import CelebA, DataMissing, Folder
from lightning_gans.data.images import Crop
from lightning_gans.data.tensors import Batch
from lightning_gans.ood.batches import size
from lightning_gans.ood.datasets.ood_data import OODData
from lightning_gans.paths import typed_path
from lightning_gans.ranges import BatchSize, Side, Workers, checked
from lightning_gans.rng import stream

NAMES = (
    "coil100",
    "deep_weeds",
    "stl10",
    "cassava",
    "colorectal_histology",
    "malaria",
    "stanford_dogs",
    "stanford_online_products",
)
"""The sets of the thesis's Table 8; each is a folder of images of that name."""


class CelebAOOD(OODData):
    """CelebA's test faces, and sets of objects, plants, animals, tissue and cells.

    Images of a set are in a random order that is always the same, since file names would sort them
    by class. They are thus paired with faces at random, as in the thesis's experiments.

    Faces must be prepared as those that a model was trained on: the defaults are those of the
    thesis's experiments, such as ``experiment=anodlsgan_celeba``, and not those of ``CelebA``.

    Args:
        root: folder with ``celeba``, the root of ``CelebA``, and a folder of images for each of
            :data:`NAMES`; sets without a folder are missing.
        resolution: height and width to which images are resized (cubic, antialiased), in pixels.
        crop: what is kept of the faces before resizing, as in ``CelebA``; by default 128×128 of
            their 178×218 pixels. Other images are squashed to a square.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Raises:
        ValueError: if an argument is out of its range.
    """

    name = "celeba_ood"
    near = 0.5

    @checked
    def __init__(
        self,
        root: str,
        *,
        resolution: Side = 128,
        crop: Crop = (25, 45, 25, 45),
        batch_size: BatchSize = 32,
        workers: Workers = 0,
    ) -> None:
        super().__init__(batch_size, workers)
        self.root, self.resolution, self.crop = root, resolution, crop
        folder = typed_path(root)
        self.faces = CelebA(str(folder / "celeba"), resolution=resolution, crop=crop)
        self.others = {
            name: Folder(str(folder / name), resolution, crop="none", validation=0, on_error="skip")
            for name in NAMES
        }

    @property
    def inside(self) -> CelebA:
        """The faces."""
        return self.faces

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.faces.image_shape

    @property
    def classes(self) -> tuple[int, ...]:
        """Labels of the faces: two classes for each attribute."""
        return self.faces.classes

    def prepare_data(self) -> None:
        """Decode every face once, in one process; the others read its cached result."""
        self.faces.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Find and check the images, once.

        Raises:
            DataMissing: if CelebA is not there.
            UnreadableImages: if some faces cannot be decoded.
        """
        if hasattr(self, "sets"):
            return
        self.faces.setup(stage)
        self.train_set, self.validation_set = self.faces.train_set, self.faces.validation_set
        sets: dict[str, Dataset[Batch]] = {}
        missing = {}
        for name, other in self.others.items():
            try:
                other.setup("validate")
            except DataMissing as error:
                missing[name] = str(error)
                continue
            found = other.validation_set
            order = torch.randperm(size(found), generator=stream(f"order of {name}", 0))
            sets[name] = Subset(found, order.tolist())
        self.sets, self.missing = sets, missing
        self.sources = dict.fromkeys(sets, "files")
