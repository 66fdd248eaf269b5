"""Plots, drawn with matplotlib off screen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from torch import Tensor

from lightning_gans.priors import Prior


def scatter(real: Tensor | None, fake: Tensor, category: Tensor | None = None) -> Tensor:
    """Plot generated points on top of any real ones, both (n, 2): uint8 (3, height, width).

    Generated points are coloured by their ``category``, (n,), if it is given.
    """
    figure = Figure(figsize=(5, 5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    groups = [] if real is None else [(real, "data", "0.6")]
    if category is None:
        groups.append((fake, "generated", "tab:blue"))
    else:
        found = sorted(set(category.tolist()))
        groups += [(fake[category == k], f"category {k}", f"C{k % 10}") for k in found]
    for points, label, color in groups:
        x, y = points.detach().cpu().double().numpy().T
        axes.scatter(x, y, s=6, label=label, color=color, linewidths=0)
    axes.set_aspect("equal")
    if len(groups) <= 12:
        axes.legend(loc="upper left")
    return pixels_of(figure)


def spectrum(series: Mapping[str, Tensor]) -> Tensor:
    """Plot the elements of each named vector in descending order: uint8 (3, height, width).

    Values of 0 are below the logarithmic axis.
    """
    figure = Figure(figsize=(5, 3.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, values in series.items():
        ordered = values.detach().cpu().double().sort(descending=True).values.numpy()
        marker = "." if len(ordered) < 30 else ""
        axes.plot(np.arange(1, len(ordered) + 1), ordered, marker=marker, label=f" {plain(name)}")
    if any(bool((values > 0).any()) for values in series.values()):
        axes.set_yscale("log")
    axes.set_title("latent elements, in descending order", fontsize=10)
    axes.set_xlabel("rank")
    axes.grid(alpha=0.3)
    axes.legend()
    return pixels_of(figure)


def pixels_of(figure: Figure) -> Tensor:
    """A figure as a picture, uint8 (3, height, width)."""
    buffer = BytesIO()
    figure.savefig(buffer, format="rgba")
    width, height = (int(side * figure.dpi) for side in figure.get_size_inches())
    pixels = np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)
    return torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1)


def curves(series: dict[str, tuple[list[float], list[float]]], path: Path) -> None:
    """Plot each named series of (steps, values) in its own panel; a PNG file."""
    columns = min(4, max(1, len(series)))
    rows = -(-len(series) // columns)
    width, height = 3.6 * columns, 2.4 * max(1, rows)
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    # margins in inches: a layout engine would draw all panels twice
    figure.subplots_adjust(
        0.6 / width, 0.5 / height, 1 - 0.15 / width, 1 - 0.3 / height, wspace=0.25, hspace=0.55
    )
    for index, (name, (steps, values)) in enumerate(series.items(), start=1):
        axes = figure.add_subplot(rows, columns, index)
        axes.plot(steps, values, marker="." if len(steps) < 30 else "", linewidth=1)
        # in places of their own, which need not be sought among the numbers, and few numbers: half
        # the time of a figure of many panels
        axes.set_title(name, fontsize=9, y=1.0)
        axes.set_xlabel("iterations", fontsize=8)
        axes.xaxis.set_label_coords(0.5, -0.17)
        axes.locator_params(nbins=4)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    figure.savefig(path, format="png")


def compared_curves(
    title: str,
    groups: Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]],
    path: Path,
    log: bool = False,
) -> None:
    """Plot curves of several runs in one panel, those of a group in one colour; a PNG file.

    Args:
        title: of the panel.
        groups: by name, the (steps, values) of each run.
        path: of the file.
        log: whether the axis of values is logarithmic.
    """
    figure = Figure(figsize=(6.4, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for index, (name, runs) in enumerate(groups.items()):
        for number, (steps, values) in enumerate(runs):
            axes.plot(
                steps,
                values,
                color=f"C{index % 10}",
                linestyle=STYLES[index // 10 % len(STYLES)],
                marker="." if len(steps) < 30 else "",
                linewidth=1.4 if len(runs) == 1 else 0.9,
                # one that begins with an underscore would have no entry
                label=f" {plain(name)}" if number == 0 else "_",
            )
    if log:
        axes.set_yscale("log")
    axes.set_title(plain(title), fontsize=10)
    axes.set_xlabel("iterations", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, which="both" if log else "major")
    if len(groups) <= 12:
        axes.legend(fontsize=8)
    figure.savefig(path, format="png")


# beyond ten groups, colours are repeated in another style
STYLES = ("-", "--", ":", "-.")


def plain(text: str) -> str:
    """A text in which matplotlib finds no formulas."""
    return text.replace("$", r"\$")


def clusters(panels: list[tuple[str, Tensor, Tensor]], path: Path, columns: int = 4) -> None:
    """Plot points by category, a panel for each (title, (n, 2) points, (n,) categories)."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3 * columns, 3.1 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, points, category) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, index)
        x, y = points[:3000].double().numpy().T
        colors = category[:3000].numpy() % 20
        axes.scatter(x, y, s=3, c=colors, cmap="tab20", vmin=0, vmax=19, linewidths=0)
        axes.set_title(title, fontsize=9)
        axes.set(xlim=(-2.5, 3.5), ylim=(-3.5, 2.5), aspect="equal")
        axes.tick_params(labelsize=7)
    figure.savefig(path, format="png")


def curve_panels(
    panels: Mapping[str, Mapping[str, Sequence[tuple[Sequence[float], Sequence[float]]]]],
    path: Path,
    columns: int = 3,
    of: str = "iterations",
    log: bool = False,
) -> None:
    """Plot curves of several runs, a panel for each quantity, with one legend; a PNG file.

    Args:
        panels: by title, the groups of curves as :func:`compared_curves` takes them.
        path: of the file.
        columns: the greatest number of panels in a row.
        of: what the horizontal axis shows.
        log: whether that axis is logarithmic.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows + 0.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    shown: dict[str, Line2D] = {}
    # a group has its colour in all panels, also in those that lack one before it
    names = list(dict.fromkeys(name for groups in panels.values() for name in groups))
    for index, (title, groups) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(rows, columns, index)
        for name, runs in groups.items():
            number = names.index(name)
            color, style = f"C{number % 10}", STYLES[number // 10 % len(STYLES)]
            for steps, values in runs:
                (line,) = axes.plot(
                    steps, values, marker=".", linewidth=1, color=color, linestyle=style
                )
                shown.setdefault(f" {plain(name)}", line)
        if log:
            axes.set_xscale("log")
        axes.set_title(plain(title), fontsize=9)
        axes.set_xlabel(of, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    legend = list(shown.values()), list(shown)
    figure.legend(*legend, loc="outside lower center", ncols=6, fontsize=8)
    figure.savefig(path, format="png")


def surfaces(planes: Mapping[str, Tensor], extent: float, path: Path) -> None:
    """Plot values on planes, each (points, points), a panel for each name; a PNG file.

    The first index of a plane runs to the right, the second upwards, both from -extent to extent.
    """
    figure = Figure(figsize=(3.2 * len(planes), 3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for index, (name, values) in enumerate(planes.items(), start=1):
        axes = figure.add_subplot(1, len(planes), index)
        line = np.linspace(-extent, extent, len(values))
        mesh = axes.pcolormesh(line, line, values.double().cpu().numpy().T, shading="nearest")
        figure.colorbar(mesh)
        axes.plot([0, 1], [0, 0], marker="+", color="white", linewidth=0.6, markersize=8)
        axes.set_title(plain(name), fontsize=9)
        axes.set(xlabel="a", ylabel="b", aspect="equal")
    figure.savefig(path, format="png")


def histograms(groups: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """Plot densities of several samples, (n,) each, in one panel for each group; a PNG file."""
    figure = Figure(figsize=(3.4 * len(groups), 3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for index, (title, samples) in enumerate(groups.items(), start=1):
        axes = figure.add_subplot(1, len(groups), index)
        for name, values in samples.items():
            numbers = values.detach().cpu().double().numpy()
            axes.hist(numbers, bins=60, density=True, histtype="step", label=name)
        axes.set_title(plain(title), fontsize=9)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=6)
    figure.savefig(path, format="png")


# pixels to which smaller images on a sheet are enlarged by a whole factor, and between them
SHEET_SIDE, SHEET_GAP = 48, 2


def sheet(rows: Sequence[Tensor], path: Path, gaps: Sequence[int] = ()) -> None:
    """Draw images in rows; a PNG file.

    Args:
        rows: the images of each row, uint8 (columns, 1 or 3, height, width), all of one shape.
        path: of the file.
        gaps: columns before which there is a wider gap, such as 1 after a column of inputs.
    """
    images = torch.stack([*rows]).cpu()
    factor = max(1, round(SHEET_SIDE / images.shape[-1]))
    images = images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    high, count, channels, height, width = images.shape
    lefts, left = [], 0
    for column in range(count):
        left += 3 * SHEET_GAP if column in gaps else 0
        lefts.append(left)
        left += width + SHEET_GAP
    page = torch.full((channels, high * (height + SHEET_GAP) - SHEET_GAP, left - SHEET_GAP), 255)
    for r, c in itertools.product(range(high), range(count)):
        top = r * (height + SHEET_GAP)
        page[:, top : top + height, lefts[c] : lefts[c] + width] = images[r, c]
    pixels = page.to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).contiguous()
    Image.fromarray(pixels.numpy()).save(path, format="png")


def against_prior(codes: Tensor, prior: Prior, path: Path, title: str = "") -> None:
    """Plot codes (n, L) against their prior: histogram with density, and QQ plot; a PNG file.

    If the elements of the prior differ, each is first transformed by its cdf, and then compared
    with the uniform distribution on [0, 1].
    """
    z = codes.detach().double()
    values = (z if prior.identical else prior.cdf(z)).flatten()
    expected, found = quantile_pairs(codes, prior)
    low, high = float(values.min()), float(values.max())
    margin = 0.1 * (high - low)
    grid = torch.linspace(low - margin, high + margin, 401, dtype=torch.float64).to(z.device)
    uniform = ((grid >= 0) & (grid <= 1)).double()
    density = prior.log_density(grid).exp() if prior.identical else uniform

    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    histogram, quantiles = figure.subplots(1, 2)
    histogram.hist(values.cpu().numpy(), bins=60, density=True, color="0.75", label="codes")
    histogram.plot(grid.cpu().numpy(), density.cpu().numpy(), color="tab:blue", label="prior")
    histogram.set_xlabel("element" if prior.identical else "cdf of the element")
    histogram.set_ylabel("density")
    histogram.legend()
    quantiles.plot(expected.cpu().numpy(), found.cpu().numpy(), ".", markersize=3, color="0.4")
    ends = (float(expected.min()), float(expected.max()))
    quantiles.plot(ends, ends, color="tab:blue", linewidth=1)
    quantiles.set_xlabel("quantile of the prior")
    quantiles.set_ylabel("quantile of the codes")
    figure.suptitle(title)
    figure.savefig(path, format="png")


def quantile_pairs(codes: Tensor, prior: Prior, most: int = 2000) -> tuple[Tensor, Tensor]:
    """Quantiles of the prior and of the elements of codes (n, L), at equal ranks; float64.

    If the elements of the prior differ, quantiles of U(0, 1) and of the elements' cdfs.
    """
    z = codes.detach().double()
    found = (z if prior.identical else prior.cdf(z)).flatten().sort().values
    u = (torch.arange(len(found), dtype=torch.float64, device=z.device) + 0.5) / len(found)
    expected = prior.icdf(u) if prior.identical else u
    # evenly spaced ranks, including the lowest and the highest
    ranks = torch.linspace(0, len(found) - 1, min(most, len(found)), dtype=torch.float64)
    rows = ranks.round().long().to(z.device)
    return expected[rows], found[rows]
