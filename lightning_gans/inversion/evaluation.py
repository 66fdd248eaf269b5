"""Evaluation of a recovery: reconstruction error, fit of the codes to the prior, and a report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError
from lightning_gans.inversion import figures
from lightning_gans.inversion.goodness import LEAST, Verdict, goodness_of_fit
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.inversion.tables import aligned, percent
from lightning_gans.metrics import PSNR, SSIM, FeaturesUnavailable, perceptual
from lightning_gans.models.base.capabilities import Reconstructs
from lightning_gans.plots import against_prior
from lightning_gans.priors import Prior
from lightning_gans.runs.atomic import replacing, write_text
from lightning_gans.text import printable
from lightning_gans.validation import check_images

# images per call of the classifier
BATCH = 500


@dataclass(frozen=True)
class Measures:
    """A column of the tables of Cho 2021 (latent regulation), Tables 7 to 22.

    The paper took its codes one step and one resampling later than the images on which the losses
    were measured. Here every measure is of the same codes.

    Attributes:
        n: the number of images.
        mean: of all elements of all codes.
        variance: of all elements of all codes.
        pvalue: in [0, 1], of the Kolmogorov-Smirnov test of these elements against the prior; None
            if they are too few for a test.
        verdict: of that test at the 5 % level; see :class:`GoodnessOfFit`.
        l1: sum of absolute differences of the pixels of an image in [-1, 1], mean over images.
        l2: sum of squared differences, without the square root; mean over images.
        accuracy: in [0, 1], the share of images whose reconstruction is classified as the image's
            label; None if no classifier was given.
        seconds_per_image: duration of the descent for one image, summed over processes.
        diverged: how many restarts diverged, summed over images.
        psnr: mean over images, in decibels; None of points.
        ssim: mean over images; None of points, and of images smaller than its window.
        lpips: mean over images; None where it cannot be measured.
    """

    n: int
    mean: float
    variance: float
    pvalue: float | None
    verdict: Verdict | Literal["not tested"]
    l1: float
    l2: float
    accuracy: float | None
    seconds_per_image: float
    diverged: int
    psnr: float | None = None
    ssim: float | None = None
    lpips: float | None = None


def measure(
    recovery: Recovery,
    x: Tensor,
    prior: Prior,
    labels: Tensor | None = None,
    classify: Callable[[Tensor], Tensor] | None = None,
    network: nn.Module | None = None,
) -> Measures:
    """Measure a recovery against its targets and its prior.

    Args:
        recovery: of the images ``x``.
        x: targets (n, *shape) in [-1, 1], in the order of ``recovery``.
        prior: of the codes.
        labels: (n,), the class index of each target; needs ``classify``.
        classify: reconstructions (m, *shape) to class indices (m,); needs ``labels``.
        network: of LPIPS, from :func:`~lightning_gans.metrics.perceptual.lpips_network`; None
            leaves it out.

    Raises:
        InputError: for targets or labels whose number or shape is not that of the recovery's
            images, labels without a classifier or the reverse, or a classifier that does not
            return indices.
    """
    n, y = len(recovery), recovery.images
    if len(x) != n or n == 0:
        raise InputError(
            f"expected as many targets as were recovered, at least one, got {len(x)} targets and "
            f"{n} recovered; leave out the targets whose restarts all diverged: x[recovery.indices]"
        )
    check_images(x, tuple(y.shape[1:]), "target images")
    share = accuracy(y, labels, classify)
    seconds, diverged = recovery.seconds / n, int(recovery.diverged.sum())
    return measures_of(recovery.codes, y, x, prior, share, seconds, diverged, network)


def measure_encoder(
    model: Reconstructs,
    x: Tensor,
    labels: Tensor | None = None,
    classify: Callable[[Tensor], Tensor] | None = None,
    network: nn.Module | None = None,
) -> tuple[Measures, Tensor]:
    """The same measures of what a model's own encoder makes of images, and its reconstructions.

    Args:
        model: on the device of the images.
        x: (n, *shape) in [-1, 1].
        labels: as of :func:`measure`.
        classify: likewise.
        network: likewise.
    """
    parts = torch.split(x, BATCH)
    begun = time.perf_counter()
    y = torch.cat([model.reconstruct(part) for part in parts])
    seconds = (time.perf_counter() - begun) / len(x)
    codes = torch.cat([model.encode(part) for part in parts])
    share = accuracy(y, labels, classify)
    return measures_of(codes, y, x, model.prior, share, seconds, 0, network), y


def measures_of(
    codes: Tensor,
    y: Tensor,
    x: Tensor,
    prior: Prior,
    share: float | None,
    seconds: float,
    diverged: int,
    network: nn.Module | None,
) -> Measures:
    """The measures of codes (n, L) and of their images y against the targets x, both (n, *shape).

    Args:
        codes: of the images.
        y: the images of the codes.
        x: the targets.
        prior: of the codes.
        share: the accuracy, if it was measured.
        seconds: for an image.
        diverged: how many restarts diverged.
        network: of LPIPS, or None.
    """
    x = x.to(y.device)
    difference = (y.double() - x.double()).flatten(1)
    z = codes.double()
    fit = goodness_of_fit(codes, prior) if z.numel() >= LEAST else None
    psnr = ssim = distance = None
    if x.ndim == 4:
        psnr = quality(PSNR(), x, y)
        if min(x.shape[2:]) >= SSIM.window:
            ssim = quality(SSIM(), x, y)
        if network is not None and lpips_fits(x):
            distance = perceptual.lpips(network, x, y)
    return Measures(
        n=len(y),
        mean=float(z.mean()),
        variance=float(z.var(correction=0)),
        pvalue=None if fit is None else fit.pvalue,
        verdict="not tested" if fit is None else fit.verdict,
        l1=float(difference.abs().sum(1).mean()),
        l2=float(difference.square().sum(1).mean()),
        accuracy=share,
        seconds_per_image=seconds,
        diverged=diverged,
        psnr=psnr,
        ssim=ssim,
        lpips=distance,
    )


def quality(metric: PSNR | SSIM, x: Tensor, y: Tensor) -> float:
    """A measure of the pairs of two batches of images."""
    metric = metric.to(x.device)
    metric.distributed_available_fn = lambda: False  # this process has the images of all
    for pair in zip(torch.split(x, BATCH), torch.split(y, BATCH), strict=True):
        metric.update(*pair)
    return float(metric.compute())


def lpips_fits(x: Tensor) -> bool:
    """Whether LPIPS can be measured of images (n, channels, height, width)."""
    return x.ndim == 4 and x.shape[1] in (1, 3) and min(x.shape[2:]) >= perceptual.SMALLEST


def lpips_network(x: Tensor) -> tuple[nn.Module | None, str]:
    """The network of LPIPS for images, or None and a line that says why there is none."""
    if x.ndim != 4:
        return None, ""
    if not lpips_fits(x):
        return None, (
            f"LPIPS is not measured: it needs grey or RGB images of {perceptual.SMALLEST} pixels"
        )
    try:
        return perceptual.lpips_network().to(x.device), ""
    except FeaturesUnavailable as error:
        return None, f"LPIPS is not measured: {error}"


@torch.no_grad()
def accuracy(
    y: Tensor, labels: Tensor | None, classify: Callable[[Tensor], Tensor] | None
) -> float | None:
    """The share of images y (n, *shape) that are classified as their label; None without both."""
    if (labels is None) != (classify is None):
        raise InputError("accuracy needs both labels and classify; give both or neither")
    if labels is None or classify is None:
        return None
    predicted = torch.cat([classify(part).cpu() for part in torch.split(y, BATCH)])
    for found, what in ((labels, "labels"), (predicted, "class indices from classify")):
        if found.shape != (len(y),) or found.is_floating_point():
            raise InputError(
                f"expected {what} as integers of shape ({len(y)},), got {found.dtype} of "
                f"{tuple(found.shape)}; for scores, return scores.argmax(1)"
            )
    return float((predicted == labels.cpu()).double().mean())


def as_dict(measures: Measures) -> dict[str, int | float | str | None]:
    """Measures by name, ready for JSON."""
    return asdict(measures)


def markdown(rows: Mapping[str, Measures]) -> str:
    """A Markdown table of named recoveries; p-values and accuracies in percent."""
    header = ("recovery", "images", "mean", "variance", "KS p", "fit to the prior", "L1 ↓", "L2 ↓")
    return aligned(
        (*header, "PSNR ↑", "SSIM ↑", "LPIPS ↓", "accuracy", "s / image", "restarts diverged"),
        [
            (
                name,
                str(m.n),
                f"{round(m.mean, 3) + 0.0:.3f}",
                f"{m.variance:.3f}",
                "-" if m.pvalue is None else percent(m.pvalue),
                m.verdict,
                f"{m.l1:.3f}",
                f"{m.l2:.3f}",
                "-" if m.psnr is None else f"{m.psnr:.2f}",
                "-" if m.ssim is None else f"{m.ssim:.3f}",
                "-" if m.lpips is None else f"{m.lpips:.3f}",
                "-" if m.accuracy is None else percent(m.accuracy),
                f"{m.seconds_per_image:.2g}",
                str(m.diverged),
            )
            for name, m in rows.items()
        ],
    )


def fit_to_prior(codes: Tensor, prior: Prior) -> str:
    """The tests of the codes, in a few lines, or one on why there are none."""
    if codes.numel() < LEAST:
        return (
            f"whether the codes fit the prior is not tested: that needs at least {LEAST} elements, "
            f"got {codes.numel()}; invert more images"
        )
    return str(goodness_of_fit(codes, prior))


def report(
    folder: Path,
    recovery: Recovery,
    x: Tensor,
    prior: Prior,
    labels: Tensor | None = None,
    classify: Callable[[Tensor], Tensor] | None = None,
    encoder: Reconstructs | None = None,
) -> str:
    """Write the files of a recovery into a folder and return the text of its report.

    ``recovery.safetensors`` (:class:`Recovery`), ``reconstructions.png`` (targets, below them what
    the encoder makes of them, if there is one, and below that what was recovered), ``prior.png``
    (all elements against the prior), ``norms.png``, ``losses.png``, ``report.md``,
    ``measures.json``.

    Args:
        folder: created if it does not exist.
        recovery: of n images.
        x: the images (n, *shape).
        prior: of the codes.
        labels: (n,), for the accuracy.
        classify: images to class indices, for the accuracy.
        encoder: the model, if it has an encoder, whose own reconstructions are measured too.

    Raises:
        Unwritable: if the operating system does not let a file be written.
    """
    recovery.save(folder / "recovery.safetensors")
    network, left_out = lpips_network(x)
    rows = {"recovered": measure(recovery, x, prior, labels, classify, network)}
    content: dict[str, object] = dict(as_dict(rows["recovered"]))
    encoded, order = None, ["the images", "what was recovered"]
    if encoder is not None:
        rows["encoder"], encoded = measure_encoder(encoder, x, labels, classify, network)
        content["encoder"] = as_dict(rows["encoder"])
        order.insert(1, "what the encoder makes of them")
    if x.ndim == 4:
        figures.targets_and_reconstructions(
            x, recovery.images, folder / "reconstructions.png", encoded=encoded
        )
    with replacing(folder / "prior.png") as new:
        against_prior(recovery.codes, prior, new)
    figures.norms(recovery.codes, prior, folder / "norms.png")
    figures.traces(recovery.trace, folder / "losses.png")
    write_text(folder / "measures.json", json.dumps(content, indent=2) + "\n")
    lines = [
        f"# {printable(folder)}",
        "",
        markdown(rows),
        "",
        *([left_out, ""] if left_out else []),
        fit_to_prior(recovery.codes, prior),
        "",
        *([f"rows of reconstructions.png: {', '.join(order)}", ""] if x.ndim == 4 else []),
        *(f"- {printable(path)}" for path in sorted(folder.iterdir()) if path.is_file()),
    ]
    text = "\n".join(lines) + "\n"
    write_text(folder / "report.md", text)
    return text
