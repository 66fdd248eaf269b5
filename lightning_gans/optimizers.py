"""The optimiser that this family of games is trained with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class AdamW(torch.optim.AdamW):
    """AdamW with the thesis's defaults: no first momentum, a short second one (section 4.2.1).

    Momentum from before the other player moved points to where that player was. With
    ``weight_decay=0`` it is Adam. ε is the published code's, though that adds it before the bias
    correction; the two differ only on tiny gradients in the first steps.

    Args:
        params: what to optimise.
        lr: learning rate.
        betas: decays of the first and second moment.
        eps: added to the root of the second moment.
        weight_decay: decoupled decay, times the learning rate.
        epoch_decay: what the learning rate is multiplied by after each epoch.
        max_norm: if given, a longer gradient, of all parameters together, is shortened to this
            before each step. (``trainer.gradient_clip_val`` is refused by Lightning where
            optimisers are stepped by hand.)

    Raises:
        ValueError: if ``max_norm`` is not above 0.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.0, 0.99),
        eps: float = 1e-7,
        weight_decay: float = 1e-4,
        epoch_decay: float = 1.0,
        max_norm: float | None = None,
    ) -> None:
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"expected max_norm > 0, or null, got {max_norm}")
        # from YAML and checkpoints betas come as a list, of which torch asks a tuple of floats
        super().__init__(
            params,
            lr=lr,
            betas=(float(betas[0]), float(betas[1])),
            eps=eps,
            weight_decay=weight_decay,
            fused=True,  # one pass over the weights: a third of the time on a processor
        )
        for group in self.param_groups:
            group.setdefault("epoch_decay", epoch_decay)
        if max_norm is not None:
            parameters = [p for group in self.param_groups for p in group["params"]]

            def shorten(*step: object) -> None:
                nn.utils.clip_grad_norm_(parameters, max_norm)

            # here gradients are those of all processes already
            self.register_step_pre_hook(shorten)
