"""Extractors of image features for metrics.

An extractor is a plain object, not a module, so that it adds nothing to a model's parameters,
checkpoint, moving average or gradient synchronisation.
"""

from __future__ import annotations

import hashlib
import pickle
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal
from urllib.request import Request, urlopen

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.distributed.collectives import all_gather_object
from lightning_gans.errors import InputError
from lightning_gans.metrics.digit_classifier import (
    WEIGHTS,
    DigitClassifier,
    trained_digit_classifier,
)
from lightning_gans.metrics.fingerprint import hash_tensor
from lightning_gans.metrics.quantize import from_uint8
from lightning_gans.metrics.random_network import SMALLEST, RandomNetwork, shipped_random_network
from lightning_gans.validation import check_tensor


class FeaturesUnavailable(RuntimeError):
    """The weights of an extractor are missing; the message explains how to get them."""


class FeatureExtractor(ABC):
    """Turns 8-bit images into vectors: call ``prepare(device)`` once, then ``extractor(images)``.

    Attributes:
        name: a short name, for the keys of a log.
        num_features: width of the vectors.
    """

    name: str
    num_features: int

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


class RandomFeatures(FeatureExtractor):
    """Statistics of the maps of a random network in this package; for images of any kind.

    Takes grey or colour images of at least 16 pixels and needs no download. It sees colours,
    textures, edges and where they are, not what the images show. Distances between these features
    are not comparable with FIDs of Inception features.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models".
    """

    name = "random"
    num_features = RandomNetwork.num_features

    def _load(self, device: torch.device) -> None:
        try:
            self._network = shipped_random_network().to(device)
        except FileNotFoundError:
            raise FeaturesUnavailable(
                "the weights of the random features are missing: reinstall lightning_gans, or make"
                " them with scripts/random_features.py"
            ) from None

    def _extract(self, images: Tensor) -> Tensor:
        if images.shape[1] not in (1, 3) or min(images.shape[2:]) < SMALLEST:
            raise InputError(
                f"the random features are of images with 1 or 3 channels and at least {SMALLEST}"
                f" pixels a side, got {tuple(images.shape)}; set evaluation.features=null"
            )
        features: Tensor = self._network(from_uint8(images.expand(-1, 3, -1, -1)))
        return features


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


class ImageFeatures(FeatureExtractor):
    """Inception's features if its weights are on this machine, otherwise random ones.

    Nothing is downloaded. The choice is made once, in :meth:`prepare`, by the first of several
    processes.

    Args:
        weights: path of torch-fidelity's weights file, which must exist; None looks for it in
            PyTorch's cache.
        choice: name of the features that were chosen before, "inception" or "random".

    Attributes:
        name: of the chosen features; before the choice "images".
        num_features: of the chosen features.
    """

    name = "images"
    num_features = 0

    def __init__(
        self, weights: str | None = None, choice: Literal["inception", "random"] | None = None
    ) -> None:
        self.weights, self.choice = weights, choice
        self.chosen: FeatureExtractor | None = None

    def prepare(self, device: torch.device | str) -> None:
        """Choose, once, and load the weights on a device.

        Raises:
            FeaturesUnavailable: if the weights of the features of ``choice``, or those at the path
                ``weights``, are missing.
        """
        if self.chosen is None:
            self.choice = self.choice or ("inception" if self._has_inception() else "random")
            inception = self.choice == "inception"
            self.chosen = InceptionFeatures(self.weights) if inception else RandomFeatures()
        super().prepare(device)
        self.name, self.num_features = self.chosen.name, self.chosen.num_features

    def identity(self) -> str:
        """That of the chosen features.

        Raises:
            RuntimeError: before prepare.
        """
        self._prepared()
        assert self.chosen is not None
        return self.chosen.identity()

    def _has_inception(self) -> bool:
        """Whether to use Inception: the first process says so, since machines may differ."""
        mine = self.weights is not None or _inception_file().is_file()
        return bool(all_gather_object(mine)[0])

    def _load(self, device: torch.device) -> None:
        assert self.chosen is not None
        self.chosen.prepare(device)

    def _extract(self, images: Tensor) -> Tensor:
        assert self.chosen is not None
        return self.chosen(images)


def _inception_file() -> Path:
    """Inception's weights in PyTorch's cache, whether they are there or not."""
    # imported here, because it takes seconds
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3  # noqa: PLC0415

    return _cached(URL_INCEPTION_V3)


def _cached(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def _downloaded(url: str) -> Path:
    """The file of a URL in PyTorch's cache, downloaded if it is not there yet."""
    path = _cached(url)
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
