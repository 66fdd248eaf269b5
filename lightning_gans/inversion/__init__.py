"""Inversion: from any image back to the latent, and whether that could have been drawn.

:func:`recover` descends on codes; regularisers and constraints keep them plausible;
:func:`goodness_of_fit` tests whether the recovered codes could be draws of the prior.
"""

from lightning_gans.inversion.constraints import (
    BoundaryResampling,
    Constraint,
    HardCutoff,
    LogisticCutoff,
    TruncatedNormalCutoff,
    TypicalBall,
)
from lightning_gans.inversion.descent import recover
from lightning_gans.inversion.diverged import AllRestartsDiverged
from lightning_gans.inversion.goodness import GoodnessOfFit, goodness_of_fit
from lightning_gans.inversion.interpolation import linear, slerp
from lightning_gans.inversion.reconstruction import L1, L2, FeatureDistance, Huber, Reconstruction
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.inversion.regularizers import (
    Bhattacharyya,
    BhattacharyyaNormal,
    Energy,
    FoolDiscriminator,
    LukaszykKarmowski,
    Regularizer,
    StatisticalDistance,
    Wasserstein,
    ZScoreAbsolute,
    ZScoreSquare,
)
from lightning_gans.inversion.scaled import Scaled
from lightning_gans.inversion.start import FromEncoder, FromPrior, FromZeros, Start

__all__ = [
    "L1",
    "L2",
    "AllRestartsLost",
    "Bhattacharyya",
    "BhattacharyyaNormal",
    "BoundaryResampling",
    "Constraint",
    "Energy",
    "FeatureDistance",
    "FoolDiscriminator",
    "FromEncoder",
    "FromPrior",
    "FromZeros",
    "GoodnessOfFit",
    "HardCutoff",
    "Huber",
    "LogisticCutoff",
    "LukaszykKarmowski",
    "Reconstruction",
    "Recovery",
    "Regularizer",
    "Scaled",
    "Start",
    "StatisticalDistance",
    "TruncatedNormalCutoff",
    "TypicalBall",
    "Wasserstein",
    "ZScoreAbsolute",
    "ZScoreSquare",
    "goodness_of_fit",
    "linear",
    "recover",
    "slerp",
]
