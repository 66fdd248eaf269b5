"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lightning_gans.trust import trusting

# small networks are slower on several threads than on one
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs and caches of a test land in its own folder; a seed set by one test is not another's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "LIGHTNING_GANS_RUN"):
        monkeypatch.delenv(name, raising=False)
    # networks that tests define are their own, as a person's are
    with trusting([path.stem for path in Path(__file__).parent.glob("*.py")]):
        yield
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "LIGHTNING_GANS_RUN"):
        os.environ.pop(name, None)
