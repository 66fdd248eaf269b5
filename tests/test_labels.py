"""Labels, categorical latents, soft labels, and the verbs of class-conditional models."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.metrics import accuracy_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lightning_gans.errors import UserError
from lightning_gans.labels import (
    PerLabel,
    Summed,
    activations,
    cross_entropy,
    harden,
    indices,
    one_hot,
    softmax,
)
from lightning_gans.losses import SoftLabels
from lightning_gans.metrics.label_agreement import Accuracy, Purity
from lightning_gans.models import (
    ACGAN,
    CAGAN,
    CGPGAN,
    GAN,
    AdversarialModule,
    CategoricalInfoGAN,
)
from lightning_gans.priors import Categorical, GumbelSoftmax
from tests.support.rounds import (
    LATENT,
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
    conditions,
)

CLASSES = (3, 2, 2)
WIDTH = sum(CLASSES)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def categories_of(n: int, k: int, seed: int = 0) -> Tensor:
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))


def parts(values: Tensor) -> list[np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    return [values.numpy()[:, a:b] for a, b in itertools.pairwise((0, 3, 5, 7))]


# labels


def test_conditions_are_one_hot_side_by_side() -> None:
    y = torch.tensor([[2, 0, 1], [0, 1, 1]])
    c = one_hot(y, CLASSES, torch.float64)
    assert c.tolist() == [[0, 0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 1, 0, 1]]
    assert torch.equal(c, conditions(y, CLASSES))
    assert one_hot(torch.tensor([1, 0]), (3,)).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert one_hot(torch.tensor([[1], [0]]), (3,)).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert torch.equal(indices(c, CLASSES), y)


def test_softmax_harden_and_cross_entropy_are_each_label_s_own() -> None:
    logits, c = 3 * draw(50, WIDTH), softmax(draw(50, WIDTH, seed=1), CLASSES)
    p = softmax(logits, CLASSES)
    truth = [special.softmax(part, axis=1) for part in parts(logits)]
    np.testing.assert_allclose(p, np.concatenate(truth, 1), rtol=1e-12)
    hard = np.concatenate([np.eye(q.shape[1])[q.argmax(1)] for q in truth], 1)
    np.testing.assert_array_equal(harden(p, CLASSES), hard)
    # H(c, p) = H(c) + KL(c, p), the mean over labels
    pairs = zip(parts(c), truth, strict=True)
    entropies = [stats.entropy(a, axis=1) + stats.entropy(a, b, axis=1) for a, b in pairs]
    np.testing.assert_allclose(cross_entropy(logits, c, CLASSES), np.mean(entropies, 0), rtol=1e-10)
    assert harden(torch.tensor([[0.2, 0.4, 0.4]]), (3,)).tolist() == [[0, 1, 0]]
    far = torch.tensor([[1000.0, 0.0]]).double()
    assert cross_entropy(far, torch.tensor([[0.0, 1.0]]).double(), (2,)).item() == 1000


def test_activations_are_inner_products() -> None:
    a, c = draw(20, WIDTH), draw(20, WIDTH, seed=1)
    each = [(x * y).sum(1) for x, y in zip(parts(a), parts(c), strict=True)]
    np.testing.assert_allclose(activations(a, c, CLASSES), np.stack(each, 1), rtol=1e-12)
    np.testing.assert_allclose(PerLabel()(a, c, CLASSES), np.stack(each, 1), rtol=1e-12)
    total = torch.einsum("ij,ij->i", a, c)
    torch.testing.assert_close(Summed()(a, c, CLASSES), total[:, None])


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([[0, 0, 2]], "classes 0 to 1 of label 2, got 2 to 2"),
        ([[0, 0, 0], [-1, 0, 0]], "classes 0 to 2 of label 0, got -1 to 0"),
        ([[0, 0]], r"indices of 3 labels, got shape \(1, 2\)"),
        ([0, 1, 1], r"indices of 3 labels, got shape \(3,\)"),
    ],
)
def test_labels_that_the_classes_do_not_have(y: list[object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        one_hot(torch.tensor(y), CLASSES)


# categorical latents


def test_frequencies_are_the_probabilities() -> None:
    p = [0.5, 0.25, 0.25, 0.875, 0.125]
    n = 4000
    c = Categorical((3, 2), p).sample(n, torch.Generator().manual_seed(0))
    first, second = c[:, :3], c[:, 3:]
    assert torch.equal(first.sum(1), torch.ones(n))
    assert torch.equal(second.sum(1), torch.ones(n))
    assert set(c.flatten().tolist()) == {0, 1}
    assert stats.chisquare(first.sum(0), n * np.array(p[:3])).pvalue > 0.01
    assert stats.chisquare(second.sum(0), n * np.array(p[3:])).pvalue > 0.01
    together = contingency_matrix(first.argmax(1), second.argmax(1))
    assert stats.chi2_contingency(together).pvalue > 0.01  # labels are independent
    again = Categorical((3, 2), p).sample(n, torch.Generator().manual_seed(0))
    assert torch.equal(c, again)


def test_update_is_a_running_mean_from_uniform() -> None:
    prior = Categorical((3, 2), decay=0.75).double()
    p = np.array([1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])
    np.testing.assert_allclose(prior.probabilities, p, rtol=1e-7)
    for seed in range(3):
        found = softmax(draw(8, 5, seed=seed), (3, 2))
        prior.start_update(found.requires_grad_())()
        p = 0.75 * p + 0.25 * found.detach().numpy().mean(0)
    np.testing.assert_allclose(prior.probabilities, p, rtol=1e-6)
    entropy = stats.entropy(p[:3]) + stats.entropy(p[3:])
    np.testing.assert_allclose(prior.entropy(), entropy, rtol=1e-6)
    assert not prior.probabilities.requires_grad


@pytest.mark.parametrize("p", [[0.5, 0.5], [0.5, 0.6, 0.4, 0.6]])
def test_refuses_what_are_no_probabilities(p: list[float]) -> None:
    with pytest.raises(ValueError, match=r"probabilities: expected list of numbers ≥ 0.* got \["):
        Categorical((2, 2), [-0.1, 1.1, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"expected 4 probabilities.*\(2, 2\) classes, got \["):
        Categorical((2, 2), p)
    with pytest.raises(ValueError, match="decay: expected number ≥ 0 and < 1, got 1"):
        Categorical((2, 2), decay=1.0)
    with pytest.raises(ValueError, match="temperature: expected number > 0, got 0"):
        GumbelSoftmax((2,), temperature=0.0)


def gumbel(temperature: float) -> tuple[GumbelSoftmax, Tensor]:
    prior = GumbelSoftmax((3, 2), temperature).double()
    prior.logits.data.copy_(torch.tensor([1.0, 0.0, -1.0, 0.5, -0.5]))
    return prior, prior.sample(4000, torch.Generator().manual_seed(1)).detach()


@pytest.mark.parametrize("temperature", [0.01, 1.0, 50.0])
def test_the_largest_of_a_soft_condition_is_distributed_as_the_softmax(temperature: float) -> None:
    prior, c = gumbel(temperature)
    torch.testing.assert_close(c[:, :3].sum(1), torch.ones(4000).double())
    torch.testing.assert_close(c[:, 3:].sum(1), torch.ones(4000).double())
    first, second = special.softmax([1.0, 0.0, -1.0]), special.softmax([0.5, -0.5])
    np.testing.assert_allclose(prior.probabilities, [*first, *second], rtol=1e-12)
    counts = c[:, :3].argmax(1).bincount(minlength=3), c[:, 3:].argmax(1).bincount(minlength=2)
    assert stats.chisquare(counts[0], 4000 * first).pvalue > 0.01
    assert stats.chisquare(counts[1], 4000 * second).pvalue > 0.01


def test_soft_conditions_are_one_hot_when_cold_and_linear_when_hot() -> None:
    _, cold = gumbel(0.01)
    assert (cold.amax(1) > 0.99).double().mean() > 0.95
    # to first order softmax(v/τ) = 1/k + (v - mean of v)/(kτ), and Gumbel noise has variance π²/6
    _, hot = gumbel(50.0)
    scaled = (hot[:, :3] - 1 / 3) * 3 * 50
    mean = torch.tensor([1.0, 0.0, -1.0]).double()
    torch.testing.assert_close(scaled.mean(0), mean, rtol=0, atol=0.1)
    variance = torch.full((3,), math.pi**2 / 6 * 2 / 3).double()
    torch.testing.assert_close(scaled.var(0), variance, rtol=0.1, atol=0)
    # two labels of two classes: the difference of two Gumbels is logistic
    _, warm = gumbel(1.0)
    difference = special.logit(warm[:, 3].numpy())
    assert stats.kstest(difference, stats.logistic(loc=1.0).cdf).pvalue > 0.01


# soft labels


@pytest.mark.parametrize("name", ["real", "fake", "generator"])
def test_soft_labels_are_cross_entropy_with_drawn_targets(name: str) -> None:
    score, ranges = 4 * draw(6, 2), {"real": (0.6, 1.1), "fake": (0.05, 0.35)}
    low, high = ranges["fake" if name == "fake" else "real"]
    u = torch.rand(6, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    truth = binary_cross_entropy_with_logits(score, low + (high - low) * u, reduction="none")
    loss = SoftLabels(**ranges)
    loss.random = torch.Generator().manual_seed(4)
    torch.testing.assert_close(getattr(loss, name)(score), truth)
    low, high = {"fake": (0.0, 0.3)}.get(name, (0.7, 1.2))
    # the loss is log 2 - t·a + O(a²): its slope at 0 tells the target
    flat = torch.zeros(5000, dtype=torch.float64, requires_grad=True)
    loss = SoftLabels()
    loss.random = torch.Generator().manual_seed(4)
    standard = getattr(loss, name)(flat)
    (slope,) = torch.autograd.grad(standard.sum(), flat)
    uniform = stats.uniform(low, high - low)
    assert stats.kstest((0.5 - slope).numpy(), uniform.cdf).pvalue > 0.01


# measures


def test_purity_is_the_share_of_the_commonest_labels() -> None:
    found, labels = categories_of(90, 6), categories_of(90, 4, seed=1)
    purity = Purity()
    for part in (slice(0, 40), slice(40, 90)):
        purity.update(found[part], labels[part])
    truth = contingency_matrix(labels, found).max(0).sum() / 90
    np.testing.assert_allclose(purity.compute(), truth)
    perfect = Purity()
    perfect.update(torch.arange(5), torch.tensor([0, 0, 1, 1, 1]))
    assert perfect.compute() == 1
    several = Purity()
    kinds = torch.stack([found, found // 2], 1)
    several.update(kinds, torch.stack([labels, labels // 2], 1))
    pairs = itertools.product((found, found // 2), (labels, labels // 2))
    each = [contingency_matrix(b, a).max(0).sum() / 90 for a, b in pairs]
    np.testing.assert_allclose(several.compute(), np.mean(each))
    with pytest.raises(ValueError, match="Purity has no values"):
        Purity().compute()


def test_accuracy_is_sklearn_s() -> None:
    said, truth = categories_of(60, 3), categories_of(60, 3, seed=1)
    accuracy = Accuracy()
    accuracy.update(said[:13], truth[:13, None])
    accuracy.update(said[13:].view(-1, 1), truth[13:])
    np.testing.assert_allclose(accuracy.compute(), accuracy_score(truth, said))
    several = Accuracy()
    several.update(torch.tensor([[0, 1], [2, 1]]), torch.tensor([[0, 0], [2, 1]]))
    assert several.compute() == 0.75
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3,\)"):
        Accuracy().update(torch.zeros(2), torch.zeros(3))


# verbs of class-conditional models


def model_of(kind: type[AdversarialModule], **options: object) -> AdversarialModule:
    torch.manual_seed(1)
    arguments: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyConditionalGenerator,
        "discriminator": TinyDiscriminator,
    }
    return kind(**{**arguments, **options})  # type: ignore[arg-type]  # by name, as given


ONE_LABEL: list[tuple[type[AdversarialModule], dict[str, object]]] = [
    (CAGAN, {"classes": (4,)}),
    (ACGAN, {"classes": (4,)}),
    (CGPGAN, {"num_categories": 4}),
    (CategoricalInfoGAN, {"num_categories": 4}),
    (CategoricalInfoGAN, {"num_categories": 4, "categories": GumbelSoftmax}),
]


def decoded(model: AdversarialModule, c: Tensor) -> Tensor:
    """Images of the same latents as were drawn from seed 3, and of given conditions."""
    z = torch.randn(len(c), LATENT, generator=torch.Generator().manual_seed(3))
    images: Tensor = model.generator(z, c.float()).detach()
    return images.clamp(-1, 1)


@pytest.mark.parametrize(("kind", "options"), ONE_LABEL)
def test_generates_the_category_that_is_asked_for(
    kind: type[AdversarialModule], options: dict[str, object]
) -> None:
    model = model_of(kind, **options)
    for category in (2, [2], torch.tensor(2), torch.tensor([2] * 5)):
        images = model.generate(5, torch.Generator().manual_seed(3), category)
        torch.testing.assert_close(images, decoded(model, torch.eye(4)[[2] * 5]))
    each = model.generate(3, torch.Generator().manual_seed(3), [3, 0, 1])
    torch.testing.assert_close(each, decoded(model, torch.eye(4)[[3, 0, 1]]))
    assert model.categories is not None
    free = model.generate(6, torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(3)
    torch.randn(6, LATENT, generator=random)
    torch.testing.assert_close(free, decoded(model, model.categories.sample(6, random).detach()))
    assert not free.requires_grad


def test_generates_each_of_several_labels() -> None:
    model = model_of(CAGAN, classes=CLASSES)
    images = model.generate(4, torch.Generator().manual_seed(3), [2, 0, 1])
    c = torch.tensor([[0, 0, 1, 1, 0, 0, 1]])
    torch.testing.assert_close(images, decoded(model, c.expand(4, -1)))
    each = model.generate(2, torch.Generator().manual_seed(3), torch.tensor([[2, 0, 1], [0, 1, 1]]))
    rows = torch.tensor([[0, 0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 1, 0, 1]])
    torch.testing.assert_close(each, decoded(model, rows))


@pytest.mark.parametrize(
    ("category", "said"),
    [
        (4, "classes 0 to 3 of label 0, got 4 to 4"),
        (-1, "classes 0 to 3 of label 0, got -1 to -1"),
        ([0, 1], r"1 label\(s\), one for all or 3 of them, got shape \(2,\)"),
    ],
)
def test_categories_that_cannot_be_generated(category: int | list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model_of(CGPGAN, num_categories=4).generate(3, category=category)


@pytest.mark.parametrize("category", [1, [0, 1], [[0, 0]] * 4, [[2, 0], [0, 1], [1, 1]]])
def test_categories_of_other_shapes(category: int | list[int]) -> None:
    """Labels in rows and samples in columns, too: nothing is silently turned around."""
    with pytest.raises(ValueError, match=r"3 label\(s\), one for all or 2 of them, got shape"):
        model_of(CAGAN, classes=CLASSES).generate(2, category=category)


def test_what_others_are_asked_in_vain() -> None:
    def plain(error: pytest.ExceptionInfo[UserError]) -> bool:
        return "\n" not in str(error.value)

    with pytest.raises(UserError, match="GAN is not class-conditional: omit category") as error:
        model_of(GAN, generator=TinyGenerator).generate(2, category=1)
    assert plain(error)
    for kind, options in ONE_LABEL:
        model = model_of(kind, **options)
        name = kind.__name__
        for method in ("encode", "reconstruct"):
            with pytest.raises(
                UserError, match=f"^{name} does not support .*it supports gen"
            ) as error:
                getattr(model, method)(torch.zeros(2, *SHAPE))
            assert plain(error)
        if kind in (CAGAN, ACGAN):
            with pytest.raises(UserError, match=rf"^{name} does not support cluster\(\)"):
                model.cluster(torch.zeros(2, *SHAPE))
        if kind is not ACGAN:
            with pytest.raises(UserError, match=rf"^{name} does not support classify\(\)"):
                model.classify(torch.zeros(2, *SHAPE))
        with pytest.raises(ValueError, match=f"{name} is class-conditional: give a condition c"):
            model.decode(torch.zeros(2, LATENT))
        with pytest.raises(ValueError, match=r"conditions of shape \(n, 4\), got \(2, 3\)"):
            model.decode(torch.zeros(2, LATENT), torch.zeros(2, 3))
