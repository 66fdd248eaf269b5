"""Diagnostics, probes and figures of recoveries: known answers, and pixels where they must be."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from PIL import Image
from scipy import stats
from torch import Tensor, nn

from lightning_gans.errors import InputError
from lightning_gans.inversion import figures, probes
from lightning_gans.inversion.diagnostics import (
    band,
    by_latent_size,
    directions,
    loss_surface,
    norms,
    placement,
    shell,
)
from lightning_gans.inversion.reconstruction import L2
from lightning_gans.priors import HalfUniformHalfNormal, Normal
from lightning_gans.rng import stream
from tests.support.recoveries import recovery_of


class Noisy(nn.Module):
    """tanh(Az) as 1x2x3 images, with dropout that only acts in training mode."""

    def __init__(self, dim: int = 5) -> None:
        super().__init__()
        self.map = nn.Linear(dim, 6, bias=False)
        with torch.no_grad():
            self.map.weight.copy_(torch.randn(6, dim, generator=stream("map", 1)))
        self.drop = nn.Dropout(0.5)

    def forward(self, z: Tensor, *conditions: Tensor) -> Tensor:
        for condition in conditions:
            z = z + condition.sum(1, keepdim=True)
        images: Tensor = torch.tanh(self.drop(self.map(z)))
        return images.view(-1, 1, 2, 3)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream("drawn", seed))


def test_directions_are_those_of_the_paper() -> None:
    center, target = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([4.0, 5.0, 1.0, 13.0])
    alpha, beta = directions(center, target)
    assert alpha.tolist() == [3, 4, 0, 12]
    # (4, -3, 0, 0) of norm 5, scaled to 13
    assert beta.tolist() == pytest.approx([4 * 13 / 5, -3 * 13 / 5, 0, 0])


def test_directions_are_orthogonal_and_of_equal_norm() -> None:
    for seed in range(5):
        alpha, beta = directions(drawn(20, seed=seed), drawn(20, seed=seed + 50)).double()
        assert abs(alpha @ beta) < 1e-4
        assert beta.norm() == pytest.approx(float(alpha.norm()), rel=1e-5)
    alpha, beta = directions(torch.zeros(3), torch.tensor([0.0, 0.0, 2.0]))
    assert (alpha.tolist(), beta.tolist()) == ([0, 0, 2], [2, 0, 0])
    for center, target in (
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(3), torch.ones(4)),
        (torch.zeros(1), torch.ones(1)),
        (torch.zeros(2, 2), torch.ones(2, 2)),
    ):
        with pytest.raises(InputError):
            directions(center, target)


def test_a_surface_is_the_loss_at_each_of_its_codes() -> None:
    generator, z = Noisy().train(), drawn(5)
    generator.map.weight.requires_grad_(False)
    x, plane = generator.eval()(z[None])[0], drawn(2, 5, seed=2)
    generator.train()
    values = loss_surface(generator, x, z, plane, 1.5, points=19, loss=L2())
    assert values.shape == (19, 19)
    assert generator.training
    assert generator.drop.training
    assert not generator.map.weight.requires_grad
    weight = generator.map.weight.numpy()
    for i, a in enumerate(np.linspace(-1.5, 1.5, 19)):
        for j, b in enumerate(np.linspace(-1.5, 1.5, 19)):
            code = z.numpy() + a * plane[0].numpy() + b * plane[1].numpy()
            made = np.tanh(weight @ code)
            expected = np.mean((made - x.flatten().numpy()) ** 2)
            assert float(values[i, j]) == pytest.approx(expected, abs=1e-5)
    assert float(values[9, 9]) == pytest.approx(0, abs=1e-6)


def test_a_surface_towards_a_code_is_zero_where_the_code_is() -> None:
    generator, target = Noisy(), drawn(5)
    x = generator.eval()(target[None])[0].detach()
    values = loss_surface(generator, x, torch.zeros(5), directions(torch.zeros(5), target), 2, 5)
    assert not values.requires_grad
    assert generator.map.weight.requires_grad
    # a = 1 is the fourth of -2, -1, 0, 1, 2, and b = 0 the third
    assert values.argmin() == 3 * 5 + 2
    assert float(values[3, 2]) == pytest.approx(0, abs=1e-6)
    # the default is the mean absolute difference
    assert float(values[2, 2]) == pytest.approx(float(x.abs().mean()), rel=1e-5)


def test_a_surface_of_a_condition() -> None:
    generator, z, condition = Noisy().eval(), drawn(5), torch.tensor([0.0, 0.5])
    x = generator(z[None], condition[None])[0]
    plane = drawn(2, 5, seed=2)
    assert loss_surface(generator, x, z, plane, 1, 3, condition=condition)[1, 1] < 1e-6
    assert loss_surface(generator, x, z, plane, 1, 3)[1, 1] > 1e-2


def test_surfaces_that_do_not_fit() -> None:
    generator, x, z, plane = Noisy(), torch.zeros(1, 2, 3), torch.zeros(5), torch.zeros(2, 5)
    with pytest.raises(InputError, match="target image"):
        loss_surface(generator, torch.zeros(1, 3, 3), z, plane)
    with pytest.raises(InputError, match="directions of shape"):
        loss_surface(generator, x, z, plane[:1])
    with pytest.raises(InputError, match="points"):
        loss_surface(generator, x, z, plane, points=1)
    with pytest.raises(InputError, match="extent"):
        loss_surface(generator, x, z, plane, extent=0)


def test_the_shell_is_chi_distributed() -> None:
    assert norms(torch.tensor([[3.0, 4.0], [0.0, -2.0]])).tolist() == [5, 2]
    lengths = shell(Normal(30, std=2.0), 3001, stream("shell", 1))
    assert lengths.shape == (3001,)
    assert stats.kstest(lengths.numpy() / 2, stats.chi(30).cdf).pvalue > 0.01
    with pytest.raises(InputError):
        shell(Normal(3), 0, stream("shell", 1))


def test_placement_by_hand() -> None:
    draws = torch.arange(1001).float()
    codes = torch.tensor([-1.0, 99.0, 100.0, 500.0, 900.0, 901.0, 2000.0, 3000.0])
    place = placement(codes, draws, 0.8)
    assert (place.low, place.high, place.central) == pytest.approx((100, 900, 0.8))
    assert (place.below, place.within, place.above) == (2 / 8, 3 / 8, 3 / 8)


def test_genuine_draws_lie_in_the_shell_and_long_codes_do_not() -> None:
    prior = HalfUniformHalfNormal(100)
    draws = shell(prior, 5000, stream("shell", 1))
    codes = prior.sample(5000, stream("codes", 1))
    assert placement(norms(codes), draws).within == pytest.approx(0.99, abs=0.006)
    assert placement(norms(2 * codes), draws).above == 1
    assert placement(norms(codes / 2), draws).below == 1
    for bad in (codes, norms(codes)[:0], norms(codes) + torch.nan):
        with pytest.raises(InputError):
            placement(bad, draws)
    with pytest.raises(InputError):
        placement(norms(codes), draws, 1.0)


def test_a_band_carries_the_last_loss_on() -> None:
    nan = math.nan
    trace = torch.tensor(
        [[8.0, 4.0, 2.0], [9.0, nan, nan], [7.0, 1.0, nan], [nan, nan, nan], [nan, 6.0, 3.0]]
    )
    median = band(trace, (0.5,))
    assert median.tolist() == [[8, 5, 2.5]]
    assert band(torch.full((2, 3), nan)).isnan().all()
    whole = drawn(30, 8).exp()
    expected = np.quantile(whole.double().numpy(), [0.1, 0.5, 0.9], axis=0)
    np.testing.assert_allclose(band(whole).numpy(), expected)


def test_sizes_are_in_order_and_their_losses_are_averaged() -> None:
    small, large = (recovery_of(torch.ones(4, dim), torch.zeros(4, 1, 1, 1)) for dim in (4, 16))
    small.reconstruction[:] = torch.tensor([0.1, 0.2, 0.3, 0.6])
    lines = by_latent_size({16: large, 4: small}).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[2] == ["4", "4", "0.3", "0.13", "0.25", "0.51", "1"]
    assert cells[3][:3] == ["16", "4", "0"]
    with pytest.raises(InputError, match="latent size 8"):
        by_latent_size({8: small})


def test_shifts_by_hand() -> None:
    x = torch.arange(1.0, 7.0).view(1, 1, 2, 3)
    for right, down, expected in (
        (0, 0, [[1, 2, 3], [4, 5, 6]]),
        (1, 0, [[-1, 1, 2], [-1, 4, 5]]),
        (-2, 0, [[3, -1, -1], [6, -1, -1]]),
        (0, 1, [[-1, -1, -1], [1, 2, 3]]),
        (1, -1, [[-1, 4, 5], [-1, -1, -1]]),
        (3, 0, [[-1] * 3] * 2),
        (0, -5, [[-1] * 3] * 2),
    ):
        assert probes.shifted(x, right, down)[0, 0].tolist() == expected, (right, down)
    assert probes.shifted(x, 1, 0, fill=0.5)[0, 0, :, 0].tolist() == [0.5, 0.5]
    assert x.flatten().tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(InputError):
        probes.shifted(x[0], 1, 0)


def test_noise_is_uniform_in_the_range_of_images() -> None:
    x = probes.noise(7, (3, 16, 16), stream("noise", 1))
    assert x.shape == (7, 3, 16, 16)
    assert stats.kstest(x.flatten().numpy(), stats.uniform(-1, 2).cdf).pvalue > 0.01
    assert torch.equal(x, probes.noise(7, (3, 16, 16), stream("noise", 1)))


def picture(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.figures
def test_a_surface_is_drawn_with_a_to_the_right_and_b_upwards(tmp_path: Path) -> None:
    values = torch.full((5, 5), 0.5)
    values[4, 1], values[0, 3] = 0.0, 1.0  # (a, b) = (2, -1) and (-2, 1)
    figure = figures.surface(values, 2.0, tmp_path / "new" / "surface.png")
    pixels = picture(tmp_path / "new" / "surface.png")
    colors = matplotlib.colormaps[matplotlib.rcParams["image.cmap"]]
    for place, share in (((2, -1), 0.0), ((-2, 1), 1.0), ((1, 1), 0.5)):
        right, up = figure.axes[0].transData.transform(place)
        got = pixels[len(pixels) - round(up), round(right)]
        assert got.tolist() == pytest.approx([255 * c for c in colors(share)[:3]], abs=4), place
    with pytest.raises(InputError):
        figures.surface(values[:3], 2.0, tmp_path / "surface.png")


@pytest.mark.figures
def test_norms_are_drawn_beside_those_of_draws(tmp_path: Path) -> None:
    prior = Normal(64)
    codes = torch.cat([prior.sample(30, stream("codes", 1)), torch.full((10, 64), 3.0)])
    figure = figures.norms(codes, prior, tmp_path / "norms.png")
    axes = figure.axes[0]
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    shares = heights[:80], heights[80:160]
    assert [sum(heights) for heights in shares] == pytest.approx([1, 1])
    # the ten long codes have norm 24, the last bin
    assert (shares[0][-1], shares[1][-1]) == pytest.approx((0.25, 0))
    place = placement(norms(codes), shell(prior, 10_000, stream("norms", 0)))
    assert axes.get_title().startswith(f"{place.within:.1%} ")
    assert picture(tmp_path / "norms.png").std() > 0


@pytest.mark.parametrize(("factor", "where"), [(2, "above"), (1, "within"), (0.5, "below")])
def test_the_picture_of_one_code_has_no_share_of_codes(
    factor: float, where: str, tmp_path: Path
) -> None:
    prior = Normal(64)
    code = factor * prior.sample(1, stream("codes", 1))
    figure = figures.norms(code, prior, tmp_path / "norms.png")
    title = f"this code's norm lies {where} the central 99% of the draws"
    assert figure.axes[0].get_title() == title


def test_traces_show_the_median_and_the_band(tmp_path: Path) -> None:
    trace = drawn(40, 12).exp()
    trace[:10, 6:] = math.nan
    figure = figures.traces(trace, tmp_path / "trace.png")
    (line,) = figure.axes[0].lines
    full = trace.clone()
    full[:10, 6:] = full[:10, 5:6]
    median = np.median(full.numpy(), axis=0)
    np.testing.assert_allclose(np.asarray(line.get_ydata()), median, rtol=1e-5)
    (area,) = figure.axes[0].collections
    heights = np.asarray(area.get_paths()[0].vertices)[:, 1]
    low, high = np.quantile(full.numpy(), [0.1, 0.9], axis=0)
    assert (heights.min(), heights.max()) == pytest.approx((low.min(), high.max()), rel=1e-5)
    assert figure.axes[0].get_yscale() == "log"
    assert figures.traces(-trace, tmp_path / "trace.png").axes[0].get_yscale() == "linear"
    with pytest.raises(InputError):
        figures.traces(torch.full((2, 3), math.nan), tmp_path / "trace.png")


@pytest.mark.parametrize(("channels", "factor", "height"), [(1, 16, 4), (3, 1, 64), (3, 2, 28)])
def test_targets_lie_above_their_reconstructions(
    tmp_path: Path, channels: int, factor: int, height: int
) -> None:
    # a level of its own for each image: target k is 2k/255, its reconstruction 1 - 2k/255
    k = torch.arange(7.0).view(7, 1, 1, 1)
    x = (2 * k / 127.5 - 1).expand(7, channels, height, height + 2)
    figures.targets_and_reconstructions(x, -x, tmp_path / "a" / "p.png", columns=3, rows=2)
    pixels = picture(tmp_path / "a" / "p.png")
    tall, wide = height * factor, (height + 2) * factor
    assert pixels.shape == (2 * (2 * tall + 2) + 2, 3 * (wide + 2) + 2, 3)
    for index in range(6):
        top = 2 + index // 3 * (2 * tall + 2)
        left = 2 + index % 3 * (wide + 2)
        target = pixels[top : top + tall, left : left + wide]
        made = pixels[top + tall : top + 2 * tall, left : left + wide]
        assert np.unique(target).tolist() == [2 * index]
        assert np.unique(made).tolist() == [255 - 2 * index]


def test_a_last_row_that_is_not_full_stays_in_pairs(tmp_path: Path) -> None:
    x = torch.zeros(4, 1, 64, 64)
    figures.targets_and_reconstructions(x - 1, x, tmp_path / "p.png", columns=3)
    pixels = picture(tmp_path / "p.png")
    second = 2 + 128 + 2
    assert np.unique(pixels[second : second + 64, 2:66]).tolist() == [0]
    assert np.unique(pixels[second + 64 : second + 128, 2:66]).tolist() == [128]
    for wrong in (x[:3], x[:, 0], torch.zeros(4, 2, 64, 64)):
        with pytest.raises(InputError):
            figures.targets_and_reconstructions(x, wrong, tmp_path / "p.png")
        with pytest.raises(InputError):
            figures.targets_and_reconstructions(x, x, tmp_path / "p.png", encoded=wrong)


def test_what_an_encoder_makes_lies_between_targets_and_reconstructions(tmp_path: Path) -> None:
    x = torch.zeros(4, 1, 64, 64)
    figures.targets_and_reconstructions(x - 1, x + 1, tmp_path / "p.png", columns=3, encoded=x)
    pixels = picture(tmp_path / "p.png")
    assert len(pixels) == 2 + 2 * (3 * 64 + 2)
    for first in (2, 2 + 3 * 64 + 2):
        rows = [pixels[first + 64 * i : first + 64 * (i + 1), 2:66] for i in range(3)]
        assert [np.unique(row).tolist() for row in rows] == [[0], [128], [255]]
