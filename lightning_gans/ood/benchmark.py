"""How well the scores of models separate ID images from sets of OOD images, near and far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ood.batches import batches, size
from lightning_gans.ood.conformal import fisher
from lightning_gans.ood.corruptions import mix
from lightning_gans.ood.datasets import OODData
from lightning_gans.ood.detection import Floats
from lightning_gans.ood.resampling import Area, Estimate, estimates, exact, samples
from lightning_gans.ood.scorer import Scorer

# from fewer images no measure means anything
LEAST = 10
KINDS = ("near", "far")
MEAN = "mean"
# scores that need held-out ID images: the distance from their median NLL, and two scores combined
TYPICAL = "typicality(held out)"
COMBINED = "nll+reconstruction"

# one model's scores by name, each (n,)
Scores: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Scored:
    """The scores of one model.

    Attributes:
        id_scores: of ID images.
        ood_scores: of OOD images, by (kind, set); kinds are "near" and "far".
    """

    id_scores: Scores
    ood_scores: Mapping[tuple[str, str], Scores]


@dataclass(frozen=True)
class Row:
    """How well one score of one model separates one set from ID images.

    Attributes:
        model: its name.
        score: the score's name.
        kind: "near" or "far".
        set: the set's name, or "mean" for the mean over the sets of that kind.
        images: the number of OOD images, and of ID images; for the mean, over all sets.
        measures: "auroc", "aupr" and "fpr95", each in [0, 1].
    """

    model: str
    score: str
    kind: str
    set: str
    images: int
    measures: Mapping[str, Estimate]


def held_out(n: int) -> int:
    """How many of n ID images, the last ones, are held out for scores that need such images."""
    return n // 5


def score_sets(
    scorers: Mapping[str, Scorer],
    data: OODData,
    n: int,
    near: float,
    batch_size: int = 250,
    progress: Callable[[str], object] = lambda text: None,
) -> dict[str, Scored]:
    """Score ID images and all sets by all models; each image is made once and seen once by each.

    Args:
        scorers: by the model's name.
        data: set up.
        n: at most so many ID images, the first, and as many of each set.
        near: the share of the OOD image in near images.
        batch_size: images that are scored at once.
        progress: called with the name of what is being scored.

    Returns:
        By the model's name. A set has as many scores as images, at most n.

    Raises:
        InputError: if there are too few ID images, or too few of a set.
    """
    n = min(n, size(data.validation_set))
    if n < LEAST:
        raise InputError(f"expected at least {LEAST} ID images, got {n}")
    # where an image's score depends on its batch, it is scored alone
    sizes = {
        name: batch_size if scorer.is_batch_independent() else 1 for name, scorer in scorers.items()
    }

    def score(x: Tensor) -> dict[str, Scores]:
        return {name: _scores(scorer, x, sizes[name]) for name, scorer in scorers.items()}

    progress("ID")
    id_scores = _concatenated([score(x) for x, _ in batches(data.validation_set, batch_size, n)])
    ood_scores: dict[tuple[str, str], dict[str, Scores]] = {}
    for name, images in data.sets.items():
        m = min(n, size(images))
        if m < LEAST:
            raise InputError(f"expected at least {LEAST} images of {name}, got {m}")
        progress(name)
        found: dict[str, list[dict[str, Scores]]] = {kind: [] for kind in KINDS}
        pairs = zip(
            batches(data.validation_set, batch_size, m),
            batches(images, batch_size, m),
            strict=True,
        )
        for (x, _), (far, _) in pairs:
            found["far"].append(score(far))
            found["near"].append(score(mix(x, far, near)))
        for kind in KINDS:
            ood_scores[kind, name] = _concatenated(found[kind])
    return {
        name: Scored(id_scores[name], {place: by[name] for place, by in ood_scores.items()})
        for name in scorers
    }


def rows(
    folds: Sequence[Mapping[str, Scored]],
    repetitions: int = 1000,
    seed: int = 0,
    area: Area = exact,
) -> list[Row]:
    """Measure all scores on all sets, and average over the near and over the far sets.

    Args:
        folds: what :func:`score_sets` gives, once, or for each fold of the same models.
        repetitions: bootstrap samples for the intervals; unused if there are several folds.
        seed: of its draws.
        area: the area under the curve, see :func:`samples`.
    """
    if len(folds) > 1:
        repetitions = 0  # the folds themselves show how much the values vary
    found = []
    for model, first in folds[0].items():
        for score in (*first.id_scores, *_combinations(first.id_scores)):
            for kind in KINDS:
                names = [name for k, name in first.ood_scores if k == kind]
                taken: dict[str, list[Floats]] = {}
                counts: dict[str, int] = {}
                for name in names:
                    both = [_pair(fold[model], score, (kind, name)) for fold in folds]
                    counts[name] = sum(len(ood_scores) for _, ood_scores in both)
                    taken[name] = [samples(*pair, repetitions, seed, area) for pair in both]
                counts[MEAN] = sum(counts.values())
                taken[MEAN] = [np.mean(of, axis=0) for of in zip(*taken.values(), strict=True)]
                found += [
                    Row(model, score, kind, name, counts[name], estimates(taken[name]))
                    for name in (*names, MEAN)
                ]
    return found


def _pair(scored: Scored, name: str, place: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """ID scores and as many OOD scores; without held-out ID images, if the score needs those."""
    id_scores, ood_scores = scored.id_scores, scored.ood_scores[place]
    if name in id_scores:
        m = len(ood_scores[name])
        return id_scores[name][:m], ood_scores[name]
    parts = ["nll"] if name == TYPICAL else name.split("+")
    n = len(id_scores[parts[0]])
    measured = n - held_out(n)
    known = [id_scores[part][measured:] for part in parts]
    m = min(measured, len(ood_scores[parts[0]]))
    if name == TYPICAL:
        median = known[0].median()
        return (id_scores["nll"][:m] - median).abs(), (ood_scores["nll"][:m] - median).abs()
    return (
        fisher([id_scores[part][:m] for part in parts], known),
        fisher([ood_scores[part][:m] for part in parts], known),
    )


def _combinations(names: Scores) -> tuple[str, ...]:
    """The scores that held-out ID images add to those of some names."""
    typical = (TYPICAL,) if "nll" in names else ()
    return (*typical, COMBINED) if set(COMBINED.split("+")) <= set(names) else typical


def _scores(scorer: Scorer, x: Tensor, batch_size: int) -> Scores:
    parts = [scorer(part) for part in torch.split(x.to(scorer.model.device), batch_size)]
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in scorer.names}


def _concatenated(parts: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
    """The scores of all batches as one, by model and score."""
    return {
        model: {name: torch.cat([part[model][name] for part in parts]) for name in scores}
        for model, scores in parts[0].items()
    }
