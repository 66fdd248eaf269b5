"""What an inversion leaves behind: codes, pictures, a table, numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from lightning_gans.inversion import figures
from lightning_gans.inversion.evaluation import as_dict, markdown, measure
from lightning_gans.inversion.goodness import goodness_of_fit
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.plots import against_prior
from lightning_gans.priors import Prior


def report(
    folder: Path,
    recovery: Recovery,
    x: Tensor,
    prior: Prior,
    labels: Tensor | None = None,
    classify: Callable[[Tensor], Tensor] | None = None,
) -> str:
    """Write a recovery's files into a folder and return the report's text.

    ``recovery.safetensors`` (:class:`Recovery`), ``reconstructions.png`` (targets above, what the
    codes give below), ``prior.png`` (all elements beside the prior), ``norms.png``, ``losses.png``,
    ``report.md``, ``measures.json``.

    Args:
        folder: made if it is not there.
        recovery: of n images.
        x: the images (n, *shape).
        prior: of the codes.
        labels: (n,), for the accuracy.
        classify: images to class indices, for the accuracy.
    """
    recovery.save(folder / "recovery.safetensors")
    measures = measure(recovery, x, prior, labels, classify)
    if x.ndim == 4:
        figures.targets_and_reconstructions(x, recovery.images, folder / "reconstructions.png")
    against_prior(recovery.codes, prior, folder / "prior.png")
    figures.norms(recovery.codes, prior, folder / "norms.png")
    figures.traces(recovery.trace, folder / "losses.png")
    (folder / "measures.json").write_text(json.dumps(as_dict(measures), indent=2) + "\n")
    lines = [
        f"# {folder}",
        "",
        markdown({"recovered": measures}),
        "",
        str(goodness_of_fit(recovery.codes, prior)),
        "",
        *(f"- {path}" for path in sorted(folder.iterdir()) if path.is_file()),
    ]
    text = "\n".join(lines) + "\n"
    (folder / "report.md").write_text(text)
    return text
