"""Recovery of latents: the cells of the tables of (Cho 2021), (Cho, short paper), (Egan 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_gans.data import MNIST
from lightning_gans.errors import InputError
from lightning_gans.inversion import (
    L2,
    Bhattacharyya,
    BhattacharyyaNormal,
    BoundaryResampling,
    Constraint,
    Energy,
    FoolDiscriminator,
    FromPrior,
    FromZeros,
    LogisticCutoff,
    LukaszykKarmowski,
    Recovery,
    Regularizer,
    Scaled,
    Start,
    TruncatedNormalCutoff,
    Wasserstein,
    ZScoreAbsolute,
    ZScoreSquare,
    recover,
)
from lightning_gans.inversion.evaluation import measure
from lightning_gans.inversion.known_codes import (
    THRESHOLDS,
    compare,
    errors,
    published_criteria,
)
from lightning_gans.losses import LeastSquares
from lightning_gans.metrics.digit_classifier import trained_digit_classifier
from lightning_gans.models import Model
from lightning_gans.models.base.load import load
from lightning_gans.ranges import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
)
from lightning_gans.reproduce.fingerprints import code_version
from lightning_gans.reproduce.names import as_name
from lightning_gans.rng import stream

# the folder in a run that holds what was recovered with it
FOLDER = "recoveries"
# pixels of a digit, and of the images that the classifier takes
DIGIT, SIDE = 28, 32
# of the logistic criterion, as in the paper's experiments
MIDPOINT = 2.0

Penalty = Literal[
    "none",
    "bhattacharyya",
    "bhattacharyya_normal",
    "energy",
    "fool",
    "lukaszyk_karmowski",
    "wasserstein",
    "z_absolute",
    "z_square",
]
First = Literal["prior", "zeros"]
Kept = Literal["best", "last"]
Redraw = Literal["none", "logistic", "truncated_normal", "boundary"]


def cell(
    run: Path,
    root: str,
    label: str,
    images: PositiveInt = 100,
    steps: PositiveInt = 200,
    restarts: PositiveInt = 16,
    lr: PositiveFloat = 0.01,
    regularizer: Penalty = "none",
    weight: NonNegativeFloat | Literal["typical"] = 0.0,
    resampling: Redraw = "none",
    strength: PositiveFloat = 2.0,
    start: First = "prior",
    result: Kept = "best",
    draws: NonNegativeInt = 0,
    shared_step_count: bool = False,
    seed: Seed = 0,
) -> dict[str, float]:
    """One cell of the tables: test digits recovered under one setting.

    Args:
        run: of a GAN of digits, trained with least squares.
        root: the folder of MNIST, whose first test images are recovered.
        label: the beginning of the names of the values.
        images: how many are recovered.
        steps: of each descent.
        restarts: of each image.
        lr: of Adam.
        regularizer: what is added to the loss.
        weight: of the regulariser; "typical" keeps codes as far from the prior as draws are.
        resampling: which elements are drawn again after each step, with the whole probability.
        strength: the paper's a: the steepness of the logistic criterion, or the cutoff of the
            truncated normal one.
        start: the first codes: draws of the prior, or zeros for the first restart of each image.
        result: which code of a descent is its result; the papers take the last.
        draws: of the prior, in each step, that a statistical distance is measured from; 0 for its
            closed form.
        shared_step_count: whether Adam's count of steps runs on from one batch of images to the
            next, as in the published code, or begins anew.
        seed: of the first codes and of the draws.

    Returns:
        label.mean and label.variance of all elements of the codes; label.pvalue, in percent, of the
        Kolmogorov-Smirnov test against the prior; label.l1 and label.l2, sums over the pixels of an
        image; label.accuracy in percent, of a classifier of digits.
    """
    model = load(run)
    if not isinstance(model, Model) or len(model.image_shape) != 3:
        raise InputError(f"{run}: expected a GAN of images, got {type(model).__name__}")
    data = MNIST(root, padding=(model.image_shape[-1] - DIGIT) // 2)
    data.setup("predict")
    items = [data.validation_set[i] for i in range(images)]
    x, y = torch.stack([image for image, _ in items]), torch.stack([label for _, label in items])
    classifier = trained_digit_classifier()

    def classify(batch: Tensor) -> Tensor:
        border = (SIDE - batch.shape[-1]) // 2
        logits: Tensor = classifier(pad(batch.clamp(-1, 1), (border,) * 4, value=-1.0))
        return logits.argmax(1)

    recovery = recover(
        Scaled(model.generator, model.prior.scale()),
        x,
        model.prior,
        _penalty(regularizer, model, draws or None),
        weight,
        _constraint(resampling, strength),
        steps=steps,
        restarts=restarts,
        lr=lr,
        start=_start(start),
        result=result,
        shared_step_count=shared_step_count,
        seed=seed,
    )
    found = measure(recovery, x, model.prior, y, classify)
    p, accuracy = found.pvalue, found.accuracy
    return {
        f"{label}.mean": found.mean,
        f"{label}.variance": found.variance,
        f"{label}.pvalue": math.nan if p is None else 100 * p,
        f"{label}.l1": found.l1,
        f"{label}.l2": found.l2,
        f"{label}.accuracy": math.nan if accuracy is None else 100 * accuracy,
    }


def row(
    run: Path,
    root: str,
    lr: PositiveFloat,
    weights: tuple[NonNegativeFloat, ...] = (0.0,),
    regularizer: Penalty = "none",
    resampling: Redraw = "none",
    images: PositiveInt = 100,
    steps: PositiveInt = 100,
    draws: NonNegativeInt = 0,
    seed: Seed = 0,
) -> dict[str, float]:
    """Cells in one row of a table of (Cho, short paper): one learning rate, several weights.

    One code for each image descends from zeros, and the last one is the result.

    Args:
        run: of a GAN of digits, trained with least squares.
        root: the folder of MNIST, whose first test images are recovered.
        lr: of Adam, which is new for each batch of images.
        weights: of the regulariser, one for each cell.
        regularizer: what is added to the loss; without one, weights are not used, and the row has
            one cell.
        resampling: which elements are drawn again after each step.
        images: how many are recovered.
        steps: of each descent.
        draws: as of :func:`cell`.
        seed: of the draws.

    Returns:
        the values of :func:`cell` by names such as bhattacharyya.lr_0_032.lambda_3_2.accuracy, or
        boundary.lr_0_1.accuracy without a regulariser.
    """
    rate = as_name(f"lr_{lr:g}")
    labels = {f"{regularizer}.{rate}.{as_name(f'lambda_{w:g}')}": w for w in weights}
    if regularizer == "none":
        labels = {f"{resampling}.{rate}": 0.0}
    values: dict[str, float] = {}
    for label, weight in labels.items():
        values |= cell(
            run,
            root,
            label,
            images,
            steps,
            1,
            lr,
            regularizer,
            weight,
            resampling,
            start="zeros",
            result="last",
            draws=draws,
            seed=seed,
        )
    return values


def _penalty(name: Penalty, model: Model, draws: int | None) -> Regularizer | None:
    makers: dict[Penalty, Callable[[], Regularizer | None]] = {
        "none": lambda: None,
        "bhattacharyya": Bhattacharyya,
        "bhattacharyya_normal": BhattacharyyaNormal,
        "energy": lambda: Energy(draws),
        "fool": lambda: FoolDiscriminator(model.discriminator, LeastSquares()),
        "lukaszyk_karmowski": lambda: LukaszykKarmowski(draws),
        "wasserstein": lambda: Wasserstein(draws=draws),
        "z_absolute": ZScoreAbsolute,
        "z_square": ZScoreSquare,
    }
    return makers[name]()


def _start(name: First) -> Start:
    return FromPrior() if name == "prior" else FromZeros()


def _constraint(name: Redraw, strength: float) -> Constraint | None:
    makers: dict[Redraw, Callable[[], Constraint | None]] = {
        "none": lambda: None,
        # as in the paper's experiments: the whole probability in each step
        "logistic": lambda: LogisticCutoff(strength, MIDPOINT, per_step=False),
        "truncated_normal": lambda: TruncatedNormalCutoff(strength, per_step=False),
        "boundary": BoundaryResampling,
    }
    return makers[name]()


def known_codes(
    run: Path,
    codes: PositiveInt = 50,
    steps: PositiveInt = 2000,
    lr: PositiveFloat = 0.01,
) -> dict[str, float]:
    """How often each criterion of resampling finds the code of an image (Egan 2018, Table 1).

    The last code of a descent is its result, as in the paper's Algorithm 1. Each finished criterion
    is kept in the run's folder, so that an interrupted call resumes.

    Args:
        run: of a GAN; its codes are drawn once, and all criteria begin with the same ones.
        codes: how many.
        steps: of each descent, which has one restart.
        lr: of Adam.

    Returns:
        For each criterion, such as trunc_norm_2_5: mean, the mean of ‖z - z*‖²/L; below_1,
        below_01, below_001, below_0001 and below_00001, the percentages of codes with an error
        below 1, 0.1, 0.01, 0.001 and 0.0001; and, but for disabled, wins, the percentage with a
        lower error than without a criterion, and significant_wins, that percentage of the codes of
        which one error is at least twice the other, NaN if there are none.
    """
    model = load(run)
    if not isinstance(model, Model):
        raise InputError(f"{run}: expected a GAN, got {type(model).__name__}")
    generator = Scaled(model.generator, model.prior.scale())
    truth = model.prior.sample(codes, stream("known codes", 0))
    with torch.no_grad():
        x = generator(truth)
    found = {}
    # what other code has recovered is not taken for this code's
    version = code_version([f"{__name__}.known_codes"])
    for name, constraint in published_criteria().items():
        file = run / FOLDER / version / f"{as_name(name)}-{codes}-{steps}-{lr:g}.safetensors"
        if not file.is_file():
            recovery = recover(
                generator,
                x,
                model.prior,
                constraint=constraint,
                steps=steps,
                restarts=1,
                lr=lr,
                loss=L2(),
                result="last",
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            recovery.save(file)
        found[name] = errors(Recovery.load(file).codes, truth)
    values: dict[str, float] = {}
    for name, row in compare(found, "disabled").items():
        own = as_name(name)
        values[f"{own}.mean"] = row.mean
        for threshold, share in zip(THRESHOLDS, row.below, strict=True):
            values[f"{own}.below_{f'{threshold:f}'.rstrip('0').replace('.', '')}"] = 100 * share
        if name != "disabled":
            values[f"{own}.wins"] = 100 * row.wins
            values[f"{own}.significant_wins"] = 100 * row.significant_wins
    return values
