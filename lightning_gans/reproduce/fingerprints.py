"""Hashes by which trainings and measurements are found again.

A training is the same if its merged config, its seed and the code that decides its numbers are.
That code is the version of the package, and the source of each module that the classes in the
config need, followed through imports. Comments, docstrings and the rooms in :data:`NEUTRAL` (the
command line, the folders of runs, messages) change no number, and no hash.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from lightning_gans import __version__
from lightning_gans.signatures import PACKAGE, file_of, find_definition, imports_of, parse

# the rooms whose code changes no number; that of a new room counts until it is listed here
NEUTRAL = (
    *(
        "text",
        "paths",
        "errors",
        "files",
        "yaml_loader",
        "safe_yaml",
        "status_line",
        "quick_imports",
        "trust",
    ),
    *("freed_memory", "ranges", "signatures", "threads", "plots", "runs", "exports", "app", "cli"),
)
# what every training uses, whatever its config names
ALWAYS = ("lightning_gans.callbacks.ema", "lightning_gans.callbacks.evaluation")
# the parts of a merged config that decide where a run writes and what it shows
_SHOWN = (
    *("pictures", "wandb", "ckpt_path", "verbose", "weights_only", "return_predictions"),
    "threads",
)
_SHOWN_OF_TRAINER = (
    *("logger", "default_root_dir", "enable_progress_bar", "enable_model_summary"),
    *("log_every_n_steps", "profiler"),
)
_SHOWN_OF_DATA = ("workers", "download")
LENGTH = 16


def hash_of(value: object) -> str:
    """A short hash of plain data; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    # the name of a file may have bytes that are no text
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:LENGTH]


def training_hash(config: Mapping[str, Any], seed: int, root: str) -> str:
    """The hash of a training.

    Args:
        config: as ``train --print_config`` prints it.
        seed: of all its random numbers.
        root: the folder of the data sets, which may lie elsewhere another time.
    """
    kept = {key: value for key, value in config.items() if key not in _SHOWN}
    kept["trainer"] = _without(kept.get("trainer"), _SHOWN_OF_TRAINER)
    data = dict(kept.get("data") or {})
    data["init_args"] = _without(data.get("init_args"), _SHOWN_OF_DATA)
    if "root" in data["init_args"]:
        # which of the sets in it
        data["init_args"]["root"] = os.path.relpath(str(data["init_args"]["root"]), root)
    kept |= {"data": data, "seed_everything": seed}
    code = code_version([*class_paths(config), *ALWAYS])
    return hash_of({"config": kept, "code": code, "own": own_modules(config)})


def code_version(paths: Iterable[str]) -> str:
    """The package's version and a hash of the source that classes, functions or modules need."""
    found: dict[str, str] = {}
    waiting = [module for path in paths for module in _homes(path)]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found[module] = source_hash(module)
            waiting += needed(module)
    return f"{__version__}-{hash_of(found)}"


def class_paths(value: object) -> Iterator[str]:
    """The import paths of this package anywhere in a config."""
    yield from (text for text in texts_in(value) if text.startswith(f"{PACKAGE.name}."))


def own_modules(config: object) -> dict[str, str]:
    """Hashes of the modules in the working folder that a config names; not of what they import."""
    found = {}
    for text in texts_in(config):
        module = text.rpartition(".")[0]
        if module and all(part.isidentifier() for part in text.split(".")):
            folder = Path(*module.split("."))
            for file in (folder.with_suffix(".py"), folder / "__init__.py"):
                if file.is_file():
                    found[module] = sha256(file.read_bytes()).hexdigest()[:LENGTH]
    return found


def texts_in(value: object) -> Iterator[str]:
    """All texts in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(part)


@lru_cache
def needed(module: str) -> tuple[str, ...]:
    """The modules from which a module imports, where their names are defined."""
    file = file_of(module)
    assert file is not None
    found: dict[str, None] = {}
    for source, name, _ in imports_of(parse(file), module, file):
        found |= dict.fromkeys(_homes(f"{source}.{name}"))
    return tuple(found)


@lru_cache
def source_hash(module: str) -> str:
    """A hash of a module's code, without comments and docstrings."""
    file = file_of(module)
    assert file is not None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        if ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return sha256(ast.unparse(tree).encode()).hexdigest()[:LENGTH]


def _homes(path: str) -> list[str]:
    """The modules of the rooms that decide, in which a path is a module or is defined."""
    parts = path.split(".")
    if parts[0] != PACKAGE.name or len(parts) < 2 or parts[1] in NEUTRAL:
        return []
    if file_of(path) is not None:
        return [path]
    module, _, name = path.rpartition(".")
    defined = find_definition(module, name)
    if defined is not None:
        return [] if defined[0].split(".")[1] in NEUTRAL else [defined[0]]
    # a constant is where the module that is named has it, or imports it from
    return [module] if file_of(module) is not None else []


def _without(section: object, names: Iterable[str]) -> dict[str, Any]:
    given = section if isinstance(section, Mapping) else {}
    return {key: value for key, value in given.items() if key not in names}
