"""From what a person types after ``ood score`` to settings."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from lightning_gans.cli.errors import one_line
from lightning_gans.cli.inversion_options import data_options
from lightning_gans.cli.inversion_words import Request
from lightning_gans.cli.pairs import pairs, unknown_option
from lightning_gans.cli.words import existing, find, listing
from lightning_gans.data import DataModule
from lightning_gans.errors import UsageError
from lightning_gans.workflows.run_config import guarded, vetted

PLAIN = (
    "ckpt",
    "images",
    "score",
    "false_alarms",
    "held_out",
    "strangest",
    "out",
    "batch_size",
    "device",
)
# what people say, and where it is
ALIASES = {"ckpt_path": "ckpt", "calibration": "data"}
# of data, what changes no image
IRRELEVANT = ("batch_size", "workers", "download")


@dataclass(frozen=True)
class Words:
    """A command line of ``ood score``, taken apart.

    Attributes:
        options: single values, as the parser is given them.
        data: the file that says which data are held out; None if none was named.
    """

    options: Mapping[str, str]
    data: Path | None

    @property
    def given(self) -> bool:
        """Whether a person named the data; a key alone may say where the training's are now."""
        return self.data is not None


def understand_score(arguments: Sequence[str], configs: Path) -> Words:
    """Take a command line apart.

    Raises:
        UsageError: for a name, option or file that does not exist, with what does.
    """
    options: dict[str, str] = {}
    data = None
    for word, value in pairs(arguments):
        head, dot, rest = word.removeprefix("--").partition(".")
        key = ALIASES.get(head, head) + dot + rest
        if key == "data":
            data = Path(existing(str(find("data", value, configs))))
        elif key in PLAIN or key.startswith("data."):
            options[key] = value
        else:
            raise unknown_option(key, [*PLAIN, "data"], "data.root")
    return Words(options, data)


def parser() -> ArgumentParser:
    """All options."""
    made = ArgumentParser(prog="ood score", exit_on_error=False)
    made.add_subclass_arguments(DataModule, "data", required=False)
    made.add_argument("--ckpt", type=str)
    made.add_argument("--images", type=str)
    made.add_argument("--score", type=str | None)
    made.add_argument("--false_alarms", type=float, default=0.05)
    made.add_argument("--held_out", type=int | None)
    made.add_argument("--strangest", type=int, default=36)
    made.add_argument("--out", type=str | None)
    made.add_argument("--batch_size", type=int, default=250)
    made.add_argument("--device", type=str, default="auto")
    return made


def parse(words: Words, config: Path | None) -> tuple[ArgumentParser, Namespace]:
    """The settings, and the parser that makes objects of them.

    Args:
        words: the command line.
        config: the run's own, which says the data if the command line does not.

    Raises:
        UsageError: for an option or value that is wrong.
    """
    made = parser()
    file = words.data or config
    keys = [key for key in words.options if key.startswith("data.")]
    if file is None and keys:
        raise UsageError(
            f"{keys[0]}: of which data? No run's config beside the checkpoint tells; give data=NAME"
        )
    given = (f"--{key}={value}" for key, value in words.options.items())
    try:
        settings = parse_data(made, words.data, config, list(given))
    except argparse.ArgumentError as error:
        known = [action.dest for action in made._actions]
        raise one_line(str(error), known) from None
    if not 0 < settings.false_alarms < 1:
        raise UsageError(f"false_alarms={settings.false_alarms}: expected a share between 0 and 1")
    for name, least, most in (
        ("strangest", 0, 400),
        ("batch_size", 1, 1_000_000),
        ("held_out", 1, 1_000_000_000),
    ):
        if settings[name] is not None and not least <= settings[name] <= most:
            raise UsageError(f"{name}={settings[name]}: expected {least} to {most:,}")
    return made, settings


def parse_data(
    made: ArgumentParser, data: Path | None, config: Path | None, given: list[str]
) -> Namespace:
    """The settings; a run's config is looked through before anything that it names is imported.

    Raises:
        Untrusted: if it names a class that is not allowed.
        UsageError: if it has no data.
    """
    if data is not None or config is None:
        return made.parse_args([*data_options(Request((), data)), *given])
    typed = [option.partition("=")[2] for option in given]
    section = vetted(config, typed).get("data")
    if not section:
        raise UsageError(f"{config} has no section 'data'")
    with guarded(typed, str(config)):
        return made.parse_args([f"--data={json.dumps(section)}", *given])


def describe(settings: Namespace) -> str | None:
    """The data as JSON, always the same for the same images; None if there are none."""
    if settings.data is None:
        return None
    data = settings.data.as_dict()
    # what is not set may as well not be there: an option that a class gets later changes nothing
    arguments = {
        name: value
        for name, value in (data.get("init_args") or {}).items()
        if name not in IRRELEVANT and value is not None
    }
    described = {"class_path": data["class_path"], "init_args": arguments}
    return json.dumps(described, sort_keys=True, default=str)


def score_usage(configs: Path) -> str:
    """What ``ood score --help`` prints."""
    return "\n".join(
        [
            "python -m lightning_gans.ood score ckpt=RUN images=FOLDER [key=value ...]",
            "",
            "  python -m lightning_gans.ood score ckpt=runs/dlsgan/mnist/TIME images=scans",
            "  python -m lightning_gans.ood score ckpt=RUN images=scans score=nll+reconstruction",
            "  python -m lightning_gans.ood score ckpt=FILE.ckpt images=scans data=mnist "
            "data.root=data",
            "",
            "How strange each image is to a trained model, beside held-out images of its data.",
            "",
            "  score=             of the model, e.g. nll, reconstruction, typicality, softmax;",
            "                     nll+reconstruction joins two; nll if the model has it",
            "  false_alarms=0.05  the share of ordinary images that may be called OOD",
            "  data=              the held-out images, if not the run's validation images:",
            f"                     {listing('data', configs)}",
            "  data.root=         and other keys of the data; without data= of the run's own",
            "  held_out=10000     at most so many of them, drawn at random",
            "  strangest=36       so many on the contact sheet, 0 to 400",
            "  out=               a folder for the results, instead of a new one below runs",
            "  batch_size=250     images at once     device=auto|cpu|cuda",
            "  trust=my.module    whose classes the checkpoint and its run's config may name",
            "",
            "Held-out scores are kept beside the checkpoint, in NAME.ood.safetensors. Transparent",
            "parts of images show white; digits should be white on black, as MNIST's are.",
            "",
            "exit status: 0 all images were scored, 3 some could not be read, 1 none was scored,",
            "2 the command line was wrong",
        ]
    )
