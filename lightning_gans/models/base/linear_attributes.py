"""A linear classifier of latents that is drawn once and never trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsIndex, get_args

import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError
from lightning_gans.labels import Classes, harden
from lightning_gans.models.base.capabilities import EditUnit
from lightning_gans.ranges import Width, checked


class LinearAttributes(nn.Module):
    """Attributes of scaled latents y = z∘s by fixed weights from N(0, 1) (thesis, Eq. 36).

    A label of two classes has one score, y·w + b, and is the second class where that is above 0. A
    label of more classes has a score for each, of which the largest wins.

    Args:
        latent_dim: size of the latent.
        classes: how many classes each label has.
        bias: b, a number for each score; 0 by default.

    Attributes:
        weight: (latent_dim, scores). A buffer.
        bias: (scores,). A buffer, which follows from the arguments and is not saved.

    Raises:
        ValueError: if there are more scores than the latent has elements, or not as many biases as
            scores.
    """

    weight: Tensor
    bias: Tensor

    @checked
    def __init__(
        self, latent_dim: Width, classes: Classes, bias: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.widths = [1 if k == 2 else k for k in self.classes]
        if sum(self.widths) > latent_dim:
            raise InputError(
                f"{sum(self.widths)} attributes cannot be moved one by one in a latent of "
                f"{latent_dim} elements; choose a larger latent_dim"
            )
        self.register_buffer("weight", torch.randn(latent_dim, sum(self.widths)))
        given = [0.0] * sum(self.widths) if bias is None else list(bias)
        if len(given) != sum(self.widths):
            raise InputError(
                f"expected {sum(self.widths)} biases, one for each label of two classes and "
                f"one for each class of other labels, got {given}"
            )
        self.register_buffer("bias", torch.tensor(given), persistent=False)

    def scores(self, y: Tensor) -> Tensor:
        """Of scaled latents, (n, latent_dim) to (n, scores)."""
        with torch.autocast(y.device.type, enabled=False):  # so that labels agree with `move`
            return y.to(self.weight.dtype) @ self.weight + self.bias

    def forward(self, y: Tensor) -> Tensor:
        """The conditions of scaled latents, (n, latent_dim) to (n, sum(classes))."""
        parts = [
            torch.cat([torch.zeros_like(part), part], 1) if part.shape[1] == 1 else part
            for part in torch.split(self.scores(y), self.widths, 1)
        ]
        return harden(torch.cat(parts, 1), self.classes)

    def units(self, scale: Tensor, unit: EditUnit) -> Tensor:
        """What a strength of 1 is in each score, (scores,).

        Args:
            scale: of the latent's elements, (latent_dim,).
            unit: "std" for ‖scale∘w‖, the deviation of the score; "sqrt_dim" for √latent_dim.

        Raises:
            ValueError: if there is no such unit.
        """
        if unit not in get_args(EditUnit):
            raise InputError(f"expected a unit of {' or '.join(get_args(EditUnit))}, got {unit!r}")
        if unit == "sqrt_dim":
            return torch.full_like(self.weight[0], math.sqrt(len(self.weight)))
        deviations: Tensor = (scale[:, None] * self.weight).norm(dim=0)
        return deviations

    def move(
        self,
        y: Tensor,
        scale: Tensor,
        attribute: int,
        strength: float | Tensor,
        keep_others: bool,
        unit: EditUnit,
    ) -> Tensor:
        """Move scaled latents to a score of ``strength``.

        Args:
            y: (n, latent_dim).
            scale: of the latent's elements, (latent_dim,).
            attribute: the score to change.
            strength: one number, or (n,).
            keep_others: whether the other scores keep their values.
            unit: of the strength.

        Returns:
            (n, latent_dim): the nearest such latents.

        Raises:
            ValueError: if there is no such attribute, strength or unit.
        """
        units = self.units(scale, unit)
        whole = isinstance(attribute, SupportsIndex) and not isinstance(attribute, bool)
        if not whole or not 0 <= attribute < self.weight.shape[1]:
            raise InputError(
                f"expected an attribute from 0 to {self.weight.shape[1] - 1}, got {attribute}"
            )
        w = self.weight[:, attribute]
        try:
            finite = bool(torch.as_tensor(strength, dtype=y.dtype).isfinite().all())
        except (TypeError, ValueError, RuntimeError):
            finite = False
        if not finite:
            raise InputError(f"expected a finite strength, got {strength!r}")
        if torch.as_tensor(strength).shape not in {(), (1,), (len(y),)}:
            raise InputError(
                f"expected one strength or {len(y)} of them, got shape "
                f"{tuple(torch.as_tensor(strength).shape)}"
            )
        target = torch.as_tensor(strength, dtype=y.dtype, device=y.device) * units[attribute]
        direction = w
        if keep_others:
            rest = torch.cat([self.weight[:, :attribute], self.weight[:, attribute + 1 :]], 1)
            direction = w - rest @ torch.linalg.lstsq(rest, w[:, None]).solution[:, 0]
        steps = (target - (y @ w + self.bias[attribute])) / (direction @ w)
        moved: Tensor = y + steps[:, None] * direction
        return moved
