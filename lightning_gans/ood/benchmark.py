"""How well the scores of models separate ID images from sets of OOD images, near and far."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from lightning_gans.data.reading import read
from lightning_gans.errors import InputError
from lightning_gans.ood.batches import size
from lightning_gans.ood.conformal import fisher
from lightning_gans.ood.corruptions import mix
from lightning_gans.ood.datasets import OODData
from lightning_gans.ood.detection import Floats
from lightning_gans.ood.resampling import Area, Estimate, estimates, exact, samples
from lightning_gans.ood.scorer import Scorer, scores_of, spread
from lightning_gans.runs.parts import Content

# from fewer images no measure means anything
LEAST = 10
KINDS = ("near", "far")
# also of sets that are taken as they are, and of which neither is said
ALL_KINDS = (*KINDS, "ood")
MEAN = "mean"
# scores that need held-out ID images: the distance from their median NLL, and two scores combined
TYPICAL = "typicality(held out)"
COMBINED = "nll+reconstruction"

# by what could not be read, why
Reasons: TypeAlias = Mapping[str, str]
# one model's scores by name, each (n,)
Scores: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Scored:
    """The scores of one model.

    Attributes:
        id_scores: of ID images; NaN for images without a score.
        ood_scores: of OOD images, by (kind, set); kinds are "near", "far" and "ood". Likewise.
        reasons: by what could not be read or scored, why.
    """

    id_scores: Scores
    ood_scores: Mapping[tuple[str, str], Scores]
    reasons: Reasons = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """How well one score of one model separates one set from ID images.

    Attributes:
        model: its name.
        score: the score's name.
        kind: "near", "far" or "ood".
        set: the set's name, or "mean" for the mean over the sets of that kind.
        images: the number of OOD images, and of ID images; for the mean, over all sets.
        measures: "auroc", "aupr" and "fpr95", each in [0, 1].
        source: "files" if the set's images were read from files, "made" if this package made them,
            "files and made" if some were, "" if that is not known.
    """

    model: str
    score: str
    kind: str
    set: str
    images: int
    measures: Mapping[str, Estimate]
    source: str = ""


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
    part: Callable[[str, Callable[[], Content]], Content] = lambda name, compute: compute(),
) -> dict[str, Scored]:
    """Score ID images and all sets by all models; each image is made once and seen once by each.

    Images that cannot be read or scored are left out, and near images that are made of them.

    Args:
        scorers: by the model's name.
        data: set up.
        n: at most so many ID images, the first, and as many of each set.
        near: the share of the OOD image in near images.
        batch_size: images that are scored at once.
        progress: called with the name of what is being scored.
        part: gives the tensors and notes of a part of the results, by its name and the function
            that computes them.

    Returns:
        By the model's name. A set has as many scores as images, at most n; NaN where there is none.
        A set that is not mixed may have more images than there are ID images.

    Raises:
        InputError: if there are too few ID images, or too few of a set.
    """
    counts = _counts(data, n)
    n = min(n, size(data.validation_set))
    # where an image's score depends on its batch, it is scored alone
    sizes = {
        name: batch_size if scorer.is_batch_independent() else 1 for name, scorer in scorers.items()
    }

    def score(
        x: Tensor, there: Sequence[int], chosen: range
    ) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Scores of the images of some numbers by "model/score", NaN for the others."""
        tensors, reasons = {}, dict[str, str]()
        for i, (name, scorer) in enumerate(scorers.items()):
            scores, failed = scores_of(scorer, x, sizes[name])
            reasons |= {str(there[k]): why for k, why in failed.items()}
            for key, values in spread(scores, there, chosen).items():
                tensors[f"{i}/{key}"] = values
        return tensors, reasons

    def score_id() -> Content:
        found, reasons = [], dict[str, str]()
        for chosen in _chunks(n, batch_size):
            images = read(data.validation_set, chosen)
            tensors, failed = score(images.x, images.indices, chosen)
            found.append(tensors)
            reasons |= {str(i): why for i, why in images.reasons.items()} | failed
        return _concatenated(found), _notes(reasons, not reasons)

    def score_set(name: str) -> Content:
        found, reasons, is_complete = [], dict[str, str](), True
        for chosen in _chunks(counts[name], batch_size):
            ood = read(data.sets[name], chosen)
            reasons |= {str(i): why for i, why in ood.reasons.items()}
            plain, failed = score(ood.x, ood.indices, chosen)
            reasons |= failed
            scores = {f"{data.kinds.get(name, 'far')}/{key}": of for key, of in plain.items()}
            if name not in data.kinds:
                both = read(data.validation_set, chosen)
                paired = [i for i in ood.indices if i in both.indices]
                x, y = (part.x[[part.indices.index(i) for i in paired]] for part in (both, ood))
                mixed, failed = score(mix(x, y, near) if paired else x, paired, chosen)
                scores |= {f"near/{key}": of for key, of in mixed.items()}
                reasons |= failed
                is_complete &= not both.reasons
            found.append(scores)
        return _concatenated(found), _notes(reasons, is_complete and not reasons)

    progress("ID")
    tensors, notes = part("ID", score_id)
    id_scores = {
        name: {key: tensors[f"{i}/{key}"] for key in scorer.names}
        for i, (name, scorer) in enumerate(scorers.items())
    }
    reasons = {f"ID image {i}": why for i, why in json.loads(notes["reasons"]).items()}
    ood_scores: dict[str, dict[tuple[str, str], Scores]] = {name: {} for name in scorers}
    for name in data.sets:
        progress(name)
        tensors, notes = part(name, partial(score_set, name))
        failed = json.loads(notes["reasons"])
        reasons |= {data.called(name, int(i)): why for i, why in failed.items()}
        if counts[name] - len(failed) < LEAST:
            reasons[name] = f"{counts[name] - len(failed)} images are too few"
            continue
        for kind in (data.kinds[name],) if name in data.kinds else KINDS:
            for i, (model, scorer) in enumerate(scorers.items()):
                found = {key: tensors[f"{kind}/{i}/{key}"] for key in scorer.names}
                ood_scores[model][kind, name] = found
    left = n - sum(name.startswith("ID image ") for name in reasons)
    if left < LEAST or not any(ood_scores.values()):
        what, why = next(iter(reasons.items()))
        raise InputError(f"too few images can be read: {what}: {why}")
    return {name: Scored(id_scores[name], ood_scores[name], reasons) for name in scorers}


def rows(
    folds: Sequence[Mapping[str, Scored]],
    repetitions: int = 1000,
    seed: int = 0,
    area: Area = exact,
    sources: Mapping[str, str] = MappingProxyType({}),
) -> list[Row]:
    """Measure all scores on all sets, and average over the near and over the far sets.

    Args:
        folds: what :func:`score_sets` gives, once, or for each fold of the same models.
        repetitions: bootstrap samples for the intervals; unused if there are several folds.
        seed: of its draws.
        area: the area under the curve, see :func:`samples`.
        sources: of the images of each set by its name, as in :class:`Row`.
    """
    if len(folds) > 1:
        repetitions = 0  # the folds themselves show how much the values vary
    found = []
    for model, first in folds[0].items():
        for score in scores_in(first.id_scores):
            for kind in ALL_KINDS:
                # a set that could not be read in one fold has no mean over folds
                names = [
                    name
                    for k, name in first.ood_scores
                    if k == kind and all((kind, name) in fold[model].ood_scores for fold in folds)
                ]
                if not names:
                    continue
                taken: dict[str, list[Floats]] = {}
                counts: dict[str, int] = {}
                for name in names:
                    both = [pair(fold[model], score, (kind, name)) for fold in folds]
                    counts[name] = sum(len(ood_scores) for _, ood_scores in both)
                    taken[name] = [samples(*two, repetitions, seed, area) for two in both]
                counts[MEAN] = sum(counts.values())
                taken[MEAN] = [np.mean(of, axis=0) for of in zip(*taken.values(), strict=True)]
                origins = {name: sources.get(name, "") for name in names}
                origins[MEAN] = joined(origins.values())
                found += [
                    Row(
                        *(model, score, kind, name, counts[name]),
                        measures=estimates(taken[name]),
                        source=origins[name],
                    )
                    for name in (*names, MEAN)
                ]
    return found


def joined(sources: Iterable[str]) -> str:
    """Where images of several sources are from: "files and made" if some were read, some made."""
    return " and ".join(sorted({one for source in sources for one in source.split(" and ") if one}))


def pair(
    scored: Scored, name: str, place: tuple[str, str], equal: bool = True
) -> tuple[Tensor, Tensor]:
    """ID scores and OOD scores; without held-out ID images, if the score needs those.

    Args:
        scored: the scores of a model.
        name: of the score.
        place: kind and name of the set.
        equal: whether as many of either are taken, or all.
    """
    id_scores, ood_scores = scored.id_scores, scored.ood_scores[place]
    if name in id_scores:
        m = min(len(id_scores[name]), len(ood_scores[name])) if equal else None
        return _there(id_scores[name][:m]), _there(ood_scores[name][:m])
    parts = ["nll"] if name == TYPICAL else name.split("+")
    n = len(id_scores[parts[0]])
    measured = n - held_out(n)
    known = [_there(id_scores[part][measured:]) for part in parts]
    m = min(measured, len(ood_scores[parts[0]])) if equal else None
    found_id = [_there(id_scores[part][: measured if m is None else m]) for part in parts]
    found_ood = [_there(ood_scores[part][:m]) for part in parts]
    if name == TYPICAL:
        median = known[0].median()
        return (found_id[0] - median).abs(), (found_ood[0] - median).abs()
    return fisher(found_id, known), fisher(found_ood, known)


def _there(scores: Tensor) -> Tensor:
    """The scores of the images that have one; an image without one has none by any name."""
    return scores[~scores.isnan()]


def scores_in(names: Scores) -> tuple[str, ...]:
    """The names of scores, and of those that held-out ID images add to them."""
    return (*names, *_combinations(names))


def _combinations(names: Scores) -> tuple[str, ...]:
    """The scores that held-out ID images add to those of some names."""
    typical = (TYPICAL,) if "nll" in names else ()
    return (*typical, COMBINED) if set(COMBINED.split("+")) <= set(names) else typical


def _counts(data: OODData, n: int) -> dict[str, int]:
    """How many images of each set are scored.

    Raises:
        InputError: if there are too few ID images, or too few of a set.
    """
    there = min(n, size(data.validation_set))
    if there < LEAST:
        raise InputError(f"expected at least {LEAST} ID images, got {there}")
    counts = {
        # a set that is mixed has at most as many as there are ID images
        name: min(n if name in data.kinds else there, size(images))
        for name, images in data.sets.items()
    }
    for name, m in counts.items():
        if m < LEAST:
            raise InputError(f"expected at least {LEAST} images of {name}, got {m}")
    return counts


def _chunks(n: int, batch_size: int) -> Iterator[range]:
    """The numbers of n images, in batches."""
    for start in range(0, n, batch_size):
        yield range(start, min(start + batch_size, n))


def _notes(reasons: Reasons, is_complete: bool) -> dict[str, str]:
    """The notes of a part: why images have no score, and whether all there could be are there."""
    return {"reasons": json.dumps(reasons), "complete": json.dumps(is_complete)}


def _concatenated(parts: Sequence[Scores]) -> dict[str, Tensor]:
    """The scores of all batches as one, by name."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
