"""The corruptions against MNIST-C's own images: some rows of them, and the files if they are there.

``tests/fixtures/mnist_c.npz`` has the first four test digits of MNIST, and the images that the
authors' generator makes of them with seed 0 (Mu & Gilmer 2019, licensed under CC BY 4.0). The files
are those of the folder named by ``LIGHTNING_GANS_MNIST_C``, which has ``MNIST/raw`` and
``mnist_c/NAME/test_images.npy``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_gans.data import MNIST
from lightning_gans.data.tensors import TensorImages
from lightning_gans.ood.corruptions import NAMES, corrupt_bytes, lines
from lightning_gans.ood.corruptions.eight_bits import truncated
from lightning_gans.ood.datasets.published import read_published

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from compare_corruptions import difference

from tests.support.mnist_c import REPEATED

ROWS = Path(__file__).parents[1] / "fixtures" / "mnist_c.npz"
FOLDER = os.environ.get("LIGHTNING_GANS_MNIST_C", "")
DETERMINISTIC = ("stripe", "canny_edges")
DRAWN = tuple(name for name in NAMES if name not in DETERMINISTIC)

with_files = pytest.mark.skipif(not FOLDER, reason="LIGHTNING_GANS_MNIST_C names no folder")


def rows(name: str) -> Tensor:
    """(4, 1, 28, 28), uint8."""
    with np.load(ROWS) as content:
        return torch.from_numpy(content[name])[:, None]


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """MNIST's test digits (10,000, 1, 28, 28), uint8."""
    return of_publisher().images[:, :, 2:-2, 2:-2]


def of_publisher() -> TensorImages:
    data = MNIST(FOLDER)
    data.setup("validate")
    assert isinstance(data.validation_set, TensorImages)
    return data.validation_set


def files(name: str) -> Tensor:
    """The published images of a corruption, (10,000, 1, 28, 28), uint8."""
    found = read_published(Path(FOLDER), name, "test", of_publisher().labels)
    assert found is not None
    return found


# --- rows that are always here


@pytest.mark.parametrize("name", REPEATED)
def test_the_draws_of_the_published_generator_make_its_images(name: str) -> None:
    made = REPEATED[name](rows("digits").double() / 255, np.random.RandomState(0))
    assert torch.equal(truncated(made), rows(name))


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_stripes_and_edges_are_those_of_mnist_c(name: str) -> None:
    assert torch.equal(corrupt_bytes(rows("digits"), name), rows(name))


def test_shot_noise_has_the_published_grey_levels() -> None:
    digits = rows("digits").expand(4, 50, 28, 28)
    made = corrupt_bytes(digits, "shot_noise")
    for images in (made, rows("shot_noise")):
        assert set(images.flatten().tolist()) == {0, 85, 170, 255}
    # where a digit is white the counts are Poisson's of mean 3, clipped: 0 with chance exp(-3)
    white = made[digits >= 250]
    assert float((white == 0).double().mean()) == pytest.approx(np.exp(-3), abs=0.01)


def test_motion_blur_is_the_published_one_at_one_of_all_angles() -> None:
    # what `corrupt` draws itself is a published image too, of another angle: along a line of one
    # bright pixel the sum of light is kept
    dot = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    dot[:, :, 14, 20] = 255
    made = corrupt_bytes(dot, "motion_blur").double()
    # truncation takes at most one level from each of 21 taps
    assert made.sum((1, 2, 3)).min() > 255 - 21
    assert made[..., 21:].max() == 0, "the trail is on the left"
    assert (made > 0).sum((1, 2, 3)).max() <= 11, "a tap of 11 pixels and more is below one level"
    # up to 45 degrees either way, each as likely
    lowest = torch.stack([(image[0] > 0).any(1).nonzero().max() for image in made])
    highest = torch.stack([(image[0] > 0).any(1).nonzero().min() for image in made])
    assert lowest.max() > 18
    assert highest.min() < 10
    assert float((lowest > 14).double().mean()) == pytest.approx(0.5, abs=0.12)


# --- the files


@with_files
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_every_published_stripe_and_edge_is_made_again(name: str, digits: Tensor) -> None:
    assert torch.equal(corrupt_bytes(digits, name), files(name))


@with_files
@pytest.mark.parametrize("name", ["dotted_line", "zigzag"])
def test_every_published_line_is_one_that_can_be_drawn(name: str, digits: Tensor) -> None:
    n = 500
    size = torch.zeros(1, 1, 28, 28, dtype=torch.float64)
    if name == "dotted_line":
        ends = torch.cartesian_prod(torch.arange(27), torch.arange(27))
        ink = lines.dots(size, ends)
    else:
        ends = torch.cartesian_prod(torch.arange(27), torch.arange(-5, 5))
        ink = lines.zigzags(size, ends[:, 0], ends[:, 1])
    drawn = []
    for digit, found in zip(digits[:n], files(name)[:n], strict=True):
        same = (truncated(digit / 255 + ink) == found).flatten(1).all(1)
        assert same.any()
        drawn.append(ends[same][0])
    # all of them are, about as often
    first, second = torch.stack(drawn).unbind(1)
    assert len(set(first.tolist())) == 27
    assert len(set(second.tolist())) == (27 if name == "dotted_line" else 10)


@with_files
@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("n", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_drawn_images_differ_from_the_published_ones_as_those_of_two_seeds_do(
    name: str, n: int, digits: Tensor
) -> None:
    ours, again = (corrupt_bytes(digits[:n], name, seed)[:, 0] for seed in (0, 1))
    found, usual = difference(files(name)[:n, 0], ours), difference(ours, again)
    assert found.unequal == pytest.approx(usual.unequal, rel=0.05)
    # fog is nearly the same in all pixels of an image, so that these are the means of few numbers
    most = 3 if name == "fog" else 1.3
    assert found.mean < most * usual.mean
    assert found.deviation < most * usual.deviation
    assert found.energy < most * usual.energy
