"""What the algorithms are built on: players that take turns, capabilities, checkpoints."""

from lightning_gans.models.base.adversarial import AdversarialModule, EncodesByDiscriminator
from lightning_gans.models.base.capabilities import (
    Capability,
    Classifies,
    ClassifiesByFeatures,
    Clusters,
    Decodes,
    Edits,
    Encodes,
    Encoding,
    Generates,
    NotCapable,
    PredictsLogits,
    Reconstructs,
    ScoresOOD,
    capability,
)
from lightning_gans.models.base.model import Batch, Model

__all__ = [
    "AdversarialModule",
    "Batch",
    "Capability",
    "Classifies",
    "ClassifiesByFeatures",
    "Clusters",
    "Decodes",
    "Edits",
    "Encodes",
    "EncodesByDiscriminator",
    "Encoding",
    "Generates",
    "Model",
    "NotCapable",
    "PredictsLogits",
    "Reconstructs",
    "ScoresOOD",
    "capability",
]
