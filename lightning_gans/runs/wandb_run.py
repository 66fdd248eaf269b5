"""Which run of wandb a run's folder is. Imports nothing heavy.

``wandb.json`` in the folder names it, so that a resumed run stays one run in wandb. The config has
no part of it: whoever repeats a run from its config starts another one.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_gans.runs.atomic import set_aside, write_text
from lightning_gans.runs.folder import ROOT
from lightning_gans.runs.layout import CONFIG
from lightning_gans.safe_yaml import UnreadableConfig, read_mapping, subsection

FILE = "wandb.json"
PROJECT = "lightning_gans"
# arguments of wandb.init by which people find a run, and the variables that wandb reads for them
LABELS = {
    "name": "WANDB_NAME",
    "group": "WANDB_RUN_GROUP",
    "job_type": "WANDB_JOB_TYPE",
    "tags": "WANDB_TAGS",
    "notes": "WANDB_NOTES",
}
# larger ones are not a run's
_MAX_BYTES = 10_000
# what wandb accepts, without what would lead out of the folder that is named after it
_NAME = re.compile(r"(?!\.)[^\x00-\x1f\x7f/\\#?%:]{1,128}")


def labels(
    resumed: Path | None, typed: Mapping[str, Any], usual: Mapping[str, str]
) -> dict[str, Any]:
    """The arguments of ``wandb.init`` by which people find a run: its name, group, tags and so on.

    What is typed comes first, then wandb's environment variables, which wandb reads itself where an
    argument is None. Where there is neither, a new run gets what is usual; a resumed one keeps what
    it has, which somebody may have changed in wandb.

    Args:
        resumed: the folder of a run that is resumed there.
        typed: options and arguments of the logger.
        usual: by argument.
    """
    known = resumed is not None and bool(read(resumed))
    found = {}
    for key, variable in LABELS.items():
        default = None if known or os.environ.get(variable) else usual.get(key)
        found[key] = typed.get(key) or default
    return found


def arguments(resumed: Path | None, typed: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``wandb.init`` that say which run it is.

    What is typed comes first, then wandb's environment variables, then what the resumed run
    recorded. In a sweep, wandb's agent decides.

    Args:
        resumed: the folder of a run that is resumed there.
        typed: options and arguments of the logger that are not None.
    """
    resume = typed.get("resume")
    if resume in (None, "allow"):  # Lightning's default, which nobody typed
        resume = os.environ.get("WANDB_RESUME") or "allow"
    if os.environ.get("WANDB_SWEEP_ID"):
        return {"id": None, "project": None, "entity": None, "resume": resume}
    before = read(resumed) if resumed is not None else {}
    variables = {"id": "WANDB_RUN_ID", "project": "WANDB_PROJECT", "entity": "WANDB_ENTITY"}
    found: dict[str, Any] = {
        key: typed.get(key) or os.environ.get(variable) or before.get(key)
        for key, variable in variables.items()
    }
    return {**found, "project": found["project"] or PROJECT, "resume": resume}


def directory(run: Path) -> str:
    """Where wandb keeps its files: in the run's folder, unless ``WANDB_DIR`` is set."""
    return os.environ.get("WANDB_DIR") or str(run)


def is_of_a_run(folder: object) -> bool:
    """Whether a logger's ``save_dir`` is a run's folder: its config was written by that run.

    Versions up to 0.2.0 wrote wandb's id into it.
    """
    parts = Path(str(folder or ".")).parts
    return (len(parts) > 3 and parts[-4] == ROOT) or (Path(*parts) / CONFIG).is_file()


def write(run: Path, **names: str | None) -> None:
    """Record the id, the project and the entity of a run in wandb."""
    kept = {key: name for key, name in names.items() if is_name(name)}
    write_text(run / FILE, json.dumps(kept, indent=1) + "\n")


def read(run: Path) -> dict[str, str]:
    """The recorded id, project and entity of a run in wandb; {} if there are none.

    A folder may be untrusted. A file that is damaged is kept under another name.
    """
    file = run / FILE
    if not file.exists():
        return of_config(run)
    try:
        content = json.loads(file.read_bytes()[:_MAX_BYTES])
        if isinstance(content, dict) and is_name(content.get("id")):
            keys = ("id", "project", "entity")
            return {key: content[key] for key in keys if is_name(content.get(key))}
        reason = "it names no run of wandb"
    # damaged files are of any kind
    except (OSError, ValueError, RecursionError):
        reason = "it is damaged"
    set_aside(file, f"{reason}; wandb gets a new run")
    return {}


def of_config(run: Path) -> dict[str, str]:
    """The id of a run of version 0.1.0 or 0.2.0, from its config; {} if it has none."""
    try:
        config = read_mapping(run / CONFIG) if (run / CONFIG).is_file() else {}
    except UnreadableConfig as error:
        warnings.warn(f"{error}; if the run has an id in wandb, it is lost", stacklevel=2)
        return {}
    loggers = subsection(config, "trainer").get("logger") or []
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        path = str(logger.get("class_path")) if isinstance(logger, dict) else ""
        found = subsection(logger, "init_args")
        identity = found.get("version") or found.get("id")
        if path.endswith("WandbLogger") and is_name(identity):
            return {"id": str(identity)}
    return {}


def is_name(value: object) -> bool:
    """Whether a value can be a name in wandb, and part of a folder's name."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
