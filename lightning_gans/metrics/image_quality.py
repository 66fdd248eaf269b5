"""PSNR and SSIM of reconstructions, averaged over images."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio

from lightning_gans.metrics.average import Average
from lightning_gans.validation import check_tensor

_RANGE = (-1.0, 1.0)  # inputs are clamped to it, so the data range is 2
_LEAST_ERROR = 1e-10


class PSNR(Average):
    """Peak signal-to-noise ratio 10 log₁₀(4 / MSE) in decibels, mean over images.

    The mean squared error of an image is clamped to at least 1e-10, which is 106.02 dB, so that one
    perfect reconstruction does not make the mean infinite. Quantised images that differ at all are
    far below it.
    """

    higher_is_better = True

    def update(self, images: Tensor, reconstructions: Tensor) -> None:
        """Add pairs (N, C, H, W) in [-1, 1]; values outside are clamped.

        Raises:
            ValueError: if the shapes differ or are not (N, C, H, W), or the type is not floating,
                or a value is NaN.
        """
        images, reconstructions = _pair(images, reconstructions)
        each = peak_signal_noise_ratio(
            reconstructions, images, data_range=_RANGE, reduction="none", dim=(1, 2, 3)
        )
        each = each.clamp(max=10 * math.log10((_RANGE[1] - _RANGE[0]) ** 2 / _LEAST_ERROR))
        self.add(each)


class SSIM(Average):
    """Structural similarity, at most 1, mean over images.

    It has a Gaussian window of 11x11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03 and data range 2, and is
    averaged over the positions at which the whole window is within the image.

    Source: Wang et al. 2004.
    """

    higher_is_better = True
    window: ClassVar[int] = 11  # pixels on a side

    def update(self, images: Tensor, reconstructions: Tensor) -> None:
        """Add pairs (N, C, H, W) in [-1, 1]; values outside are clamped.

        Raises:
            ValueError: if the shapes differ or are not (N, C, H, W), the type is not floating, a
                value is NaN, or a side is shorter than 11 pixels.
        """
        images, reconstructions = _pair(images, reconstructions)
        if min(images.shape[2:]) < self.window:
            raise ValueError(
                f"SSIM needs images of at least {self.window}x{self.window} pixels, got"
                f" {images.shape[2]}x{images.shape[3]}"
            )
        if not len(images):
            return
        self.add(_similarity(*(x.clamp(*_RANGE) for x in (images, reconstructions))))


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of pairs (N, C, H, W) in [-1, 1], (N,)."""
    spread = _RANGE[1] - _RANGE[0]
    c1, c2 = (0.01 * spread) ** 2, (0.03 * spread) ** 2
    places = [i - SSIM.window // 2 for i in range(SSIM.window)]
    weights = [math.exp(-(place**2) / (2 * 1.5**2)) for place in places]
    weights = [weight / sum(weights) for weight in weights]

    def average(images: Tensor) -> Tensor:
        # one dimension after the other, 22 products a pixel instead of the 121 of a convolution
        for dim in (2, 3):
            length = images.shape[dim] - SSIM.window + 1
            found = images.narrow(dim, 0, length) * weights[0]
            for place, weight in enumerate(weights[1:], 1):
                found.add_(images.narrow(dim, place, length), alpha=weight)
            images = found
        return images

    mx, my = average(x), average(y)
    xx = (average(x.square()) - mx.square()).clamp(min=0)
    yy = (average(y.square()) - my.square()).clamp(min=0)
    xy = average(x * y) - mx * my
    means = (2 * mx * my + c1) / (mx.square() + my.square() + c1)
    return (means * (2 * xy + c2) / (xx + yy + c2)).mean((1, 2, 3))


def _pair(images: Tensor, reconstructions: Tensor) -> tuple[Tensor, Tensor]:
    for x in (images, reconstructions):
        check_tensor(x, "images")
    if images.shape != reconstructions.shape or images.ndim != 4:
        raise ValueError(
            "expected images and reconstructions of one shape (N, C, H, W), got"
            f" {tuple(images.shape)} and {tuple(reconstructions.shape)}"
        )
    for x in (images, reconstructions):
        if not x.is_floating_point():
            raise ValueError(f"expected floating point images in [-1, 1], got {x.dtype}")
        if x.isnan().any():
            raise ValueError("the images contain NaN; the generator has diverged")
    double = torch.float64 in (images.dtype, reconstructions.dtype)
    dtype = torch.float64 if double else torch.float32
    return images.to(dtype), reconstructions.to(dtype)
