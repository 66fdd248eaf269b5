"""A small classifier of handwritten digits, whose features the metrics on MNIST use."""

from __future__ import annotations

from importlib import resources

import safetensors.torch
from torch import Tensor, nn

from lightning_gans.networks import DigitBackbone

WEIGHTS = resources.files("lightning_gans.metrics") / "weights" / "digits.safetensors"

# when the file was written, the code was one more layer of the backbone
_RENAMED = {f"backbone.15.{part}": f"backbone.15.code.{part}" for part in ("weight", "bias")}


class DigitClassifier(nn.Module):
    """The networks of a ``Classifier`` with ``DigitBackbone``, without the training code.

    Maps images (N, 1, 32, 32) in [-1, 1] to 10 logits. Its weights have the names of the
    ``Classifier``'s.

    Attributes:
        num_features: width of the layer before the logits.
    """

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        self.backbone = DigitBackbone((1, 32, 32), code_dim=self.num_features)
        self.head = nn.Linear(self.num_features, 10)

    def features(self, x: Tensor) -> Tensor:
        """Activations before the logits, (N, num_features), at least 0.

        Raises:
            ValueError: if x is not (N, 1, 32, 32).
        """
        if x.ndim != 4 or x.shape[1:] != (1, 32, 32):
            raise ValueError(f"expected images (N, 1, 32, 32), got {tuple(x.shape)}")
        code: Tensor = self.backbone(x).code
        return code.relu()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 32, 32) in [-1, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def digit_weights() -> dict[str, Tensor]:
    """The weights in the package, in half precision.

    They are those of ``Classifier(image_shape=(1, 32, 32), classes=(10,), num_features=128,
    discriminator=DigitBackbone)``, which can load them.

    Raises:
        FileNotFoundError: if the package was installed without its weights.
    """
    saved = safetensors.torch.load(WEIGHTS.read_bytes())
    return {_RENAMED.get(name, name): value for name, value in saved.items()}


def trained_digit_classifier() -> DigitClassifier:
    """The classifier with the weights in the package, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: if the package was installed without its weights.
    """
    classifier = DigitClassifier()
    # load_state_dict converts the stored float16 to the parameters' float32
    classifier.load_state_dict(digit_weights())
    return classifier.eval().requires_grad_(False)
