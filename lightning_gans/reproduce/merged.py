"""The merged config of a training of an item, as ``train --print_config`` prints it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from lightning_gans.errors import UserError
from lightning_gans.paths import is_file
from lightning_gans.reproduce.commands import Commands
from lightning_gans.reproduce.fingerprints import hash_of, texts_in
from lightning_gans.reproduce.kept import with_checksum, without_checksum
from lightning_gans.signatures import CONFIGS, PACKAGE
from lightning_gans.trust import (
    OPTIMIZERS,
    PACKAGE_NAME,
    Trust,
    current_trust,
    is_import_path,
    stock_loggers,
    within,
)


def merged_config(
    words: Sequence[str],
    origin: str,
    folder: Path,
    commands: Commands,
    vet: Callable[[Path], object],
) -> Any:
    """The merged config of a training, merged once for the same words and files.

    Args:
        words: of its command line.
        origin: whose words they are, for messages.
        folder: where merged configs are kept.
        commands: how commands are run.
        vet: raises an error for the file of a config that may not be loaded.

    Raises:
        UserError: if the words are refused, or import what is not trusted.
    """
    check_words(words, origin)
    named = [Path(word.partition("=")[2]) for word in words]
    own = [sha256(path.read_bytes()).hexdigest() for path in named if _is_config(path)]
    file = folder / f"{hash_of([*words, *own, sources_hash()])}.yaml"
    kept = without_checksum(file)
    text = kept or commands.output(["train", *words, "--print_config"])
    what = f"{origin}: its training '{shlex.join(words)}'"
    if text is None:
        raise UserError(f"{what} is refused; the line above says why")
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("trainer"), dict):
        raise UserError(f"{what} trains nothing; its words are those of train alone")
    if kept is None:
        with_checksum(file, text)
    vet(file)
    return config


def check_words(words: Sequence[str], origin: str) -> None:
    """Check that the words of a command line import nothing that is not trusted.

    Raises:
        UserError: for the first one that would.
    """
    for word in words:
        if word.lstrip("-").startswith("trust="):
            raise UserError(f"{origin}: '{word:.80}' is not an item's to give")
        for text in _values_in(word.partition("=")[2]):
            if _is_foreign(text):
                raise Trust.refusal(text, f"{origin}, in '{word:.80}',")


def _is_config(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and is_file(path)


def sources_hash() -> str:
    """A hash of the files that decide how a command line is merged into a config."""
    # a folder of configs may be a link
    own = [Path(at, f) for at, _, names in os.walk("configs", followlinks=True) for f in names]
    files = [*PACKAGE.rglob("*.py"), *CONFIGS.rglob("*.yaml"), *filter(_is_config, own)]
    content = sha256()
    for file in sorted({file.resolve() for file in files}):
        content.update(file.read_bytes())
    return content.hexdigest()


def _values_in(text: str) -> list[str]:
    """The texts in the value of an option, which may be YAML."""
    try:
        return [text, *texts_in(yaml.safe_load(text))]
    except (yaml.YAMLError, ValueError, RecursionError):
        return [text]


def _is_foreign(text: str) -> bool:
    """Whether a text would be taken for an import path that is not trusted."""
    first = text.partition(".")[0]
    return (
        is_import_path(text)
        and not _is_config(Path(text))
        and not current_trust().covers(text)
        and not any(within(text, module) for module in (PACKAGE_NAME, OPTIMIZERS))
        and text not in stock_loggers()
        # nothing is imported to find a module of no dots
        and (first in sys.modules or find_spec(first) is not None)
    )
