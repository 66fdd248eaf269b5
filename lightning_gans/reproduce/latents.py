"""Images of latents that are no draws of the prior: (Cho 2021), (Egan 2018), their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from lightning_gans.data import MNIST, DataModule, FashionMNIST
from lightning_gans.errors import InputError
from lightning_gans.inversion import Scaled, great_circle, linear, slerp
from lightning_gans.inversion.embedding import unit_sums
from lightning_gans.metrics import (
    DigitFeatures,
    FeatureExtractor,
    FrechetDistance,
    InceptionFeatures,
    PrecisionRecall,
    RandomFeatures,
    to_uint8,
)
from lightning_gans.models import GAN
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import size
from lightning_gans.priors import Prior, Uniform
from lightning_gans.ranges import NonNegativeFloat, PositiveFloat, PositiveInt
from lightning_gans.rng import stream

Features = Literal["digits", "inception", "random"]
BATCH = 200
# pixels of a digit
DIGIT = 28
# the side in pixels to which images in pictures are enlarged, about
SIDE = 64


def other_latents(
    run: Path,
    root: str,
    images: PositiveInt = 2000,
    bound: PositiveFloat = 10.0,
    features: Features = "digits",
) -> dict[str, float]:
    """How much like digits images of latents far outside the prior are (Cho 2021, Figures 2, 3).

    Args:
        run: of a GAN of digits.
        root: the folder of MNIST, whose test images are the real ones, and of FashionMNIST.
        images: how many are generated, and how many of a data set are taken at most.
        bound: the other latents are draws of U(-bound, bound).
        features: of all images.

    Returns:
        FID and precision against the real images: own.fid.digits (or of other features) and
        own.precision of draws of the prior, other.fid.digits and other.precision of the other
        latents, and foreign.fid.digits and foreign.precision of the test images of FashionMNIST.
    """
    model = gan(run)
    extract = extractor(features)
    border = (model.image_shape[-1] - DIGIT) // 2
    real = described(extract, real_images(MNIST(root, padding=border), images))
    fakes = {
        "own": made(model, drawn(model.prior, images)),
        "other": made(model, drawn(Uniform(model.prior.dim, -bound, bound), images)),
        "foreign": real_images(FashionMNIST(root, padding=border), images),
    }
    values = {}
    for name, x in fakes.items():
        fake = described(extract, x)
        nearest = PrecisionRecall()
        nearest.update(real, real=True)
        nearest.update(fake, real=False)
        values[f"{name}.fid.{features}"] = frechet(real, fake)
        values[f"{name}.precision"] = float(nearest.compute()["precision"])
    return values


def foreign(
    root: str, images: PositiveInt = 2000, features: Features = "digits"
) -> dict[str, float]:
    """The FID of the test images of FashionMNIST against those of MNIST.

    Args:
        root: the folder of both.
        images: how many of each are taken at most.
        features: of all images.

    Returns:
        foreign.fid.digits, or of the other features.
    """
    extract = extractor(features)
    real, other = (
        described(extract, real_images(data, images)) for data in (MNIST(root), FashionMNIST(root))
    )
    return {f"foreign.fid.{features}": frechet(real, other)}


def embedding(run: Path, pairs: PositiveInt = 200, norm: PositiveFloat = 1.0) -> dict[str, float]:
    """Whether images of sums of unit vectors show both (Egan 2018, section 5.1 and Figure 8).

    Args:
        run: of a GAN of images.
        pairs: of unit vectors.
        norm: of the vectors.

    Returns:
        to_parts, to_others and explained of :class:`~lightning_gans.inversion.embedding.UnitSums`.
    """
    model = gan(run)
    found = unit_sums(Scaled(model.generator, model.prior.scale()), model.prior.dim, pairs, norm)
    return found._asdict()


def circles(
    run: Path, images: PositiveInt = 1000, steps: PositiveInt = 64, features: Features = "digits"
) -> dict[str, float]:
    """Paths around the mean and straight ones (Egan 2018, section 5.2 and Figure 9).

    Args:
        run: of a GAN of images whose prior has the mean 0.
        images: how many pairs of draws there are; one in ten also has a great circle.
        steps: around a circle.
        features: of the images in the middle of the paths.

    Returns:
        step, the largest distance of neighbouring images on a circle, the mean over the circles,
        and turn, the mean distance of opposite ones, both in units of the mean distance of images
        of independent draws (root mean squares of pixels);
        slerp.fid.digits and linear.fid.digits (or of other features), of images of the middles of
        paths against images of draws;
        slerp.norm and linear.norm, the mean norm of the middles in units of that of draws.
    """
    model = gan(run)
    extract = extractor(features)
    first, second, third = (drawn(model.prior, images, f"draws {i}") for i in range(3))
    one, other = made(model, first), made(model, second)
    unit = float(distance(one, other).mean())
    largest, opposite = [], []
    for z1, z2 in zip(first[::10], second[::10], strict=True):
        x = made(model, great_circle(z1, z2, steps + 1))
        largest.append(max(float(distance(a, b)) for a, b in pairwise(x.unsqueeze(1))))
        half = steps // 2
        opposite.append(float(distance(x[:half], x[half : 2 * half]).mean()))
    values = {
        "step": sum(largest) / len(largest) / unit,
        "turn": sum(opposite) / len(opposite) / unit,
    }
    draws = described(extract, made(model, third))
    paths: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {"slerp": slerp, "linear": linear}
    for name, path in paths.items():
        middle = path(first, second, 3)[:, 1]
        values[f"{name}.fid.{features}"] = frechet(draws, described(extract, made(model, middle)))
        values[f"{name}.norm"] = float(middle.norm(dim=1).mean() / third.norm(dim=1).mean())
    return values


# Pictures


def draw_samples(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    bound: NonNegativeFloat = 0.0,
    images: PositiveInt = 64,
    columns: PositiveInt = 16,
) -> None:
    """Images of draws of the prior, or of U(-bound, bound) if there is a bound; of the first runs.

    Args:
        runs: of one training.
        path: the PNG file.
        bound: 0 for the prior.
        images: how many.
        columns: in a row.
    """
    model = gan(first_of(runs))
    prior = Uniform(model.prior.dim, -bound, bound) if bound else model.prior
    write_sheet(made(model, drawn(prior, images)), columns, path)


def draw_sums(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    rows: PositiveInt = 6,
    norm: PositiveFloat = 1.0,
) -> None:
    """In each row: the images of two unit vectors, and that of their sum.

    Args:
        runs: of one training.
        path: the PNG file.
        rows: vectors 1 and 2, 3 and 4, ...
        norm: of the vectors.
    """
    model = gan(first_of(runs))
    units = norm * torch.eye(model.prior.dim)[: 2 * rows]
    x = [torch.stack([a, b, a + b]) for a, b in zip(units[::2], units[1::2], strict=True)]
    write_sheet(made(model, torch.cat(x)), 3, path)


def draw_circle(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    images: PositiveInt = 48,
    columns: PositiveInt = 12,
) -> None:
    """Images along a great circle through two draws, row by row; the last would be the first.

    Args:
        runs: of one training.
        path: the PNG file.
        images: how many.
        columns: in a row.
    """
    model = gan(first_of(runs))
    first, second = drawn(model.prior, 2, "circle")
    write_sheet(made(model, great_circle(first, second, images + 1)[:-1]), columns, path)


def write_sheet(images: Tensor, columns: int, path: Path) -> None:
    """Images (n, 1 or 3, height, width) in [-1, 1], row by row, enlarged by a whole factor."""
    factor = max(1, round(SIDE / images.shape[-1]))
    pixels = to_uint8(images).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    sheet: Tensor = make_grid(pixels, nrow=columns, padding=2, pad_value=255)
    Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy()).save(path, format="png")


# Parts


def gan(run: Path) -> GAN:
    """The GAN of images of a run.

    Raises:
        InputError: if it is another model, or of points.
    """
    model = load(run)
    if not isinstance(model, GAN) or len(model.image_shape) != 3:
        raise InputError(f"{run}: expected a GAN of images, got {type(model).__name__}")
    return model


def first_of(runs: Mapping[str, Sequence[Path]]) -> Path:
    """The run of the first seed of the first training."""
    return next(iter(runs.values()))[0]


def drawn(prior: Prior, n: int, purpose: str = "latents") -> Tensor:
    """Draws (n, dim) of a prior."""
    return prior.sample(n, stream(purpose, 0))


def made(model: GAN, z: Tensor) -> Tensor:
    """The images of latents (n, dim), in [-1, 1]."""
    with torch.no_grad():
        return torch.cat([model.decode(part).clamp(-1, 1) for part in torch.split(z, BATCH)])


def real_images(data: DataModule, most: int) -> Tensor:
    """The first images of the validation set."""
    data.setup("predict")
    dataset = data.validation_set
    return torch.stack([dataset[i][0] for i in range(min(most, size(dataset)))])


def extractor(name: Features) -> FeatureExtractor:
    """Features of a name, ready on the CPU."""
    makers: dict[Features, type[FeatureExtractor]] = {
        "digits": DigitFeatures,
        "inception": InceptionFeatures,
        "random": RandomFeatures,
    }
    made_ = makers[name]()
    made_.prepare("cpu")
    return made_


def described(extract: FeatureExtractor, x: Tensor) -> Tensor:
    """The features of images in [-1, 1], (n, features)."""
    return torch.cat([extract(to_uint8(part)) for part in torch.split(x, BATCH)])


def frechet(real: Tensor, fake: Tensor) -> float:
    """The Fréchet distance between features."""
    found = FrechetDistance(real.shape[1])
    found.update(real, real=True)
    found.update(fake, real=False)
    return float(found.compute())


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Root mean squares of the differences of pixels, (n, *shape) each, to (n,)."""
    return (x - y).flatten(1).square().mean(1).sqrt()
