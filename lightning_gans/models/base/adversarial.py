"""The base of all games of two players."""

from __future__ import annotations

from abc import ABC
from typing import Any

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from lightning_gans.losses import AdversarialLoss
from lightning_gans.models.base.capabilities import Encodes, Encoding
from lightning_gans.models.base.model import Model
from lightning_gans.networks import DiscriminatorOutput
from lightning_gans.ranges import PositiveInt, checked


class AdversarialModule(Model, ABC):
    """A game of two players that take turns, each with its own optimiser.

    The discriminator player owns ``discriminator``; the generator player owns every other
    parameter. A subclass is final: it builds its networks and prior in the constructor and writes
    its algorithm flat in ``training_step``::

        with self.turn("discriminator") as minimize:
            minimize(adversarial=..., r1=...)
        with self.turn("generator") as minimize:
            minimize(adversarial=...)

    Args:
        optimizer: makes an optimiser from parameters; used for each player.
        discriminator_optimizer: makes the discriminator's, if not the same.
        penalty_interval: iterations between gradient penalties, at least 1.
    """

    players = ("discriminator", "generator")
    discriminator: nn.Module
    loss: AdversarialLoss

    @checked
    def __init__(
        self,
        optimizer: OptimizerCallable,
        discriminator_optimizer: OptimizerCallable | None = None,
        penalty_interval: PositiveInt = 1,
    ) -> None:
        super().__init__(discriminator_optimizer or optimizer, optimizer)
        self.penalty_interval = penalty_interval

    def lazy_weight(self, weight: float) -> float:
        """A gradient penalty's weight in this iteration: multiplied by the interval, or 0."""
        due = (self.global_step + 1) % self.penalty_interval == 0
        return weight * self.penalty_interval if due else 0.0

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        """The discriminator's parameters; for the generator player, all others."""
        theirs = player == "discriminator"
        named = self.named_parameters()
        return [{"params": [p for name, p in named if name.startswith("discriminator.") == theirs]}]

    def on_fit_start(self) -> None:
        """Open the random stream of training, also for a loss with random targets."""
        super().on_fit_start()
        self.loss.random = self.random


class EncodesByDiscriminator(Encodes, ABC):
    """Encodes with the discriminator's second head."""

    discriminator: nn.Module

    def encoding(self, x: Tensor) -> Encoding:
        """The discriminator's code and features of x; unchecked, gradients flow."""
        output: DiscriminatorOutput = self.discriminator(x)
        return Encoding(output.code, output.features)
