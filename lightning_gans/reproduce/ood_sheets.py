"""OOD images, near and far, and what a model makes of them (thesis, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lightning_gans import plots
from lightning_gans.data.reading import read
from lightning_gans.errors import InputError
from lightning_gans.metrics import PSNR, to_uint8
from lightning_gans.models import Model, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import size
from lightning_gans.ood.corruptions import mix
from lightning_gans.ood.datasets import MNISTOOD, CelebAOOD, OODData
from lightning_gans.ranges import NonNegativeInt, PositiveInt

Name = Literal["mnist", "celeba"]
# images that are reconstructed at once
BATCH = 100
# sets that are not the thesis's
OURS = ("letters",)


class Sets(NamedTuple):
    """In-distribution images and the sets beside them.

    Attributes:
        inside: (n, *image_shape), in [-1, 1].
        near: by set, of the same shape.
        far: likewise.
    """

    inside: Tensor
    near: Mapping[str, Tensor]
    far: Mapping[str, Tensor]


def reconstruction(
    run: Path,
    root: str,
    data: Name = "mnist",
    images: PositiveInt = 200,
    fold: NonNegativeInt | None = None,
) -> dict[str, float]:
    """How well a model reconstructs ID and OOD images.

    Args:
        run: of a model that reconstructs.
        root: the folder of data sets.
        data: the ID images.
        images: the greatest number of each set.
        fold: of the digits that the model was not trained on; None for the publisher's test images.

    Returns:
        PSNR in dB: inside, of ID images; near and far, means over the sets of OOD images.
    """
    model, sets = _model(run), read_sets(root, data, images, fold)
    return {
        "inside": _psnr(model, sets.inside),
        "near": sum(_psnr(model, x) for x in sets.near.values()) / len(sets.near),
        "far": sum(_psnr(model, x) for x in sets.far.values()) / len(sets.far),
    }


def draw_sets(
    path: Path,
    root: str,
    data: Name = "mnist",
    rows: PositiveInt = 6,
    fold: NonNegativeInt | None = None,
) -> None:
    """ID images in the first column, then a column for each near set and each far one.

    Args:
        path: the PNG file.
        root: the folder of data sets.
        data: the ID images.
        rows: the greatest number of images of each set.
        fold: as of :func:`reconstruction`.
    """
    sets = read_sets(root, data, rows, fold)
    columns = [sets.inside, *sets.near.values(), *sets.far.values()]
    gaps = (1, 1 + len(sets.near))
    plots.sheet(list(to_uint8(torch.stack(columns, 1))), path, gaps=gaps)


def draw_reconstructions(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    root: str,
    data: Name = "mnist",
    fold: NonNegativeInt | None = None,
) -> None:
    """Near OOD images above their reconstructions, then far ones, one image of each set.

    Args:
        runs: of which the first one of each training has four rows.
        path: the PNG file.
        root: the folder of data sets.
        data: the ID images.
        fold: as of :func:`reconstruction`.
    """
    sets, rows = read_sets(root, data, 1, fold), list[Tensor]()
    for folders in runs.values():
        model = _model(folders[0])
        for part in (sets.near, sets.far):
            x = torch.cat([*part.values()])
            rows += [x, _reconstructed(model, x)]
    plots.sheet([to_uint8(row) for row in rows], path)


def sizes(root: str, data: Name = "celeba", most: PositiveInt = 10_000) -> dict[str, float]:
    """How many images of each set are used (thesis, Table 7).

    Args:
        root: the folder of data sets.
        data: the ID images.
        most: of a larger set.

    Returns:
        images.<set>.
    """
    sets = _tested(root, data, None).sets
    return {f"images.{k}": float(min(most, size(of))) for k, of in sets.items() if k not in OURS}


def read_sets(root: str, data: Name, n: int, fold: int | None = None) -> Sets:
    """The first n ID images and OOD images of each set, or fewer, mixed as in ``ood table``."""
    tested = _tested(root, data, fold)
    n = min(n, *(size(of) for of in (tested.validation_set, *tested.sets.values())))
    inside = read(tested.validation_set, range(n)).x
    far = {k: read(of, range(n)).x for k, of in tested.sets.items() if k not in OURS}
    short = [name for name, x in far.items() if len(x) < n or len(inside) < n]
    if short:
        raise InputError(
            f"of the first {n} images of {short[0]}, or of the ID images, some cannot be read"
        )
    return Sets(inside, {k: mix(inside, x, tested.near) for k, x in far.items()}, far)


def _tested(root: str, data: Name, fold: int | None) -> OODData:
    """The ID images and the sets."""
    tested: OODData = MNISTOOD(root, fold=fold) if data == "mnist" else CelebAOOD(root)
    tested.prepare_data()
    tested.setup("test")
    return tested


def _model(run: Path) -> Model:
    model = load(run)
    if not isinstance(model, Reconstructs) or len(model.image_shape) != 3:
        raise InputError(f"{run}: {type(model).__name__} does not reconstruct images")
    return model


def _reconstructed(model: Model, x: Tensor) -> Tensor:
    assert isinstance(model, Reconstructs)
    with torch.no_grad():
        return torch.cat([model.reconstruct(part) for part in torch.split(x, BATCH)])


def _psnr(model: Model, x: Tensor) -> float:
    metric = PSNR()
    metric.update(x, _reconstructed(model, x))
    return float(metric.compute())
