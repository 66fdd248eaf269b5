"""CGPGAN, InfoGAN and Elastic InfoGAN of categories against the thesis written out plainly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import SGD

from lightning_gans.augmentation import IdentityPreserving
from lightning_gans.losses import SoftLabels
from lightning_gans.models import CGPGAN, CategoricalInfoGAN
from lightning_gans.models.cgpgan import normalize
from lightning_gans.networks import Separate
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Categorical, GumbelSoftmax
from lightning_gans.rng import stream
from tests.support.rounds import (
    DESCENT,
    LATENT,
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    assert_same,
    batches,
    descend,
    draw_conditions,
    train,
)

K = 4
SETTINGS: dict[str, object] = {
    "image_shape": SHAPE,
    "latent_dim": LATENT,
    "num_categories": K,
    "generator": TinyConditionalGenerator,
    "discriminator": TinyDiscriminator,
    "optimizer": DESCENT,
}


def cgpgan(**options: object) -> CGPGAN:
    torch.manual_seed(1)
    weights = {"r2": 0.4, "classification": 1.3, "classifier_penalty": 0.8, "decay": 0.9}
    return CGPGAN(**{**SETTINGS, **weights, **options})  # type: ignore[arg-type]  # by name


def infogan(**options: object) -> CategoricalInfoGAN:
    torch.manual_seed(1)
    weights = {"r1": 0.7, "r2": 0.4, "classification": 1.3}
    return CategoricalInfoGAN(**{**SETTINGS, **weights, **options})  # type: ignore[arg-type]


# the thesis's words, in plain torch; values of d_l labels of K categories are (n, d_l, K)


def by_label(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1, K)


def probabilities(logits: Tensor) -> Tensor:
    e = by_label(logits).exp()
    return e / e.sum(2, keepdim=True)


def dot(a: Tensor, c: Tensor) -> Tensor:
    """a·c of each label, (n, d_l)."""
    return torch.einsum("nlk,nlk->nl", by_label(a), by_label(c))


def squared_norm(gradient: Tensor) -> Tensor:
    return gradient.square().sum((1, 2, 3)).mean()


def slope(value: Tensor, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    return squared_norm(gradient)


def normal(n: int, random: torch.Generator) -> Tensor:
    return torch.randn(n, LATENT, generator=random, dtype=torch.float64)


def networks(model: CGPGAN | CategoricalInfoGAN) -> tuple[nn.Module, nn.Module, nn.Module]:
    """G, D and Q, of which the last two share nothing."""
    assert isinstance(model.discriminator, Separate)
    return model.generator, model.discriminator.adversary, model.discriminator.encoder


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("warmup", [0, 1, 3])
def test_three_rounds_are_algorithm_5(labels: int, warmup: int) -> None:
    model, data = cgpgan(num_labels=labels, warmup=warmup).double(), batches(3)
    reference = copy.deepcopy(model)
    train(model, data)

    g, d, q = networks(reference)
    random = stream("training")
    p = torch.full((labels, K), 1 / K, dtype=torch.float64)
    for iteration, x in enumerate(data):
        n = len(x)
        # lines 1-8
        z = normal(n, random)
        c_f = draw_conditions(n, list(p), random)
        y = g(z, c_f).detach().requires_grad_()
        a_r, a_f = d(x).score, d(y).score
        c_real, c_fake = probabilities(q(x).code).detach(), probabilities(q(y).code)
        # lines 9-12
        if iteration < warmup:
            c_real = c_real - c_real.mean(0, keepdim=True) + 1 / K
        c_r = torch.eye(K, dtype=torch.float64)[c_real.argmax(2)]
        # lines 13-18
        l_cls = -(by_label(c_f) * c_fake.log()).sum(2).mean()
        l_cgp = slope((1 - dot(c_fake, c_f).mean(1)) ** 2, y)
        l_d = softplus(-dot(a_r, c_r)).mean() + softplus(dot(a_f, c_f)).mean()
        l_d = l_d + 0.4 * slope(dot(a_f, c_f).mean(1), y)
        l_q = 1.3 * l_cls + 0.8 * l_cgp
        descend(list(d.parameters()), l_d)
        descend(list(q.parameters()), l_q)
        # lines 19-24
        z = normal(n, random)
        c_f = draw_conditions(n, list(p), random)
        descend(list(g.parameters()), softplus(-dot(d(g(z, c_f)).score, c_f)).mean())
        # line 25, an exponential moving average
        p = 0.9 * p + 0.1 * c_real.mean(0)
    reference.categories.p.copy_(p.flatten())

    assert_same(model, reference)
    moved = (p - 1 / K).abs().max()
    assert moved < 1e-7 if warmup == 3 else moved > 1e-3


def test_probabilities_stay_uniform_in_warmup_and_follow_afterwards() -> None:
    data = batches(4, size=12)
    model = cgpgan(warmup=4, decay=0.0).double()
    train(model, data)
    torch.testing.assert_close(model.categories.p, torch.full((K,), 1 / K).double())
    # with no memory, P(C) is what Q said of the last batch, before it learnt from that iteration
    frozen = cgpgan(warmup=0, decay=0.0, optimizer=partial(SGD, lr=0.0)).double()
    train(frozen, data)
    found = probabilities(frozen.discriminator.encoder(data[-1]).code).mean((0, 1))
    torch.testing.assert_close(frozen.categories.p, found.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("classes", [(K,), (3, 2)])
def test_normalised_probabilities_have_a_uniform_mean(classes: tuple[int, ...]) -> None:
    """Eq. 48, and the shift is the same for all rows."""
    drawn = torch.rand(7, sum(classes), generator=torch.Generator().manual_seed(0)).double()
    p = torch.cat(
        [part / part.sum(1, keepdim=True) for part in torch.split(drawn, list(classes), 1)], 1
    )
    shifted = normalize(p, classes)
    uniform = torch.tensor([1 / k for k in classes for _ in range(k)]).double()
    torch.testing.assert_close(shifted.mean(0), uniform, rtol=0, atol=1e-7)
    torch.testing.assert_close(shifted - shifted[0], p - p[0])


@pytest.mark.parametrize("given", [None, (0.125, 0.25, 0.5, 0.125)])
def test_three_rounds_of_infogan_are_its_equations(given: Sequence[float] | None) -> None:
    """Eq. 9-14, with R1 and R2; P(C) is known and stays."""
    model = infogan(categories=partial(Categorical, probabilities=given)).double()
    reference, data = copy.deepcopy(model), batches(3)
    train(model, data)

    g, d, q = networks(reference)
    random = stream("training")
    p = torch.full((K,), 1 / K) if given is None else torch.tensor(given)
    for batch in data:
        x = batch.clone().requires_grad_()
        z = normal(len(x), random)
        c = draw_conditions(len(x), [p], random)
        y = g(z, c).detach().requires_grad_()
        a_r, a_f = d(x).score, d(y).score
        l_cls = -(c * q(y).code.log_softmax(1)).sum(1).mean()
        l_d = softplus(-a_r).mean() + softplus(a_f).mean() + 0.7 * slope(a_r, x)
        descend(list(d.parameters()), l_d + 0.4 * slope(a_f, y))
        descend(list(q.parameters()), 1.3 * l_cls)

        z = normal(len(x), random)
        c = draw_conditions(len(x), [p], random)
        y = g(z, c)
        l_cls = -(c * q(y).code.log_softmax(1)).sum(1).mean()
        descend(list(g.parameters()), softplus(-d(y).score).mean() + 1.3 * l_cls)

    assert_same(model, reference)
    torch.testing.assert_close(model.state_dict()["categories.p"], p.double())


START = torch.tensor([0.5, -0.25, 0.125, 0.0], dtype=torch.float64)


def elastic(labels: int = 1, **options: object) -> CategoricalInfoGAN:
    model = infogan(
        categories=partial(GumbelSoftmax, temperature=0.7), num_labels=labels, **options
    ).double()
    assert isinstance(model.categories, GumbelSoftmax)
    model.categories.logits.data.copy_(START.repeat(labels))
    return model


def nt_xent(features: Tensor, others: Tensor) -> Tensor:
    """As in the published code: cosines of all pairs, the right one against those of other images.

    At temperature 0.8; of each pair both sides, mean over all.
    """
    rows = torch.cat([features, others])
    rows = rows / rows.norm(dim=1, keepdim=True)
    n, cosines = len(features), (rows @ rows.T) / 0.8
    losses = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        negatives = [cosines[i, k] for k in range(2 * n) if k not in (i, partner)]
        logits = torch.stack([cosines[i, partner], *negatives])
        losses.append(logits.logsumexp(0) - logits[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("contrastive", [0.0, 0.9])
@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("rate", [None, 0.05])
@pytest.mark.parametrize("warmup", [0, 1])
def test_three_rounds_of_elastic_infogan(
    labels: int, rate: float | None, warmup: int, contrastive: float
) -> None:
    """The condition is soft, an input of G and the target of Q: both ways lead to the logits."""
    same = {"contrastive": contrastive, "contrastive_temperature": 0.8}
    model, data = elastic(labels, warmup=warmup, categories_lr=rate, **same).double(), batches(3)
    reference = copy.deepcopy(model)
    train(model, data)

    g, d, q = networks(reference)
    assert isinstance(reference.categories, GumbelSoftmax)
    theta, random = reference.categories.logits, stream("training")

    def draw(n: int) -> tuple[Tensor, Tensor]:
        z = normal(n, random)
        u = torch.rand(n, labels * K, generator=random, dtype=torch.float64)
        gumbel = by_label(-torch.log(-torch.log(u)))
        log_p = probabilities(theta[None]).log()
        return z, probabilities((log_p + gumbel).reshape(n, -1) / 0.7).reshape(n, -1)

    def classification(y: Tensor, c: Tensor) -> Tensor:
        return -(by_label(c) * probabilities(q(y).code).log()).sum(2).mean()

    for iteration, batch in enumerate(data):
        x = batch.clone().requires_grad_()
        z, c = draw(len(x))
        c = c.detach()
        y = g(z, c).detach().requires_grad_()
        a_r, a_f = d(x).score, d(y).score
        l_d = softplus(-a_r).mean() + softplus(a_f).mean() + 0.7 * slope(a_r, x)
        descend(list(d.parameters()), l_d + 0.4 * slope(a_f, y))
        l_q = 1.3 * classification(y, c)
        if contrastive:
            u = torch.rand(len(x), 6, generator=stream(f"transformation/{iteration}"))
            changed = IdentityPreserving()(batch, u)
            l_q = l_q + contrastive * nt_xent(q(batch).features, q(changed).features)
        descend(list(q.parameters()), l_q)

        z, c = draw(len(x))
        y = g(z, c)
        l_g = softplus(-d(y).score).mean() + 1.3 * classification(y, c)
        (gradient,) = torch.autograd.grad(l_g, theta, retain_graph=True)
        descend(list(g.parameters()), l_g)
        if iteration >= warmup:
            theta.data.sub_((rate or 0.1) * gradient)

    assert_same(model, reference)
    assert (theta - START.repeat(labels)).abs().max() > 1e-3


def test_logits_rest_in_warmup_whatever_the_optimizer() -> None:
    decaying = partial(AdamW, lr=0.1, weight_decay=1.0)
    model = elastic(warmup=3, optimizer=decaying, categories_lr=0.5)
    train(model, batches(3))
    assert torch.equal(model.state_dict()["categories.logits"], START)
    model = elastic(warmup=2, optimizer=decaying, categories_lr=0.5)
    train(model, batches(3))
    # one step of AdamW: its sign, and the decay
    moved = model.state_dict()["categories.logits"] - START * (1 - 0.5)
    torch.testing.assert_close(moved.abs(), torch.full((K,), 0.5).double(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("make", [cgpgan, infogan])
def test_soft_labels_are_drawn_from_the_stream_of_training(
    make: Callable[..., CGPGAN | CategoricalInfoGAN],
) -> None:
    trained = []
    for seed in (0, 1):
        model = make(loss=SoftLabels).double()
        torch.manual_seed(seed)  # torch's own stream is not to matter
        train(model, batches(2))
        trained.append(model)
    assert_same(*trained)


@pytest.mark.parametrize("model", [CGPGAN, CategoricalInfoGAN])
def test_refuses_to_tell_nothing_apart(model: type[CGPGAN] | type[CategoricalInfoGAN]) -> None:
    with pytest.raises(ValueError, match=r"num_categories: expected whole number from 2 .* got 1"):
        model(image_shape=(2,), num_categories=1)
    with pytest.raises(ValueError, match=r"num_labels: expected whole number from 1 .* got 0"):
        model(image_shape=(2,), num_categories=3, num_labels=0)


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("make", [cgpgan, infogan])
def test_clusters_by_the_largest_of_each_label(
    make: Callable[..., CGPGAN | CategoricalInfoGAN], labels: int
) -> None:
    model, x = make(num_labels=labels).double(), batches(1, size=40)[0]
    found = model.cluster(x)
    assert found.shape == ((40,) if labels == 1 else (40, labels))
    truth = by_label(model.discriminator.encoder(x).code).argmax(2)
    assert torch.equal(found.reshape(40, labels), truth)
    assert len(set(found.flatten().tolist())) > 1
    with pytest.raises(ValueError, match=r"images of shape \(n, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        model.cluster(torch.zeros(2, 1, 5, 5))


def test_a_rate_for_probabilities_that_are_not_learnt_is_refused() -> None:
    with pytest.raises(ValueError, match=r"categories_lr=0.1 .* those of Categorical are not"):
        CategoricalInfoGAN((2,), latent_dim=3, categories_lr=0.1)
