"""Exported folders on the Hugging Face hub, and models from there.

``huggingface_hub`` is an extra: ``pip install 'lightning_gans[hub]'``. It keeps who one is; this
package reads no credentials.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from lightning_gans.errors import UsageError, UserError, reason
from lightning_gans.models import Model
from lightning_gans.models.base.load import load
from lightning_gans.paths import typed_path
from lightning_gans.runs.folder import (
    CALIBRATION,
    EXPORTED_CONFIG,
    EXPORTED_WEIGHTS,
    is_exported,
)

_REPOSITORY = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)
# what loading needs; pictures and programs are left on the hub
NEEDED = [EXPORTED_CONFIG, EXPORTED_WEIGHTS, f"*{CALIBRATION}"]


def from_pretrained(
    path_or_repo: str | Path,
    device: str | torch.device = "cpu",
    *,
    revision: str | None = None,
    trust: str | Sequence[str] = (),
) -> Model:
    """A trained model from a folder that ``export`` wrote, or from the hub, in eval mode.

    Weights and constructor are read as data: no code in them is run, and they may name only
    classes of this package and of modules that you trust.

    Args:
        path_or_repo: a folder, also a run's; or USER/NAME on the hub.
        device: the model's device.
        revision: a branch, tag or commit on the hub; the main branch by default.
        trust: your modules whose classes the model may name.

    Raises:
        UsageError: if it is neither a folder nor the name of a repository.
        UserError: if the hub cannot be reached, or there is no such model.
        UnreadableExport: if a file is missing or damaged.
        Untrusted: if the model names a class that is not allowed.
    """
    path = typed_path(str(path_or_repo))
    if path.exists():
        return load(path, device, trust=trust)
    repo = check_repository(str(path_or_repo), f"{path} does not exist")
    hub = required_hub()
    try:
        folder = Path(hub.snapshot_download(repo, revision=revision, allow_patterns=NEEDED))
    # of the network, of the hub, and of the disk
    except Exception as error:
        raise UserError(f"{repo} could not be read from the hub: {reason(error):.300}") from error
    if not is_exported(folder):
        raise UserError(
            f"{repo} holds no model of lightning_gans: it has no {EXPORTED_CONFIG} and "
            f"{EXPORTED_WEIGHTS}, which lightning-gans export writes"
        )
    return load(folder, device, trust=trust)


def push_to_hub(folder: str | Path, repo: str, *, private: bool = False) -> str:
    """Upload an exported folder as one commit; the repository is made if there is none.

    Args:
        folder: that ``export`` wrote.
        repo: USER/NAME.
        private: whether a new repository is hidden from others.

    Returns:
        The address of the commit.

    Raises:
        UsageError: if the folder is not an exported one, or the name is none.
        UserError: if huggingface_hub is missing, or the hub refuses.
    """
    root = typed_path(str(folder))
    check_repository(repo, "expected the name of a repository")
    if not is_exported(root):
        raise UsageError(
            f"{root} is not an exported folder: it has no {EXPORTED_WEIGHTS} and "
            f"{EXPORTED_CONFIG}; write one with lightning-gans export ckpt=RUN"
        )
    hub = required_hub()
    try:
        hub.create_repo(repo, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=repo, folder_path=str(root), commit_message="Export with lightning_gans"
        )
    except Exception as error:
        raise UserError(
            f"{repo} could not be written on the hub: {reason(error):.300}; the folder is complete "
            f"in {root}"
        ) from error
    return str(getattr(commit, "commit_url", commit))


def check_repository(repo: str, otherwise: str) -> str:
    """A name USER/NAME of a repository.

    Raises:
        UsageError: for another text.
    """
    if not _REPOSITORY.fullmatch(repo) or ".." in repo:
        raise UsageError(f"{repo}: {otherwise}; give an exported folder, or USER/NAME on the hub")
    return repo


def required_hub() -> Any:
    """The module huggingface_hub.

    Raises:
        UserError: if it is not installed.
    """
    try:
        return import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise UserError(
            "the hub needs huggingface_hub: pip install 'lightning_gans[hub]'"
        ) from None
