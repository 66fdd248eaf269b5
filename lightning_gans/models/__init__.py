"""The algorithms: one final class a file, on abstract bases."""

from lightning_gans.models.acgan import ACGAN
from lightning_gans.models.aedlsgan import AEDLSGAN
from lightning_gans.models.autoencoder import Autoencoder
from lightning_gans.models.base.adversarial import AdversarialModule, EncodesByDiscriminator
from lightning_gans.models.base.alternating import NonFiniteLoss
from lightning_gans.models.base.capabilities import (
    Capability,
    Classifies,
    ClassifiesByFeatures,
    Clusters,
    Decodes,
    Edits,
    EditUnit,
    Encodes,
    Encoding,
    Generates,
    NotCapable,
    PredictsLogits,
    Reconstructs,
    ScoresOOD,
    capability,
)
from lightning_gans.models.base.mixed_batches import MixedBatches, PureBatches
from lightning_gans.models.base.model import Model
from lightning_gans.models.cagan import CAGAN
from lightning_gans.models.cgpgan import CGPGAN
from lightning_gans.models.classifier import Classifier
from lightning_gans.models.dlsgan import DLSGAN
from lightning_gans.models.encoder import Encoder
from lightning_gans.models.gan import GAN
from lightning_gans.models.infogan import InfoGAN
from lightning_gans.models.infogan_categorical import CategoricalInfoGAN
from lightning_gans.models.pvdgan import PVDGAN
from lightning_gans.models.vaegan import VAEGAN

__all__ = [
    "ACGAN",
    "AEDLSGAN",
    "CAGAN",
    "CGPGAN",
    "DLSGAN",
    "GAN",
    "PVDGAN",
    "VAEGAN",
    "AdversarialModule",
    "Autoencoder",
    "Capability",
    "CategoricalInfoGAN",
    "Classifier",
    "Classifies",
    "ClassifiesByFeatures",
    "Clusters",
    "Decodes",
    "EditUnit",
    "Edits",
    "Encoder",
    "Encodes",
    "EncodesByDiscriminator",
    "Encoding",
    "Generates",
    "InfoGAN",
    "MixedBatches",
    "Model",
    "NonFiniteLoss",
    "NotCapable",
    "PredictsLogits",
    "PureBatches",
    "Reconstructs",
    "ScoresOOD",
    "capability",
]
