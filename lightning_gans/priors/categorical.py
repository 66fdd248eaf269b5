"""Categorical latents: a class for each of one or several labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_gans.distributed.collectives import start_global_mean
from lightning_gans.errors import InputError
from lightning_gans.labels import Classes, is_one, one_hot, softmax, split
from lightning_gans.ranges import Decay, NonNegativeFloat, PositiveFloat, checked


class Categories(nn.Module, ABC):
    """A distribution P(C) of conditions, (n, sum(classes)): concatenated one-hot vectors.

    Args:
        classes: how many classes each label has.

    Raises:
        ValueError: if there is no label, or one without classes.
    """

    def __init__(self, classes: Classes) -> None:
        super().__init__()
        self.classes = tuple(classes)
        if not self.classes or min(self.classes) < 1:
            raise ValueError(f"expected the number of classes of each label, got {self.classes}")

    @property
    @abstractmethod
    def probabilities(self) -> Tensor:
        """P(C), (sum(classes),): each label's probabilities have the sum 1."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` conditions, (n, sum(classes)), from ``generator`` or torch's own stream."""

    def condition(self, category: int | Sequence[int] | Tensor, n: int) -> Tensor:
        """``n`` conditions of given categories, (n, sum(classes)).

        Args:
            category: one for all, or (n,); for several labels (labels,) for all, or (n, labels).
            n: how many.

        Raises:
            ValueError: if a category is out of range, or their number is not one of these.
        """
        p = self.probabilities
        labels = len(self.classes)
        try:
            chosen = torch.as_tensor(category, device=p.device)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"expected a category as an integer, got {category!r}") from None
        shapes = {(labels,), (n, labels)} | ({(), (n,), (1,)} if labels == 1 else set())
        if chosen.is_floating_point() or chosen.dtype == torch.bool:
            raise InputError(f"expected a category as an integer, got {category}")
        if chosen.shape not in shapes:
            raise InputError(
                f"expected a category of {labels} label(s), one for all or {n} of them, "
                f"got shape {tuple(chosen.shape)}"
            )
        # for one label, (n,) is a category for each row
        rows = chosen.reshape(-1, labels)
        return one_hot(rows.expand(n, labels), self.classes, p.dtype)

    def entropy(self) -> Tensor:
        """The entropy of P(C), in nats: the sum over the labels, which are independent."""
        total: Tensor = torch.special.entr(self.probabilities).sum()
        return total


class CategoriesFactory(Protocol):
    """Makes a distribution of conditions; what a model's ``categories`` argument is."""

    def __call__(self, classes: Classes) -> Categories:
        """Make it."""
        ...


class Categorical(Categories):
    """One-hot conditions with probabilities that are given, or learnt as a running mean.

    Args:
        classes: how many classes each label has.
        probabilities: initial P(C), (sum(classes),), of sum 1 for each label; uniform by default.
        decay: of the running mean that :meth:`start_update` steps, in [0, 1).

    Attributes:
        p: (sum(classes),), P(C). A buffer: saved in checkpoints, never averaged.

    Raises:
        ValueError: if the probabilities are invalid, or the decay is out of range.
    """

    p: Tensor

    @checked
    def __init__(
        self,
        classes: Classes,
        probabilities: Sequence[NonNegativeFloat] | None = None,
        decay: Decay = 0.999,
    ) -> None:
        super().__init__(classes)
        self.decay = decay
        uniform = torch.cat([torch.full((k,), 1 / k) for k in self.classes])
        p = uniform if probabilities is None else torch.tensor(probabilities).float()
        if p.shape != uniform.shape or any(
            not (part.min() >= 0 and abs(part.sum() - 1) <= 1e-4) for part in split(p, self.classes)
        ):
            raise ValueError(
                f"expected {len(uniform)} probabilities, of sum 1 for each label of "
                f"{self.classes} classes, got {probabilities}"
            )
        self.register_buffer("p", p)

    @property
    def probabilities(self) -> Tensor:
        return self.p

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        p = self.p.clamp(min=0)
        parts = [p] if is_one(p, self.classes) else split(p, self.classes)
        drawn = [torch.multinomial(part, n, True, generator=generator) for part in parts]
        rows = drawn[0] if len(drawn) == 1 else torch.stack(drawn, 1)
        return one_hot(rows, self.classes, p.dtype, check=False)

    @torch.no_grad()
    def start_update(self, predicted: Tensor) -> Callable[[], None]:
        """One step of the running mean of predicted probabilities, (n, sum(classes)).

        The mean is over the rows of all processes (thesis, Algorithm 5, line 25). The step is made
        once the result is called; the processes exchange their means in between.
        """
        mean = start_global_mean(predicted.detach().to(self.p.dtype))

        @torch.no_grad()
        def finish() -> None:
            self.p.lerp_(mean(), 1 - self.decay)

        return finish


class GumbelSoftmax(Categories):
    """Soft conditions, softmax((log P(C) + Gumbel noise) / temperature), differentiable in P(C).

    (Jang et al. 2017; Maddison et al. 2017). P(C) is the softmax of logits, which are parameters;
    they start equal. As in Elastic InfoGAN, samples stay soft.

    Args:
        classes: how many classes each label has.
        temperature: positive; samples become one-hot as it approaches 0.

    Raises:
        ValueError: if the temperature is not positive.
    """

    @checked
    def __init__(self, classes: Classes, temperature: PositiveFloat = 0.1) -> None:
        super().__init__(classes)
        self.temperature = temperature
        self.logits = nn.Parameter(torch.zeros(sum(self.classes)))

    @property
    def probabilities(self) -> Tensor:
        return softmax(self.logits.detach()[None], self.classes)[0]

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        u = torch.rand(
            n,
            len(self.logits),
            generator=generator,
            device=self.logits.device,
            dtype=self.logits.dtype,
        )
        # rand may return 0, whose double logarithm is infinite
        tiny = torch.finfo(u.dtype).tiny
        noise = -(-u.clamp(min=tiny).log()).log()
        return softmax((self._logs() + noise) / self.temperature, self.classes)

    def _logs(self) -> Tensor:
        parts = split(self.logits, self.classes)
        return torch.cat([part.log_softmax(0) for part in parts])
