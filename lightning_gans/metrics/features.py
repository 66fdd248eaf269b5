"""Extractors of image features for metrics.

An extractor is a plain object, not a module, so that it adds nothing to a model's parameters,
checkpoint, moving average or gradient synchronisation.
"""

from __future__ import annotations

import hashlib
import pickle
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar
from urllib.request import Request, urlopen

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.errors import InputError
from lightning_gans.metrics.digit_classifier import (
    WEIGHTS,
    DigitClassifier,
    trained_digit_classifier,
)
from lightning_gans.metrics.fingerprint import hash_tensor
from lightning_gans.metrics.quantize import from_uint8
from lightning_gans.validation import check_tensor


class FeaturesUnavailable(RuntimeError):
    """The weights of an extractor are missing; the message explains how to get them."""


class FeatureExtractor(ABC):
    """Turns 8-bit images into vectors: call ``prepare(device)`` once, then ``extractor(images)``.

    Attributes:
        name: a short name, for the keys of a log.
        num_features: width of the vectors.
    """

    name: ClassVar[str]
    num_features: ClassVar[int]

    _device: torch.device | None = None

    def prepare(self, device: torch.device | str) -> None:
        """Load the weights on a device; call it before training, so that it fails early.

        Raises:
            FeaturesUnavailable: if the weights are missing.
        """
        self._load(torch.device(device))
        self._device = torch.device(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Features, (N, num_features), float32, without gradients and in full precision.

        Args:
            images: (N, C, H, W), uint8; ``to_uint8`` makes them.

        Raises:
            ValueError: if images have another type, or a shape that this extractor does not take.
            RuntimeError: before prepare.
        """
        device = self._prepared()
        check_tensor(images, "images")
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(
                f"expected uint8 images (N, C, H, W), got {images.dtype} {tuple(images.shape)};"
                " to_uint8 makes them"
            )
        images = images.to(device)
        # reduced precision changes a distance between features in its third digit
        with (
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False),
        ):
            return self._extract(images).float()

    def identity(self) -> str:
        """A hash of the class and all weights.

        Raises:
            RuntimeError: before prepare.
        """
        self._prepared()
        found = hashlib.sha256(f"{type(self).__qualname__} {self.name}\0".encode())
        for name, value in sorted(vars(self).items()):
            weights = value.state_dict() if isinstance(value, nn.Module) else {name: value}
            for key, weight in weights.items():
                if isinstance(weight, Tensor):
                    found.update(f"{name}.{key}\0".encode())
                    hash_tensor(weight, found)
        return found.hexdigest()

    def _prepared(self) -> torch.device:
        if self._device is None:
            raise RuntimeError(f"{type(self).__name__} has no weights yet: call prepare(device)")
        return self._device

    @abstractmethod
    def _load(self, device: torch.device) -> None:
        """Load the weights.

        Raises:
            FeaturesUnavailable: if they are missing.
        """

    @abstractmethod
    def _extract(self, images: Tensor) -> Tensor:
        """Features of uint8 images (N, C, H, W) on the device of the weights."""


class DigitFeatures(FeatureExtractor):
    """The last hidden layer of the digit classifier in this package; for MNIST.

    Takes grey images of 28x28 (which are padded with black) or 32x32 pixels. Distances between
    these features are not comparable with FIDs of Inception features.
    """

    name = "digits"
    num_features = DigitClassifier.num_features

    def _load(self, device: torch.device) -> None:
        try:
            self._classifier = trained_digit_classifier().to(device)
        except FileNotFoundError:
            raise FeaturesUnavailable(
                f"the digit classifier's weights are missing at {WEIGHTS}: reinstall"
                " lightning_gans, or train them with scripts/train_digit_classifier.py"
            ) from None

    def _extract(self, images: Tensor) -> Tensor:
        if images.shape[1:] not in {(1, 28, 28), (1, 32, 32)}:
            raise InputError(
                "the digit classifier takes images (N, 1, 28, 28) or (N, 1, 32, 32), got"
                f" {tuple(images.shape)}"
            )
        border = (32 - images.shape[-1]) // 2
        return self._classifier.features(from_uint8(functional.pad(images, [border] * 4)))


class InceptionFeatures(FeatureExtractor):
    """The 2048 pooled features of the original FID's Inception-v3, from torch-fidelity.

    Images of any size are resized to 299x299 as in the TensorFlow original; grey ones are repeated
    to three channels.

    Source: Heusel et al. 2017; Obukhov et al. 2020 (torch-fidelity).

    Args:
        weights: path of torch-fidelity's weights file; None uses PyTorch's cache, and downloads
            the file (95 MB) if it is not there.
    """

    name = "inception"
    num_features = 2048

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    def _load(self, device: torch.device) -> None:
        # imported here, because it takes seconds
        from torch_fidelity.feature_extractor_inceptionv3 import (  # noqa: PLC0415
            URL_INCEPTION_V3,
            FeatureExtractorInceptionV3,
        )

        path = _downloaded(URL_INCEPTION_V3) if self.weights is None else Path(self.weights)
        if not path.is_file():
            raise FeaturesUnavailable(
                f"no Inception weights at {path}: download {URL_INCEPTION_V3} and pass its path"
                " as weights"
            )
        try:
            # torch-fidelity unpickles any file: first make sure that it contains only tensors
            torch.load(path, map_location="cpu", weights_only=True)
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
            )
        except (pickle.UnpicklingError, EOFError, RuntimeError, TypeError, AttributeError) as error:
            raise FeaturesUnavailable(
                f"{path} does not contain torch-fidelity's Inception weights"
                f" ({type(error).__name__}): download {URL_INCEPTION_V3}"
            ) from None
        self._network = network.to(device)

    def _extract(self, images: Tensor) -> Tensor:
        if images.shape[1] not in (1, 3):
            raise ValueError(f"Inception takes 1 or 3 channels, got images {tuple(images.shape)}")
        features: tuple[Tensor] = self._network(images.expand(-1, 3, -1, -1))
        return features[0]


def _downloaded(url: str) -> Path:
    """The file of a URL in PyTorch's cache, downloaded if it is not there yet."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if path.is_file():
        return path
    try:
        # the download has no timeout: first check that the server answers
        with urlopen(Request(url, method="HEAD"), timeout=10):
            pass
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except OSError as error:
        raise FeaturesUnavailable(
            f"no Inception weights at {path}, and {url} cannot be reached ({error}): download it"
            " elsewhere and pass its path as InceptionFeatures(weights=...)"
        ) from None
    return path
