"""CAGAN and ACGAN against the thesis's equations, in pure batches and in mixed ones."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gans.labels import Summed
from lightning_gans.losses import SoftLabels
from lightning_gans.models import ACGAN, CAGAN
from lightning_gans.models.base.mixed_batches import MixedBatches, Mixing, PureBatches, mix, unmix
from lightning_gans.networks import DiscriminatorOutput, Heads
from lightning_gans.rng import stream
from tests.support.rounds import (
    DESCENT,
    LATENT,
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    assert_same,
    batches,
    conditions,
    descend,
    draw_conditions,
    labels_of,
    train,
)

Classes = tuple[int, ...]
R1, R2 = 0.7, 0.4
ROUNDS = 3
# a rise of 2 iterations: pure batches, a quarter (1.5 of 6 rows, cut to 1), a half
RISING = partial(MixedBatches, rise=2)
SHARES = (0, 1, 3)


class WholeBatch(nn.Module):
    """To the features of each row it adds how much they vary over the batch."""

    def __init__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh())
        self.heads = Heads(8, scores, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        features = self.layers(x)
        output: DiscriminatorOutput = self.heads(
            features + (features.var(0, correction=0) + 1e-8).sqrt()
        )
        return output


def arguments(classes: Classes, options: dict[str, object]) -> dict[str, object]:
    torch.manual_seed(1)
    return {
        "image_shape": SHAPE,
        "classes": classes,
        "latent_dim": LATENT,
        "generator": TinyConditionalGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
        "r1": R1,
        "r2": R2,
        **options,
    }


def cagan(classes: Classes = (4,), **options: object) -> CAGAN:
    return CAGAN(**arguments(classes, options))  # type: ignore[arg-type]  # by name, as given


def acgan(classes: Classes = (4,), **options: object) -> ACGAN:
    return ACGAN(**arguments(classes, options))  # type: ignore[arg-type]  # by name, as given


# the thesis's words, in plain torch


def exchange(a: Tensor, b: Tensor, s: int) -> tuple[Tensor, Tensor]:
    """The first s rows of a with the rest of b, and the first of b with the rest of a."""
    return torch.cat([a[:s], b[s:]]), torch.cat([b[:s], a[s:]])


def parts(values: Tensor, classes: Classes) -> list[Tensor]:
    ends = list(itertools.accumulate(classes))
    return [values[:, end - k : end] for k, end in zip(classes, ends, strict=True)]


def each_label(a: Tensor, c: Tensor, classes: Classes) -> Tensor:
    """D^l(x)·c^l of every label l, (n, labels)."""
    pairs = zip(parts(a, classes), parts(c, classes), strict=True)
    return torch.stack([(a_l * c_l).sum(1) for a_l, c_l in pairs], 1)


def all_labels(a: Tensor, c: Tensor, classes: Classes) -> Tensor:
    """D(x)·c, (n, 1)."""
    return (a * c).sum(1, keepdim=True)


def squares(a: Tensor, batch: Tensor) -> Tensor:
    """‖∇a‖² of each row of a batch that was judged together, (n,)."""
    (gradient,) = torch.autograd.grad(a.sum(), batch, create_graph=True)
    return (gradient**2).sum((1, 2, 3))


def cross_entropy(logits: Tensor, c: Tensor, classes: Classes) -> Tensor:
    """-c·log Q, mean over the batch and the labels (Eq. 3-4)."""
    pairs = list(zip(parts(logits, classes), parts(c, classes), strict=True))
    each = [-(c_l * (q.exp() / q.exp().sum(1, keepdim=True)).log()).sum(1) for q, c_l in pairs]
    return torch.stack(each).mean()


def draw(n: int, probabilities: Sequence[Tensor], random: torch.Generator) -> tuple[Tensor, Tensor]:
    z = torch.randn(n, LATENT, generator=random, dtype=torch.float64)
    return z, draw_conditions(n, probabilities, random)


def uniform(classes: Classes) -> list[Tensor]:
    return [torch.full((k,), 1 / k, dtype=torch.float64) for k in classes]


Dot = Callable[[Tensor, Tensor, Classes], Tensor]


@pytest.mark.parametrize(
    ("classes", "dot", "probabilities", "options", "shares"),
    [
        ((4,), each_label, None, {}, (0, 0, 0)),
        ((3, 2, 2), each_label, None, {}, (0, 0, 0)),
        ((3, 2, 2), all_labels, None, {"activation": Summed}, (0, 0, 0)),
        ((3, 2), each_label, (0.5, 0.25, 0.25, 0.875, 0.125), {}, (0, 0, 0)),
        ((4,), each_label, None, {"discriminator": WholeBatch}, (0, 0, 0)),
        ((4,), each_label, None, {"discriminator": WholeBatch, "mixing": RISING}, SHARES),
        ((3, 2), each_label, None, {"discriminator": WholeBatch, "mixing": RISING}, SHARES),
        (
            (3, 2),
            all_labels,
            None,
            {"discriminator": WholeBatch, "mixing": RISING, "activation": Summed},
            SHARES,
        ),
    ],
)
def test_rounds_of_cagan_are_its_equations(
    classes: Classes,
    dot: Dot,
    probabilities: tuple[float, ...] | None,
    options: dict[str, object],
    shares: tuple[int, ...],
) -> None:
    """Eq. 29-30, a loss for each label or one of their sum, with R1 + R2 (section 4.1.1)."""
    model, data = cagan(classes, probabilities=probabilities, **options).double(), batches(ROUNDS)
    reference, labels = copy.deepcopy(model), labels_of(data, classes)
    train(model, data, labels=labels)

    p = (
        uniform(classes)
        if probabilities is None
        else torch.split(torch.tensor(probabilities), list(classes))
    )
    generator, discriminator, random = (
        reference.generator,
        reference.discriminator,
        stream("training"),
    )
    for x, y, s in zip(data, labels, shares, strict=True):
        c_r = conditions(y, classes)
        # update D
        z, c_f = draw(len(x), p, random)
        one, two = exchange(x, generator(z, c_f).detach(), s)
        c_1, c_2 = exchange(c_r, c_f, s)
        one, two = one.requires_grad_(), two.requires_grad_()
        a_1 = dot(discriminator(one).score, c_1, classes)
        a_2 = dot(discriminator(two).score, c_2, classes)
        a_r, a_f = exchange(a_1, a_2, s)
        n_r, n_f = exchange(squares(a_1.mean(1), one), squares(a_2.mean(1), two), s)
        l_adv = softplus(-a_r).mean() + softplus(a_f).mean()
        descend(list(discriminator.parameters()), l_adv + R1 * n_r.mean() + R2 * n_f.mean())
        # update G
        z, c_f = draw(len(x), p, random)
        one, two = exchange(x, generator(z, c_f), s)
        _, a = exchange(discriminator(one).score, discriminator(two).score, s)
        descend(list(generator.parameters()), softplus(-dot(a, c_f, classes)).mean())

    assert_same(model, reference)


@pytest.mark.parametrize(
    ("classes", "weights", "options", "shares"),
    [
        ((4,), (1.0, 1.0, 1.0), {}, (0, 0, 0)),
        ((4,), (0.3, 0.0, 0.3), {}, (0, 0, 0)),
        ((3, 2), (0.3, 0.6, 0.9), {}, (0, 0, 0)),
        ((4,), (1.0, 1.0, 1.0), {"discriminator": WholeBatch, "mixing": RISING}, SHARES),
        ((3, 2), (0.3, 0.0, 0.3), {"discriminator": WholeBatch, "mixing": RISING}, SHARES),
    ],
)
def test_rounds_of_acgan_are_its_equations(
    classes: Classes,
    weights: tuple[float, float, float],
    options: dict[str, object],
    shares: tuple[int, ...],
) -> None:
    """Eq. 1-6 with weights of 1, Eq. 7-8 with (λ, 0, λ)."""
    names = ("classification_real", "classification_fake", "classification")
    chosen = options | dict(zip(names, weights, strict=True))
    model, data = acgan(classes, **chosen).double(), batches(ROUNDS)
    reference, labels = copy.deepcopy(model), labels_of(data, classes)
    train(model, data, labels=labels)

    generator, discriminator, random = (
        reference.generator,
        reference.discriminator,
        stream("training"),
    )
    for x, y, s in zip(data, labels, shares, strict=True):
        c_r = conditions(y, classes)
        z, c_f = draw(len(x), uniform(classes), random)
        one, two = exchange(x, generator(z, c_f).detach(), s)
        one, two = one.requires_grad_(), two.requires_grad_()
        (a_1, q_1, _), (a_2, q_2, _) = discriminator(one), discriminator(two)
        (a_r, a_f), (q_r, q_f) = exchange(a_1, a_2, s), exchange(q_1, q_2, s)
        n_r, n_f = exchange(squares(a_1, one), squares(a_2, two), s)
        l_adv = softplus(-a_r).mean() + softplus(a_f).mean() + R1 * n_r.mean() + R2 * n_f.mean()
        l_cls_r, l_cls_f = cross_entropy(q_r, c_r, classes), cross_entropy(q_f, c_f, classes)
        loss = l_adv + weights[0] * l_cls_r + weights[1] * l_cls_f
        descend(list(discriminator.parameters()), loss)

        z, c_f = draw(len(x), uniform(classes), random)
        one, two = exchange(x, generator(z, c_f), s)
        (a_1, q_1, _), (a_2, q_2, _) = discriminator(one), discriminator(two)
        a_f, q_f = exchange(a_1, a_2, s)[1], exchange(q_1, q_2, s)[1]
        loss = softplus(-a_f).mean() + weights[2] * cross_entropy(q_f, c_f, classes)
        descend(list(generator.parameters()), loss)

    assert_same(model, reference)


@pytest.mark.parametrize("make", [cagan, acgan])
def test_mixing_is_nothing_to_a_discriminator_of_single_rows(
    make: Callable[..., CAGAN | ACGAN],
) -> None:
    data = batches(ROUNDS)
    pure, mixed = make().double(), make(mixing=RISING).double()
    for model in (pure, mixed):
        train(model, data, labels=labels_of(data, (4,)))
    assert_same(mixed, pure)


@pytest.mark.parametrize("make", [cagan, acgan])
def test_soft_labels_are_drawn_from_the_stream_of_training(
    make: Callable[..., CAGAN | ACGAN],
) -> None:
    data, trained = batches(2), []
    for seed in (0, 1):
        model = make(loss=SoftLabels).double()
        torch.manual_seed(seed)  # torch's own stream is not to matter
        train(model, data, labels=labels_of(data, (4,)))
        trained.append(model)
    assert_same(*trained)


# mixing alone


@pytest.mark.parametrize("n", [2, 16, 32, 50])
@pytest.mark.parametrize("epoch_length", [1, 1000])
def test_share_rises_by_half_a_per_cent_in_a_hundredth_of_the_rise(
    n: int, epoch_length: int
) -> None:
    mixing = MixedBatches(rise=100 * epoch_length)
    for epoch in range(151):
        s = int(min(Fraction(5, 1000) * epoch, Fraction(1, 2)) * n)
        assert mixing.count(n, epoch * epoch_length) == s
        assert mixing.count(n, (epoch + 1) * epoch_length - 1) == s
        assert PureBatches().count(n, epoch * epoch_length) == 0


def test_the_thesis_s_schedule() -> None:
    counts = [MixedBatches().count(32, 1000 * epoch) for epoch in (0, 6, 7, 99, 100, 199)]
    assert counts == [0, 0, 1, 15, 16, 16]


@pytest.mark.parametrize("s", [0, 1, 3])
def test_mix_and_unmix(s: int) -> None:
    x, y = torch.arange(6.0).view(6, 1), -1 - torch.arange(6.0).view(6, 1)
    first, second = mix(x, y, s)
    assert first.flatten().tolist() == [*range(s), *(-1 - i for i in range(s, 6))]
    assert second.flatten().tolist() == [*(-1 - i for i in range(s)), *range(s, 6)]
    again = unmix(10 * first, 10 * second, s)
    assert torch.equal(again[0], 10 * x)
    assert torch.equal(again[1], 10 * y)


@pytest.mark.parametrize("make", [cagan, acgan])
def test_odd_batches_cannot_be_mixed(make: Callable[..., CAGAN | ACGAN]) -> None:
    with pytest.raises(ValueError, match=r"batch of 5; choose an even data\.batch_size"):
        train(make(mixing=MixedBatches).double(), batches(1, size=5))
    train(make(mixing=PureBatches).double(), batches(1, size=5))
    with pytest.raises(ValueError, match="rise: expected whole number ≥ 1, got 0"):
        MixedBatches(rise=0)
    assert issubclass(MixedBatches, Mixing)


# labels of the data


@pytest.mark.parametrize("classes", [(4,), (4, 3)])
def test_classifies_by_the_largest_logit_of_each_label(classes: Classes) -> None:
    model, x = acgan(classes).double(), batches(1, size=40)[0]
    found = model.classify(x)
    assert found.shape == ((40,) if len(classes) == 1 else (40, len(classes)))
    truth = torch.stack([q.argmax(1) for q in parts(model.discriminator(x).code, classes)], 1)
    assert torch.equal(found.reshape(40, -1), truth)
    assert len(set(found.flatten().tolist())) > 1
    with pytest.raises(ValueError, match=r"images of shape \(n, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        model.classify(torch.zeros(2, 1, 5, 5))


@pytest.mark.parametrize(("make", "name"), [(cagan, "CAGAN"), (acgan, "ACGAN")])
def test_labels_that_the_data_lack(make: Callable[..., CAGAN | ACGAN], name: str) -> None:
    for classes in ((), (1,)):
        with pytest.raises(ValueError, match=f"^{name} needs labels, .* have none"):
            make(classes)
    beyond = torch.tensor([0, 1, 2, 3, 4, 0])
    with pytest.raises(ValueError, match="classes 0 to 3 of label 0, got 0 to 4"):
        train(make().double(), batches(1), labels=[beyond])
    with pytest.raises(ValueError, match=r"indices of 2 labels, got shape \(6,\)"):
        train(make((4, 2)).double(), batches(1), labels=[beyond])
