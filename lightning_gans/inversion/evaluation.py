"""How well a recovery reconstructs its targets, and whether its codes could have been drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.inversion.goodness import Verdict, goodness_of_fit
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.priors import Prior
from lightning_gans.validation import check_images

# images that a classifier is given at once
BATCH = 500


@dataclass(frozen=True)
class Measures:
    """A column of the tables of Cho 2021 (latent regulation), Tables 7 to 22.

    There the codes were taken one step and one resampling later than the images that the losses
    were measured on; here all measures are of the same codes.

    Attributes:
        n: the number of images.
        mean: of all elements of all codes.
        variance: of the same.
        pvalue: in [0, 1], of the Kolmogorov-Smirnov test of these elements against the prior.
        verdict: what that p-value says at 5 %; see :class:`GoodnessOfFit`.
        l1: sum of absolute differences of the pixels of an image in [-1, 1], mean over images.
        l2: sum of squared differences, not its root; mean over images.
        accuracy: in [0, 1], the share of images whose reconstruction is classified as the image's
            label; None if no classifier was given.
        seconds_per_image: time of the descent for one image, of all processes together.
        dropped: how many restarts were lost, of all images together.
    """

    n: int
    mean: float
    variance: float
    pvalue: float
    verdict: Verdict
    l1: float
    l2: float
    accuracy: float | None
    seconds_per_image: float
    dropped: int


def measure(
    recovery: Recovery,
    x: Tensor,
    prior: Prior,
    labels: Tensor | None = None,
    classify: Callable[[Tensor], Tensor] | None = None,
) -> Measures:
    """Measure a recovery against its targets and its prior.

    Args:
        recovery: of the images ``x``.
        x: targets (n, *shape) in [-1, 1], in the order of ``recovery``.
        prior: of the codes.
        labels: (n,), the class index of each target; needs ``classify``.
        classify: reconstructions (m, *shape) to class indices (m,); needs ``labels``.

    Raises:
        InputError: for targets or labels of another number or shape than the recovery's images,
            labels without a classifier or the reverse, or a classifier that returns no indices.
    """
    n, y = len(recovery), recovery.images
    if len(x) != n or n == 0:
        raise InputError(
            f"expected as many targets as were recovered, at least one, got {len(x)} targets and "
            f"{n} recovered; of images that were lost, leave out the targets: x[recovery.indices]"
        )
    check_images(x, tuple(y.shape[1:]), "target images")
    difference = (y.double() - x.to(y.device).double()).flatten(1)
    fit = goodness_of_fit(recovery.codes, prior)
    return Measures(
        n=n,
        mean=fit.mean,
        variance=fit.variance,
        pvalue=fit.pvalue,
        verdict=fit.verdict,
        l1=float(difference.abs().sum(1).mean()),
        l2=float(difference.square().sum(1).mean()),
        accuracy=accuracy(y, labels, classify),
        seconds_per_image=recovery.seconds / n,
        dropped=int(recovery.dropped.sum()),
    )


@torch.no_grad()
def accuracy(
    y: Tensor, labels: Tensor | None, classify: Callable[[Tensor], Tensor] | None
) -> float | None:
    """The share of images y (n, *shape) that are called by their label; None without both."""
    if (labels is None) != (classify is None):
        raise InputError("accuracy needs both labels and classify; give both or neither")
    if labels is None or classify is None:
        return None
    called = torch.cat([classify(part).cpu() for part in torch.split(y, BATCH)])
    for found, what in ((labels, "labels"), (called, "class indices from classify")):
        if found.shape != (len(y),) or found.is_floating_point():
            raise InputError(
                f"expected {what} as integers of shape ({len(y)},), got {found.dtype} of "
                f"{tuple(found.shape)}; of scores take argmax(1)"
            )
    return float((called == labels.cpu()).double().mean())


def as_dict(measures: Measures) -> dict[str, int | float | str | None]:
    """Measures by name, ready for JSON."""
    return asdict(measures)


def markdown(rows: Mapping[str, Measures]) -> str:
    """A table with a row for each named recovery; p-values and accuracies in percent."""
    header = ("recovery", "images", "mean", "variance", "KS p", "drawn from the prior", "L1", "L2")
    return aligned(
        (*header, "accuracy", "s / image", "restarts lost"),
        [
            (
                name,
                str(m.n),
                f"{round(m.mean, 3) + 0.0:.3f}",
                f"{m.variance:.3f}",
                percent(m.pvalue),
                m.verdict,
                f"{m.l1:.3f}",
                f"{m.l2:.3f}",
                "-" if m.accuracy is None else percent(m.accuracy),
                f"{m.seconds_per_image:.2g}",
                str(m.dropped),
            )
            for name, m in rows.items()
        ],
    )


def percent(share: float) -> str:
    """A share in percent with one decimal; a dash for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are as wide in plain text: names left, numbers right."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, rule)
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )
