"""The optimiser of the models of this package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.ranges import Decay, NonNegativeFloat, PositiveFloat, checked


class AdamW(torch.optim.AdamW):
    """AdamW with the defaults of (thesis, section 4.2.1): no first moment, a short second one.

    Momentum accumulated before the other player's step points at where that player was. With
    ``weight_decay=0`` this is Adam. ε has the value of the published code, which adds it before
    the bias correction; the two differ only for tiny gradients in the first steps.

    Args:
        params: to optimise.
        lr: learning rate.
        betas: decay rates of the first and second moment.
        eps: added to the root of the second moment.
        weight_decay: decoupled, multiplied by the learning rate.
        epoch_decay: factor of the learning rate after each epoch.
        max_norm: if given, gradients are clipped to this global norm before each step. (Lightning
            refuses ``trainer.gradient_clip_val`` under manual optimisation.)

    Raises:
        ValueError: if ``max_norm`` is not above 0.
    """

    @checked
    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: NonNegativeFloat = 3e-3,
        betas: tuple[Decay, Decay] = (0.0, 0.99),
        eps: NonNegativeFloat = 1e-7,
        weight_decay: NonNegativeFloat = 1e-4,
        epoch_decay: NonNegativeFloat = 1.0,
        max_norm: PositiveFloat | None = None,
    ) -> None:
        # YAML and checkpoints give a list, torch expects a tuple of floats
        super().__init__(
            params,
            lr=lr,
            betas=(float(betas[0]), float(betas[1])),
            eps=eps,
            weight_decay=weight_decay,
            fused=True,  # one pass over the weights: a third of the time on a CPU
        )
        for group in self.param_groups:
            group.setdefault("epoch_decay", epoch_decay)
        if max_norm is not None:
            parameters = [p for group in self.param_groups for p in group["params"]]

            def clip(*step: object) -> None:
                nn.utils.clip_grad_norm_(parameters, max_norm)

            # at this point gradients are already averaged over processes
            self.register_step_pre_hook(clip)
