"""Inversion: from an image back to a latent, and whether that latent could be a draw of the prior.

:func:`recover` descends on codes; regularisers and constraints keep them plausible;
:func:`goodness_of_fit` tests whether the recovered codes could be draws of the prior.
"""

# constraints, reconstruction, regularizers and starts list their parts in their own __all__, so
# that a new part is added in one file
from lightning_gans.inversion import constraints, reconstruction, regularizers, starts
from lightning_gans.inversion.constraints import *  # noqa: F403
from lightning_gans.inversion.descent import AllRestartsDiverged, DescentStep, recover
from lightning_gans.inversion.goodness import GoodnessOfFit, goodness_of_fit
from lightning_gans.inversion.interpolation import great_circle, linear, slerp
from lightning_gans.inversion.networks import Scaled
from lightning_gans.inversion.reconstruction import *  # noqa: F403
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.inversion.regularizers import *  # noqa: F403
from lightning_gans.inversion.starts import *  # noqa: F403

__all__ = [
    "AllRestartsDiverged",
    "DescentStep",
    "GoodnessOfFit",
    "Recovery",
    "Scaled",
    "goodness_of_fit",
    "great_circle",
    "linear",
    "recover",
    "slerp",
]
__all__ += constraints.__all__
__all__ += reconstruction.__all__
__all__ += regularizers.__all__
__all__ += starts.__all__
