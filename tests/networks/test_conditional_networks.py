"""Generators with labels: how labels enter, what they change, and the codebook."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import pytest
import torch
from torch import Tensor, nn

from lightning_gans.networks import (
    BlurredGenerator,
    CodebookGenerator,
    ConvGenerator,
    DCGANGenerator,
    InstanceNormGenerator,
    MLPGenerator,
    PixelShuffleGenerator,
    PlainGenerator,
    ResidualGenerator,
    SkipGenerator,
    SmallGenerator,
    StyleGenerator,
    WGANGenerator,
    standardize,
    with_classes,
)
from lightning_gans.networks.classes import input_dim

LATENT = 6
Classes = tuple[int, ...]


class Maker(Protocol):
    """Makes a generator small enough for a test, with labels of these classes."""

    def __call__(self, classes: Classes = ()) -> nn.Module: ...


GENERATORS: dict[str, Maker] = {
    "conv": lambda classes=(): ConvGenerator(LATENT, (1, 16, 16), classes, channels=2),
    "mlp": lambda classes=(): MLPGenerator(LATENT, (2,), classes, width=8),
    "skip": lambda classes=(): SkipGenerator(LATENT, (1, 32, 32), classes, channels=2),
    "residual": lambda classes=(): ResidualGenerator(
        LATENT, (1, 16, 16), classes, channels=2, hidden=8
    ),
    "one dense": lambda classes=(): ResidualGenerator(
        LATENT, (1, 16, 16), classes, channels=2, hidden=None
    ),
    "small": lambda classes=(): SmallGenerator(LATENT, (1, 8, 8), classes, channels=2),
    "blurred": lambda classes=(): BlurredGenerator(LATENT, (1, 16, 16), classes, channels=2),
    "plain": lambda classes=(): PlainGenerator(LATENT, (1, 16, 16), classes, channels=2),
    "style": lambda classes=(): StyleGenerator(LATENT, (1, 16, 16), classes, channels=2),
    "instance norm": lambda classes=(): InstanceNormGenerator(
        LATENT, (1, 8, 8), classes, channels=2
    ),
    "dcgan": lambda classes=(): DCGANGenerator(LATENT, (1, 16, 16), classes, channels=2),
    "shuffle": lambda classes=(): PixelShuffleGenerator(LATENT, (1, 16, 16), classes, channels=2),
    "wgan": lambda classes=(): WGANGenerator(LATENT, (1, 16, 16), classes, channels=2),
}
every_generator = pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS.keys())


def every_label(classes: Classes) -> Tensor:
    """All combinations of classes, one-hot side by side."""
    eyes = [torch.eye(k, dtype=torch.float64) for k in classes]
    return torch.stack([torch.cat(rows) for rows in itertools.product(*eyes)])


def one_hot(*labels: int, k: int) -> Tensor:
    return torch.cat([nn.functional.one_hot(torch.tensor([label]), k) for label in labels], 1)


# standardisation


def test_standardised_labels_have_known_values() -> None:
    c = torch.tensor([[1.0, 0, 0, 0, 1, 0, 1], [0, 0.5, 0.5, 0, 0, 1, 1]])
    root = math.sqrt(3)
    truth = [
        [3 / root, -1 / root, -1 / root, -1 / root, 1, -1, 0],
        [-1 / root, 1 / root, 1 / root, -1 / root, -1, 1, 0],
    ]
    torch.testing.assert_close(standardize(c, (4, 2, 1)), torch.tensor(truth))


@pytest.mark.parametrize("classes", [(10,), (2, 2, 2), (3, 5, 2)])
def test_uniform_labels_have_zero_mean_and_unit_variance(classes: Classes) -> None:
    x = standardize(every_label(classes), classes)
    torch.testing.assert_close(x.mean(0), torch.zeros(sum(classes), dtype=x.dtype))
    torch.testing.assert_close(x.var(0, correction=0), torch.ones(sum(classes), dtype=x.dtype))


def test_a_label_of_one_class_says_nothing_and_has_a_gradient_of_zero() -> None:
    c = torch.tensor([[1.0], [0.3]], requires_grad=True)
    x = standardize(c, (1,))
    torch.testing.assert_close(x, torch.zeros(2, 1))
    (gradient,) = torch.autograd.grad(x.sum(), c)
    torch.testing.assert_close(gradient, torch.zeros(2, 1))


# the join


def test_labels_stand_behind_the_latent() -> None:
    z, c = torch.randn(4, 3), torch.eye(5)[:4]
    joined = with_classes(z, c, (2, 3))
    torch.testing.assert_close(joined[:, :3], z)
    torch.testing.assert_close(joined[:, 3:], standardize(c, (2, 3)))
    assert with_classes(z, None, ()) is z


@pytest.mark.parametrize(
    ("c", "classes", "complaint"),
    [
        (None, (2, 3), r"classes=\(2, 3\).*\(4, 5\).*got none"),
        (torch.zeros(4, 4), (2, 3), r"\(4, 5\).*got \(4, 4\)"),
        (torch.zeros(1, 5), (2, 3), r"\(4, 5\).*got \(1, 5\)"),
        (torch.zeros(4), (4,), r"\(4, 4\).*got \(4,\)"),
        (torch.zeros(4, 5), (), r"without classes got labels \(4, 5\)"),
        (torch.zeros(4, 0), (), r"without classes got labels \(4, 0\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    c: Tensor | None, classes: Classes, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        with_classes(torch.zeros(4, 3), c, classes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("classes", [(0,), (3, -1)])
def test_labels_without_classes_are_refused(classes: Classes) -> None:
    with pytest.raises(ValueError, match="at least 1 class"):
        input_dim(4, classes)
    for make in GENERATORS.values():
        with pytest.raises(ValueError, match=r"classes: expected list of whole numbers from 1"):
            make(classes)


# every generator


@every_generator
def test_without_classes_a_generator_is_that_of_its_latent_alone(make: Maker) -> None:
    torch.manual_seed(0)
    generator = make()
    z = torch.randn(3, LATENT)
    assert first_input(generator, lambda: generator(z)).shape[1] == LATENT
    torch.testing.assert_close(generator(z, None), generator(z), rtol=0, atol=0)
    with pytest.raises(ValueError, match="without classes"):
        generator(z, torch.eye(3))


@every_generator
def test_a_network_meets_the_latent_and_the_standardised_labels(make: Maker) -> None:
    torch.manual_seed(0)
    generator = make((3, 2))
    z, c = torch.randn(6, LATENT), every_label((3, 2)).float()
    met = first_input(generator, lambda: generator(z, c))
    torch.testing.assert_close(met, torch.cat([z, standardize(c, (3, 2))], 1))
    with pytest.raises(ValueError, match=r"expects.*\(6, 5\).*got none"):
        generator(z)
    with pytest.raises(ValueError, match=r"expects.*\(6, 5\).*got \(6, 3\)"):
        generator(z, c[:, :3])


@every_generator
def test_every_label_changes_the_image_and_passes_its_gradient(make: Maker) -> None:
    torch.manual_seed(0)
    generator = make((3, 2)).eval()
    c = every_label((3, 2)).float().requires_grad_()
    x = generator(torch.randn(1, LATENT).expand(6, -1), c)
    different = torch.pdist(x.flatten(1)) > 1e-6
    assert different.all()
    (gradient,) = torch.autograd.grad(x.sum(), c)
    assert (gradient != 0).all()


def first_input(generator: nn.Module, run: Callable[[], Tensor]) -> Tensor:
    """What the first layer of a network is given when it runs."""
    inputs: list[Tensor] = []
    layer = next(m for m in generator.modules() if not list(m.children()))
    handle = layer.register_forward_pre_hook(lambda _, x: inputs.append(x[0]))
    run()
    handle.remove()
    (x,) = inputs
    return x


# the codebook


def codebook(classes: Classes = (3, 3)) -> CodebookGenerator:
    return CodebookGenerator(LATENT, (1, 16, 16), classes, channels=4)


def test_codebook_has_the_published_layers() -> None:
    with torch.device("meta"):
        generator = CodebookGenerator(1024, (3, 256, 256), (16,) * 16)
    assert generator.pages.shape == (16, 16, 4 * 4 * 512 // 16)
    dense = 1024 * 8192 + 8192
    steps = [(1024, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]
    main = sum(9 * wide * width + width + 9 * width * width + width for wide, width in steps)
    skip = sum(4 * wide * width for wide, width in steps)
    total = dense + 16 * 16 * 512 + main + skip + 64 * 3 + 3
    assert sum(p.numel() for p in generator.parameters()) == total


def test_pages_are_standard_normal_at_the_start() -> None:
    torch.manual_seed(0)
    pages = CodebookGenerator(LATENT, (1, 16, 16), (32, 32), channels=64).pages
    assert pages.mean().item() == pytest.approx(0, abs=0.02)
    assert pages.std().item() == pytest.approx(1, abs=0.02)


def test_labels_open_their_pages_side_by_side() -> None:
    book = codebook()
    pages = book.pages.detach()
    # two labels share 8 maps: 4 of each, in turn
    maps = book.select(one_hot(2, 0, k=3).float())
    assert maps.shape == (1, 8, 4, 4)
    for label, page in enumerate([pages[0, 2], pages[1, 0]]):
        for i in range(4):
            torch.testing.assert_close(
                maps[0, 2 * i + label], page[16 * i : 16 * (i + 1)].reshape(4, 4)
            )


def test_a_soft_label_mixes_its_pages() -> None:
    book = codebook()
    pure = [book.select(one_hot(a, 1, k=3).float()) for a in range(3)]
    mixed = book.select(torch.tensor([[0.2, 0.3, 0.5, 0, 1, 0]]))
    torch.testing.assert_close(mixed, 0.2 * pure[0] + 0.3 * pure[1] + 0.5 * pure[2])


def test_codebook_draws_from_latent_and_pages() -> None:
    torch.manual_seed(0)
    book, z, c = codebook(), torch.randn(2, LATENT), one_hot(2, 0, k=3).float().expand(2, -1)
    x = torch.cat([book.dense(z), book.select(c)], 1)
    assert x.shape == (2, 16, 4, 4)
    torch.testing.assert_close(book(z, c), book.draw(book.up(x)))


def test_gradients_reach_labels_and_the_open_pages_only() -> None:
    torch.manual_seed(0)
    book = codebook()
    c = torch.cat([one_hot(2, 0, k=3), one_hot(1, 0, k=3)]).float().requires_grad_()
    x = book(torch.randn(2, LATENT), c)
    for_c, for_pages = torch.autograd.grad(x.sum(), [c, book.pages])
    assert (for_c != 0).all()
    is_open = for_pages.flatten(2).any(2)
    assert is_open.tolist() == [[False, True, True], [True, False, False]]


def test_codebook_of_a_latent_depends_on_the_latent() -> None:
    torch.manual_seed(0)
    x = codebook()(torch.randn(2, LATENT), one_hot(2, 0, k=3).float().expand(2, -1))
    assert (x[0] - x[1]).abs().max() > 1e-3


@pytest.mark.parametrize("classes", [(), (3, 2)])
def test_labels_that_are_no_book_are_refused(classes: Classes) -> None:
    with pytest.raises(ValueError, match=r"same number of classes.*got classes=\("):
        codebook(classes)


def test_a_book_needs_its_labels_and_maps_for_each() -> None:
    with pytest.raises(ValueError, match=r"8 feature maps.*3 labels"):
        codebook((2, 2, 2))
    with pytest.raises(ValueError, match=r"\(1, 6\).*got none"):
        codebook()(torch.zeros(1, LATENT))
    with pytest.raises(ValueError, match=r"\(1, 6\).*got \(1, 3\)"):
        codebook()(torch.zeros(1, LATENT), torch.zeros(1, 3))
