"""A small classifier of handwritten digits: the eye of the metrics on MNIST."""

from __future__ import annotations

from importlib import resources

import safetensors.torch
from torch import Tensor, nn

WEIGHTS = resources.files("lightning_gans.metrics") / "weights" / "digits.safetensors"


class DigitClassifier(nn.Module):
    """Four convolutions and two linear layers; images (N, 1, 32, 32) in [-1, 1] to 10 logits.

    Attributes:
        num_features: width of the layer before the logits.
    """

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            *_convolution(1, 32, kernel=5, stride=2),
            *_convolution(32, 32),
            nn.MaxPool2d(2),
            *_convolution(32, 64),
            *_convolution(64, 64),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, self.num_features),
            nn.ReLU(),
        )
        self.head = nn.Linear(self.num_features, 10)

    def features(self, x: Tensor) -> Tensor:
        """Activations before the logits, (N, num_features), not negative.

        Raises:
            ValueError: if x is not (N, 1, 32, 32).
        """
        if x.ndim != 4 or x.shape[1:] != (1, 32, 32):
            raise ValueError(f"expected images (N, 1, 32, 32), got {tuple(x.shape)}")
        activations: Tensor = self.backbone(x)
        return activations

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 32, 32) in [-1, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def trained_digit_classifier() -> DigitClassifier:
    """The classifier with the weights that the package ships, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: if the package was installed without its weights.
    """
    classifier = DigitClassifier()
    # stored in half precision, used in single: load_state_dict copies into float32 parameters
    classifier.load_state_dict(safetensors.torch.load(WEIGHTS.read_bytes()))
    return classifier.eval().requires_grad_(False)


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]
