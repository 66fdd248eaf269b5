"""Figures of a recovery, each written as a PNG file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from lightning_gans.errors import InputError
from lightning_gans.inversion.diagnostics import Placement, band, placement, shell
from lightning_gans.inversion.diagnostics import norms as norms_of
from lightning_gans.metrics import to_uint8
from lightning_gans.priors import Prior
from lightning_gans.rng import stream
from lightning_gans.runs.atomic import replacing
from lightning_gans.validation import check_shape

# draws to which norms are compared
DRAWS = 10_000
# smaller images are enlarged by a whole factor to about this side, in pixels
SIDE = 64


def surface(values: Tensor, extent: float, path: Path) -> Figure:
    """Plot a loss surface, a to the right and b upwards, with the center marked.

    Args:
        values: (points, points), see :func:`loss_surface`.
        extent: a and b go from -extent to extent.
        path: of the PNG file.
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise InputError(f"expected values of shape (points, points), got {tuple(values.shape)}")
    figure, axes = _panel((5.2, 4.4))
    line = np.linspace(-extent, extent, len(values))
    # the first index runs along a; matplotlib draws rows upwards
    mesh = axes.pcolormesh(line, line, values.detach().cpu().double().numpy().T, shading="nearest")
    figure.colorbar(mesh, label="reconstruction loss")
    axes.plot([0], [0], marker="+", color="white", markersize=10)
    axes.set(xlabel=r"a, along $\alpha$", ylabel=r"b, along $\beta$", aspect="equal")
    return _written(figure, path)


def norms(codes: Tensor, prior: Prior, path: Path) -> Figure:
    """Plot histograms of the norms of codes (n, L) and of draws of their prior."""
    check_shape(codes, (prior.dim,), "codes")
    random = stream("norms", seed=0, device=prior.sample(1).device)
    found, drawn = norms_of(codes.detach()), shell(prior, DRAWS, random)
    place = placement(found, drawn)
    sides = [found.double().cpu().numpy(), drawn.double().cpu().numpy()]
    edges = np.histogram_bin_edges(np.concatenate(sides), bins=80)
    figure, axes = _panel((5.6, 3.6))
    for values, label, color in zip(
        sides, ("codes", "draws of the prior"), ("tab:orange", "tab:blue"), strict=True
    ):
        weights = np.full(len(values), 1 / len(values))
        axes.hist(values, edges.tolist(), weights=weights, label=label, color=color, alpha=0.6)
    axes.axvspan(place.low, place.high, color="tab:blue", alpha=0.1, linewidth=0)
    axes.set(xlabel="norm", ylabel="share")
    axes.set_title(norms_title(place, len(found)), fontsize=9)
    axes.legend()
    return _written(figure, path)


def norms_title(place: Placement, count: int) -> str:
    """Where the norms of codes lie, in a sentence.

    >>> norms_title(Placement(0, 0, 1, low=6.0, high=10.0, central=0.99), 1)
    "this code's norm lies above the central 99% of the draws"
    """
    if count == 1:
        shares = {"below": place.below, "within": place.within, "above": place.above}
        return (
            f"this code's norm lies {max(shares, key=shares.__getitem__)} the central "
            f"{place.central:.0%} of the draws"
        )
    return (
        f"{place.within:.1%} of the codes lie within the central {place.central:.0%} of the draws"
    )


def traces(trace: Tensor, path: Path) -> Figure:
    """Plot the loss over the steps: median over images, and the band from 10 to 90 %.

    The loss axis is logarithmic, or linear if some losses are not positive.

    Args:
        trace: (n, steps + 1), may hold NaN; see :class:`Recovery`.
        path: of the PNG file.
    """
    if trace.ndim != 2 or not trace.isfinite().any():
        raise InputError(
            f"expected a trace of shape (n, steps + 1) with a finite loss, got {tuple(trace.shape)}"
        )
    low, median, high = band(trace.detach()).numpy()
    steps = np.arange(len(median))
    figure, axes = _panel((5.6, 3.6))
    axes.fill_between(steps, low, high, color="tab:blue", alpha=0.25, linewidth=0, label="10-90 %")
    axes.plot(steps, median, color="tab:blue", label="median")
    axes.set_yscale("log" if np.nanmin(low) > 0 else "linear")
    axes.set(xlabel="step", ylabel="total loss")
    axes.grid(alpha=0.3)
    axes.legend()
    return _written(figure, path)


def targets_and_reconstructions(
    x: Tensor,
    y: Tensor,
    path: Path,
    columns: int = 10,
    rows: int = 5,
    encoded: Tensor | None = None,
) -> None:
    """Write a grid of targets, each row above the row of its reconstructions.

    Args:
        x: targets (n, 1 or 3, height, width) in [-1, 1]; the first columns · rows are shown.
        y: reconstructions of the same shape.
        path: of the PNG file.
        columns: images per row.
        rows: pairs of rows.
        encoded: other reconstructions, by an encoder, which are shown between the two.

    Raises:
        InputError: for other shapes, or less than one column or row.
    """
    parts = [x, y] if encoded is None else [x, encoded, y]
    shapes = [tuple(part.shape) for part in parts]
    if len({*shapes}) > 1 or x.ndim != 4 or x.shape[1] not in (1, 3) or not len(x):
        raise InputError(
            "expected targets and reconstructions of one shape (n, 1 or 3, height, width), got "
            + " and ".join(map(str, shapes))
        )
    if columns < 1 or rows < 1:
        raise InputError(f"expected at least 1 column and row, got {columns} and {rows}")
    shown = columns * rows
    # each pair is one tall image, so that pairs stay together in an incomplete last row
    tall = torch.cat([to_uint8(part[:shown]).cpu() for part in parts], 2)
    factor = max(1, round(SIDE / min(x.shape[2:])))
    tall = tall.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    picture: Tensor = make_grid(tall, nrow=min(columns, len(tall)), padding=2, pad_value=255)
    with replacing(path) as new:
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(new, format="png")


def _panel(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _written(figure: Figure, path: Path) -> Figure:
    with replacing(path) as new:
        figure.savefig(new, format="png")
    return figure
