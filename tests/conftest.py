"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

# small networks are slower on several threads than on one
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs and caches of a test land in its own folder; a seed set by one test is not another's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "LIGHTNING_GANS_RUN"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "LIGHTNING_GANS_RUN"):
        os.environ.pop(name, None)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Forty grey images of 16 × 16."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = torch.randint(0, 256, (40, 16, 16), generator=torch.Generator().manual_seed(0))
    for index, image in enumerate(pixels.to(torch.uint8).numpy()):
        Image.fromarray(image).save(folder / f"{index:02}.png")
    return folder
