"""Generators and discriminators. Any ``nn.Module`` with the same signature can take their place."""

from .conv import ConvDiscriminator, ConvGenerator
from .factories import DiscriminatorFactory, GeneratorFactory
from .judgement import Heads, Judgement
from .mlp import MLPDiscriminator, MLPGenerator
from .skip import SkipDiscriminator, SkipGenerator

__all__ = [
    "ConvDiscriminator",
    "ConvGenerator",
    "DiscriminatorFactory",
    "GeneratorFactory",
    "Heads",
    "Judgement",
    "MLPDiscriminator",
    "MLPGenerator",
    "SkipDiscriminator",
    "SkipGenerator",
]
