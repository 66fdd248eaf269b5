"""Batch norm over the rows of all processes, beside torch's over those of one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import LayerSync
from torch import Tensor, nn

from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.distributed.sync_batch_norm import SyncBatchNorm
from lightning_gans.models import DLSGAN
from lightning_gans.networks import DiscriminatorOutput, Heads
from lightning_gans.optimizers import AdamW
from tests.support.processes import several
from tests.support.rounds import SHAPE, batches, one_by_one, trainer

ITERATIONS, ROWS = 10, 12


def layers(momentum: float | None) -> nn.Sequential:
    """Batch norm of maps, then of rows without weights of its own."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3, momentum=momentum),
        nn.Softplus(),
        nn.Flatten(),
        nn.LazyLinear(4),
        nn.BatchNorm1d(4, affine=False, momentum=momentum),
        nn.Linear(4, 1),
    )


def penalised(network: nn.Module, x: Tensor) -> Tensor:
    """A loss with a second derivative in it."""
    score = network(x).squeeze(1)
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    loss: Tensor = score.sigmoid().sum() + gradient.square().sum()
    return loss


def passes(rank: int, processes: int, momentum: float | None) -> dict[str, Tensor]:
    """Gradients and statistics after two batches, of a process's share of their rows."""
    torch.distributed.init_process_group("gloo", rank=rank, world_size=processes)
    network, random = layers(momentum).double(), torch.Generator().manual_seed(4)
    network(torch.zeros(2, 2, 5, 5, dtype=torch.float64))
    if processes > 1:
        SyncBatchNorm().apply(network)
    for _ in range(2):
        x = torch.randn(ROWS, 2, 5, 5, dtype=torch.float64, generator=random)
        # shares of unequal size
        ends = [0, 2, 5, ROWS] if processes > 1 else [0, ROWS]
        share = x[ends[rank] : ends[rank + 1]].clone().requires_grad_()
        penalised(network, share).backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    if processes > 1:
        for gradient in found.values():
            torch.distributed.all_reduce(gradient)
    found |= dict(network.named_buffers())
    network.eval()
    found["evaluated"] = network(x)
    SyncBatchNorm().revert(network)
    found["reverted"] = network.train()(x)
    assert not any("forward" in vars(layer) for layer in network.modules())
    return found


@pytest.mark.parametrize("momentum", [0.1, None])
def test_all_processes_have_the_statistics_and_gradients_of_one(
    momentum: float | None, tmp_path: Path
) -> None:
    work = partial(passes, momentum=momentum)
    (alone,) = several(1, work, tmp_path / "one")
    for found in several(3, work, tmp_path / "three"):
        assert found.keys() == alone.keys()
        assert len(found) > 12
        for name, value in alone.items():
            torch.testing.assert_close(found[name], value, rtol=1e-11, atol=1e-12, msg=name)


def test_statistics_of_bfloat16_maps_are_those_of_torchs_layer() -> None:
    torch.manual_seed(0)
    plain, ours = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    SyncBatchNorm().apply(ours)
    x = (torch.randn(64, 3, 5, 5) + 30).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        expected, found = plain(x), ours(x)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
    assert plain.running_mean is not None
    assert plain.running_var is not None
    torch.testing.assert_close(ours.running_mean, plain.running_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.running_var, plain.running_var, rtol=1e-4, atol=1e-6)


class Keeper(LayerSync):
    """A person's own way to synchronise layers."""

    applied = 0

    def apply(self, model: nn.Module) -> nn.Module:
        self.applied += 1
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        return model


def kept(rank: int, processes: int) -> int:
    keeper = Keeper()
    model = DLSGAN(SHAPE, 3, Generator, Discriminator)
    options = {"strategy": GANDDP(), "devices": processes, "use_distributed_sampler": False}
    data = [(x.float(), torch.zeros(ROWS)) for x in batches(1, ROWS)]
    trainer(plugins=[keeper], **options).fit(model, one_by_one(data))
    return keeper.applied


def test_layers_that_a_person_synchronises_are_left_to_them(tmp_path: Path) -> None:
    assert several(2, kept, tmp_path / "kept") == [1, 1]


class Generator(nn.Module):
    """Batch norm between two layers."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 16)
        )
        self.shape = image_shape

    def forward(self, z: Tensor) -> Tensor:
        y: Tensor = self.layers(z)
        return y.view(-1, *self.shape)


class Discriminator(nn.Module):
    """Likewise; R1 is a second derivative of it."""

    def __init__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 8)
        )
        self.heads = Heads(8, scores, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = self.heads(self.layers(x))
        return output


def trained(rank: int, processes: int, sync: bool) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = DLSGAN(SHAPE, 3, Generator, Discriminator, optimizer=partial(AdamW, lr=3e-3), r1=0.3)
    random, draw = torch.Generator().manual_seed(3), model.prior.sample

    def dealt(n: int, generator: torch.Generator | None = None) -> Tensor:
        return draw(n * processes, random)[rank::processes]

    model.prior.sample = dealt  # type: ignore[method-assign]
    data = [(x[rank::processes], torch.zeros(ROWS // processes)) for x in batches(ITERATIONS, ROWS)]
    options: dict[str, Any] = {"precision": "64-true", "sync_batchnorm": sync}
    if processes > 1:
        options |= {"strategy": GANDDP(), "devices": processes, "use_distributed_sampler": False}
    trainer(**options).fit(model, one_by_one(data))
    assert not any("forward" in vars(layer) for layer in model.modules())  # as it was
    return model.state_dict()


def test_a_game_with_batch_norm_is_that_of_one_process(tmp_path: Path) -> None:
    (alone,) = several(1, partial(trained, sync=False), tmp_path / "one")
    for found in several(2, partial(trained, sync=True), tmp_path / "two"):
        for name, value in alone.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-10, msg=name)
    (apart, _) = several(2, partial(trained, sync=False), tmp_path / "apart")
    name = "generator.layers.0.weight"
    assert not torch.allclose(apart[name], alone[name], rtol=1e-3)
