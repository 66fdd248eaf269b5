"""Numbers out of range, for every number of every public constructor and command."""

from __future__ import annotations

import inspect
import math
import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import lightning_gans
from lightning_gans.models import DLSGAN, GAN
from lightning_gans.optimizers import AdamW
from lightning_gans.ranges import (
    OutOfRange,
    PositiveInt,
    Width,
    annotations_of,
    checked,
    describe,
    fits,
)

ROOMS = (
    "augmentation callbacks data distributed inversion losses metrics models networks ood "
    "optimizers priors"
)
FUNCTIONS = ["inversion.recover"]
COMMANDS = [
    *("app", "invert", "ood_score", "ood_table", "generate", "edit", "interpolate", "evaluate"),
    *("export", "info", "report", "compare", "reproduce_run", "wandb_view"),
]
# these are built by the package itself, from numbers that it has counted
INTERNAL = {
    *(
        "EpochShuffle",
        "Share",
        "ImageFiles",
        "CroppedImages",
        "Sample",
        "ImageParts",
        "Typicality",
        "PreparedImages",
    ),
    *("RealStatistics", "ForwardPasses", "Scorer", "AllRestartsDiverged"),
    *("DecodedFiles", "Centred", "Bound"),
    *("Convolution", "Pointwise", "Piecewise"),
}

NEVER: list[object] = [math.nan, math.inf, -math.inf, "abc", "", "3", True, 10**30, [], {}]
# the numbers that may be negative: ends of intervals, means and gains
SIGNED = {"mean", "low", "high", "gain", "real", "fake", "centres", "strength", "bias"}
# the whole numbers of which nothing is allocated: iterations, intervals and sizes of parts
UNBOUNDED = {
    *("every", "rise", "warmup", "penalty_interval", "critic_steps", "k", "density_k", "block"),
    *("check_every", "steps", "restarts", "patience", "codes_at_once", "first", "category", "n"),
    *("validation", "devices", "num_nodes", "held_out", "most_anomalous", "maps", "batch_size"),
    *("bootstrap", "folds", "fold", "subsets", "size", "seeds"),
}


def public_callables() -> Iterator[tuple[str, Callable[..., object]]]:
    """All classes with a constructor of their own, and the functions that are commands."""
    for room in ROOMS.split():
        package = import_module(f"lightning_gans.{room}")
        names = [package.__name__]
        if hasattr(package, "__path__"):
            found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
            names += [module.name for module in found if not module.name.endswith("__main__")]
        for name in names:
            for thing in vars(import_module(name)).values():
                if inspect.isclass(thing) and thing.__module__ == name and is_public(thing):
                    yield f"{room}.{thing.__name__}", thing
    for name in FUNCTIONS:
        room, _, function = name.partition(".")
        yield name, getattr(import_module(f"lightning_gans.{room}"), function)
    for name in COMMANDS:
        yield name, getattr(import_module(f"lightning_gans.workflows.{name}"), name)


def is_public(thing: type) -> bool:
    """Whether a class is built by users, with arguments of its own."""
    return (
        not thing.__name__.startswith("_")
        and thing.__name__ not in INTERNAL
        and "__init__" in vars(thing)
        and not hasattr(thing, "__dataclass_fields__")
        and not issubclass(thing, (BaseException, tuple))
        and not inspect.isabstract(thing)
    )


def numbers_of(target: Callable[..., object]) -> dict[str, Any]:
    """The parameters whose annotation is of numbers, with their types."""
    _, hints = annotations_of(target)
    return {name: hint for name, hint in hints.items() if "number" in describe(hint)}


TARGETS = dict(public_callables())
CASES = [(name, parameter) for name, target in TARGETS.items() for parameter in numbers_of(target)]


def call(target: Callable[..., object], parameter: str, value: object) -> object:
    """Call with one value, and something for every other argument that must be given."""
    signature, hints = annotations_of(target)
    arguments: dict[str, object] = {}
    for name, needed in signature.parameters.items():
        if needed.default is inspect.Parameter.empty and needed.kind not in (
            needed.VAR_POSITIONAL,
            needed.VAR_KEYWORD,
        ):
            hint = describe(hints[name]) if name in hints else ""
            text = ("x",) if "text" in hint else object()
            lists = (2,) if "numbers" in hint else text
            arguments[name] = lists if "list" in hint else 2 if "number" in hint else object()
    return target(**{**arguments, parameter: value})


def test_the_walk_finds_the_constructors() -> None:
    assert len(CASES) > 250
    assert {"models.GAN", "networks.MLPGenerator", "priors.Normal", "data.Gaussians"} <= set(
        TARGETS
    )
    assert ("models.GAN", "r1") in CASES
    assert ("callbacks.EMA", "warmup") in CASES


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_a_number_out_of_range_is_refused_by_name(name: str, parameter: str) -> None:
    target, hint = TARGETS[name], numbers_of(TARGETS[name])[parameter]
    kind = describe(hint)
    whole, is_list = "whole" in kind, kind.startswith("list")
    wrong = [value for value in NEVER if not (is_list and value == [])]
    wrong += [] if parameter in SIGNED else [-1]
    wrong += [1.5, 1e20] if whole else []
    wrong += [10**12] if whole and parameter not in UNBOUNDED else []
    wrong += [] if "null" in kind else [None]
    for value in wrong:
        for given in (value, *(((value, value),) if is_list else ())):
            with pytest.raises(ValueError, match=parameter) as caught:
                call(target, parameter, given)
            message = str(caught.value)
            assert message.startswith(f"{parameter}: expected "), value
            assert "got " in message
            assert "\n" not in message
            assert len(message) < 250


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_the_default_of_a_number_is_in_its_range(name: str, parameter: str) -> None:
    signature, hints = annotations_of(TARGETS[name])
    default = signature.parameters[parameter].default
    if default is not inspect.Parameter.empty:
        assert fits(default, hints[parameter])


def test_numbers_of_numpy_are_numbers() -> None:
    assert GAN(image_shape=(2,), latent_dim=np.int64(3), r1=np.float32(0.5)).r1 == 0.5  # type: ignore[arg-type]
    with pytest.raises(OutOfRange, match="latent_dim: expected whole number from 1"):
        GAN(image_shape=(2,), latent_dim=np.int64(0))  # type: ignore[arg-type]


def test_a_subclass_of_a_model_keeps_its_own_arguments() -> None:
    class Named(DLSGAN):
        def __init__(self, image_shape: tuple[int, ...], scale: PositiveInt = 3) -> None:
            super().__init__(image_shape=image_shape, latent_dim=2)
            self.scale = scale

    assert Named((2,)).hparams["scale"] == 3
    with pytest.raises(OutOfRange, match="scale: expected whole number ≥ 1, got 0"):
        Named((2,), scale=0)


def test_both_learning_rates_of_an_optimiser_are_checked_where_they_are_given() -> None:
    for settings, message in (
        ({"lr": -1.0}, "lr: expected number ≥ 0, got -1.0"),
        ({"lr": math.nan}, "lr: expected number ≥ 0, got nan"),
        ({"betas": (0.0, 1.0)}, r"betas: expected list of 2 numbers ≥ 0 and < 1, got \(0.0, 1.0\)"),
        ({"betas": (0.9,)}, r"betas: expected list of 2 numbers"),
        ({"weight_decay": -0.1}, "weight_decay: expected number ≥ 0, got -0.1"),
        ({"max_norm": 0}, "max_norm: expected number > 0 or null, got 0"),
    ):
        with pytest.raises(OutOfRange, match=message):
            AdamW([], **settings)


def test_a_wrong_call_is_still_the_functions_own_error() -> None:
    @checked
    def train(width: Width) -> int:
        return width

    assert train(4) == 4
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        train()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        train(4, depth=3)  # type: ignore[call-arg]


def test_a_number_of_thousands_of_digits_is_refused_in_a_short_line() -> None:
    with pytest.raises(OutOfRange, match="latent_dim: expected whole number") as caught:
        GAN(image_shape=(2,), latent_dim=10**6000)
    assert len(str(caught.value)) < 200


def test_ranges_are_read_without_torch() -> None:
    assert "torch" not in vars(lightning_gans.ranges)
