"""AEDLSGAN against Algorithm 3 of the thesis, and its edits against linear algebra."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn.functional import softplus

import lightning_gans
from lightning_gans.labels import ActivationFactory, PerLabel, Summed
from lightning_gans.models import AEDLSGAN, EditUnit
from lightning_gans.models.base.linear_attributes import LinearAttributes
from lightning_gans.networks import DiscriminatorOutput, Heads
from lightning_gans.priors import DynamicScale
from lightning_gans.rng import stream
from tests.support.rounds import (
    BATCH,
    DESCENT,
    LATENT,
    SHAPE,
    TinyDiscriminator,
    TinyGenerator,
    assert_same,
    batches,
    conditions,
    descend,
    labels_of,
    train,
)

Classes = tuple[int, ...]
DIM = 7


class Bare(nn.Module):
    """A generator whose output is the scaled latent itself."""

    def __init__(self, latent_dim: int, image_shape: Classes) -> None:
        super().__init__()
        self.shape = image_shape

    def forward(self, z: Tensor) -> Tensor:
        return z.view(-1, *self.shape)


class Linear(nn.Module):
    """A discriminator without a hidden layer."""

    def __init__(self, image_shape: Classes, scores: int, code_dim: int) -> None:
        super().__init__()
        self.heads = Heads(DIM, scores, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = self.heads(x.flatten(1))
        return output


def tiny(classes: Classes, **options: object) -> AEDLSGAN:
    torch.manual_seed(1)
    arguments: dict[str, object] = {
        "image_shape": SHAPE,
        "classes": classes,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
        "prior": partial(DynamicScale, decay=0.9),
        "r1": 0.7,
        "latent": 1.3,
    }
    return AEDLSGAN(**{**arguments, **options}).double()  # type: ignore[arg-type]  # by name


def editable(classes: Classes, bias: Sequence[float] | None = None) -> AEDLSGAN:
    """Its edits are the moved latents themselves; s has unequal elements."""
    shape = (DIM,)
    model = tiny(
        classes,
        image_shape=shape,
        latent_dim=DIM,
        generator=Bare,
        discriminator=Linear,
        bias=bias,
    ).eval()
    assert isinstance(model.prior, DynamicScale)
    model.prior.v.copy_(torch.linspace(0.05, 0.9, DIM))
    return model


def fake_condition(
    y: Tensor, w: Tensor, classes: Classes, b: Sequence[float] = (0.0,) * 9
) -> Tensor:
    """Eq. 36, image by image; a label of two classes is one score against 0."""
    rows = []
    for latent in y:
        row, column = [], 0
        for k in classes:
            if k == 2:
                has = float(latent @ w[:, column]) + b[column] > 0
                row += [0.0, 1.0] if has else [1.0, 0.0]
                column += 1
            else:
                scores = [float(latent @ w[:, column + i]) + b[column + i] for i in range(k)]
                row += [1.0 if i == scores.index(max(scores)) else 0.0 for i in range(k)]
                column += k
        rows.append(row)
    return torch.tensor(rows, dtype=y.dtype)


@pytest.mark.parametrize(("b", "of_g"), [(None, 1.3), ((-1.2, 0.7, 0.1), 0.4)])
@pytest.mark.parametrize(
    ("classes", "activation"),
    [((3,), PerLabel), ((3,), Summed), ((2, 2, 2), PerLabel), ((2, 2, 2), Summed)],
)
def test_two_rounds_are_algorithm_3(
    classes: Classes, activation: ActivationFactory, b: tuple[float, ...] | None, of_g: float
) -> None:
    generator_latent = None if of_g == 1.3 else of_g
    model = tiny(classes, activation=activation, bias=b, generator_latent=generator_latent)
    data, b = batches(2), b or (0.0, 0.0, 0.0)
    labels = labels_of(data, classes)
    reference = copy.deepcopy(model)
    train(model, data, labels=labels)

    def selected(a: Tensor, c: Tensor) -> Tensor:
        """a·c: one number an image, or one for each binary label."""
        if activation is Summed:
            return torch.einsum("nk,nk->n", a, c)[:, None]
        return (a * c).view(len(a), len(classes), -1).sum(2)

    generator, discriminator = reference.generator, reference.discriminator
    w = reference.attributes.weight
    v, random = torch.full((LATENT,), 1e-4).double(), stream("training")
    for batch, y in zip(data, labels, strict=True):
        # update D*
        x = batch.clone().requires_grad_()
        z = torch.randn(BATCH, LATENT, generator=random, dtype=torch.float64)
        s = (LATENT * v).sqrt() / v.sqrt().norm()
        c_f, c_r = fake_condition(z * s, w, classes, b), conditions(y, classes)
        a_r = selected(discriminator(x).score, c_r)
        a, z_1, _ = discriminator(generator(z * s).detach())
        l_adv = softplus(-a_r).mean() + softplus(selected(a, c_f)).mean()
        # of all labels together: their mean, or their one sum
        gradient = torch.autograd.grad(a_r.mean(1).sum(), x, create_graph=True)[0]
        l_r1 = (gradient**2).sum((1, 2, 3)).mean()
        l_enc = (((z - z_1) * s) ** 2).sum(1).mean() / LATENT
        descend(list(discriminator.parameters()), l_adv + 0.7 * l_r1 + 1.3 * l_enc)
        # update G
        z = torch.randn(BATCH, LATENT, generator=random, dtype=torch.float64)
        c_f = fake_condition(z * s, w, classes, b)
        a, z_2, _ = discriminator(generator(z * s))
        l_enc = (((z - z_2) * s) ** 2).sum(1).mean() / LATENT
        l_adv = softplus(-selected(a, c_f)).mean()
        descend(list(generator.parameters()), l_adv + of_g * l_enc)
        # update v
        v = 0.9 * v + 0.1 * torch.cat([z_1, z_2]).detach().square().mean(0)
    reference.prior.v.copy_(v)  # type: ignore[operator]  # a buffer

    assert_same(model, reference)  # w too, which nothing has moved


def test_the_classifier_is_saved_and_no_player_owns_it() -> None:
    model = tiny((2, 2, 2))
    assert model.state_dict()["attributes.weight"].shape == (LATENT, 3)
    assert not any("attributes" in name for name, _ in model.named_parameters())
    assert not torch.equal(model.attributes.weight, LinearAttributes(LATENT, (2, 2, 2)).weight)


@pytest.mark.parametrize(
    ("classes", "width"), [((2, 2, 2), 3), ((3, 2), 4), ((2, 4), 5), ((3,), 3)]
)
def test_conditions_are_what_a_plain_loop_says(classes: Classes, width: int) -> None:
    torch.manual_seed(3)
    attributes, y = LinearAttributes(DIM, classes).double(), torch.randn(50, DIM).double()
    assert attributes.weight.shape == (DIM, width)
    torch.testing.assert_close(attributes.scores(y), y @ attributes.weight)
    c = attributes(y)
    assert torch.equal(c, fake_condition(y, attributes.weight, classes))
    assert c.dtype == torch.float64
    assert (c.sum(0) > 0).all()  # each class occurs among fifty


def test_a_score_of_zero_is_not_above_zero() -> None:
    attributes = LinearAttributes(DIM, (2, 3))
    assert attributes(torch.zeros(1, DIM)).tolist() == [[1, 0, 1, 0, 0]]
    attributes.weight.fill_(0.5)  # three equal scores: the first wins, the attribute is there
    assert attributes(torch.ones(1, DIM)).tolist() == [[0, 1, 1, 0, 0]]


def test_weights_are_standard_normal() -> None:
    torch.manual_seed(0)
    weight = LinearAttributes(400, (2,) * 50).weight
    assert weight.mean().abs() < 0.03
    assert abs(weight.std() - 1) < 0.03


@pytest.mark.parametrize(("classes", "bias"), [((2, 2, 2), None), ((3, 2), (1.0, -2.0, 0.5, 3.0))])
@pytest.mark.parametrize("unit", ["std", "sqrt_dim"])
@pytest.mark.parametrize("keep_others", [True, False])
def test_an_edit_lands_where_it_was_asked_to(
    classes: Classes, bias: tuple[float, ...] | None, unit: EditUnit, keep_others: bool
) -> None:
    model, x = editable(classes, bias), torch.rand(5, DIM).double()
    w, s = model.attributes.weight, model.prior.scale()
    b = torch.tensor(bias or [0.0] * w.shape[1]).double()
    before = (model.encode(x) * s) @ w + b
    for k in range(w.shape[1]):
        for strength in (-1.0, 0.0, 0.7):
            after = model.edit(x, k, strength, keep_others, unit) @ w + b
            one = (
                (s * w[:, k]).norm()
                if unit == "std"
                else torch.tensor(DIM**0.5, dtype=torch.float64)
            )
            target = (strength * one).expand(5)
            torch.testing.assert_close(after[:, k], target, rtol=1e-9, atol=1e-9)
            others = [i for i in range(w.shape[1]) if i != k]
            kept = (after - before)[:, others].abs().amax(1) if others else torch.zeros(5)
            assert (kept < 1e-6).all() if keep_others or not others else (kept > 1e-3).all()


def test_a_standard_deviation_is_that_of_the_score_under_the_prior() -> None:
    model = editable((2, 3))
    z = model.prior.sample(50_000, torch.Generator().manual_seed(0))
    deviations = model.attributes.scores(z * model.prior.scale()).std(0)
    x = torch.rand(1, DIM).double()
    for k, deviation in enumerate(deviations):
        reached = model.attributes.scores(model.edit(x, k, 1.0))[0, k]
        torch.testing.assert_close(reached, deviation, rtol=0.02, atol=0)


@pytest.mark.parametrize("unit", ["std", "sqrt_dim"])
def test_an_edit_of_the_strength_that_a_latent_has_changes_nothing(unit: EditUnit) -> None:
    model, z = editable((2, 3), [0.5, -1.0, 0.2, 0.0]), torch.randn(5, DIM).double()
    strengths = model.attribute_strengths(z, unit)
    assert strengths.shape == (5, 4)
    for k in range(4):
        torch.testing.assert_close(model.edit_latents(z, k, strengths[:, k], True, unit), z)
        moved = model.edit_latents(z, k, 0.7, True, unit)
        others = [i for i in range(4) if i != k]
        found = model.attribute_strengths(moved, unit)
        torch.testing.assert_close(found[:, k], torch.full((5,), 0.7).double())
        torch.testing.assert_close(found[:, others], strengths[:, others])
    # the score is a standard normal one under the prior, without a bias
    drawn = editable((2, 3)).attribute_strengths(torch.randn(20_000, DIM).double())
    assert drawn.std(0).sub(1).abs().max() < 0.03


def test_an_edit_leaves_elements_without_scale_where_they_are() -> None:
    model, z = editable((2,)), torch.randn(3, DIM).double()
    assert isinstance(model.prior, DynamicScale)
    model.prior.v[0] = 0
    moved = model.edit_latents(z, 0, 1.0)
    assert moved.isfinite().all()
    assert torch.equal(moved[:, 0], z[:, 0])


def test_an_edit_takes_one_strength_for_each_image() -> None:
    model, x = editable((2, 2)), torch.rand(3, DIM).double()
    strengths = torch.tensor([-1.0, 0.0, 0.5])
    edited = model.edit(x, 1, strengths)
    singly = [model.edit(x[i : i + 1], 1, float(strengths[i])) for i in range(3)]
    torch.testing.assert_close(edited, torch.cat(singly))


def test_without_keeping_others_it_is_the_published_move() -> None:
    """y - ((y·w - t√d)/‖w‖²) w, also in terms of the score's own deviation ‖s∘w‖."""
    model, x = editable((2, 2, 2)), torch.rand(4, DIM).double()
    s = model.prior.scale()
    y = model.encode(x) * s
    for k, t in ((0, -1.0), (1, 0.4), (2, 1.0)):
        w = model.attributes.weight[:, k]
        published = y - torch.outer((y @ w - t * DIM**0.5) / (w @ w), w)
        strength = t * DIM**0.5 / float((s * w).norm())
        torch.testing.assert_close(model.edit(x, k, strength, keep_others=False), published)
        torch.testing.assert_close(model.edit(x, k, t, False, "sqrt_dim"), published)


@pytest.mark.parametrize("classes", [(2, 2, 2), (3, 2), (2,) * DIM])
def test_keeping_others_is_the_shortest_way_that_does(classes: Classes) -> None:
    """Of all moves Δ with Δ·w_k given and Δ·w_i = 0, the pseudo-inverse has the least norm."""
    model, x = editable(classes), torch.rand(4, DIM).double()
    s, w = model.prior.scale(), model.attributes.weight.numpy()
    y = (model.encode(x) * s).numpy()
    for k in range(w.shape[1]):
        wanted = np.zeros((4, w.shape[1]))
        wanted[:, k] = 0.8 * np.linalg.norm(s.numpy() * w[:, k]) - y @ w[:, k]
        shortest = y + wanted @ np.linalg.pinv(w)
        np.testing.assert_allclose(model.edit(x, k, 0.8).numpy(), shortest, atol=1e-8)


def test_an_edit_of_images_stays_in_their_range() -> None:
    model = tiny((2,)).eval()
    x = torch.rand(2, *SHAPE).double()
    edited = model.edit(x, 0, 1e6)
    assert edited.shape == x.shape
    assert edited.abs().max() == 1
    assert not edited.requires_grad


@pytest.mark.parametrize("attribute", [-1, 4])
def test_an_attribute_that_is_none_is_refused(attribute: int) -> None:
    with pytest.raises(ValueError, match=f"expected an attribute from 0 to 3, got {attribute}"):
        editable((3, 2)).edit(torch.rand(1, DIM).double(), attribute, 1.0)


def test_a_biased_attribute_is_present_in_its_share_of_the_fakes() -> None:
    dim, share = 1024, 0.15
    bias = float(norm.ppf(share)) * dim**0.5
    assert abs(bias + 33) < 0.5  # as the documentation of AEDLSGAN says
    torch.manual_seed(0)
    attributes = LinearAttributes(dim, (2,), [bias])
    present = attributes(torch.randn(20_000, dim))[:, 1].mean()
    assert abs(present - share) < 0.02


def test_a_bias_is_kept_by_a_checkpoint_and_old_checkpoints_have_none(tmp_path: Path) -> None:
    model = tiny((3,), bias=(0.5, -1.0, 2.0))
    train(model, batches(1), labels=labels_of(batches(1), (3,))).save_checkpoint(
        tmp_path / "m.ckpt"
    )
    loaded = lightning_gans.load(tmp_path / "m.ckpt", trust="tests.support.rounds")
    assert isinstance(loaded, AEDLSGAN)
    assert loaded.attributes.bias.tolist() == [0.5, -1.0, 2.0]
    assert "attributes.bias" not in model.state_dict()


@pytest.mark.parametrize(
    ("bias", "why"),
    [
        ((1.0,), "expected 4 biases, one for each label of two classes"),
        ((0.0,) * 5, "expected 4 biases"),
        ((1.0, 2.0, math.nan, 0.0), "bias.*nan"),
    ],
)
def test_biases_that_do_not_fit_are_refused(bias: tuple[float, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        LinearAttributes(DIM, (3, 2), bias)


def test_what_else_is_refused() -> None:
    with pytest.raises(ValueError, match="AEDLSGAN needs labels, and the data have none"):
        tiny(())
    with pytest.raises(ValueError, match=r"4 attributes cannot be moved .* latent of 3 elements"):
        tiny((2, 2, 2, 2))
    with pytest.raises(ValueError, match=r"expected images of shape \(n, 7\), got \(1, 6\)"):
        editable((2,)).edit(torch.rand(1, 6).double(), 0, 1.0)
    with pytest.raises(ValueError, match="expected a unit of std or sqrt_dim, got 'cm'"):
        editable((2,)).edit(torch.rand(1, DIM).double(), 0, 1.0, unit="cm")  # type: ignore[arg-type]  # wrong
    with pytest.raises(ValueError, match="expected classes 0 to 2 of label 0, got 3 to 3"):
        train(tiny((3,)), batches(1), labels=[torch.full((BATCH,), 3)])
