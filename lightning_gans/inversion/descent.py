"""Latent code recovery by gradient descent, in many restarts at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from lightning_gans.errors import InputError
from lightning_gans.inversion.best import Best
from lightning_gans.inversion.constraints import Constraint
from lightning_gans.inversion.diverged import AllRestartsDiverged
from lightning_gans.inversion.frozen import frozen
from lightning_gans.inversion.reconstruction import L1, Reconstruction
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.inversion.regularizers import Regularizer, Wasserstein
from lightning_gans.inversion.start import FromPrior, Start
from lightning_gans.inversion.typical import Typicality
from lightning_gans.priors import Prior
from lightning_gans.rng import stream
from lightning_gans.validation import check_images


def recover(
    generator: nn.Module,
    x: Tensor,
    prior: Prior,
    regularizer: Regularizer | None = None,
    weight: float | Literal["typical"] = 0.1,
    constraint: Constraint | None = None,
    steps: int = 200,
    restarts: int = 16,
    lr: float = 0.01,
    *,
    loss: Reconstruction | None = None,
    start: Start | None = None,
    condition: Tensor | None = None,
    betas: tuple[float, float] = (0.9, 0.999),
    keep_moments: bool = True,
    patience: int | None = None,
    codes_at_once: int = 1024,
    seed: int = 0,
    first: int = 0,
    progress: bool = False,
) -> Recovery:
    """Find, for each image, the latent code from which the generator makes it.

    ``restarts`` codes of each image descend in parallel on the reconstruction loss + weight ·
    regulariser, by Adam; of all codes on all their ways the one with the least total loss is
    returned (Cho 2021, section 5.2, but for three things: the returned code is the one that had
    the returned loss, not one step further; it is the best of its way, not the last; and Adam
    begins anew for each batch, where the published code went on counting its steps).

    Weights of the generator are neither trained nor changed; it runs in evaluation mode.

    Args:
        generator: latents (n, L), and conditions if given, to images (n, *shape); differentiable.
            For a model of this package: ``Scaled(model.generator, model.prior.scale())``.
        x: target images (n, *shape) in [-1, 1], n at least 1.
        prior: of the latents, with independent elements; codes are made where it is.
        regularizer: what keeps a code plausible; none by default.
        weight: λ, its factor, at least 0. Or "typical", for Wasserstein of order 1: nothing is
            added to the loss, but after each step codes that are farther from the prior than
            genuine draws are moved back until they are as far
            (:mod:`lightning_gans.inversion.typical`).
        constraint: what is done to the codes after each step; nothing by default.
        steps: of descent, at least 1.
        restarts: codes for each image, at least 1.
        lr: Adam's rate, constant.
        loss: the reconstruction loss; :class:`L1`, the mean absolute error, by default.
        start: where codes start; at draws of the prior by default.
        condition: (n, classes), for class-conditional generators: each image's condition.
        betas: Adam's.
        keep_moments: whether an element that the constraint draws anew keeps Adam's moments, as
            in the published codes; otherwise they begin again at zero.
        patience: stop a batch once no code of it has lowered its best total loss by one part in
            10,000 in this many steps; never, without.
        codes_at_once: at most so many codes are in memory; images are taken in batches of
            ``codes_at_once // restarts``, but at least one. Each batch has a random stream of its
            own, so that with another number most images start elsewhere.
        seed: of all draws.
        first: the position of ``x[0]`` in a larger set that is recovered in parts; parts that
            begin where batches of the whole would give what the whole gives.
        progress: show a progress bar.

    Returns:
        The best code of each image, in the order of ``x``.

    Raises:
        InputError: for images of another size or range than the generator's, a regulariser or
            constraint that the prior does not allow, or a number out of its range.
        AllRestartsLost: if no restart of some image had a finite loss; the error carries the
            recovery of the other images. Single restarts that are lost are only counted.

    Example::

        recovery = recover(generator, x, Normal(256), Wasserstein(), weight=0.1)
        recovery.codes, recovery.images, recovery.losses
    """
    descent = Descent(
        generator,
        prior,
        regularizer,
        weight,
        constraint,
        steps,
        restarts,
        lr,
        loss or L1(),
        start or FromPrior(),
        betas,
        keep_moments,
        patience,
    )
    if len(x) < 1:
        raise InputError("expected at least 1 target image, got none")
    if condition is not None and len(condition) != len(x):
        raise InputError(f"expected {len(x)} conditions, as many as images, got {len(condition)}")
    if codes_at_once < 1:
        raise InputError(f"expected codes_at_once of at least 1, got {codes_at_once}")
    size = max(1, codes_at_once // restarts)
    parts: list[Recovery] = []
    lost: list[int] = []
    with tqdm(total=-(-len(x) // size) * steps, unit="step", disable=not progress) as bar:
        for begin in range(0, len(x), size):
            batch = slice(begin, begin + size)
            part = descent.run(
                x[batch],
                () if condition is None else (condition[batch],),
                first + begin,
                stream(f"recovery/{first + begin}", seed, device=prior.device),
                bar,
            )
            found = part.dropped < restarts
            lost += part.indices[~found].tolist()
            parts.append(part.where(found))
    recovery = Recovery.join(parts)
    if lost:
        raise AllRestartsDiverged(lost, recovery if len(recovery) else None)
    return recovery


@dataclass(frozen=True)
class Descent:
    """The settings of :func:`recover`, and the descent of one batch."""

    generator: nn.Module
    prior: Prior
    regularizer: Regularizer | None
    weight: float | Literal["typical"]
    constraint: Constraint | None
    steps: int
    restarts: int
    lr: float
    loss: Reconstruction
    start: Start
    betas: tuple[float, float]
    keep_moments: bool
    patience: int | None

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("restarts", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"expected {name} of at least {least}, got {value}")
        if not self.lr > 0:
            raise InputError(f"expected lr > 0, got {self.lr}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"expected betas in [0, 1), got {self.betas}")
        if self.weight == "typical":
            named = self.regularizer
            if not isinstance(named, Wasserstein) or named.order != 1 or named.draws is not None:
                raise InputError(
                    'weight="typical" holds codes by their Wasserstein distance of order 1: give '
                    "regularizer=Wasserstein(), or a number"
                )
            if self.constraint is not None:
                raise InputError('weight="typical" is a constraint: give no other')
        elif not self.weight >= 0:
            raise InputError(f'expected weight >= 0 or "typical", got {self.weight}')
        if not isinstance(self.prior, Prior):
            raise InputError(
                f"expected a prior of lightning_gans.priors, got a {type(self.prior).__name__}; a "
                "distribution of torch becomes one by Independent(dim, distribution)"
            )
        for part, kind in ((self.regularizer, Regularizer), (self.constraint, Constraint)):
            if part is None:
                continue
            if not isinstance(part, kind):
                raise InputError(f"expected a {kind.__name__}, got a {type(part).__name__}")
            part.check(self.prior)

    def run(
        self,
        x: Tensor,
        conditions: tuple[Tensor, ...],
        first: int,
        random: torch.Generator,
        bar: tqdm[NoReturn],
    ) -> Recovery:
        """Recover one batch of images x (n, *shape), all restarts at once."""
        begun = time.perf_counter()
        n, r = len(x), self.restarts
        asked = [*self.loss.networks(), *(self.regularizer.networks() if self.regularizer else [])]
        with frozen(self.generator, *asked):
            x, conditions = self._check(x, conditions)
            z = self.start.codes(x, r, self.prior, random).flatten(0, 1).requires_grad_()
            targets, *each = (values.repeat_interleave(r, 0) for values in (x, *conditions))
            adam = torch.optim.Adam([z], lr=self.lr, betas=self.betas, fused=True)
            best = Best(z)
            held_to = Typicality(self.prior, n * r, random) if self.weight == "typical" else None
            # of first codes, nothing has held any
            free = held_to is None and self.constraint is None

            for step in range(self.steps + 1):
                last = step == self.steps or best.stale(self.patience)
                with torch.set_grad_enabled(not last):
                    total, reconstruction = self._losses(z, targets, each, random)
                    objective = total.sum()  # codes share no loss: each has its own gradient
                best.look_at(z, total, reconstruction, eligible=free or step > 0)
                if last:
                    break
                (z.grad,) = torch.autograd.grad(objective, z)
                best.drop(~z.grad.isfinite().all(1))
                z.grad[best.dropped] = 0
                adam.step()
                if self.constraint is not None:
                    self._constrain(z, adam, random)
                if held_to is not None:
                    z.data.copy_(held_to.project(z))
                bar.update()

            chosen = best.total.view(n, r).argmin(1)
            rows = torch.arange(n, device=z.device) * r + chosen
            codes, total, reconstruction = (
                values[rows] for values in (best.codes, best.total, best.reconstruction)
            )
            with torch.no_grad():
                if self.weight == "typical":
                    # a choice by loss is no random choice: those chosen are held once more
                    codes = Typicality(self.prior, n, random).match(codes)
                    total, reconstruction = self._losses(codes, x, conditions, random)
                images = self.generator(codes, *conditions)
        return Recovery(
            codes=codes.cpu(),
            images=images.cpu(),
            losses=total.cpu(),
            reconstruction=reconstruction.cpu(),
            trace=best.trace(self.steps + 1)[rows].cpu(),
            restart=chosen.cpu(),
            dropped=best.dropped.view(n, r).sum(1).cpu(),
            indices=torch.arange(first, first + n),
            seconds=time.perf_counter() - begun,
        )

    def _losses(
        self, z: Tensor, targets: Tensor, conditions: Sequence[Tensor], random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Total and reconstruction loss of codes z (n, L), each (n,)."""
        y = self.generator(z, *conditions)
        reconstruction = self.loss.distance(y, targets)
        if self.regularizer is None or self.weight == "typical":
            return reconstruction, reconstruction
        penalty = self.regularizer.penalty(z, y, self.prior, random)
        return reconstruction + self.weight * penalty, reconstruction

    @torch.no_grad()
    def _constrain(self, z: Tensor, adam: torch.optim.Adam, random: torch.Generator) -> None:
        assert self.constraint is not None
        values, drawn = self.constraint.apply(z, self.prior, self.steps, random)
        z.copy_(values)
        if not self.keep_moments:
            for moment in ("exp_avg", "exp_avg_sq"):
                adam.state[z][moment][drawn] = 0

    def _check(
        self, x: Tensor, conditions: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The targets and conditions where the codes will be, in their precision.

        Raises:
            InputError: unless the generator makes images of the targets' shape from such codes.
        """
        z = self.prior.sample(1, stream("shape", 0, device=self.prior.device))
        x, *conditions_there = (values.to(z) for values in (x, *conditions))
        with torch.no_grad():
            try:
                made = self.generator(z, *(c[:1] for c in conditions_there))
            except (RuntimeError, TypeError, ValueError) as error:
                raise InputError(
                    f"the generator makes nothing of a latent of {self.prior.dim} elements"
                    f"{' and a condition' if conditions else ''}: {' '.join(str(error).split())}"
                ) from error
        check_images(x, tuple(made.shape[1:]), "target images")
        return x, tuple(conditions_there)
