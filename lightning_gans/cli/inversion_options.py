"""The options of ``invert.py``, parsed."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Sequence
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser, Namespace

from lightning_gans import inversion
from lightning_gans.cli.errors import one_line, refusals
from lightning_gans.cli.inversion_words import PARTS, Request
from lightning_gans.cli.pairs import suggestion
from lightning_gans.data import DataModule
from lightning_gans.errors import UsageError
from lightning_gans.inversion import Constraint, Reconstruction, Regularizer, recover
from lightning_gans.runs.layout import CONFIG

# what recover takes that the command line gives in words of its own
APART: set[str | int] = {"generator", "x", "prior", "condition", "start", "first", "progress"}
# and what it takes from there
RECOVER = [name for name in inspect.signature(recover).parameters if name not in APART]


def parser() -> ArgumentParser:
    """All options, with the help of what they set."""
    made = ArgumentParser(prog="invert.py", exit_on_error=False)
    made.add_argument("--config", action="config", help="a YAML file of these options")
    made.add_argument("--ckpt", type=str, help="a run's folder, or a checkpoint")
    made.add_subclass_arguments(DataModule, "data", required=False)
    made.add_argument("--images", type=str | None, help="a folder of images, instead of data")
    made.add_argument("--n", type=int | None, help="how many images, the first; all without")
    made.add_argument("--start", type=str, default="prior", help="prior, zeros or encoder")
    made.add_argument("--category", type=int | None, help="of class-conditional models")
    made.add_argument("--classifier", type=str | None, help="'digits', or a Classifier's run")
    made.add_argument(
        "--fool_discriminator", type=bool, default=False, help="as the regulariser, the model's own"
    )
    made.add_argument("--probe", type=str | None, help="instead of the images: noise, shifted:4,0")
    made.add_argument("--devices", type=int, default=1, help="processes that share the images")
    made.add_argument("--num_nodes", type=int, default=1, help="machines")
    made.add_argument("--accelerator", type=str, default="auto", help="cpu, gpu, auto")
    made.add_function_arguments(recover, skip=APART)
    return made


def parse(request: Request) -> tuple[Namespace, Namespace]:
    """The settings, and the same with their objects made.

    Raises:
        UsageError: for an option or value that is wrong.
    """
    made = parser()
    check_names(request.options)
    try:
        settings = made.parse_args([*data_options(request), *request.options])
    except argparse.ArgumentError as error:
        known = [action.dest for action in made._actions]
        raise one_line(str(error), known) from None
    if settings.ckpt is None:
        raise UsageError("no model is named; give ckpt=RUN, a run's folder or a checkpoint")
    if settings.data is None and settings.images is None:
        raise UsageError("no images are named; give data=NAME or images=FOLDER")
    if settings.data is not None and settings.images is not None:
        raise UsageError("data and images are both named; give one of them")
    for name, least in (("n", 1), ("devices", 1), ("num_nodes", 1), ("restarts", 1)):
        if settings[name] is not None and settings[name] < least:
            raise UsageError(f"{name}={settings[name]}: expected at least {least}")
    with refusals():
        return settings, made.instantiate_classes(settings)


def check_names(options: Sequence[str]) -> None:
    """Refuse the name of a part of this package that there is not, with those there are."""
    for option in options:
        key, _, path = option.removeprefix("--").partition("=")
        home, _, name = path.rpartition(".")
        if key not in PARTS or home != "lightning_gans.inversion" or name in vars(inversion):
            continue
        base = {"regularizer": Regularizer, "constraint": Constraint, "loss": Reconstruction}[key]
        there = [
            name
            for name, value in vars(inversion).items()
            if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
        ]
        raise UsageError(
            f"there is no {key} '{name}'{suggestion(name, there)}; there are {', '.join(there)}"
        )


def data_options(request: Request) -> Sequence[str]:
    """The option that sets the data, from the file that says which."""
    if request.data is None:
        return ()
    section = (yaml.safe_load(request.data.read_text()) or {}).get("data")
    if not section:
        raise UsageError(f"{request.data} has no section 'data'")
    return (f"--data={json.dumps(section)}",)


def write(settings: Namespace, folder: Path) -> None:
    """Keep the settings of a run in its folder."""
    (folder / CONFIG).write_text(parser().dump(settings, skip_unset=False))
