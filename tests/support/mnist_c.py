"""The corruptions with the draws of MNIST-C's generator, in its order, from NumPy's legacy one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lightning_gans.ood.corruptions import blur, lines, overlays


def glass_blur(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    n = len(pixels)
    is_hit = torch.zeros(n, 2, 28, 28, dtype=torch.bool)
    offsets = torch.zeros(n, 2, 2, 28, 28, dtype=torch.int64)
    for image in range(n):
        for k in range(2):
            for row in range(27, 1, -1):
                for column in range(27, 1, -1):
                    if numbers.choice([True, False], 1)[0]:
                        right, down = numbers.randint(-1, 1, size=2)
                        is_hit[image, k, row, column] = True
                        offsets[image, 0, k, row, column] = int(down)
                        offsets[image, 1, k, row, column] = int(right)
    return blur.through_glass(pixels, 0.7, is_hit, offsets)


def motion_blur(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    degrees = [numbers.uniform(-45, 45) for _ in pixels]
    return blur.trail(pixels, 3, torch.tensor(degrees, dtype=torch.float64) * (math.pi / 180))


def stripe(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    return overlays.stripe(pixels, 1, [])


def fog(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    haze = []
    for _ in pixels:
        offsets = torch.zeros(256, 256, dtype=torch.float64)
        step = 256
        while step > 1:
            half = step // 2
            for down, right in ((half, half), (0, half), (half, 0)):
                size = (256 // step, 256 // step)
                drawn = torch.from_numpy(numbers.uniform(-1, 1, size))
                offsets[down::step, right::step] = drawn
            step = half
        haze.append(overlays.plasma(offsets)[:28, :28])
    return overlays.behind(pixels, torch.stack(haze)[:, None], 3)


def spatter(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    noise = np.stack([numbers.normal(0.65, 0.3, (28, 28)) for _ in pixels])
    return overlays.covered(pixels, overlays.splotches(torch.from_numpy(noise), 1)[:, None])


def dotted_line(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    ends = [[numbers.randint(0, 27), numbers.randint(0, 27)] for _ in pixels]
    return pixels + lines.dots(pixels, torch.tensor(ends))


def zigzag(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    drawn = torch.tensor([[numbers.randint(0, 27), numbers.randint(-5, 5)] for _ in pixels])
    return pixels + lines.zigzags(pixels, drawn[:, 0], drawn[:, 1])


def canny_edges(pixels: Tensor, numbers: np.random.RandomState) -> Tensor:
    return overlays.canny_edges(pixels, 1, [])


# from pixels (n, 1, 28, 28) in [0, 1] and the generator to pixels; all but the noise of each pixel
REPEATED: dict[str, Callable[[Tensor, np.random.RandomState], Tensor]] = {
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "stripe": stripe,
    "fog": fog,
    "spatter": spatter,
    "dotted_line": dotted_line,
    "zigzag": zigzag,
    "canny_edges": canny_edges,
}
