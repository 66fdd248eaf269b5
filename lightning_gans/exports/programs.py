"""Networks as programs that run without this package: ONNX, and torch.export.

A program is kept only if it gives what the network gives, for batches of other sizes than the one
that it was traced with.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram, export

from lightning_gans.errors import UsageError, UserError, reason
from lightning_gans.exports.modules import TRACED, Part
from lightning_gans.threads import pace

# the largest difference of a program from its network, relative to values above 1
MOST = 1e-4
# what torch writes ONNX with, and what runs it for the comparison
ONNX = ("onnx", "onnxscript", "onnxruntime")
# sizes of batches that are compared, of which none is that of the traced one
COMPARED = (1, 3, 4)

Run = Callable[[Sequence[Tensor]], list[Tensor]]


class Differs(UserError, ValueError):
    """A program gives something else than its network."""


def onnx_missing() -> list[str]:
    """The packages that ONNX needs and that are not installed."""
    return [name for name in ONNX if find_spec(name) is None]


def check_onnx() -> None:
    """Raise a UsageError unless the packages that ONNX needs are installed."""
    if missing := onnx_missing():
        raise UsageError(
            f"formats=onnx needs {', '.join(missing)}: pip install 'lightning_gans[export]'; or "
            "give formats=safetensors,torch"
        )


def traced(part: Part) -> ExportedProgram:
    """A network as operations on tensors, for batches of any size.

    Raises:
        UserError: if it cannot be traced.
    """
    n = Dim("n", min=1)
    sizes = tuple({0: n} for _ in part.inputs)
    with quietly(part, "export"):
        # what a network computes once and keeps is then a constant of the program, and is not kept
        # as a tensor without values, of which the network itself could make nothing afterwards
        with torch.no_grad():
            part.module(*part.example(TRACED))
        try:
            return export(part.module, part.example(TRACED), dynamic_shapes=sizes)
        # a network that calls len() or compares sizes may be traced as Python instead
        except Exception:
            return export(part.module, part.example(TRACED), dynamic_shapes=sizes, strict=True)


def write_onnx(part: Part, program: ExportedProgram, path: Path) -> float:
    """Write a network as an ONNX file.

    Returns:
        The largest difference from the network, over the size of values above 1.

    Raises:
        UsageError: if a package is missing.
        UserError: if the network cannot be written.
        Differs: if the difference is above :data:`MOST`.
    """
    check_onnx()
    with quietly(part, "ONNX"):
        torch.onnx.export(
            program,
            (),
            path,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        session = onnx_session(path)

    def run(arguments: Sequence[Tensor]) -> list[Tensor]:
        named = dict(zip(part.inputs, (a.numpy() for a in arguments), strict=True))
        return [torch.from_numpy(np.asarray(out)) for out in session.run(None, named)]

    return difference(part, run, path)


def onnx_session(path: Path) -> Any:
    """What runs an ONNX file, on as many threads as torch."""
    onnxruntime = import_module("onnxruntime")  # an extra
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def write_torch(part: Part, program: ExportedProgram, path: Path) -> float:
    """Write a network as a ``.pt2`` file, which ``torch.export.load`` reads without its classes.

    Returns:
        As :func:`write_onnx`.

    Raises:
        UserError: if the network cannot be written.
        Differs: if the difference is above :data:`MOST`.
    """
    with quietly(part, "torch.export"):
        torch.export.save(program, path)
        loaded = torch.export.load(path).module()
    return difference(part, lambda arguments: list(loaded(*arguments)), path)


@torch.no_grad()
def difference(part: Part, run: Run, path: Path) -> float:
    """The largest difference of a program from its network, over the size of values above 1.

    Raises:
        Differs: if it is above :data:`MOST`, or not a number.
    """
    worst = 0.0
    for n in COMPARED:
        arguments = part.example(n)
        expected = part.module(*arguments)
        for name, own, theirs in zip(part.outputs, expected, run(arguments), strict=True):
            if own.shape != theirs.shape:
                raise Differs(
                    f"{path.name} gives {name} of shape {tuple(theirs.shape)}, the network "
                    f"{tuple(own.shape)}; it is not kept"
                )
            apart = float(((own - theirs).abs() / own.abs().clamp(min=1)).max())
            if not apart <= MOST:
                raise Differs(
                    f"{path.name} differs from the network by {apart:.2g} in {name}, more than "
                    f"{MOST:g}, and is not kept; leave {path.suffix} out of formats, and report it"
                )
            worst = max(worst, apart)
        pace()
    return worst


@contextmanager
def quietly(part: Part, what: str) -> Iterator[None]:
    """Keep torch's notes on its own progress off the console; an error has one line.

    Raises:
        UserError: for whatever torch raises.
    """
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    # torch refuses what it cannot trace with errors of any class
    except Exception as error:
        raise UserError(
            f"the {part.name} cannot be written for {what}: {reason(error):.300}; choose other "
            "formats, such as formats=safetensors"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
