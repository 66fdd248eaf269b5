"""From what a person types after ``invert.py`` to options. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_gans.cli.words import SWITCHES, existing, find, suggestion
from lightning_gans.errors import UsageError

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
    words = list(arguments)
    files: dict[str, str] = {}
    settings: list[str] = []
    while words:
        word = words.pop(0)
        key, equals, value = word.partition("=")
        if key in SWITCHES:
            settings.append(word)
            continue
        if not key.startswith("-") and not equals:
            raise UsageError(f"expected key=value or --key=value, got '{word}'")
        if not equals:
            if not words:
                raise UsageError(f"the option {word} has no value: write {word}=VALUE")
            value = words.pop(0)
        key = key.removeprefix("--")
        key = ALIASES.get(key, key)
        if key in GROUPS:
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
            known = [*PLAIN, *PARTS, *GROUPS]
            raise UsageError(
                f"there is no option '{key}'{suggestion(key, known)}; options are "
                f"{', '.join(known)}, and dotted keys such as regularizer.draws"
            )
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
