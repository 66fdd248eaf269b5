"""Corruptions by name, and interpolation between ID and OOD images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ood.corruptions.blur import glass_blur, motion_blur
from lightning_gans.ood.corruptions.eight_bits import truncated
from lightning_gans.ood.corruptions.lines import dotted_line, zigzag
from lightning_gans.ood.corruptions.noise import impulse_noise, shot_noise
from lightning_gans.ood.corruptions.overlays import canny_edges, fog, spatter, stripe
from lightning_gans.rng import stream

# from pixels (n, c, h, w) in [0, 1], severity, and a generator for each image, to pixels
_Corruption = Callable[[Tensor, float, list[torch.Generator]], Tensor]

_CORRUPTIONS: dict[str, _Corruption] = {
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "stripe": stripe,
    "fog": fog,
    "spatter": spatter,
    "dotted_line": dotted_line,
    "zigzag": zigzag,
    "canny_edges": canny_edges,
}

NAMES: tuple[str, ...] = tuple(_CORRUPTIONS)
"""The ten corruptions of MNIST-C on which the thesis measures detection (Table 5)."""


@torch.no_grad()
def corrupt(x: Tensor, name: str, severity: float = 1.0, seed: int = 0, first: int = 0) -> Tensor:
    """Corrupt images in one of ten ways, each independently of the others in its batch.

    The result for an image depends only on its pixels, its index, the seed, the name and the
    severity, so a set can be corrupted in batches of any size. Lengths scale with the images'
    height and are made for 28 pixels. To obtain the thesis's sets, corrupt 28×28 digits and pad
    them afterwards: there the border stays black.

    Args:
        x: images (n, channels, height, width) in [-1, 1], of a floating type.
        name: one of :data:`NAMES`.
        severity: in [0, 1], continuous; 0 leaves images as they are, 1 is about that of MNIST-C.
        seed: of noise, splotches and lines.
        first: the index of the first image in its set.

    Returns:
        Corrupted images of the same shape, type, device and range, without a gradient.

    Raises:
        InputError: if the name is unknown, the severity is not in [0, 1], the index is
            negative, or x has another shape, type or range.

    Example:
        >>> white = torch.ones(2, 1, 28, 28)
        >>> corrupt(white, "stripe")[0, 0, 14, [0, 14, 27]]
        tensor([-1.,  1., -1.])
    """
    _check_name(name, first)
    _check_share("severity", severity)
    _check_images(x)
    if severity == 0 or not x.numel():
        return x.clone()
    # always in double precision: the type of the images must not change the random draws
    pixels = (x.to("cpu", torch.float64) + 1) / 2
    pixels = _corrupted(pixels, name, severity, seed, first).clamp(0, 1)
    return (pixels * 2 - 1).to(x)


@torch.no_grad()
def corrupt_bytes(images: Tensor, name: str, seed: int = 0, first: int = 0) -> Tensor:
    """Corrupt images of 8 bits as the files of MNIST-C are made: the result is truncated to 8 bits.

    Of 28×28 digits this makes those files again, up to their random draws: the stripes and the
    Canny edges are equal to theirs.

    Args:
        images: (n, channels, height, width), uint8.
        name: as for :func:`corrupt`, as are seed and first.
        seed: of noise, splotches and lines.
        first: the index of the first image in its set.

    Returns:
        Corrupted images of the same shape, uint8, on the CPU.

    Raises:
        InputError: if the name is unknown, the index is negative, or the images have another shape
            or type.

    Example:
        >>> black = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
        >>> corrupt_bytes(black, "stripe")[0, 0, 14, [6, 7, 20, 21]].tolist()
        [255, 0, 0, 255]
    """
    _check_name(name, first)
    if images.ndim != 4 or images.dtype != torch.uint8:
        raise InputError(
            "expected images (n, channels, height, width) of uint8, "
            f"got {tuple(images.shape)} {images.dtype}"
        )
    if not images.numel():
        return images.clone()
    pixels = images.to("cpu", torch.float64) / 255
    return truncated(_corrupted(pixels, name, 1.0, seed, first))


def _corrupted(pixels: Tensor, name: str, severity: float, seed: int, first: int) -> Tensor:
    """Pixels in [0, 1], corrupted; the result may exceed this range."""
    random = [stream(f"corruption {name} {first + i}", seed) for i in range(len(pixels))]
    return _CORRUPTIONS[name](pixels, severity, random)


def mix(x: Tensor, anomalous: Tensor, intensity: float) -> Tensor:
    """Interpolate between images and anomalous ones: x + intensity · (anomalous - x).

    The thesis makes its near sets in this way (section 4.3.1), with intensity 0.1 for digits and
    0.5 for faces; a corrupted image is paired with the image it was made from.

    Args:
        x: ID images, of any shape.
        anomalous: OOD images of the same shape and type, paired with x by index.
        intensity: the share of the anomalous image, in [0, 1].

    Raises:
        InputError: if the two differ in shape or type, or the intensity is not in [0, 1].

    Example:
        >>> mix(torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 1.0]), intensity=0.25)
        tensor([-0.5000,  1.0000])
    """
    if x.shape != anomalous.shape or x.dtype != anomalous.dtype:
        raise InputError(
            "expected as many OOD images, of the same shape and type, got "
            f"{tuple(x.shape)} {x.dtype} and {tuple(anomalous.shape)} {anomalous.dtype}"
        )
    _check_share("intensity", intensity)
    return torch.lerp(x, anomalous, intensity)


def _check_name(name: str, first: int) -> None:
    if name not in _CORRUPTIONS:
        raise InputError(f"there is no corruption {name!r}; choose one of {', '.join(NAMES)}")
    if first < 0:
        raise InputError(f"the index of the first image must be at least 0, got {first}")


def _check_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"{what} must be in [0, 1], got {value}")


def _check_images(x: Tensor) -> None:
    if x.ndim != 4 or not x.is_floating_point():
        raise InputError(
            "expected images (n, channels, height, width) of a floating type, "
            f"got {tuple(x.shape)} {x.dtype}"
        )
    # phrased so that NaN fails too
    if x.numel() and not bool((x.abs() <= 1).all()):
        low, high = float(x.min()), float(x.max())
        raise InputError(
            f"expected images in [-1, 1], got values from {low:g} to {high:g}; scale or clamp them"
        )
