"""A stand-in for a GPU: torch's meta device, on which tensors have shapes but no values.

The CPU can submit work to a GPU without waiting for it, unless it needs a value that the GPU has
not computed yet, or copies memory in a way that waits. On the meta device there are no values, so
that each such place shows, on a machine without a GPU. Reads are answered with one or True, and
are recorded with the function of this package, or of Lightning, that asked for them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning.pytorch
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lightning_gans
from lightning_gans.rng import stream

# not by names of folders: a clone of this repository may be in one of any name
PACKAGE, LIGHTNING = (Path(module.__file__ or "").parent for module in (lightning_gans, lightning))
DEVICE = torch.device("meta")
INDEXING = {"index", "index_put", "index_put_"}
# their results have as many rows as there are values other than zero, which the CPU must learn
SIZED_BY_VALUES = {"nonzero", "masked_select", "unique", "_unique2", "repeat_interleave"}
# they make a tensor from numbers of the CPU, with a copy that waits for the device
FROM_NUMBERS = {"tensor", "as_tensor", "asarray", "new_tensor"}


class StandIn(Accelerator):
    """The accelerator of the meta device."""

    def setup_device(self, device: torch.device) -> None: ...

    def teardown(self) -> None: ...

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> list[torch.device]:
        return [DEVICE]

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [DEVICE]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "meta"


def trainer(*callbacks: Callback, **options: Any) -> Trainer:
    """A trainer whose model and batches are on the stand-in."""
    quiet: dict[str, Any] = {
        "strategy": SingleDeviceStrategy(DEVICE, StandIn()),
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "callbacks": list(callbacks),
    }
    return Trainer(**{**quiet, **options})


def on_device(value: object) -> bool:
    """Whether a value is a tensor on the stand-in."""
    return isinstance(value, Tensor) and value.device == DEVICE


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records where the CPU would wait for the device.

    Attributes:
        places: how often it waits in each place, as ``operation at file:function``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places: Counter[str] = Counter()
        self.numbers = _Numbers(self)

    def note(self, what: str) -> None:
        """Record a wait, at the innermost line of this package, otherwise of Lightning."""
        self.places[f"{what} at {_place()}"] += 1

    def __enter__(self) -> Waits:
        self.numbers.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.numbers.__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        leaves = tree_leaves((args, kwargs))
        if not any(map(on_device, leaves)):
            if name == "_to_copy" and _leads_to_device(kwargs) and not kwargs.get("non_blocking"):
                self.note("copy to the device")
            return func(*args, **kwargs)
        if name in ("_local_scalar_dense", "equal", "is_nonzero"):
            self.note("read")
            # one batch, one row, true
            return True if name != "_local_scalar_dense" or args[0].dtype == torch.bool else 1
        if name == "_to_copy" and kwargs.get("device", DEVICE) != DEVICE:
            self.note("copy from the device")
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name == "copy_":
            target, source = args[:2]
            if target.device != source.device and not (args[2:] and args[2]):
                # a number is passed to the kernel
                if not (source.ndim == 0 and on_device(target)):
                    self.note("copy between devices")
                return target
        if name in SIZED_BY_VALUES or (
            name in ("index", "index_put_", "index_put") and _masks(args)
        ):
            self.note(name)
            if name in ("index", "masked_select", "nonzero"):
                return args[0].new_zeros((1, *args[0].shape[1:]))
        if name in INDEXING and any(isinstance(i, Tensor) and not on_device(i) for i in args[1]):
            self.note("copy of indices to the device")
        if name == "multinomial" and (args[1] == 1 or not (args[2:] and args[2])):
            self.note("check of probabilities")
        return func(*args, **kwargs)


class _Numbers(TorchFunctionMode):
    """Notes tensors that are made on the device from numbers of the CPU.

    The copy takes place inside torch, where a ``TorchDispatchMode`` does not see it.
    """

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        data = args[1] if name == "new_tensor" else args[0] if args else None
        if name in FROM_NUMBERS and on_device(found) and not on_device(data):
            self.waits.note("copy of numbers to the device")
        return found


def _masks(args: Any) -> bool:
    """Whether an index is a mask of the device, of which the CPU must learn how many are set."""
    return any(on_device(i) and i.dtype in (torch.bool, torch.uint8) for i in args[1])


def _leads_to_device(kwargs: dict[str, Any]) -> bool:
    device = kwargs.get("device")
    return device is not None and torch.device(device) == DEVICE


def _place() -> str:
    """The innermost frame of this package, otherwise of Lightning, as ``file:function``."""
    innermost, frame = "elsewhere", sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        name = f"{path.name}:{frame.f_code.co_qualname}"
        if path.is_relative_to(PACKAGE):
            return name
        if path.is_relative_to(LIGHTNING) and innermost == "elsewhere":
            innermost = f"lightning/{name}"
        frame = frame.f_back  # type: ignore[assignment]
    return innermost


@contextmanager
def watched() -> Iterator[Waits]:
    """Within the block, models train on the stand-in, and waits are recorded."""
    autocast, rooms = torch.autocast, "lightning_gans.models.base"
    with (
        # it knows no stand-in, and has no random generator of its own
        patch.object(
            torch, "autocast", lambda d, *a, **k: autocast("cpu" if d == "meta" else d, *a, **k)
        ),
        patch(f"{rooms}.rng_state.stream", lambda purpose, rank=0, device="cpu": stream(purpose)),
        patch(f"{rooms}.adversarial.stream", lambda purpose, device="cpu": stream(purpose)),
        Waits() as waits,
    ):
        yield waits


class Watch(Callback):
    """Counts the waits between the ends of two iterations.

    Put it behind all other callbacks, whose work at the end of an iteration is then included.

    Args:
        waits: of the whole training.
        first: the iteration at whose end it begins.
        last: the iteration at whose end it stops.
    """

    def __init__(self, waits: Waits, first: int, last: int) -> None:
        self.waits, self.first, self.last = waits, first, last
        self.before: Counter[str] = Counter()
        self.found: Counter[str] = Counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.global_step == self.first:
            self.before = self.waits.places.copy()
        elif trainer.global_step == self.last:
            self.found = self.waits.places - self.before
