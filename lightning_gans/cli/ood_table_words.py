"""From what a person types after ``ood table`` to settings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentParser, Namespace

from lightning_gans.cli.errors import one_line
from lightning_gans.cli.inversion_options import data_options
from lightning_gans.cli.inversion_words import Request
from lightning_gans.cli.pairs import pairs, unknown_option
from lightning_gans.cli.words import existing, find, listing
from lightning_gans.data import DataModule
from lightning_gans.errors import UsageError

PLAIN = (
    "n",
    "near",
    "scores",
    "auroc",
    "bootstrap",
    "folds",
    "seed",
    "out",
    "batch_size",
    "device",
)
# what people say, and where it is
ALIASES = {"ckpt_path": "ckpt", "score": "scores", "fold": "data.fold"}
# what stands for the fold's number in a checkpoint's path
FOLD = "{fold}"


@dataclass(frozen=True)
class Words:
    """A command line of ``ood table``, taken apart.

    Attributes:
        checkpoints: of the models, as typed.
        options: single values, as the parser is given them.
        data: the file that says which data.
    """

    checkpoints: tuple[str, ...]
    options: tuple[str, ...]
    data: Path


def understand_table(arguments: Sequence[str], configs: Path) -> Words:
    """Take a command line apart; ``ckpt=`` may be given several times.

    Raises:
        UsageError: for a name, option or file that does not exist, with what does.
    """
    checkpoints: list[str] = []
    options: list[str] = []
    data = None
    for word, value in pairs(arguments):
        bare = word.removeprefix("--")
        key = ALIASES.get(bare, bare)
        if key == "ckpt":
            checkpoints.append(value)
        elif key == "data":
            data = Path(existing(str(find("data", value, configs))))
        elif key in PLAIN or key.startswith("data."):
            options.append(f"--{key}={value}")
        else:
            raise unknown_option(key, ["ckpt", "data", *PLAIN], "data.root")
    if not checkpoints:
        raise UsageError("no model is named; give ckpt=RUN, a run's folder or a checkpoint")
    if data is None:
        raise UsageError("no data are named; give data=mnist_ood or data=celeba_ood")
    return Words(tuple(checkpoints), tuple(options), data)


def parser() -> ArgumentParser:
    """All options but the checkpoints."""
    made = ArgumentParser(prog="ood table", exit_on_error=False)
    made.add_subclass_arguments(DataModule, "data", required=True)
    made.add_argument("--n", type=int, default=10_000)
    made.add_argument("--near", type=float | None)
    made.add_argument("--scores", type=str | None)
    made.add_argument("--auroc", type=Literal["exact", "coarse"], default="exact")
    made.add_argument("--bootstrap", type=int, default=1000)
    made.add_argument("--folds", type=int | None)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--out", type=str | None)
    made.add_argument("--batch_size", type=int, default=250)
    made.add_argument("--device", type=str, default="auto")
    return made


def parse(words: Words, fold: int | None = None) -> tuple[ArgumentParser, Namespace]:
    """The settings, and the parser that makes objects of them.

    Args:
        words: the command line.
        fold: of the data, if it is not for the command line to say.

    Raises:
        UsageError: for an option or value that is wrong.
    """
    made = parser()
    chosen = () if fold is None else (f"--data.fold={fold}",)
    try:
        settings = made.parse_args(
            [*data_options(Request((), words.data)), *words.options, *chosen]
        )
    except argparse.ArgumentError as error:
        known = [action.dest for action in made._actions]
        raise one_line(str(error), known) from None
    for name, least in (("n", 10), ("bootstrap", 0), ("folds", 2), ("seed", 0), ("batch_size", 1)):
        if settings[name] is not None and settings[name] < least:
            raise UsageError(f"{name}={settings[name]}: expected at least {least}")
    if settings.near is not None and not 0 <= settings.near <= 1:
        raise UsageError(f"near={settings.near}: expected a share from 0 to 1")
    for path in words.checkpoints:
        if (settings.folds is None) == (FOLD in path):
            raise UsageError(
                f"ckpt={path}: {FOLD} in a path stands for the fold's number and goes with folds=7"
            )
    return made, settings


def table_usage(configs: Path) -> str:
    """What ``ood table --help`` prints."""
    return "\n".join(
        [
            "python -m lightning_gans.ood table ckpt=RUN [ckpt=RUN2 ...] data=NAME [key=value ...]",
            "",
            "  python -m lightning_gans.ood table ckpt=runs/dlsgan/mnist/TIME data=mnist_ood "
            "data.root=data",
            "  python -m lightning_gans.ood table ckpt=runs/anodlsgan/fold{fold} folds=7 "
            "data=mnist_ood data.root=data",
            "",
            "How well scores of models tell sets of OOD images, far and near, from ID images.",
            "",
            f"  data=            mnist_ood or celeba_ood, of {listing('data', configs)}",
            "  data.root=       and other keys of the data",
            "  n=10000          at most so many ID images, and as many of each set",
            "  near=            share of the OOD image in near ones; 0.1 of digits, 0.5 of faces",
            "  scores=          nll,reconstruction and others; all that cost little without",
            "  auroc=exact      or coarse: thresholds at every tenth ID score, as in the thesis",
            "  bootstrap=1000   samples for the intervals; 0 for none",
            "  folds=7          {fold} in ckpt= is 0 to 6 and so is data.fold; means over folds",
            "  seed=0           of the bootstrap",
            "  out=             a folder for the results, instead of a new one below runs",
            "  batch_size=250   images at once     device=auto|cpu|cuda",
            "  trust=my.module  whose classes the checkpoints may name",
        ]
    )
