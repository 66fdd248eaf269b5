"""Generators and discriminators. Any ``nn.Module`` with the same signature can take their place."""

from .batch_statistics import BatchStdDiscriminator, BatchStdLinear
from .blurred import BlurredDiscriminator, BlurredGenerator
from .build import build_discriminator, build_generator
from .classes import standardize, with_classes
from .codebook import CodebookDiscriminator, CodebookGenerator
from .conv import ConvDiscriminator, ConvGenerator
from .dcgan import DCGANDiscriminator, DCGANGenerator, PixelShuffleGenerator
from .digit_classifier import DigitBackbone
from .discriminator_output import DiscriminatorOutput, Heads
from .factories import ConditionalGeneratorFactory, DiscriminatorFactory, GeneratorFactory
from .instance_norm import InstanceNormDiscriminator, InstanceNormGenerator
from .mlp import MLPDiscriminator, MLPGenerator
from .plain import PlainDiscriminator, PlainGenerator
from .residual import ResidualDiscriminator, ResidualGenerator
from .separate import Separate
from .skip import SkipDiscriminator, SkipGenerator
from .small import SmallDiscriminator, SmallGenerator
from .style import StyleDiscriminator, StyleGenerator
from .wgan import WGANCritic, WGANGenerator

__all__ = [
    "BatchStdDiscriminator",
    "BatchStdLinear",
    "BlurredDiscriminator",
    "BlurredGenerator",
    "CodebookDiscriminator",
    "CodebookGenerator",
    "ConditionalGeneratorFactory",
    "ConvDiscriminator",
    "ConvGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DigitBackbone",
    "DiscriminatorFactory",
    "DiscriminatorOutput",
    "GeneratorFactory",
    "Heads",
    "InstanceNormDiscriminator",
    "InstanceNormGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "PixelShuffleGenerator",
    "PlainDiscriminator",
    "PlainGenerator",
    "ResidualDiscriminator",
    "ResidualGenerator",
    "Separate",
    "SkipDiscriminator",
    "SkipGenerator",
    "SmallDiscriminator",
    "SmallGenerator",
    "StyleDiscriminator",
    "StyleGenerator",
    "WGANCritic",
    "WGANGenerator",
    "build_discriminator",
    "build_generator",
    "standardize",
    "with_classes",
]
