"""Tiny networks and plain optimisation, on which an algorithm written out twice must agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, Dataset

from lightning_gans.models import Generates, Model
from lightning_gans.networks import DiscriminatorOutput, Heads

SHAPE = (1, 4, 4)
LATENT = 3
BATCH = 6
DESCENT = partial(SGD, lr=0.1)


class TinyGenerator(nn.Module):
    """Two layers; smooth, so that penalties have second derivatives."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = image_shape
        self.layers = nn.Sequential(nn.Linear(latent_dim, 8), nn.Tanh(), nn.Linear(8, 16))

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.layers(z)
        return x.view(-1, *self.shape)


class TinyConditionalGenerator(nn.Module):
    """As the tiny generator, of a latent and a condition side by side."""

    def __init__(
        self, latent_dim: int, image_shape: tuple[int, ...], classes: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.tiny = TinyGenerator(latent_dim + sum(classes), image_shape)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        x: Tensor = self.tiny(torch.cat([z, c], 1))
        return x


class TinyDiscriminator(nn.Module):
    """Two layers and heads."""

    def __init__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh())
        self.heads = Heads(8, scores, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = self.heads(self.layers(x))
        return output


def batches(count: int, size: int = BATCH) -> list[Tensor]:
    """Random images in float64."""
    generator = torch.Generator().manual_seed(5)
    draw = partial(torch.rand, generator=generator, dtype=torch.float64)
    return [draw((size, *SHAPE)) * 2 - 1 for _ in range(count)]


def labels_of(data: Sequence[Tensor], classes: tuple[int, ...]) -> list[Tensor]:
    """Random class indices for batches: (n,) for one label, else (n, labels)."""
    generator = torch.Generator().manual_seed(6)
    drawn = [
        torch.stack([torch.randint(k, (len(x),), generator=generator) for k in classes], 1)
        for x in data
    ]
    return [y.squeeze(1) if len(classes) == 1 else y for y in drawn]


def conditions(y: Tensor, classes: tuple[int, ...]) -> Tensor:
    """One-hot vectors side by side, float64, written out row by row."""
    rows = y.reshape(len(y), len(classes)).tolist()
    hot = [
        [float(i == k) for k, n in zip(row, classes, strict=True) for i in range(n)] for row in rows
    ]
    return torch.tensor(hot, dtype=torch.float64)


def draw_conditions(
    n: int, probabilities: Sequence[Sequence[float]] | Sequence[Tensor], random: torch.Generator
) -> Tensor:
    """Conditions drawn label by label, each with its own probabilities."""
    parts = [torch.as_tensor(p, dtype=torch.float64) for p in probabilities]
    drawn = [torch.multinomial(p, n, replacement=True, generator=random) for p in parts]
    return conditions(torch.stack(drawn, 1), tuple(len(p) for p in parts))


def deal(model: Model, rank: int, processes: int) -> None:
    """Let a process draw its rows of what a single process with all rows would draw."""
    random = torch.Generator().manual_seed(3)

    def dealt(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def rows(n: int, generator: torch.Generator | None = None) -> Tensor:
            return draw(n * processes, random)[rank::processes]

        return rows

    if isinstance(model, Generates):
        model.prior.sample = dealt(model.prior.sample)  # type: ignore[method-assign]
    if model.categories is not None:
        model.categories.sample = dealt(model.categories.sample)  # type: ignore[method-assign]


def trainer(**options: object) -> Trainer:
    """A trainer that only trains."""
    quiet: dict[str, object] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 1,
        "num_sanity_val_steps": 0,
    }
    return Trainer(**{**quiet, **options})  # type: ignore[arg-type]  # by name, as given


def one_by_one(pairs: Sequence[tuple[Tensor, Tensor]]) -> DataLoader[tuple[Tensor, Tensor]]:
    """A loader of ready batches."""
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        cast(Dataset[tuple[Tensor, Tensor]], pairs), batch_size=None
    )
    return loader


def train(
    model: Model,
    data: list[Tensor],
    precision: Literal["64-true", "32-true"] = "64-true",
    labels: Sequence[Tensor] | None = None,
) -> Trainer:
    """Train one epoch on the given batches, one iteration each; labels are all 0 without."""
    if labels is None:
        labels = [torch.zeros(len(x), dtype=torch.long) for x in data]
    pairs = list(zip(data, labels, strict=True))
    runner = trainer(precision=precision)
    runner.fit(model, one_by_one(pairs))
    return runner


def descend(parameters: list[Tensor], loss: Tensor, lr: float = 0.1) -> None:
    """One step of plain gradient descent, in place."""
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=lr)


def assert_same(model: nn.Module, reference: nn.Module) -> None:
    """Every parameter and buffer equal, to the rounding of float64."""
    ours, theirs = model.state_dict(), reference.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-12, atol=1e-12, msg=name)
