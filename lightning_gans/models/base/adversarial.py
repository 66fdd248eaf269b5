"""The base of all games of two players."""

from __future__ import annotations

from abc import ABC
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from lightning_gans.augmentation import Augmentation, AugmentationFactory, NoAugmentation
from lightning_gans.losses import AdversarialLoss
from lightning_gans.models.base.capabilities import Encodes, Encoding
from lightning_gans.models.base.model import Model
from lightning_gans.networks import DiscriminatorOutput
from lightning_gans.ranges import PositiveInt, checked
from lightning_gans.rng import stream


class AdversarialModule(Model, ABC):
    """A game of two players that take turns, each with its own optimiser.

    The discriminator player owns ``discriminator``; the generator player owns every other
    parameter. A subclass is final: it builds its networks and prior in the constructor and writes
    its algorithm flat in ``training_step``::

        with self.turn("discriminator") as minimize:
            minimize(adversarial=..., r1=...)
        with self.turn("generator") as minimize:
            minimize(adversarial=...)

    The discriminator sees images as :meth:`augment` changes them, in both turns. What is learnt
    from fakes alone is learnt from the fakes as they are, see :meth:`score_and_encode`. Gradient
    penalties are of the score by the image before it is changed, as in the authors' training on few
    images (``ns_DiffAugment_r1`` of Zhao et al. 2020) and in StyleGAN2-ADA (Karras et al. 2020a):
    the penalised function is the one that the generator descends.

    Args:
        optimizer: makes an optimiser from parameters; used for each player.
        discriminator_optimizer: makes the discriminator's, if not the same.
        penalty_interval: iterations between gradient penalties, at least 1.
        augmentation: makes the random change of the images that the discriminator sees.
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
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(discriminator_optimizer or optimizer, optimizer)
        self.penalty_interval = penalty_interval
        self.augmentation = augmentation()
        # for each purpose the stream of the iteration whose number is given, which draws changes
        self._changes: dict[str, tuple[int, torch.Generator]] = {}

    def lazy_weight(self, weight: float) -> float:
        """A gradient penalty's weight in this iteration: multiplied by the interval, or 0."""
        due = (self.global_step + 1) % self.penalty_interval == 0
        return weight * self.penalty_interval if due else 0.0

    def augment(self, x: Tensor) -> Tensor:
        """T(x): images as the discriminator sees them in training, each changed by itself.

        Args:
            x: (n, *image_shape); gradients flow, and every process has as many.
        """
        return self.change(x, self.augmentation, "augmentation")

    def change(self, x: Tensor, by: Augmentation, purpose: str) -> Tensor:
        """Images that are changed at random, each by itself.

        The changes depend on the seed, the iteration and the row alone, so that a run that resumes
        draws those of a run that was not interrupted. Processes draw for all rows, and take theirs:
        they change the images as one process with all of them does.

        Args:
            x: (n, *image_shape); gradients flow, and every process has as many.
            by: the change.
            purpose: the name of the random stream.
        """
        if not by.draws:
            return x
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        shape = (len(x) * processes, by.draws)
        # float32 in any precision, so that the changes are the same
        random = self._stream_of_changes(purpose)
        u = torch.rand(shape, generator=random, device=x.device, dtype=torch.float32)
        return by(x, u[rank::processes])

    def _stream_of_changes(self, purpose: str) -> torch.Generator:
        """The random stream of this iteration's changes, the same in all processes."""
        iteration = self.global_step
        if purpose not in self._changes or self._changes[purpose][0] != iteration:
            random = stream(f"{purpose}/{iteration}", device=self.device)
            self._changes[purpose] = iteration, random
        return self._changes[purpose][1]

    def score_and_encode(self, x: Tensor) -> DiscriminatorOutput:
        """The discriminator's score of T(x), and its code and features of x itself.

        Augmentation is against overfitting to the images of the data. A code that is learnt from
        fakes, of which there is no end, needs none, and would suffer: of T(G(z)) no encoder can
        recover what T draws anew, such as brightness and place, so that a dynamic latent scale
        would give up the elements that carry it, and images would be reconstructed without. With
        augmentation it takes a pass more of the discriminator; without, none.

        Args:
            x: (n, *image_shape).
        """
        output: DiscriminatorOutput = self.discriminator(self.augment(x))
        if not self.augmentation.draws:
            return output
        plain: DiscriminatorOutput = self.discriminator(x)
        return plain._replace(score=output.score)

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
