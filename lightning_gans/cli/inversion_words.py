"""From what a person types after ``invert.py`` to options. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_gans.cli.pairs import SWITCHES, pairs, unknown_option
from lightning_gans.cli.words import existing, find

# parts that are named by their class: ``constraint=hard_cutoff`` is HardCutoff
PARTS = ("regularizer", "constraint", "loss")
# groups of config files
GROUPS = ("inversion", "data")
PLAIN = (
    "config",
    "ckpt",
    "images",
    "n",
    "weight",
    "steps",
    "restarts",
    "lr",
    "betas",
    "start",
    "category",
    "classifier",
    "probe",
    "keep_moments",
    "patience",
    "codes_at_once",
    "seed",
    "devices",
    "num_nodes",
    "accelerator",
)
# what people say, and where it is
ALIASES = {"regularizer.weight": "weight", "regulariser": "regularizer", "ckpt_path": "ckpt"}


@dataclass(frozen=True)
class Request:
    """A command line of ``invert.py``, understood.

    Attributes:
        options: what the parser is given.
        data: the file that says which data; None if none was named.
    """

    options: tuple[str, ...]
    data: Path | None


def understand_inversion(arguments: Sequence[str], configs: Path) -> Request:
    """Translate a command line; files of groups come before single values, whatever their order.

    Raises:
        UsageError: for a name, option or file that does not exist, with what does.
    """
    files: dict[str, str] = {}
    settings: list[str] = []
    for word, value in pairs(arguments, SWITCHES):
        bare = word.removeprefix("--")
        key = ALIASES.get(bare, bare)
        if word.partition("=")[0] in SWITCHES:
            settings.append(word)
        elif key in GROUPS:
            files[key] = existing(str(find(key, value, configs)))
        elif key == "regularizer":
            # its discriminator is the model's: no option could give it
            fool = class_path(value) == class_path("fool_discriminator")
            settings.append(f"--fool_discriminator={str(fool).lower()}")
            settings.append(f"--regularizer={'null' if fool else class_path(value)}")
        elif key in PARTS:
            settings.append(f"--{key}={class_path(value)}")
        elif key in PLAIN or key.partition(".")[0] in (*PARTS, "data"):
            settings.append(f"--{key}={value}")
        else:
            raise unknown_option(key, [*PLAIN, *PARTS, *GROUPS], "regularizer.draws")
    # a part is named before its own options are set
    settings.sort(key=lambda option: "." in option.partition("=")[0])
    chosen = [f"--config={files['inversion']}"] if "inversion" in files else []
    data = Path(files["data"]) if "data" in files else None
    return Request((*chosen, *settings), data)


def class_path(name: str) -> str:
    """The import path that a part's name means; a path of the user's own is left as it is."""
    if name in ("none", "null"):
        return "null"
    if "." in name:
        return name
    camel = name if name[:1].isupper() else "".join(p[:1].upper() + p[1:] for p in name.split("_"))
    return f"lightning_gans.inversion.{camel}"
