"""Parts of a batch that wait for each other; what they train is in test_strategies.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from rounds import (
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
    batches,
    one_by_one,
    trainer,
)
from torch import Tensor, nn

from lightning_gans import micro_batches
from lightning_gans.callbacks import GradientAccumulation
from lightning_gans.callbacks.accumulation import cut
from lightning_gans.errors import InputError
from lightning_gans.micro_batches import in_step
from lightning_gans.models import CGPGAN, DLSGAN, NonFiniteLoss
from lightning_gans.priors import Categorical, DynamicScale
from lightning_gans.processes import mean_of_rows


def test_parts_go_on_together() -> None:
    seen: list[str] = []

    def work(name: str) -> None:
        part = micro_batches.current()
        seen.append(f"{name}1")
        part.wait()
        seen.append(f"{name}2")
        part.wait()
        seen.append(f"{name}3 {part.index} of {part.count} {part.first} {part.last}")

    in_step(work, ["a", "b", "c"])
    assert seen[:6] == ["a1", "b1", "c1", "a2", "b2", "c2"]
    assert seen[6:] == ["a3 0 of 3 True False", "b3 1 of 3 False False", "c3 2 of 3 False True"]
    alone = micro_batches.current()
    assert (alone.index, alone.count, alone.first, alone.last) == (0, 1, True, True)


def test_sums_are_of_all_parts_one_after_another() -> None:
    found: list[tuple[float, float]] = []

    def work(value: float) -> None:
        part = micro_batches.current()
        one = part.total(torch.tensor(value))
        two = part.total(one * value)
        found.append((float(one), float(two)))

    in_step(work, [1.0, 2.0, 4.0])
    assert found == [(7.0, 49.0)] * 3


def test_means_are_of_all_rows_and_what_follows_them_is_learnt_once() -> None:
    rows = torch.randn(12, 4)
    prior, categories = DynamicScale(4, decay=0.5), Categorical((4,), decay=0.5)
    parts = [rows[:2], rows[2:5], rows[5:]]
    means: list[Tensor] = []

    def work(part: Tensor) -> None:
        means.append(mean_of_rows(part))
        prior.update(part)
        categories.update(part.softmax(1))

    v, p = prior.v.clone(), categories.p.clone()
    in_step(work, parts)
    for mean in means:
        torch.testing.assert_close(mean, rows.mean(0))
    torch.testing.assert_close(prior.v, (v + rows.square().mean(0)) / 2)
    torch.testing.assert_close(categories.p, (p + rows.softmax(1).mean(0)) / 2)


def test_each_part_keeps_its_own_mode_of_gradients() -> None:
    modes: list[bool] = []

    def work(enabled: bool) -> None:
        with torch.set_grad_enabled(enabled):
            micro_batches.current().wait()
            modes.append(torch.is_grad_enabled())
        modes.append(torch.is_grad_enabled())

    in_step(work, [False, True, False])
    assert modes == [False, True, True, True, False, True]


def test_an_error_in_one_part_ends_all() -> None:
    ended: list[int] = []

    def work(i: int) -> None:
        try:
            micro_batches.current().wait()
            if i == 1:
                raise KeyError("wrong")
            micro_batches.current().wait()
        finally:
            ended.append(i)

    with pytest.raises(KeyError, match="wrong"):
        in_step(work, [0, 1, 2])
    assert sorted(ended) == [0, 1, 2]
    assert micro_batches.current().count == 1


def test_parts_that_do_not_do_the_same_are_noticed() -> None:
    def work(i: int) -> None:
        for _ in range(i):
            micro_batches.current().wait()

    with pytest.raises(RuntimeError, match="wait for others that have ended"):
        in_step(work, [1, 2])


def game() -> DLSGAN:
    return DLSGAN(SHAPE, 3, TinyGenerator, TinyDiscriminator, r1=0.3)


def data(rows: int, count: int = 2) -> list[tuple[Tensor, Tensor]]:
    return [(x.float(), torch.zeros(rows, dtype=torch.long)) for x in batches(count, rows)]


def test_networks_hold_one_part_at_a_time_and_the_model_is_left_as_it_was() -> None:
    model, sizes = game(), set()
    held: list[int] = []

    def forward(module: nn.Module, given: tuple[Tensor, ...], y: object) -> None:
        sizes.add(len(given[0]))
        held.append(1)

    model.discriminator.register_forward_hook(forward)
    backward = model.manual_backward

    def counted(loss: Tensor) -> None:
        backward(loss)
        assert sum(held) <= 2  # real and fake: nothing waits for its backward pass
        held.clear()

    model.manual_backward = counted  # type: ignore[method-assign]
    runner = trainer(callbacks=[GradientAccumulation(4)])
    runner.fit(model, one_by_one(data(12)))
    assert sizes == {3}
    assert runner.global_step == 2
    assert "training_step" not in vars(model)
    assert all(p.requires_grad for p in model.parameters())


def test_the_log_is_of_the_whole_batch(tmp_path: Path) -> None:
    """Two equal halves: all is as with one of them, drawn alike."""

    def logged(name: str, pairs: list[tuple[Tensor, Tensor]], parts: int) -> str:
        torch.manual_seed(0)
        model = game()
        draw, z = model.prior.sample, torch.Generator()

        def again(n: int, generator: torch.Generator | None = None) -> Tensor:
            return draw(n, z.manual_seed(1))

        model.prior.sample = again  # type: ignore[method-assign]
        logger = CSVLogger(tmp_path, name, version="")
        runner = trainer(
            logger=logger, log_every_n_steps=1, callbacks=[GradientAccumulation(parts)]
        )
        runner.fit(model, one_by_one(pairs))
        return (tmp_path / name / "metrics.csv").read_text()

    pairs = data(6, 3)
    twice = [(torch.cat([x, x]), torch.cat([y, y])) for x, y in pairs]
    one, two = logged("one", pairs, 1), logged("two", twice, 2)
    assert one.splitlines()[0] == two.splitlines()[0]
    assert "discriminator/r1" in one

    def numbers(text: str) -> list[float]:
        return [float(cell) for row in text.splitlines()[1:] for cell in row.split(",") if cell]

    assert numbers(one) == pytest.approx(numbers(two), rel=1e-5)
    assert len(numbers(one)) > 3 * 5


def test_a_wait_within_a_turn_leaves_the_players_as_they_were() -> None:
    """The normalisation of P(C) needs all rows in the middle of the discriminator's turn."""
    model = CGPGAN(SHAPE, 3, 4, 1, TinyConditionalGenerator, TinyDiscriminator, warmup=9)
    before = {name: p.clone() for name, p in model.named_parameters()}
    trainer(callbacks=[GradientAccumulation(3)]).fit(model, one_by_one(data(6)))
    for name, p in model.named_parameters():
        assert p.requires_grad
        assert not torch.equal(p, before[name]), name


def test_a_loss_that_is_no_number_in_one_part_stops_all() -> None:
    model = game()
    bad = data(6)

    def wrong(module: nn.Module, given: tuple[Tensor, ...], y: Tensor) -> Tensor:
        last = micro_batches.current().last and model.global_step == 1
        return y * torch.nan if last else y

    model.generator.register_forward_hook(wrong)
    with pytest.raises(NonFiniteLoss, match="in iteration 2"):
        trainer(callbacks=[GradientAccumulation(2)]).fit(model, one_by_one(bad))
    assert all(p.requires_grad for p in model.parameters())
    assert "training_step" not in vars(model)


def test_what_cannot_be_cut_is_refused() -> None:
    words = r"a batch of 6 cannot be cut into accumulation.micro_batches=4 equal parts"
    with pytest.raises(InputError, match=words):
        cut(data(6)[0], 4)
    with pytest.raises(ValueError, match="micro_batches >= 1, got 0"):
        GradientAccumulation(0)


def test_labels_go_with_their_images() -> None:
    x, y = torch.arange(6.0), torch.arange(6)
    for part, labels in cut((x, y), 3):
        assert torch.equal(part.long(), labels)
        assert len(part) == 2
