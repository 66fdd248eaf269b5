"""Data-parallel training of a model whose players each have an optimiser.

Lightning, ``torchrun`` or SLURM starts the processes, and Lightning connects them through
``torch.distributed``. The strategy decides when they communicate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.plugins import TorchSyncBatchNorm
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from lightning_gans.distributed.collectives import (
    average_gradients,
    broadcast_from_rank_zero,
    first_difference,
)
from lightning_gans.distributed.sync_batch_norm import SyncBatchNorm
from lightning_gans.errors import UserError
from lightning_gans.ranges import NonNegativeInt, PositiveFloat, checked


class ProcessesDiffer(UserError, RuntimeError):
    """A parameter or buffer is not the same in all processes."""


class GANDDP(DDPStrategy):
    """Data-parallel training of games: ``trainer.strategy=gan_ddp``.

    At the end of each turn, the gradients of the acting player's parameters are averaged over all
    processes; those of other players are left alone. The model is not wrapped, so a turn may
    run its networks in any order and any number of times, including penalties with second
    derivatives, and no search for unused parameters is needed (Lightning #20328, #18086). A
    module that takes no turns calls :meth:`average_gradients` before each step itself.

    Each process gets its share of a batch, and losses are means over rows. Training is therefore
    equal to that of one process with the whole batch, except for layers that depend on several
    rows. Traced buffers (v, P(C)) are updated with all rows. ``BatchStdLinear`` depends on the rows
    of its process only, and so does batch norm unless ``trainer.sync_batchnorm`` is set.

    Args:
        bucket: megabytes of gradients that are sent at once, which limits the memory for copies.
        check_every: iterations between bitwise comparisons of parameters and buffers over the
            processes; 0 disables them. Statistics of batch norm are not compared, because each
            process has its own.
        minutes: timeout of a process that waits for another.
        process_group_backend: ``nccl`` on GPUs and ``gloo`` on the CPU by default.
    """

    strategy_name = "gan_ddp"

    @checked
    def __init__(
        self,
        bucket: PositiveFloat = 64.0,
        check_every: NonNegativeInt = 1000,
        minutes: PositiveFloat = 30.0,
        process_group_backend: str | None = None,
        **environment: Any,
    ) -> None:
        super().__init__(
            timeout=timedelta(minutes=minutes),
            process_group_backend=process_group_backend,
            **environment,
        )
        self.bucket, self.check_every = bucket, check_every
        self.checked_at = 0

    @override
    def setup(self, trainer: Trainer) -> None:
        """Use a synchronised batch norm that can be differentiated twice."""
        if isinstance(self._layer_sync, TorchSyncBatchNorm):
            self._layer_sync = SyncBatchNorm()
        super().setup(trainer)

    @override
    def configure_ddp(self) -> None:
        """Start from the weights and buffers of the first process, without wrapping the model."""
        assert self.lightning_module is not None
        broadcast_from_rank_zero(state_tensors(self.lightning_module))
        self.checked_at = self.lightning_module.global_step

    def average_gradients(self, parameters: Sequence[Tensor], finite: bool) -> bool:
        """Replace the gradients of one player's parameters by their means over the processes.

        Args:
            parameters: of the player whose turn it is.
            finite: whether its loss is finite in this process.

        Returns:
            Whether it is in all processes.

        Raises:
            ProcessLost: if another process does not respond.
            ProcessesDiffer: if a comparison finds a difference.
        """
        self._compare_processes()
        return average_gradients(parameters, finite, int(self.bucket * 2**20))

    def _compare_processes(self) -> None:
        module = self.lightning_module
        assert module is not None
        step = module.global_step
        if not self.check_every or step - self.checked_at < self.check_every:
            return
        self.checked_at = step
        name = first_difference(compared_tensors(module))
        if name is not None:
            raise ProcessesDiffer(
                f"after {step} iterations '{name}' is not the same in all processes; draw shared "
                "random numbers from lightning_gans.rng.stream with rank 0, and update weights "
                "and buffers only with values that are the same in all processes"
            )

    def on_validation_start(self) -> None:
        """Use the batch norm statistics of the first process in all processes."""
        self._broadcast_batch_norm_statistics()

    def on_test_start(self) -> None:
        """As for validation."""
        self._broadcast_batch_norm_statistics()

    def on_predict_start(self) -> None:
        """As for validation."""
        self._broadcast_batch_norm_statistics()

    def _broadcast_batch_norm_statistics(self) -> None:
        assert self.lightning_module is not None
        for module in self.lightning_module.modules():
            if isinstance(module, _BatchNorm):
                broadcast_from_rank_zero(module.buffers())


def state_tensors(module: nn.Module) -> Iterator[Tensor]:
    """The tensors that are the same in all processes at the start."""
    yield from module.parameters()
    yield from module.buffers()


def compared_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors that must be the same in all processes at any time, by name."""
    yield from module.named_parameters()
    for prefix, part in module.named_modules():
        if not isinstance(part, _BatchNorm):
            yield from part.named_buffers(prefix, recurse=False)


# makes the name known to the Trainer
if GANDDP.strategy_name not in StrategyRegistry:
    StrategyRegistry.register(
        GANDDP.strategy_name, GANDDP, description="players with an optimiser each"
    )
