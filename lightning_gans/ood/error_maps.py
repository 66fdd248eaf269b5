"""Where an image is anomalous: maps of the error of its reconstruction."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter
from torch import Tensor

from lightning_gans.data.reading import read
from lightning_gans.models.base.capabilities import Reconstructs
from lightning_gans.ood.folder_images import FolderImages
from lightning_gans.ood.score_report import Results, shorten
from lightning_gans.runs.atomic import replacing
from lightning_gans.text import printable

# images that are reconstructed at once
BATCH = 50
# the deviation of the smoothing, as a share of the image's side
SMOOTHING = 1 / 32
# of a row of the sheet, in inches
WIDTH, HEIGHT, ABOVE, BELOW = 5.2, 1.7, 0.35, 0.6


def error_maps(x: Tensor, y: Tensor) -> Tensor:
    """|x - y| of pairs (n, channels, height, width), mean over channels and smoothed; (n, h, w).

    Smoothed by a Gaussian with σ = 1/32 of the shorter side, mirrored at the borders: the mean of
    a map is that of the error, and a flat error stays flat.
    """
    error = (x - y).detach().cpu().double().abs().mean(1)
    sigma = SMOOTHING * min(error.shape[1:])
    return torch.from_numpy(gaussian_filter(error.numpy(), (0, sigma, sigma), mode="reflect"))


def draw_maps(
    path: Path, model: Reconstructs, images: FolderImages, results: Results, most: int
) -> dict[str, str]:
    """Draw the most anomalous images, their reconstructions and their maps, a PNG file.

    Returns:
        By name, why an image could not be read again. It is left out.
    """
    there = read(images.images, results.order[:most])
    if there.indices:
        parts = torch.split(there.x, BATCH)
        made = torch.cat([model.reconstruct(part.to(model.prior.device)).cpu() for part in parts])
        scores, pvalues = results.verdicts.scores, results.verdicts.pvalues
        labels = [
            f"{shorten(printable(images.readable[i]))}\n{scores[i]:.4g}   p {pvalues[i]:.2g}"
            for i in there.indices
        ]
        sheet(there.x, made, labels, path)
    return {images.readable[i]: why for i, why in there.reasons.items()}


def sheet(x: Tensor, y: Tensor, labels: Sequence[str], path: Path) -> None:
    """Draw images, reconstructions (n, 1 or 3, height, width) and maps, with one scale for all."""
    maps = error_maps(x, y)
    height = ABOVE + HEIGHT * len(x) + BELOW
    figure = Figure(figsize=(WIDTH, height), dpi=100, facecolor="0.9")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(x), 3, squeeze=False)
    bottom = BELOW / height
    figure.subplots_adjust(0.02, bottom, 0.98, 1 - ABOVE / height, wspace=0.05, hspace=0.3)
    highest = max(float(maps.max()), 1e-6)
    for row, label in enumerate(labels):
        for axis, image in zip(axes[row], (x[row], y[row]), strict=False):
            picture = image.float().clamp(-1, 1).add(1).div(2).permute(1, 2, 0).expand(-1, -1, 3)
            axis.imshow(picture.numpy(), interpolation="nearest")
        drawn = axes[row, 2].imshow(maps[row].numpy(), cmap="inferno", vmin=0, vmax=highest)
        texts = (label, "reconstruction", f"error, mean {maps[row].mean():.3g}")
        for axis, text in zip(axes[row], texts, strict=True):
            axis.set_axis_off()
            axis.set_title(text, fontsize=6.5, parse_math=False, pad=2)
    scale = figure.add_axes((0.2, 0.3 / height, 0.6, 0.1 / height))
    figure.colorbar(drawn, cax=scale, orientation="horizontal")
    scale.tick_params(labelsize=6, pad=1, length=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        with replacing(path) as new:
            figure.savefig(new, format="png")
