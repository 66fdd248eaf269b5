"""How well the scores of models tell ID images from sets of OOD images, near and far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ood.conformal import fisher
from lightning_gans.ood.corruptions import mix
from lightning_gans.ood.datasets import OODData
from lightning_gans.ood.datasets.ood_data import batches, size
from lightning_gans.ood.detection import Floats
from lightning_gans.ood.held_out import is_batch_independent
from lightning_gans.ood.resampling import Area, Estimate, estimates, exact, samples
from lightning_gans.ood.scorer import Scorer

# fewer images tell nothing
LEAST = 10
KINDS = ("near", "far")
MEAN = "mean"
# scores that need held-out ID images: how far from their usual NLL, on either side; and two joined
TYPICAL = "typicality(held out)"
JOINED = "nll+reconstruction"

# of one model, scores by name, each (n,)
Scores: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Scored:
    """The scores of one model.

    Attributes:
        ordinary: of ID images, by score.
        strange: of OOD images, by (kind, set): kinds are "near" and "far".
    """

    ordinary: Scores
    strange: Mapping[tuple[str, str], Scores]


@dataclass(frozen=True)
class Row:
    """How well one score of one model tells one set.

    Attributes:
        model: its name.
        score: the score's name.
        kind: "near" or "far".
        set: the set's name, or "mean" for the mean over the sets of that kind.
        images: as many ID images as OOD images; over all sets for the mean.
        measures: "auroc", "aupr" and "fpr95", each in [0, 1].
    """

    model: str
    score: str
    kind: str
    set: str
    images: int
    measures: Mapping[str, Estimate]


def held_out(n: int) -> int:
    """Of n ID images, how many of the last only rank joined scores and are not scored by them."""
    return n // 5


def score_sets(
    scorers: Mapping[str, Scorer],
    data: OODData,
    n: int,
    near: float,
    batch_size: int = 250,
    progress: Callable[[str], object] = lambda text: None,
) -> dict[str, Scored]:
    """Score ID images and all sets by all models; each image is made once, and seen once by each.

    Args:
        scorers: by the model's name.
        data: set up.
        n: at most so many ID images, the first, and as many of each set.
        near: the share of the OOD image in near ones.
        batch_size: images that are scored at once.
        progress: told what is being scored.

    Returns:
        By the model's name. A set has as many scores as it has images, and n at most.

    Raises:
        InputError: if there are too few ID images, or too few of a set.
    """
    n = min(n, size(data.validation_set))
    if n < LEAST:
        raise InputError(f"expected at least {LEAST} ID images, got {n}")
    # where an image's score depends on its batch, it is scored alone
    together = {name: is_batch_independent(scorer) for name, scorer in scorers.items()}
    shapes = {name: batch_size if alone else 1 for name, alone in together.items()}

    def score(x: Tensor) -> dict[str, Scores]:
        return {name: _scores(scorer, x, shapes[name]) for name, scorer in scorers.items()}

    progress("ID")
    ordinary = _joined([score(x) for x, _ in batches(data.validation_set, n, batch_size)])
    strange: dict[tuple[str, str], dict[str, Scores]] = {}
    for name, images in data.sets.items():
        m = min(n, size(images))
        if m < LEAST:
            raise InputError(f"expected at least {LEAST} images of {name}, got {m}")
        progress(name)
        found: dict[str, list[dict[str, Scores]]] = {kind: [] for kind in KINDS}
        pairs = zip(
            batches(data.validation_set, m, batch_size),
            batches(images, m, batch_size),
            strict=True,
        )
        for (x, _), (far, _) in pairs:
            found["far"].append(score(far))
            found["near"].append(score(mix(x, far, near)))
        for kind in KINDS:
            strange[kind, name] = _joined(found[kind])
    return {
        name: Scored(ordinary[name], {place: of[name] for place, of in strange.items()})
        for name in scorers
    }


def rows(
    folds: Sequence[Mapping[str, Scored]],
    repetitions: int = 1000,
    seed: int = 0,
    area: Area = exact,
) -> list[Row]:
    """Measure all scores on all sets, and their means over the near and over the far sets.

    Args:
        folds: what :func:`score_sets` gives, once, or for each fold of the same models.
        repetitions: samples of the bootstrap that gives intervals, if there is one fold.
        seed: of its draws.
        area: see :func:`samples`.
    """
    if len(folds) > 1:
        repetitions = 0  # the folds themselves tell how far values vary
    found = []
    for model, first in folds[0].items():
        for score in (*first.ordinary, *_combinations(first.ordinary)):
            for kind in KINDS:
                names = [name for k, name in first.strange if k == kind]
                taken: dict[str, list[Floats]] = {}
                counts: dict[str, int] = {}
                for name in names:
                    both = [_pair(fold[model], score, (kind, name)) for fold in folds]
                    counts[name] = sum(len(strange) for _, strange in both)
                    taken[name] = [samples(*pair, repetitions, seed, area) for pair in both]
                counts[MEAN] = sum(counts.values())
                taken[MEAN] = [np.mean(of, axis=0) for of in zip(*taken.values(), strict=True)]
                found += [
                    Row(model, score, kind, name, counts[name], estimates(taken[name]))
                    for name in (*names, MEAN)
                ]
    return found


def _pair(scored: Scored, name: str, place: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """ID and as many OOD scores; if ID images are held out for it, without them and their pairs."""
    ordinary, strange = scored.ordinary, scored.strange[place]
    if name in ordinary:
        m = len(strange[name])
        return ordinary[name][:m], strange[name]
    parts = ["nll"] if name == TYPICAL else name.split("+")
    n = len(ordinary[parts[0]])
    kept = n - held_out(n)
    known = [ordinary[part][kept:] for part in parts]
    m = min(kept, len(strange[parts[0]]))
    if name == TYPICAL:
        usual = known[0].median()
        return (ordinary["nll"][:m] - usual).abs(), (strange["nll"][:m] - usual).abs()
    return (
        fisher([ordinary[part][:m] for part in parts], known),
        fisher([strange[part][:m] for part in parts], known),
    )


def _combinations(names: Scores) -> tuple[str, ...]:
    typical = (TYPICAL,) if "nll" in names else ()
    return (*typical, JOINED) if set(JOINED.split("+")) <= set(names) else typical


def _scores(scorer: Scorer, x: Tensor, at_once: int) -> Scores:
    parts = [scorer(part) for part in torch.split(x.to(scorer.model.device), at_once)]
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in scorer.names}


def _joined(parts: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
    """Batches by model and score as one."""
    return {
        model: {name: torch.cat([part[model][name] for part in parts]) for name in scores}
        for model, scores in parts[0].items()
    }
