"""Several processes, and parts of a batch, train what one process with the whole batch does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_gans.augmentation import DiffAugment
from lightning_gans.distributed.collectives import average_gradients, first_difference, global_mean
from lightning_gans.distributed.strategy import GANDDP, ProcessesDiffer
from lightning_gans.errors import UserError
from lightning_gans.models import (
    CAGAN,
    CGPGAN,
    DLSGAN,
    GAN,
    PVDGAN,
    Generates,
    Model,
    NonFiniteLoss,
)
from lightning_gans.models.base.mixed_batches import Mixing
from lightning_gans.networks import DiscriminatorOutput
from lightning_gans.optimizers import AdamW
from tests.support.processes import several
from tests.support.rounds import (
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
    batches,
    deal,
    labels_of,
    one_by_one,
    trainer,
)

ITERATIONS = 20
ROWS = 16  # of all processes together
ADAM = partial(AdamW, lr=3e-3)


class HalfWay(Mixing):
    """A quarter of the rows, then half of them: shares of any batch that four divides."""

    def count(self, n: int, iteration: int) -> int:
        return n // 4 if iteration < ITERATIONS // 2 else n // 2


def gan() -> Model:
    return GAN(SHAPE, 3, TinyGenerator, TinyDiscriminator, optimizer=ADAM, r1=0.3)


def lazy() -> Model:
    """Every third iteration has penalties, and gradients are shortened."""
    shortened = partial(AdamW, lr=3e-3, max_norm=0.1)
    return GAN(
        SHAPE,
        3,
        TinyGenerator,
        TinyDiscriminator,
        optimizer=shortened,
        r1=0.3,
        r2=0.1,
        critic_steps=2,
        penalty_interval=3,
    )


def dlsgan() -> Model:
    return DLSGAN(SHAPE, 3, TinyGenerator, TinyDiscriminator, optimizer=ADAM, r1=0.3)


def augmented() -> Model:
    """The processes also draw their rows of the same changes of images."""
    return DLSGAN(
        SHAPE,
        3,
        TinyGenerator,
        TinyDiscriminator,
        optimizer=ADAM,
        r1=0.3,
        augmentation=DiffAugment,
    )


def cagan() -> Model:
    return CAGAN(
        SHAPE, (3,), 3, TinyConditionalGenerator, TinyDiscriminator, optimizer=ADAM, mixing=HalfWay
    )


def pvdgan() -> Model:
    return PVDGAN(SHAPE, 3, TinyGenerator, TinyDiscriminator, optimizer=ADAM)


def cgpgan() -> Model:
    return CGPGAN(
        SHAPE, 3, 4, 1, TinyConditionalGenerator, TinyDiscriminator, optimizer=ADAM, warmup=10
    )


MODELS: Sequence[Callable[[], Model]] = (gan, lazy, dlsgan, augmented, cagan, pvdgan, cgpgan)


def trained(
    rank: int,
    processes: int,
    make: Callable[[], Model],
    precision: str,
    shared: bool = True,
) -> dict[str, Tensor]:
    """The weights and buffers after 20 iterations, and the first latents that were drawn."""
    torch.manual_seed(0 if shared else rank)  # the strategy begins with the first's weights
    model = make()
    assert isinstance(model, Generates)
    if shared:
        deal(model, rank, processes)
    drawn: list[Tensor] = []
    draw = model.prior.sample

    def watched(n: int, generator: torch.Generator | None = None) -> Tensor:
        drawn.append(draw(n, generator))
        return drawn[-1]

    model.prior.sample = watched  # type: ignore[method-assign]
    data = batches(ITERATIONS, ROWS)
    labels = labels_of(data, model.categories.classes if model.categories is not None else (1,))
    number = torch.float64 if "64" in precision else torch.float32
    pairs = [
        (x.to(number)[rank::processes], y[rank::processes])
        for x, y in zip(data, labels, strict=True)
    ]
    options: dict[str, Any] = {"precision": precision, "max_epochs": 1}
    if processes > 1:
        options |= {"strategy": GANDDP(bucket=1e-4, check_every=3), "devices": processes}
        options["use_distributed_sampler"] = False  # the rows are shared already
    trainer(**options).fit(model, one_by_one(pairs))
    return {**model.state_dict(), "drawn": drawn[0]}


def all_trained(rank: int, processes: int, precision: str) -> list[dict[str, Tensor]]:
    return [trained(rank, processes, make, precision) for make in MODELS]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, Tensor]]]:
    """What one process with the whole batch trains, by precision."""

    @cache
    def found(precision: str) -> list[dict[str, Tensor]]:
        folder = tmp_path_factory.mktemp("alone") / "one"
        states: list[dict[str, Tensor]]
        (states,) = several(1, partial(all_trained, precision=precision), folder)
        return states

    return found


@pytest.mark.parametrize(
    ("precision", "tolerance", "processes"),
    [
        ("64-true", 1e-12, 2),
        pytest.param("64-true", 1e-12, 4, marks=pytest.mark.slow),
        pytest.param("32-true", 1e-5, 2, marks=pytest.mark.slow),
    ],
)
def test_lightning_20328_and_pytorch_47562_processes_train_what_one_does(
    precision: str,
    tolerance: float,
    processes: int,
    alone: Callable[[str], list[dict[str, Tensor]]],
    tmp_path: Path,
) -> None:
    work = partial(all_trained, precision=precision)
    found = several(processes, work, tmp_path / "more")
    for i, make in enumerate(MODELS):
        for states in found:
            for name, value in alone(precision)[i].items():
                if name == "drawn":
                    continue
                torch.testing.assert_close(
                    states[i][name],
                    value,
                    rtol=tolerance,
                    atol=tolerance * max(1e-3, float(value.abs().max())),
                    msg=f"{make.__name__} {name}",
                )
                assert torch.equal(states[i][name], found[0][i][name])  # to the bit
        assert set(alone(precision)[i]) == set(found[0][i])


def test_processes_in_bfloat16_train_what_one_does_but_for_its_rounding(tmp_path: Path) -> None:
    """Sums over half the rows are rounded to 8 bits; nothing else may differ."""
    work = partial(trained, make=dlsgan, precision="bf16-mixed")
    (alone,) = several(1, work, tmp_path / "one")
    torch.manual_seed(0)
    start = dlsgan().state_dict()
    for found in several(2, work, tmp_path / "two"):
        for name, value in alone.items():
            if name != "drawn":
                off, way = (found[name] - value).norm(), (value - start[name]).norm()
                assert off < 0.05 * way, name


def free(rank: int, processes: int) -> dict[str, Tensor]:
    return trained(rank, processes, dlsgan, "32-true", shared=False)


def test_lightning_16166_processes_draw_their_own_latents_and_the_same_in_each_run(
    tmp_path: Path,
) -> None:
    first, again = several(2, free, tmp_path / "a"), several(2, free, tmp_path / "b")
    assert not torch.equal(first[0]["drawn"], first[1]["drawn"])
    for one, other in zip(first, again, strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    same = set(first[0]) - {"drawn"}
    assert all(torch.equal(first[0][name], first[1][name]) for name in same)


# --- what processes tell each other


def talk(rank: int, processes: int) -> dict[str, Any]:
    torch.distributed.init_process_group("gloo", rank=rank, world_size=processes)
    a, b, c = (nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), (1,)))
    a.grad = torch.full((2, 3), float(rank))
    if rank == 1:
        b.grad = torch.arange(4.0)
    found: dict[str, Any] = {"rows": global_mean(torch.full((rank + 1, 2), float(rank)))}
    for bucket in (1, 2**20):
        found[f"finite{bucket}"] = average_gradients([a, b, c], bucket=bucket)
        found[f"elsewhere{bucket}"] = average_gradients([c], finite=rank != 1, bucket=bucket)
        found[f"a{bucket}"], found[f"b{bucket}"], found["c"] = a.grad.clone(), b.grad, c.grad
    x = torch.tensor([1.0, 2.0, 3.0])
    swapped = x[[0, 2, 1]] if rank == 2 else x
    tiny = x + (x.new_tensor([0, 0, 2e-7]) if rank == 1 else 0)
    named = [("same", x), ("also", torch.tensor([math.nan])), ("tiny", tiny), ("order", swapped)]
    found["difference"] = first_difference(named)
    found["order"] = first_difference([named[0], named[1], named[3]])
    found["none"] = first_difference(named[:2])
    return found


def test_what_processes_tell_each_other(tmp_path: Path) -> None:
    for found in several(3, talk, tmp_path / "talk"):
        # one row of 0, two of 1, three of 2
        assert torch.allclose(found["rows"], torch.full((2,), 8 / 6))
        for bucket in (1, 2**20):
            assert torch.equal(found[f"a{bucket}"], torch.ones(2, 3))
            assert torch.allclose(found[f"b{bucket}"], torch.arange(4.0) / 3)
            assert found[f"finite{bucket}"]
            assert not found[f"elsewhere{bucket}"]
        assert found["c"] is None
        assert found["difference"] == "tiny"
        assert found["order"] == "order"
        assert found["none"] is None


# --- when something is wrong


def drifting(rank: int, processes: int) -> str:
    """One process changes a weight on its own, after the fifth iteration."""
    model = dlsgan()
    step = model.training_step

    def changed(batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        step(batch, batch_idx)
        if batch_idx == 4 and rank == 1:
            with torch.no_grad():
                dict(model.named_parameters())["generator.layers.2.bias"].add_(1e-3)

    model.training_step = changed  # type: ignore[method-assign]
    data = [(x.float(), torch.zeros(len(x), dtype=torch.long)) for x in batches(ITERATIONS, 4)]
    strategy = GANDDP(check_every=3)
    runner = trainer(strategy=strategy, devices=processes, use_distributed_sampler=False)
    try:
        runner.fit(model, one_by_one(data))
    except ProcessesDiffer as error:
        return f"{model.global_step} {error}"
    return "unnoticed"


def test_lightning_9237_weights_that_drift_apart_are_noticed_and_named(tmp_path: Path) -> None:
    for said in several(2, drifting, tmp_path / "drift"):
        assert said.startswith("6 after 6 iterations 'generator.layers.2.bias' is not the same")
        assert "\n" not in said


def diverging(rank: int, processes: int) -> str:
    """The images of one process drive its discriminator beyond all numbers."""
    model = gan()
    data = [(x.float(), torch.zeros(len(x), dtype=torch.long)) for x in batches(4, 4)]
    judge = model.discriminator
    assert isinstance(judge, nn.Module)

    def wrong(module: nn.Module, x: Any, output: DiscriminatorOutput) -> DiscriminatorOutput:
        bad = rank == 1 and model.global_step == 2
        return output._replace(score=output.score * math.inf) if bad else output

    judge.register_forward_hook(wrong)
    runner = trainer(strategy=GANDDP(), devices=processes, use_distributed_sampler=False)
    try:
        runner.fit(model, one_by_one(data))
    except NonFiniteLoss as error:
        return f"{model.global_step} {error}"
    return "unnoticed"


def test_all_processes_stop_where_the_loss_of_one_is_no_number(tmp_path: Path) -> None:
    first, second = several(2, diverging, tmp_path / "diverge")
    assert first.startswith("2 the term of discriminator is not finite in another process in itera")
    assert second.startswith("2 the term 'discriminator/adversarial' became")


def stock(rank: int, processes: int, strategy: str) -> str:
    """Lightning's own strategies: silently unsynchronised, or an error in the second iteration."""
    runner = trainer(strategy=strategy, devices=processes)
    try:
        runner.fit(gan(), one_by_one([(x.float(), torch.zeros(4)) for x in batches(2, 4)]))
    except UserError as error:
        return str(error)
    return "trained"


@pytest.mark.parametrize("strategy", ["ddp", "ddp_find_unused_parameters_true"])
def test_lightning_18086_other_strategies_are_refused(strategy: str, tmp_path: Path) -> None:
    for said in several(2, partial(stock, strategy=strategy), tmp_path / "stock"):
        assert said.startswith("DDPStrategy does not support players that take turns")
        assert said.endswith("trainer.strategy=gan_ddp")


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="bucket: expected number > 0, got 0"):
        GANDDP(bucket=0)
