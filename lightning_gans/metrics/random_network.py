"""A convolutional network with random weights, whose features compare images of any kind."""

from __future__ import annotations

from importlib import resources

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = resources.files("lightning_gans.metrics") / "weights" / "random.safetensors"

# of each convolution; from one to the next, the resolution is halved
WIDTHS = (16, 24, 32, 40, 48)
DEPTHS = len(WIDTHS)
# the depth whose means are also taken of each quarter of the image: where things are
LAYOUT = 3
# of the shorter side: the last map of 16 pixels is one pixel
SMALLEST = 2 ** (DEPTHS - 1)


class RandomNetwork(nn.Module):
    """Five convolutions with rectifiers and poolings between them; untrained.

    Random convolutions tell apart what their filters see: colours, edges and textures at five
    scales, not what the images show. Maps images (N, 3, H, W) in [-1, 1] of at least 16 pixels to
    standardised features, (N, num_features): the mean and the standard deviation of each channel
    of each depth, and the means of one depth over the quarters of the image.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models",
    section 3.2, random embeddings for data far from ImageNet. Theirs is an untrained VGG16.
    """

    num_features = 2 * sum(WIDTHS) + 4 * WIDTHS[LAYOUT]

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = zip((3, *WIDTHS), WIDTHS, strict=False)
        self.convolutions = nn.ModuleList(
            # a border of zeros would be an edge; one that mirrors needs maps of two pixels
            nn.Conv2d(*width, 3, padding=1, padding_mode="replicate")
            for width in widths
        )
        self.register_buffer("mean", torch.zeros(self.num_features))
        self.register_buffer("std", torch.ones(self.num_features))

    @staticmethod
    def next_depth(x: Tensor) -> Tensor:
        """What the next convolution sees of the last one's result."""
        return functional.avg_pool2d(x.relu(), 2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        parts: list[Tensor] = []
        for depth, convolution in enumerate(self.convolutions):
            x = convolution(x)
            seen = x.relu()
            variance, mean = torch.var_mean(seen, (2, 3), correction=0)
            parts += [mean, variance.sqrt()]
            if depth == LAYOUT:
                parts.append(functional.adaptive_avg_pool2d(seen, 2).flatten(1))
            if depth + 1 < DEPTHS:
                x = self.next_depth(x)
        return (torch.cat(parts, 1) - self.mean) / self.std


def shipped_random_network() -> RandomNetwork:
    """The network with the weights in the package, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: if the package was installed without its weights.
    """
    # drawing weights that are replaced would move torch's generator
    with torch.device("meta"):
        network = RandomNetwork()
    network.load_state_dict(safetensors.torch.load(WEIGHTS.read_bytes()), assign=True)
    return network.eval().requires_grad_(False)
