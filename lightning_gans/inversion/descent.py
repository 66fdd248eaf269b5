"""Latent code recovery by gradient descent, with many restarts in parallel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError, UserError
from lightning_gans.inversion.constraints import Constraint
from lightning_gans.inversion.networks import differentiable, frozen
from lightning_gans.inversion.reconstruction import L1, Reconstruction
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.inversion.regularizers import Regularizer, Wasserstein
from lightning_gans.inversion.starts import FromPrior, Start
from lightning_gans.inversion.typical import Typicality
from lightning_gans.priors import Prior
from lightning_gans.ranges import (
    Decay,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    checked,
)
from lightning_gans.rng import stream
from lightning_gans.status_line import Steps
from lightning_gans.threads import pace
from lightning_gans.validation import as_input, check_images

# a loss that falls by less than this share of itself has not improved
PLATEAU = 1e-4


class AllRestartsDiverged(UserError, FloatingPointError):
    """No restart of some images had a finite loss.

    Attributes:
        indices: of those images.
        recovery: of the others, or None if there are none.
    """

    def __init__(self, indices: Sequence[int], recovery: Recovery | None) -> None:
        self.indices, self.recovery = list(indices), recovery
        named = ", ".join(map(str, self.indices[:10])) + (", ..." if len(indices) > 10 else "")
        super().__init__(
            f"all restarts of image {named} reached a non-finite loss or gradient; lower lr, or "
            "check the images that the generator makes from draws of the prior"
        )


class DescentStep(NamedTuple):
    """Where the descent of a batch of images stands.

    Attributes:
        made: how many steps are made.
        steps: how many there are at most.
        codes: (n, L), the code of each image that would be its result now.
        losses: (n,), the total losses of these; infinite where all restarts have diverged.
        reconstruction: (n,), their reconstruction losses alone.
    """

    made: int
    steps: int
    codes: Tensor
    losses: Tensor
    reconstruction: Tensor


@checked
@torch.inference_mode(False)  # a descent needs gradients, also where the caller wants none
def recover(
    generator: nn.Module,
    x: Tensor,
    prior: Prior,
    regularizer: Regularizer | None = None,
    weight: NonNegativeFloat | Literal["typical"] = 0.1,
    constraint: Constraint | None = None,
    steps: PositiveInt = 200,
    restarts: PositiveInt = 16,
    lr: PositiveFloat = 0.01,
    *,
    loss: Reconstruction | None = None,
    start: Start | None = None,
    condition: Tensor | None = None,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    keep_moments: bool = True,
    result: Literal["best", "last"] = "best",
    shared_step_count: bool = False,
    patience: PositiveInt | None = None,
    codes_at_once: PositiveInt = 1024,
    seed: Seed = 0,
    first: NonNegativeInt = 0,
    progress: bool = False,
    on_step: Callable[[DescentStep], bool] | None = None,
) -> Recovery:
    """Find the latent code of each image: the one from which the generator makes it.

    Adam minimises reconstruction loss + weight · regulariser over ``restarts`` codes of each image
    in parallel. The code with the lowest total loss over all restarts and steps is returned. This
    is the algorithm of (Cho 2021, section 5.2) with three differences: the returned code is the
    one that had the returned loss, not the one a step later; it is the best of its descent, not
    the last; and Adam starts afresh for each image, where the published code kept its step count.
    With ``result="last"`` and ``shared_step_count`` only the first difference remains.

    The generator runs in evaluation mode, and its weights are not changed.

    Args:
        generator: latents (n, L), and conditions if given, to images (n, *shape); differentiable.
            For a model of this package: ``Scaled(model.generator, model.prior.scale())``.
        x: target images (n, *shape) in [-1, 1], n at least 1.
        prior: of the latents, with independent elements; codes are made on its device.
        regularizer: penalty that keeps codes plausible under the prior; none by default.
        weight: λ, the factor of the regulariser, at least 0. With "typical", for Wasserstein of
            order 1, nothing is added to the loss. Instead, codes that are farther from the prior
            than genuine draws are moved back after each step
            (:mod:`lightning_gans.inversion.typical`).
        constraint: applied to the codes after each step; none by default.
        steps: number of descent steps, at least 1.
        restarts: codes for each image, at least 1.
        lr: Adam's learning rate, constant.
        loss: reconstruction loss; :class:`L1`, the mean absolute error, by default.
        start: first codes; draws of the prior by default.
        condition: (n, classes), the condition of each image, for class-conditional generators.
        betas: Adam's decay rates.
        keep_moments: whether an element that the constraint redraws keeps Adam's moments, as in
            the published code; otherwise they are reset to zero.
        result: which code of a descent is its result: "best", the one with the lowest total loss,
            or "last", the one after its last step, as in the papers. Of all restarts it is
            always the result with the lowest total loss.
        shared_step_count: whether Adam counts on from image to image, as if they were recovered
            one after another, while its moments start at zero for each. Its bias correction then
            corrects the first images alone, and the steps of all others are several times as long.
            The published code of (Cho 2021) does so; ours counts each image's own steps.
        patience: stop a batch once none of its codes has lowered its best total loss by one part
            in 10,000 in this many steps; never stop early by default.
        codes_at_once: the maximum number of codes in memory; a batch has
            ``codes_at_once // restarts`` images, at least one. Each batch has its own random
            stream, so another number changes the first codes of most images.
        seed: of all random draws.
        first: position of ``x[0]`` in a larger set that is recovered in parts. Parts that begin
            at the batch boundaries of the whole give the results of the whole.
        progress: show a line with the steps made, and the time left.
        on_step: called with the state of each batch, first before its first step (after it, under
            a constraint) and then after each; if it returns true, the batch ends there.

    Returns:
        The best code of each image, in the order of ``x``.

    Raises:
        InputError: for images whose size or range is not the generator's, a regulariser or
            constraint that the prior does not allow, or a number out of its range.
        AllRestartsDiverged: if no restart of some image had a finite loss; the error carries the
            recovery of the other images. Single restarts that diverge are only counted.

    Example::

        recovery = recover(generator, x, Normal(256), Wasserstein(), weight=0.1)
        recovery.codes, recovery.images, recovery.losses
    """
    x = as_input(x, None, "target images")
    x = x.clone() if x.is_inference() else x
    condition = condition.clone() if isinstance(condition, Tensor) else condition
    descent = Descent(
        differentiable(generator),
        differentiable(prior),
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
        result,
        shared_step_count,
        patience,
    )
    if x.ndim < 2 or len(x) < 1:
        raise InputError(f"expected at least 1 target image, got shape {tuple(x.shape)}")
    if condition is not None and (not isinstance(condition, Tensor) or len(condition) != len(x)):
        given = len(condition) if isinstance(condition, Tensor) else type(condition).__name__
        raise InputError(f"expected {len(x)} conditions, as many as images, got {given}")
    size = max(1, codes_at_once // restarts)
    parts: list[Recovery] = []
    diverged: list[int] = []
    with Steps(-(-len(x) // size) * steps, shown=progress) as told:
        for begin in range(0, len(x), size):
            batch = slice(begin, begin + size)
            part = descent.run(
                x[batch],
                () if condition is None else (condition[batch],),
                first + begin,
                stream(f"recovery/{first + begin}", seed, device=prior.device),
                told,
                on_step,
            )
            found = part.diverged < restarts
            diverged += part.indices[~found].tolist()
            parts.append(part.where(found))
    recovery = Recovery.join(parts)
    if diverged:
        raise AllRestartsDiverged(diverged, recovery if len(recovery) else None)
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
    result: Literal["best", "last"]
    shared_step_count: bool
    patience: int | None

    def __post_init__(self) -> None:
        if self.weight == "typical":
            named = self.regularizer
            if not isinstance(named, Wasserstein) or named.order != 1 or named.draws is not None:
                raise InputError(
                    'weight="typical" bounds the Wasserstein distance of order 1: give '
                    "regularizer=Wasserstein(), or a number"
                )
            if self.constraint is not None:
                raise InputError('weight="typical" is itself a constraint and cannot take another')
        if not isinstance(self.prior, Prior):
            raise InputError(
                f"expected a prior of lightning_gans.priors, got a {type(self.prior).__name__}; "
                "wrap a torch distribution as Independent(dim, distribution)"
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
        told: Steps,
        on_step: Callable[[DescentStep], bool] | None = None,
    ) -> Recovery:
        """Recover one batch of images x (n, *shape), all restarts at once."""
        begun = time.perf_counter()
        n, r = len(x), self.restarts
        penalized_by = self.regularizer.networks() if self.regularizer else []
        with frozen(self.generator, *self.loss.networks(), *penalized_by):
            x, conditions = self._check(x, conditions)
            z = self.start.codes(x, r, self.prior, random).flatten(0, 1).requires_grad_()
            targets, *each = (values.repeat_interleave(r, 0) for values in (x, *conditions))
            # views of z
            parts = list(torch.split(z.detach(), r)) if self.shared_step_count else [z]
            adam = torch.optim.Adam(parts, lr=self.lr, betas=self.betas, fused=True)
            if self.shared_step_count:
                for image, part in enumerate(parts, first):
                    adam.state[part] = self._state(part, image)
            best = BestSoFar(z, self.result == "last")
            typicality = Typicality(self.prior, n * r, random) if self.weight == "typical" else None
            # the first codes have not met the constraint, so they must not be the result
            unconstrained = typicality is None and self.constraint is None

            for step in range(self.steps + 1):
                pace()
                last = step == self.steps or best.on_plateau(self.patience)
                with torch.set_grad_enabled(not last):
                    total, reconstruction = self._losses(z, targets, each, random)
                    objective = total.sum()  # each code only enters its own loss
                eligible = unconstrained or step > 0
                best.update(z, total, reconstruction, eligible)
                stops = (
                    eligible and on_step is not None and on_step(best.state(step, self.steps, n))
                )
                if last or stops:
                    break
                (z.grad,) = torch.autograd.grad(objective, z)
                best.exclude(~z.grad.isfinite().all(1))
                z.grad[best.diverged] = 0
                for part, slope in zip(parts, torch.split(z.grad, len(parts[0])), strict=True):
                    part.grad = slope
                adam.step()
                if self.constraint is not None:
                    self._constrain(z, adam, random)
                if typicality is not None:
                    z.data.copy_(typicality.project(z))
                told.made()

            chosen, rows = best.chosen(n)
            codes, total, reconstruction = (
                values[rows] for values in (best.codes, best.total, best.reconstruction)
            )
            with torch.no_grad():
                if self.weight == "typical":
                    # the lowest losses are not a random choice of codes: match these once more
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
            diverged=best.diverged.view(n, r).sum(1).cpu(),
            indices=torch.arange(first, first + n),
            seconds=time.perf_counter() - begun,
        )

    def _state(self, z: Tensor, image: int) -> dict[str, Tensor]:
        """Adam's state before it descends from the codes of an image, after all images before."""
        made = torch.tensor(float(image * self.steps), dtype=torch.float32, device=z.device)
        return {
            "step": made,
            "exp_avg": torch.zeros_like(z),
            "exp_avg_sq": torch.zeros_like(z),
        }

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
            (group,) = adam.param_groups
            parts: list[Tensor] = group["params"]
            for part, there in zip(parts, torch.split(drawn, len(parts[0])), strict=True):
                for moment in ("exp_avg", "exp_avg_sq"):
                    adam.state[part][moment][there] = 0

    def _check(
        self, x: Tensor, conditions: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The targets and conditions on the codes' device and in their precision.

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
                    f"the generator does not take latents of {self.prior.dim} elements"
                    f"{' and a condition' if conditions else ''}: {' '.join(str(error).split())}"
                ) from error
        check_images(x, tuple(made.shape[1:]), "target images")
        return x, tuple(conditions_there)


class BestSoFar:
    """The best code of each restart up to now, or the last.

    Args:
        z: first codes (n, L).
        last: whether a later code is preferred to a better one.

    Attributes:
        codes: (n, L).
        total: (n,), the loss of ``codes``; infinite for restarts that diverged.
        reconstruction: (n,), their reconstruction loss.
        diverged: (n,), whether a loss or gradient was non-finite at some step.
    """

    def __init__(self, z: Tensor, last: bool = False) -> None:
        self.last = last
        self.codes = z.detach().clone()
        self.total = z.new_full((len(z),), torch.inf, requires_grad=False)
        self.reconstruction = self.total.clone()
        self.diverged = torch.zeros_like(self.total, dtype=torch.bool)
        self._trace: list[Tensor] = []
        self._reference = self.total.clone()
        self._steps_without_gain = 0

    @torch.no_grad()
    def update(self, z: Tensor, total: Tensor, reconstruction: Tensor, eligible: bool) -> None:
        """Record the losses (n,) of codes (n, L); keep those that are preferred, if eligible."""
        self.exclude(~total.isfinite())
        better = (total < self.total) | self.last
        better &= ~self.diverged & eligible
        torch.where(better[:, None], z, self.codes, out=self.codes)
        self.total = torch.where(better, total, self.total)
        self.reconstruction = torch.where(better, reconstruction, self.reconstruction)
        self._trace.append(total.detach().clone())
        # compared with the last loss that counted as a gain, so that slow progress adds up to one
        gained = better & ~(total > self._reference * (1 - PLATEAU))
        self._reference = torch.where(gained, total, self._reference)
        self._steps_without_gain = 0 if gained.any() else self._steps_without_gain + 1

    def exclude(self, rows: Tensor) -> None:
        """Mark rows (n,) as diverged; they can no longer be the best."""
        self.diverged = self.diverged | rows
        self.total = self.total.masked_fill(self.diverged, torch.inf)

    def chosen(self, n: int) -> tuple[Tensor, Tensor]:
        """The best restart of each of n images, (n,), and its row among all codes, (n,)."""
        losses = self.total.view(n, -1)
        found = losses.argmin(1)
        return found, torch.arange(n, device=found.device) * losses.shape[1] + found

    def state(self, made: int, steps: int, n: int) -> DescentStep:
        """Of n images, after some of the steps."""
        _, rows = self.chosen(n)
        return DescentStep(
            made, steps, self.codes[rows], self.total[rows], self.reconstruction[rows]
        )

    def on_plateau(self, patience: int | None) -> bool:
        """Whether no code has improved in the last ``patience`` steps."""
        return patience is not None and self._steps_without_gain >= patience

    def trace(self, length: int) -> Tensor:
        """Total losses at each step, (n, length), padded with NaN."""
        found = torch.stack(self._trace, 1)
        return torch.nn.functional.pad(found, (0, length - found.shape[1]), value=torch.nan)
