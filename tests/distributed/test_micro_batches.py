"""Parts of a batch that wait for each other; what they train is in test_strategies.py."""

from __future__ import annotations

import csv
from contextvars import ContextVar
from pathlib import Path
from threading import Thread

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from lightning_gans.callbacks import GradientAccumulation
from lightning_gans.callbacks.accumulation import cut
from lightning_gans.distributed import micro_batches
from lightning_gans.distributed.collectives import global_mean
from lightning_gans.distributed.micro_batches import in_step
from lightning_gans.errors import InputError
from lightning_gans.models import CAGAN, CGPGAN, DLSGAN, PVDGAN, NonFiniteLoss
from lightning_gans.priors import Categorical, DynamicScale
from tests.support.rounds import (
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
    batches,
    deal,
    one_by_one,
    share,
    trainer,
)


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
        means.append(global_mean(part))
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


def test_no_parts_are_nothing_and_parts_are_not_cut_again() -> None:
    in_step(print, [])
    with pytest.raises(RuntimeError, match="cannot be cut into parts again"):
        in_step(lambda part: in_step(print, [part]), [1, 2])
    assert micro_batches.current().count == 1


def test_another_thread_has_no_part_in_it() -> None:
    seen: list[int] = []

    def work(part: int) -> None:
        thread = Thread(target=lambda: seen.append(micro_batches.current().count))
        thread.start()
        thread.join()
        micro_batches.current().wait()

    in_step(work, [1, 2])
    assert seen == [1, 1]


def test_what_a_context_says_holds_in_all_parts() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    variable.set("said")
    seen: list[str] = []
    in_step(lambda part: seen.append(variable.get()), [1, 2])
    assert seen == ["said", "said"]


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
        players = (model.discriminator, model.generator)
        acting = [{p.requires_grad for p in player.parameters()} for player in players]
        assert acting in ([{True}, {False}], [{False}, {True}])
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


def logged(folder: Path, parts: int) -> tuple[list[dict[str, str]], dict[str, float]]:
    """What the log and the progress bar show of five iterations, lazily penalised."""
    torch.manual_seed(0)
    model = DLSGAN(SHAPE, 3, TinyGenerator, TinyDiscriminator, r1=0.3, penalty_interval=3)
    deal(model, 0, 1)
    pairs = [(share(x, 0, 1, parts), share(y, 0, 1, parts)) for x, y in data(12, 5)]
    runner = trainer(
        logger=CSVLogger(folder, version=""),
        log_every_n_steps=1,
        callbacks=[GradientAccumulation(parts)],
        enable_progress_bar=True,
    )
    runner.fit(model, one_by_one(pairs))
    with next(folder.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    return rows, {name: float(value) for name, value in runner.progress_bar_metrics.items()}


def test_the_log_is_of_the_whole_batch(tmp_path: Path) -> None:
    (one, bar), (two, again) = logged(tmp_path / "1", 1), logged(tmp_path / "2", 2)
    assert bar.keys() == again.keys() == {"discriminator", "generator"}
    assert bar == pytest.approx(again, rel=1e-4)
    terms = {"discriminator/adversarial", "discriminator/latent", "generator/adversarial"}
    assert len(one) == len(two) == 5
    for row, other in zip(one, two, strict=True):
        assert terms <= row.keys()
        for name, value in row.items():
            assert (value == "") == (other[name] == "")
            if value:
                assert float(value) == pytest.approx(float(other[name]), rel=1e-4), name
    # before the first is due there is none, and the bar shows the sum of what was minimised
    assert [row["discriminator/r1"] == "" for row in one[:3]] == [True, True, False]
    shown = float(one[4]["generator/adversarial"]) + float(one[4]["generator/latent"])
    assert bar["generator"] == pytest.approx(shown, rel=1e-5)
    shown = float(one[4]["discriminator/adversarial"]) + float(one[4]["discriminator/latent"])
    assert bar["discriminator"] == pytest.approx(shown, rel=1e-5)


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


def test_an_error_before_a_turn_of_a_later_part_freezes_nobody() -> None:
    """The first part waits at the end of its turn when the second finds a label out of range."""
    model = CAGAN(SHAPE, (3,), 3, TinyConditionalGenerator, TinyDiscriminator)
    x, y = data(4)[0]
    runner = trainer(callbacks=[GradientAccumulation(2)])
    with pytest.raises(ValueError, match="7"):
        runner.fit(model, one_by_one([(x, torch.tensor([0, 1, 2, 7]))]))
    assert all(p.requires_grad for p in model.parameters())
    trainer(callbacks=[GradientAccumulation(2)]).fit(model, one_by_one([(x, y)]))
    assert model.trainer.global_step == 1


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_of_the_users_own_is_there_afterwards(parts: int) -> None:
    model, seen = game(), list[int]()
    step = model.training_step

    def watched(batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        seen.append(len(batch[0]))
        step(batch, batch_idx)

    model.training_step = watched  # type: ignore[method-assign]
    trainer(callbacks=[GradientAccumulation(parts)]).fit(model, one_by_one(data(6, 1)))
    assert model.training_step is watched
    assert seen == [6 // parts] * parts


def test_what_cannot_be_cut_is_refused() -> None:
    words = r"a batch of 6 cannot be cut into accumulation.micro_batches=4 equal parts"
    with pytest.raises(InputError, match=words):
        cut(data(6)[0], 4)
    words = r"got a batch of 1 \(one of 6 parts\)"
    with pytest.raises(InputError, match=words):
        trainer(callbacks=[GradientAccumulation(6)]).fit(
            PVDGAN(SHAPE, 3, TinyGenerator, TinyDiscriminator), one_by_one(data(6))
        )
    with pytest.raises(ValueError, match="micro_batches >= 1, got 0"):
        GradientAccumulation(0)


def test_labels_go_with_their_images() -> None:
    x, y = torch.arange(6.0), torch.arange(6)
    for part, labels in cut((x, y), 3):
        assert torch.equal(part.long(), labels)
        assert len(part) == 2
