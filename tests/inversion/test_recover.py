"""Recovery by descent: against plain loops, known answers, and what may go wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lightning_gans.distances import wasserstein
from lightning_gans.errors import InputError
from lightning_gans.inversion import (
    L1,
    L2,
    AllRestartsDiverged,
    BoundaryResampling,
    DescentStep,
    FeatureDistance,
    FromEncoder,
    FromZeros,
    HardCutoff,
    Huber,
    Recovery,
    Regularizer,
    Scaled,
    TypicalBall,
    Wasserstein,
    ZScoreSquare,
    recover,
)
from lightning_gans.inversion.recovery import UnreadableRecovery
from lightning_gans.priors import HalfUniformHalfNormal, Independent, Normal, Prior, Uniform
from lightning_gans.rng import stream

LATENT, PIXELS = 6, 12


class Plain(nn.Module):
    """tanh(Az): points of 12 numbers, deterministic weights, float64."""

    def __init__(self, latent: int = LATENT, pixels: int = PIXELS) -> None:
        super().__init__()
        weight = torch.randn(pixels, latent, generator=stream("weight", 1)).double()
        self.weight = nn.Parameter(weight / latent**0.5)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z @ self.weight.T)


def normal(dim: int = LATENT) -> Normal:
    return Normal(dim).double()


def targets(n: int = 5, generator: nn.Module | None = None) -> Tensor:
    z = torch.randn(n, LATENT, generator=stream("targets", 2)).double()
    with torch.no_grad():
        images: Tensor = (generator or Plain())(z)
    return images


def plain_adam(
    generator: nn.Module, x: Tensor, z: Tensor, steps: int, lr: float, weight: float
) -> tuple[Tensor, Tensor, list[float]]:
    """One code's way by Adam as Kingma and Ba print it, on mean|x - G(z)| + weight * mean z²."""
    m, v, best, kept, trace = torch.zeros_like(z), torch.zeros_like(z), math.inf, z, []
    for t in range(1, steps + 2):
        z = z.detach().requires_grad_()
        loss = (x - generator(z[None])[0]).abs().mean() + weight * z.square().mean()
        trace.append(loss.item())
        if loss.item() < best:
            best, kept = loss.item(), z.detach()
        (g,) = torch.autograd.grad(loss, z)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        z = z - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return kept, torch.tensor(best).double(), trace


def test_a_recovery_is_the_best_of_each_codes_way_by_plain_adam() -> None:
    generator, prior, x = Plain(), normal(), targets(3)
    found = recover(generator, x, prior, ZScoreSquare(), 0.02, steps=30, restarts=4, lr=0.1, seed=7)
    starts = prior.sample(12, stream("recovery/0", 7)).view(3, 4, LATENT)
    for i in range(3):
        ways = [plain_adam(generator, x[i], z, 30, 0.1, 0.02) for z in starts[i]]
        losses = torch.stack([loss for _, loss, _ in ways])
        j = int(losses.argmin())
        assert found.restart[i] == j
        torch.testing.assert_close(found.losses[i], losses[j], rtol=1e-6, atol=0)
        torch.testing.assert_close(found.codes[i], ways[j][0], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(
            found.trace[i], torch.tensor(ways[j][2]).double(), rtol=1e-5, atol=1e-7
        )


def published_way(
    generator: nn.Module, x: Tensor, z: Tensor, steps: int, lr: float, weight: float, made: int
) -> tuple[Tensor, Tensor]:
    """One code's way to its last step by an Adam that has made some steps for other images."""
    m, v = torch.zeros_like(z), torch.zeros_like(z)

    def loss_of(z: Tensor) -> Tensor:
        error: Tensor = (x - generator(z[None])[0]).abs().mean()
        return error + weight * z.square().mean()

    for t in range(made + 1, made + steps + 1):
        z = z.detach().requires_grad_()
        (g,) = torch.autograd.grad(loss_of(z), z)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        z = z - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return z.detach(), loss_of(z).detach()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("at_once", [1024, 8])
def test_a_published_recovery_is_the_last_step_of_adam_counting_on(
    shared: bool, at_once: int
) -> None:
    generator, prior, x = Plain(), normal(), targets(5)
    found = recover(
        generator, x, prior, ZScoreSquare(), 0.02, steps=30, restarts=4, lr=0.1, seed=7,
        codes_at_once=at_once, result="last", shared_step_count=shared, first=2,
    )  # fmt: skip
    size = at_once // 4
    differ = 0
    for i in range(5):
        batch = i // size * size
        n = min(size, 5 - batch)
        drawn = prior.sample(4 * n, stream(f"recovery/{2 + batch}", 7)).view(n, 4, LATENT)
        made = (2 + i) * 30 if shared else 0
        ways = [published_way(generator, x[i], z, 30, 0.1, 0.02, made) for z in drawn[i - batch]]
        losses = torch.stack([loss for _, loss in ways])
        j = int(losses.argmin())
        assert found.restart[i] == j
        torch.testing.assert_close(found.codes[i], ways[j][0], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.losses[i], losses[j], rtol=1e-5, atol=0)
        torch.testing.assert_close(found.trace[i, -1], losses[j], rtol=1e-5, atol=0)
        differ += int(found.trace[i].min() < found.losses[i])
    assert differ > 0, "the last step was also the best of each, so this test tells nothing"


def test_a_count_that_is_shared_lengthens_the_first_step_of_all_images_but_the_first() -> None:
    """Without bias correction: 0.1·g / √(0.001·g²), which is √10 times lr, not lr."""
    probe, x = Probe(), targets(3)
    recover(Plain(), x, normal(), probe, steps=2000, restarts=1, lr=1e-9, shared_step_count=True)
    steps = (probe.seen[1] - probe.seen[0]).abs() / 1e-9
    torch.testing.assert_close(steps[0], torch.ones(LATENT).double(), rtol=0.01, atol=0)
    # after 2,000 and 4,000 steps
    corrections = [(1 - 0.999**made) ** 0.5 * 10**0.5 for made in (2001, 4001)]
    for row, factor in zip(steps[1:], corrections, strict=True):
        expected = torch.full((LATENT,), factor).double()
        torch.testing.assert_close(row, expected, rtol=0.01, atol=0)


def test_a_shared_count_forgets_the_moments_of_elements_that_are_drawn_anew() -> None:
    """Of the first image, whose count is its own in any case."""
    x, prior = targets(1), Uniform(LATENT).double()
    codes = [
        recover(
            Plain(), x, prior, constraint=BoundaryResampling(), steps=40, restarts=3, lr=0.3,
            keep_moments=False, result="last", shared_step_count=shared,
        ).codes
        for shared in (False, True)
    ]  # fmt: skip
    assert torch.equal(*codes)


def test_code_image_and_losses_belong_together() -> None:
    generator, x = Plain(), targets()
    found = recover(generator, x, normal(), ZScoreSquare(), 0.1, steps=15, restarts=3, lr=0.5)
    with torch.no_grad():
        images = generator(found.codes)
    torch.testing.assert_close(found.images, images)
    reconstruction = (images - x).abs().mean(1)
    torch.testing.assert_close(found.reconstruction, reconstruction)
    torch.testing.assert_close(found.losses, reconstruction + 0.1 * found.codes.square().mean(1))
    torch.testing.assert_close(found.losses, found.trace.min(1).values)


def test_the_code_of_a_linear_generator_is_recovered() -> None:
    generator = nn.Linear(LATENT, PIXELS, bias=False).double()
    z = torch.randn(4, LATENT, generator=stream("truth", 3)).double()
    with torch.no_grad():
        x = generator(z)
    found = recover(generator, x, normal(), steps=800, restarts=2, lr=0.05, loss=L2())
    torch.testing.assert_close(found.codes, z, rtol=0, atol=1e-4)


def test_parts_give_what_the_whole_gives() -> None:
    x = targets(7)
    whole = recover(Plain(), x, normal(), steps=5, restarts=2, codes_at_once=6)
    parts = [
        recover(Plain(), x[a:b], normal(), steps=5, restarts=2, codes_at_once=6, first=a)
        for a, b in ((3, 7), (0, 3))
    ]
    joined = Recovery.join(parts)
    for field in fields(Recovery):
        if field.name != "seconds":
            assert torch.equal(getattr(joined, field.name), getattr(whole, field.name)), field.name
    other = recover(Plain(), x, normal(), steps=5, restarts=2, codes_at_once=6, seed=1)
    assert not torch.equal(other.codes, whole.codes)


class Brittle(Plain):
    """NaN, or a NaN gradient, where the first element of the latent is beyond a bound."""

    def __init__(self, bound: float, gradient_only: bool = False) -> None:
        super().__init__()
        self.bound, self.gradient_only = bound, gradient_only

    def forward(self, z: Tensor) -> Tensor:
        bad = (z[:, :1] > self.bound).detach()
        y = super().forward(z)
        if self.gradient_only:
            # the root of zero: a value of 0, a gradient of 0 · ∞
            return y + 0 * torch.where(bad, z[:, :1] * 0, 1.0).sqrt()
        return torch.where(bad, torch.nan, y)


@pytest.mark.parametrize("gradient_only", [False, True])
def test_a_restart_that_is_not_finite_diverges_is_only_counted(gradient_only: bool) -> None:
    x, prior = targets(4), normal()
    starts = prior.sample(24, stream("recovery/0", 0))[:, 0].view(4, 6)
    # a rate so small that no code crosses the bound on its way
    found = recover(Brittle(0.3, gradient_only), x, prior, steps=4, restarts=6, lr=1e-6)
    assert torch.equal(found.diverged, (starts > 0.3).sum(1))
    assert found.diverged.sum() > 0
    assert found.losses.isfinite().all()
    assert (starts.gather(1, found.restart[:, None]) <= 0.3).all()
    sound = recover(Plain(), x, prior, steps=4, restarts=6, lr=1e-6)
    same = found.restart == sound.restart
    assert same.any()
    torch.testing.assert_close(found.codes[same], sound.codes[same], rtol=0, atol=0)


def test_an_image_whose_restarts_all_diverge_is_named_and_the_others_are_kept() -> None:
    x, prior = targets(4), normal()
    starts = prior.sample(8, stream("recovery/0", 0))[:, 0].view(4, 2)
    bound = float(starts.min(1).values.max()) - 1e-3
    gone = [i for i in range(4) if bool((starts[i] > bound).all())]
    with pytest.raises(AllRestartsDiverged, match=f"image {gone[0]} ") as caught:
        recover(Brittle(bound), x, prior, steps=3, restarts=2, lr=1e-6)
    assert caught.value.indices == gone
    assert caught.value.recovery is not None
    assert caught.value.recovery.indices.tolist() == [i for i in range(4) if i not in gone]
    with pytest.raises(AllRestartsDiverged) as caught:
        recover(Brittle(-math.inf), x, prior, steps=3, restarts=2)
    assert caught.value.recovery is None


class Probe(Regularizer):
    """Nothing, but it remembers the codes it saw."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def check(self, prior: Prior) -> None:
        """Any."""

    def penalty(self, z: Tensor, y: Tensor, prior: object, random: object) -> Tensor:
        self.seen.append(z.detach().clone())
        return z.sum(1) * 0


def test_elements_that_are_drawn_anew_keep_adams_moments_only_if_told() -> None:
    """The paper's element: out, drawn anew, then moved by what Adam remembers of it."""
    x, prior = targets(1), Uniform(LATENT).double()
    ways = {}
    for keep in (True, False):
        probe = Probe()
        recover(
            Plain(), x, prior, probe, 1.0, BoundaryResampling(), steps=40, restarts=1, lr=0.3,
            keep_moments=keep,
        )  # fmt: skip
        ways[keep] = torch.cat(probe.seen)
    for keep, way in ways.items():
        assert way.abs().max() <= 1, "an element outside was not drawn anew"
        z, generator, random = way[0], Plain(), stream("recovery/0", 0)
        prior.sample(1, random)
        m, v, count = torch.zeros(LATENT).double(), torch.zeros(LATENT).double(), 0
        for t in range(1, 41):
            z = z.detach().requires_grad_()
            (g,) = torch.autograd.grad((generator(z[None]) - x).abs().mean(), z)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            z = (z - 0.3 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)).detach()
            out = z.abs() > 1
            fresh = prior.sample(1, random)[0]
            torch.rand(1, LATENT, generator=random, dtype=torch.float64)  # chances: here 0 or 1
            z = torch.where(out, fresh, z)
            count += int(out.sum())
            if not keep:
                m, v = m.masked_fill(out, 0), v.masked_fill(out, 0)
            torch.testing.assert_close(way[t], z, rtol=1e-5, atol=1e-7, msg=f"{keep} {t}")
        assert count > 3


def test_a_plateau_ends_the_descent_early() -> None:
    found = recover(
        Plain(), targets(2), normal(), steps=3000, restarts=1, lr=0.05, loss=L2(), patience=5
    )
    made = found.trace.isfinite().sum(1)
    assert (made < 3000).all()
    assert made[0] == made[1]
    # slow but steady progress is not a plateau: each step gains less than a ten-thousandth
    slow = recover(
        Plain(), targets(2), normal(), steps=80, restarts=1, lr=1e-5, loss=L2(), patience=20
    )
    gains = 1 - slow.trace[:, 1:] / slow.trace[:, :-1]
    assert slow.trace.isfinite().all()
    assert gains.max() < 1e-4
    full = recover(Plain(), targets(2), normal(), steps=50, restarts=1, lr=0.05, loss=L2())
    assert full.trace.isfinite().all()
    assert full.trace.shape == (2, 51)


def test_somebody_who_watches_a_descent_sees_what_it_would_return_after_each_step() -> None:
    seen: list[DescentStep] = []
    x, steps = targets(3), 12

    def watch(step: DescentStep) -> bool:
        seen.append(step)
        return False

    options: dict[str, Any] = {"restarts": 2, "lr": 0.1, "seed": 4}
    penalty = ZScoreSquare()
    found = recover(
        Plain(), x, normal(), penalty, 0.3, steps=steps, codes_at_once=4, on_step=watch, **options
    )
    assert [step.made for step in seen] == [*range(steps + 1)] * 2, "of two batches of images"
    assert {step.steps for step in seen} == {steps}
    assert [len(step.codes) for step in seen] == [2] * (steps + 1) + [1] * (steps + 1)
    for made in (1, 5, steps):
        shorter = recover(
            Plain(), x[:2], normal(), penalty, 0.3, steps=made, codes_at_once=4, **options
        )
        torch.testing.assert_close(seen[made].codes, shorter.codes)
        torch.testing.assert_close(seen[made].losses, shorter.losses)
        torch.testing.assert_close(seen[made].reconstruction, shorter.reconstruction)
    assert (seen[0].losses > seen[steps].losses).all()
    torch.testing.assert_close(seen[-1].codes, found.codes[2:])
    unseen = recover(Plain(), x, normal(), penalty, 0.3, steps=steps, codes_at_once=4, **options)
    assert torch.equal(unseen.codes, found.codes)


def test_a_descent_that_is_stopped_returns_the_best_codes_up_to_there() -> None:
    options: dict[str, Any] = {"restarts": 3, "lr": 0.1, "seed": 4}
    stopped = recover(
        Plain(), targets(), normal(), steps=50, on_step=lambda step: step.made == 7, **options
    )
    shorter = recover(Plain(), targets(), normal(), steps=7, **options)
    for name in ("codes", "images", "losses", "reconstruction", "restart", "diverged"):
        torch.testing.assert_close(getattr(stopped, name), getattr(shorter, name))
    assert stopped.trace.isfinite().sum(1).tolist() == [8] * 5


def test_a_descent_under_a_constraint_cannot_be_stopped_before_a_code_has_met_it() -> None:
    x, far = targets(3), FromEncoder(lambda y: 9 + torch.zeros(3, LATENT).double())
    options: dict[str, Any] = {"constraint": TypicalBall(), "start": far, "restarts": 1, "lr": 1e-3}
    found = recover(Plain(), x, normal(), on_step=lambda step: True, **options)
    assert found.losses.isfinite().all()
    assert found.codes.square().sum(1).max() <= LATENT + 3 * math.sqrt(2 * LATENT) + 1e-9


def test_the_generator_is_left_as_it_was() -> None:
    generator = nn.Sequential(nn.Linear(LATENT, 8), nn.BatchNorm1d(8), nn.Linear(8, PIXELS))
    generator[1].eval()
    generator[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    recover(generator, targets().float(), Normal(LATENT), steps=3, restarts=2)
    assert [m.training for m in generator.modules()] == [True, True, False, True]
    assert [p.requires_grad for p in generator.parameters()] == [False, *[True] * 5]
    assert all(p.grad is None for p in generator.parameters())
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_recovery_descends_where_gradients_are_off() -> None:
    x = targets(2)
    with torch.no_grad():
        off = recover(Plain(), x, normal(), steps=5, restarts=2)
    assert torch.equal(off.codes, recover(Plain(), x, normal(), steps=5, restarts=2).codes)


def test_starts() -> None:
    x = targets(3)
    probe = Probe()
    recover(Plain(), x, normal(), probe, steps=1, restarts=2, start=FromZeros())
    first = probe.seen[0].view(3, 2, LATENT)
    assert (first[:, 0] == 0).all()
    assert (first[:, 1] != 0).all()
    probe = Probe()
    recover(Plain(), x, normal(), probe, steps=1, restarts=2, start=FromEncoder(lambda y: y[:, :6]))
    assert torch.equal(probe.seen[0][::2], x[:, :6])
    with pytest.raises(InputError, match="codes from the encoder of shape"):
        recover(Plain(), x, normal(), start=FromEncoder(lambda y: y))
    with pytest.raises(InputError, match="expected 3 codes from the encoder, got 1"):
        recover(Plain(), x, normal(), start=FromEncoder(lambda y: y[:1, :LATENT]))


def test_the_hybrid_method_never_ends_above_the_encoders_code() -> None:
    generator, x = Plain(), targets(6)
    codes = torch.randn(6, LATENT, generator=stream("encoder", 5)).double()
    with torch.no_grad():
        first = (generator(codes) - x).abs().mean(1)
    found = recover(
        generator, x, normal(), steps=3, restarts=1, lr=5.0, start=FromEncoder(lambda y: codes)
    )
    assert (found.losses <= first + 1e-12).all()
    assert (found.losses == first).any(), "with such a rate some code should only get worse"


class Conditional(Plain):
    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        assert c is not None
        return super().forward(z) * c[:, :1]


def test_each_restart_is_given_its_images_condition() -> None:
    condition = torch.tensor([[1.0], [0.5], [-1.0]]).double()
    plain = Plain()
    z = torch.randn(3, LATENT, generator=stream("truth", 3)).double()
    with torch.no_grad():
        x = plain(z) * condition
    found = recover(
        Conditional(), x, normal(), condition=condition, steps=1500, restarts=3, lr=0.03, loss=L2()
    )
    with torch.no_grad():
        torch.testing.assert_close(found.images, plain(found.codes) * condition)
    assert found.losses.max() < 1e-4
    with pytest.raises(InputError, match="expected 3 conditions"):
        recover(Conditional(), x, normal(), condition=condition[:2])


def test_the_scale_stands_between_prior_and_generator() -> None:
    scale = torch.tensor([2.0, 0.5, 1.0, 1.0, 1.0, 0.1]).double()
    z = torch.randn(3, LATENT).double()
    torch.testing.assert_close(Scaled(Plain(), scale)(z), Plain()(z * scale))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (L1(), [0.5, 0.1]),
        (L2(), [0.5, 0.02]),
        # ½d² up to 0.4, then 0.4(d - 0.2)
        (Huber(0.4), [0.16, 0.01]),
        (FeatureDistance(lambda x: x.flatten(1).sum(1, keepdim=True)), [1.0, 0.04]),
    ],
)
def test_reconstruction_losses(loss: L1, expected: Sequence[float]) -> None:
    y = torch.tensor([[[[1.0, 0.0]]], [[[0.2, 0.0]]]])
    torch.testing.assert_close(loss.distance(y, torch.zeros(2, 1, 1, 2)), torch.tensor(expected))


def test_a_first_code_that_no_constraint_has_seen_is_not_the_result() -> None:
    x, far = targets(3), FromEncoder(lambda y: 9 + torch.zeros(3, LATENT).double())
    found = recover(Plain(), x, normal(), constraint=TypicalBall(), start=far, restarts=1, lr=1e-3)
    assert found.codes.square().sum(1).max() <= LATENT + 3 * math.sqrt(2 * LATENT) + 1e-9


def test_a_typical_ball_holds_every_code() -> None:
    probe = Probe()
    prior = normal()
    recover(Plain(), targets(), prior, probe, constraint=TypicalBall(0.5), lr=1.0, steps=20)
    bound = LATENT + 0.5 * math.sqrt(2 * LATENT)
    after = torch.stack(probe.seen[1:]).square().sum(-1)
    assert after.max() <= bound * (1 + 1e-9)
    assert (after > bound * 0.999).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"steps": 0}, "steps: expected whole number ≥ 1, got 0"),
        ({"restarts": 0}, "restarts: expected whole number ≥ 1"),
        ({"lr": 0.0}, "lr: expected number > 0"),
        ({"lr": math.nan}, "lr: expected number > 0"),
        ({"weight": -1.0}, "weight: expected number ≥ 0 or typical"),
        ({"patience": 0}, "patience: expected whole number ≥ 1"),
        ({"codes_at_once": 0}, "codes_at_once: expected whole number ≥ 1"),
        ({"betas": (0.9, 1.0)}, "betas: expected list of 2 numbers ≥ 0 and < 1"),
        ({"regularizer": "wasserstein"}, "expected a Regularizer, got a str"),
        ({"constraint": BoundaryResampling()}, "BoundaryResampling"),
    ],
)
def test_wrong_numbers(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recover(Plain(), targets(), normal(), **arguments)  # type: ignore[arg-type]


def test_what_the_prior_does_not_allow() -> None:
    prior = HalfUniformHalfNormal(LATENT).double()
    for part in ({"regularizer": ZScoreSquare()}, {"constraint": HardCutoff(2.5)}):
        with pytest.raises(InputError, match="HalfUniformHalfNormal"):
            recover(Plain(), targets(), prior, **part)


def test_under_inference_mode_it_finds_the_same_codes() -> None:
    """As in a notebook, where everything is made and called in that mode."""
    expected = recover(Plain(), targets(), normal(), Wasserstein(), steps=4)
    with torch.no_grad():
        without = recover(Plain(), targets(), normal(), Wasserstein(), steps=4)
    model, x, prior = Plain(), targets(), normal()
    with torch.inference_mode():
        outside = recover(model, x, prior, Wasserstein(), steps=4)
        scaled = Scaled(Plain(), torch.ones(LATENT).double())
        inside = recover(scaled, targets(), normal(), Wasserstein(), steps=4)
        assert torch.is_inference_mode_enabled()
    for found in (without, outside, inside):
        assert torch.equal(found.codes, expected.codes)
        assert torch.equal(found.trace, expected.trace)


def test_any_distribution_of_torch_is_a_prior() -> None:
    element = torch.distributions.Laplace(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    prior = Independent(LATENT, element).double()
    found = recover(Plain(), targets(), prior, Wasserstein(), 0.1, steps=3, restarts=2)
    penalty = wasserstein(found.codes, prior)
    torch.testing.assert_close(found.losses, found.reconstruction + 0.1 * penalty)
    with pytest.raises(InputError, match="got a Laplace"):
        recover(Plain(), targets(), element)  # type: ignore[arg-type]


def test_images_that_the_generator_could_not_make() -> None:
    images = nn.Sequential(nn.Linear(LATENT, 16), nn.Unflatten(1, (1, 4, 4)))
    with pytest.raises(InputError, match=r"shape \(n, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        recover(images, torch.zeros(2, 1, 5, 5), Normal(LATENT))
    with pytest.raises(InputError, match=r"in \[-1, 1\], got values from 0 to 255"):
        recover(images, torch.tensor([0.0, 255.0]).repeat(1, 8).view(1, 1, 4, 4), Normal(LATENT))
    with pytest.raises(InputError, match="at least 1 target image"):
        recover(images, torch.zeros(0, 1, 4, 4), Normal(LATENT))
    with pytest.raises(InputError, match="not take latents of 7 elements"):
        recover(images, torch.zeros(1, 1, 4, 4), Normal(7))
    with pytest.raises(InputError, match="NaN"):
        recover(images, torch.full((1, 1, 4, 4), torch.nan), Normal(LATENT))


def test_a_recovery_comes_back_from_its_file(tmp_path: Path) -> None:
    found = recover(Plain(), targets(), normal(), Wasserstein(), steps=3, restarts=2)
    found.save(tmp_path / "new" / "found.safetensors")
    back = Recovery.load(tmp_path / "new" / "found.safetensors")
    for field in fields(Recovery):
        a, b = getattr(found, field.name), getattr(back, field.name)
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["found.safetensors"]
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes((tmp_path / "new" / "found.safetensors").read_bytes()[:-9])
    with pytest.raises(UnreadableRecovery, match="no recovery, or is incomplete"):
        Recovery.load(torn)
    with pytest.raises(FileNotFoundError):
        Recovery.load(tmp_path / "none.safetensors")


def test_a_recovery_of_version_0_1_is_read(tmp_path: Path) -> None:
    found = recover(Plain(), targets(), normal(), steps=3, restarts=2)
    names = {"diverged": "dropped"}
    tensors = {
        names.get(field.name, field.name): getattr(found, field.name)
        for field in fields(Recovery)
        if field.name != "seconds"
    }
    save_file(tensors, tmp_path / "old.safetensors", metadata={"seconds": "1.0"})
    assert torch.equal(Recovery.load(tmp_path / "old.safetensors").diverged, found.diverged)
