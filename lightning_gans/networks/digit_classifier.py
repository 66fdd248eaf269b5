"""Convolutions that learn to classify digits within minutes."""

from __future__ import annotations

from torch import nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .discriminator_output import Heads


class DigitBackbone(nn.Sequential):
    """Four convolutions with batch norm, the first of stride 2, and two poolings; then heads.

    With a code of 128 elements it is the backbone of the shipped digit classifier. Maps images
    (N, *image_shape) to a ``DiscriminatorOutput``.

    Args:
        image_shape: (image channels, height, width), height and width multiples of 8.
        scores: number of scores.
        code_dim: width of the code.

    Raises:
        ValueError: if ``image_shape`` is not supported, or a head's width is below 0.
    """

    @checked
    def __init__(
        self, image_shape: tuple[Width, ...], scores: HeadWidth = 0, code_dim: HeadWidth = 128
    ) -> None:
        sides = image_shape[1:]
        if len(image_shape) != 3 or any(side < 8 or side % 8 for side in sides):
            raise ValueError(
                "image_shape must be (channels, height, width) with multiples of 8, such as "
                f"(1, 32, 32); got {tuple(image_shape)}: choose such a data.resolution, "
                "pad the images, or use another network"
            )
        super().__init__(
            *_convolution(image_shape[0], 32, kernel=5, stride=2),
            *_convolution(32, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
            *_convolution(64, 64),
            nn.MaxPool2d(2),
            nn.Flatten(),
            Heads(64 * (sides[0] // 8) * (sides[1] // 8), scores, code_dim),
        )


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]
