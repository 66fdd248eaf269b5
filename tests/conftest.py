"""What every test shares."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

# as many workers as cores, each on one thread: also small networks are slower on several. The
# variables are for this process, which imports torch below, and for those that tests start
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
# nohup and shells in the background have signals ignored, also by the programs that tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from PIL import Image  # noqa: E402

from lightning_gans.trust import trusting  # noqa: E402
from tests.support.figures import Figures  # noqa: E402

torch.set_num_threads(1)

# the same few examples each time: a test that fails now and then tells little of a change
settings.register_profile(
    "few",
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the one below, of every test
)
settings.load_profile("few")

FIGURES = Figures()
VARIABLES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "LIGHTNING_GANS_RUN", "LIGHTNING_GANS_CKPT")


@pytest.fixture(autouse=True, scope="session")
def few_figures() -> Iterator[None]:
    """Half of a short training's time would be the figure of its curves."""
    with FIGURES.left_out():
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that look at figures have them, and the fixtures that they are first to use."""
    FIGURES.drawn = item.get_closest_marker("figures") is not None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Free the models of slow tests, of which Python would keep twenty gigabytes for a while."""
    if item.get_closest_marker("slow") is not None:
        gc.collect()


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs and caches of a test land in its own folder; a seed set by one test is not another's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # networks that tests define are their own, as a person's are
    with trusting("tests"):
        yield
    for name in VARIABLES:
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
