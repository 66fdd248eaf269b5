"""Small models of all methods, their training on given batches, and draws that devices share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torch.optim import SGD
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, Dataset

from lightning_gans.callbacks import Checkpoint
from lightning_gans.models import (
    ACGAN,
    AEDLSGAN,
    CAGAN,
    CGPGAN,
    DLSGAN,
    GAN,
    PVDGAN,
    VAEGAN,
    Autoencoder,
    CategoricalInfoGAN,
    Classifier,
    Encoder,
    InfoGAN,
    Model,
)
from lightning_gans.networks import (
    BlurredDiscriminator,
    BlurredGenerator,
    ConvDiscriminator,
    ConvGenerator,
    PlainDiscriminator,
    PlainGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
    SkipDiscriminator,
    SkipGenerator,
    SmallDiscriminator,
    SmallGenerator,
)

SHAPE, LATENT, CLASSES = (1, 32, 32), 16, (10,)
Pair = tuple[Tensor, Tensor]
Pairs = Sequence[Pair]


class DrawOnCPU(TorchFunctionMode):
    """Draws random numbers on the CPU, so that they are the same for every device.

    Args:
        seed: of the draws.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.random = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.rand, torch.randn):
            device = kwargs.pop("device", None)
            drawn = func(*args, **{**kwargs, "generator": self.random, "device": "cpu"})
            return drawn if device is None else drawn.to(device)
        if func is torch.multinomial:
            kwargs["generator"] = self.random
            return func(args[0].cpu(), *args[1:], **kwargs).to(args[0].device)
        return func(*args, **kwargs)


def factories(optimizer: Callable[..., torch.optim.Optimizer]) -> dict[str, Callable[[], Model]]:
    """Factories of a small model of each method."""
    networks: dict[str, Any] = {
        "generator": partial(ConvGenerator, channels=4, hidden=16),
        "discriminator": partial(ConvDiscriminator, channels=4, hidden=16),
    }
    common: dict[str, Any] = {**networks, "latent_dim": LATENT, "optimizer": optimizer}
    classifier = {"discriminator": networks["discriminator"], "optimizer": optimizer}
    gan = partial(GAN, SHAPE, **common, r1=0.1)
    made: dict[str, Callable[[], Model]] = {
        "GAN": gan,
        "GAN (WGAN-GP)": partial(GAN, SHAPE, **common, penalty=1.0, r1=0.0),
        "DLSGAN": partial(DLSGAN, SHAPE, **common, r1=0.1),
        "InfoGAN": partial(InfoGAN, SHAPE, **common, r1=0.1),
        "AEDLSGAN": partial(AEDLSGAN, SHAPE, CLASSES, **common, r1=0.1),
        "PVDGAN": partial(PVDGAN, SHAPE, **common, r1=0.1),
        "VAEGAN": partial(VAEGAN, SHAPE, **common, r1=0.1),
        "CAGAN": partial(CAGAN, SHAPE, CLASSES, **common, r1=0.1, r2=0.1),
        "ACGAN": partial(ACGAN, SHAPE, CLASSES, **common, r1=0.1, r2=0.1),
        "CategoricalInfoGAN": partial(CategoricalInfoGAN, SHAPE, **common, r2=0.1),
        "CGPGAN": partial(CGPGAN, SHAPE, **common, r2=0.1),
        "Autoencoder": partial(Autoencoder, SHAPE, **common),
        "Classifier": partial(Classifier, SHAPE, CLASSES, **classifier),
        "Encoder": lambda: Encoder(gan(), SHAPE, **classifier),
    }
    small: dict[str, Any] = {"channels": 4, "max_channels": 16}
    families: dict[str, tuple[Any, Any]] = {
        "Skip": (partial(SkipGenerator, **small), partial(SkipDiscriminator, **small)),
        "Plain": (partial(PlainGenerator, **small), partial(PlainDiscriminator, **small)),
        "Blurred": (partial(BlurredGenerator, **small), partial(BlurredDiscriminator, **small)),
        "Residual": (
            partial(ResidualGenerator, **small, bottom_channels=16, hidden=16),
            partial(ResidualDiscriminator, **small, bottom_channels=16, hidden=16),
        ),
        "Small": (partial(SmallGenerator, channels=4), partial(SmallDiscriminator, channels=4)),
    }
    for name, (generator, discriminator) in families.items():
        chosen = {**common, "generator": generator, "discriminator": discriminator}
        made[f"DLSGAN on {name}"] = partial(DLSGAN, SHAPE, **chosen, r1=0.1)
    return made


def descent(lr: float = 0.01) -> Callable[..., torch.optim.Optimizer]:
    """Plain gradient descent: Adam's division would amplify rounding errors of tiny gradients."""
    return partial(SGD, lr=lr)


def seeded(make: Callable[[], Model]) -> Model:
    """A model with the same weights at each call."""
    torch.manual_seed(1)
    return make()


def batches(count: int, size: int, shape: tuple[int, ...] = SHAPE) -> list[Pair]:
    """Random images and labels."""
    random = torch.Generator().manual_seed(5)
    return [
        (
            2 * torch.rand(size, *shape, generator=random) - 1,
            torch.randint(10, (size,), generator=random),
        )
        for _ in range(count)
    ]


class Batches(Dataset[Pair]):
    """Given batches, repeated.

    Args:
        pairs: the batches.
        count: how many, with repetitions.
    """

    def __init__(self, pairs: Pairs, count: int) -> None:
        self.pairs, self.count = pairs, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        return self.pairs[index % len(self.pairs)]


def loader(pairs: Pairs, count: int | None = None) -> DataLoader[Pair]:
    """A loader of given batches, repeated up to ``count``; without it, each once."""
    return DataLoader(Batches(pairs, count or len(pairs)), batch_size=None)


def trainer(device: str, *callbacks: Callback, **options: Any) -> Trainer:
    """A trainer that only trains."""
    quiet: dict[str, Any] = {
        "accelerator": "gpu" if device.startswith("cuda") else "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": any(isinstance(c, Checkpoint) for c in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": -1 if "max_steps" in options else 1,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "callbacks": list(callbacks),
    }
    return Trainer(**{**quiet, **options})


def trained(
    make: Callable[[], Model], device: str, pairs: Pairs, **options: Any
) -> dict[str, Tensor]:
    """Weights and buffers, on the CPU, after one iteration with each batch."""
    model = seeded(make)
    with DrawOnCPU():
        trainer(device, **options).fit(model, loader(pairs))
    return {name: value.detach().cpu() for name, value in model.state_dict().items()}


def difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The maximum difference between tensors of the same name, relative to their maximum."""
    worst = 0.0
    for name, value in ours.items():
        if value.is_floating_point() and value.numel():
            scale = theirs[name].abs().max().clamp(min=1e-3)
            worst = max(worst, float((value - theirs[name]).abs().max() / scale))
    return worst


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within the block, float32 products on a GPU may use TF32, or not."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
