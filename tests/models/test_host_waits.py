"""The CPU submits an iteration to a GPU without waiting for it, except for one flag per turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Laplace

from lightning_gans.augmentation import DiffAugment
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.labels import Summed
from lightning_gans.losses import Hinge, LeastSquares, SoftLabels, Wasserstein
from lightning_gans.models import (
    ACGAN,
    AEDLSGAN,
    CAGAN,
    CGPGAN,
    DLSGAN,
    GAN,
    CategoricalInfoGAN,
    Model,
)
from lightning_gans.models.base.alternating import AlternatingTurns
from lightning_gans.models.base.mixed_batches import MixedBatches
from lightning_gans.networks import (
    CodebookGenerator,
    ConvDiscriminator,
    ConvGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    PixelShuffleGenerator,
    WGANCritic,
    WGANGenerator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import (
    FixedScale,
    GumbelSoftmax,
    HalfUniformHalfNormal,
    Independent,
    Uniform,
)
from tests.support.stand_in_gpu import DEVICE, Waits, Watch, trainer, watched

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from gpu_checks import models


def clipped(parameters: Iterable[Tensor]) -> AdamW:
    """The package's optimiser, without the kernel that the stand-in lacks."""
    made = AdamW(parameters, lr=1e-3, max_norm=1.0)
    for group in made.param_groups:
        group.update(fused=False, foreach=True)
    return made


SHAPE, CLASSES = models.SHAPE, models.CLASSES
MODELS = models.factories(clipped)


def with_parts(model: Callable[..., Model], *given: Any, **parts: Any) -> Callable[[], Model]:
    """A model of small networks, unless others are among the parts."""
    small: dict[str, Any] = {
        "generator": partial(ConvGenerator, channels=4, hidden=16),
        "discriminator": partial(ConvDiscriminator, channels=4, hidden=16),
        "latent_dim": 4,
        "optimizer": clipped,
    }
    return partial(model, SHAPE, *given, **{**small, **parts})


TINY: dict[str, Any] = {"channels": 1, "max_channels": 2}
WGAN: dict[str, Any] = {
    "generator": partial(WGANGenerator, **TINY),
    "discriminator": partial(WGANCritic, **TINY),
}
DCGAN: dict[str, Any] = {
    "generator": partial(DCGANGenerator, **TINY),
    "discriminator": partial(DCGANDiscriminator, **TINY),
}
PARTS = {
    "soft labels, batch norm": with_parts(GAN, **DCGAN, loss=SoftLabels, r1=0.0),
    "pixel shuffle": with_parts(GAN, generator=partial(PixelShuffleGenerator, **TINY)),
    "WGAN-GP": with_parts(GAN, **WGAN, loss=Wasserstein, penalty=10.0, r1=0.0, critic_steps=2),
    "least squares": with_parts(GAN, loss=LeastSquares),
    "hinge": with_parts(GAN, loss=Hinge),
    "penalties every second time": with_parts(DLSGAN, penalty_interval=2),
    "no latent scale": with_parts(DLSGAN, prior=FixedScale),
    "a uniform prior": with_parts(GAN, prior=Uniform),
    "a skewed prior": with_parts(GAN, prior=HalfUniformHalfNormal),
    "a prior of torch": with_parts(
        GAN, prior=partial(Independent, distribution=Laplace(0.0, 1.0, validate_args=False))
    ),
    "learnt categories": with_parts(CategoricalInfoGAN, categories=GumbelSoftmax, warmup=10),
    "normalised categories": with_parts(CGPGAN, warmup=10),
    "pages of a codebook": with_parts(
        CGPGAN, num_labels=2, num_categories=3, generator=partial(CodebookGenerator, **TINY)
    ),
    "mixed batches": with_parts(CAGAN, CLASSES, mixing=partial(MixedBatches, rise=2)),
    "mixed batches of a classifier": with_parts(
        ACGAN, CLASSES, mixing=partial(MixedBatches, rise=2)
    ),
    "augmented images": with_parts(DLSGAN, augmentation=DiffAugment),
    "the sum over labels": with_parts(AEDLSGAN, CLASSES, latent_dim=16, activation=Summed),
}


def fit(model: Model, folder: Path, waits: Waits, **options: Any) -> Watch:
    """Three iterations, of which the second is logged; the third is watched."""
    watch = Watch(waits, 2, 3)
    made = trainer(
        EMA(),
        Checkpoint(every=100),
        watch,
        max_steps=3,
        log_every_n_steps=2,
        default_root_dir=folder,
        **options,
    )
    made.fit(model, models.loader(models.batches(3, 2)))
    assert made.global_step == 3
    return watch


@pytest.mark.parametrize("name", MODELS)
def test_an_iteration_that_is_not_logged_reads_one_flag_in_each_turn(
    name: str, tmp_path: Path
) -> None:
    model = MODELS[name]()
    with watched() as waits:
        found = fit(model, tmp_path, waits).found
    flags = {place for place in found if place.startswith("read at alternating.py:")}
    assert set(found) == flags, found
    assert sum(found.values()) == len(model.players)


@pytest.mark.parametrize("name", PARTS)
def test_no_part_of_a_model_reads_more(name: str, tmp_path: Path) -> None:
    model = PARTS[name]()
    with watched() as waits:
        found = fit(model, tmp_path, waits).found
    assert all(place.startswith("read at alternating.py:") for place in found), found
    turns = 1 + getattr(model, "critic_steps", 1)
    assert sum(found.values()) == turns


def test_the_flag_is_read_after_the_backward_pass_was_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    note = Waits.note

    def ordered(self: Waits, what: str) -> None:
        note(self, what)
        events.append(what)

    backward = AlternatingTurns.differentiate

    def noted(self: AlternatingTurns, loss: Tensor, parameters: list[Tensor]) -> None:
        backward(self, loss, parameters)
        events.append("backward")

    monkeypatch.setattr(AlternatingTurns, "differentiate", noted)
    monkeypatch.setattr(Waits, "note", ordered)
    with watched() as waits:
        fit(MODELS["GAN"](), tmp_path, waits)
    assert [event for event in events if event in ("backward", "read")][-4:] == [
        *("backward", "read"),
        *("backward", "read"),
    ]


WAITING: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "a condition": (lambda x: bool((x > 0).any()), "read"),
    "a number": (lambda x: x.sum().item(), "read"),
    "all numbers": (lambda x: x.tolist(), "copy from the device"),
    "a comparison": (lambda x: torch.equal(x, x), "read"),
    "a copy to the CPU": (lambda x: x.cpu(), "copy from the device"),
    "a copy into a tensor of the CPU": (lambda x: torch.zeros(2, 3).copy_(x), "copy between"),
    "a copy from the CPU": (lambda x: torch.zeros(3).to(DEVICE), "copy to the device"),
    "a tensor of numbers": (lambda x: torch.tensor([1.0, 2.0], device=DEVICE), "copy of numbers"),
    "a tensor of numbers like another": (lambda x: x.new_tensor([1.0]), "copy of numbers"),
    "a selection by a mask": (lambda x: x[x > 0], "index"),
    "an assignment by a mask": (lambda x: x.index_put_((x > 0,), x.sum()), "index_put_"),
    "positions": (lambda x: (x > 0).nonzero(), "nonzero"),
    "indices of the CPU": (lambda x: x[torch.tensor([0, 1])], "copy of indices"),
    "draws without replacement": (lambda x: torch.multinomial(x, 2), "check of probabilities"),
}


@pytest.mark.parametrize("name", WAITING)
def test_the_stand_in_notices(name: str) -> None:
    run, what = WAITING[name]
    x = torch.ones(2, 3, device=DEVICE)
    with Waits() as waits:
        run(x)
    assert sum(waits.places.values()) == 1, waits.places
    assert next(iter(waits.places)).startswith(what)


def test_a_clone_in_a_folder_named_like_the_package_is_not_taken_for_it(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    file = tmp_path / "lightning_gans" / "tests" / "caller.py"
    exec(compile("def run(x): return x.sum().item()", file, "exec"), names)
    with Waits() as waits:
        names["run"](torch.ones(2, device=DEVICE))
    assert list(waits.places) == ["read at elsewhere"]


def test_the_stand_in_does_not_report_what_only_submits_work() -> None:
    x = torch.ones(2, 3, device=DEVICE)
    with Waits() as waits:
        torch.zeros(3).to(DEVICE, non_blocking=True)
        x.cpu  # noqa: B018  (not called)
        x[0] = 2.0
        x.masked_fill(x > 0, 1.0)
        x[x.long()[:, 0]]
        torch.full((3,), 1.0, device=DEVICE)
        torch.multinomial(x[0], 5, True)
        torch.where(x > 0, x, 0.0).isfinite().all()
        bool(torch.ones(1) > 0)  # a value of the CPU
    assert not waits.places
