"""The wheel alone, without the checkout: its commands work in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from PIL import Image

from lightning_gans.cli import CONFIGS

ROOT = CONFIGS.parent
SMALL = [
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.limit_val_batches=2",
    "evaluation.features=null",
    "model.latent_dim=4",
    "model.generator.channels=2",
    "model.generator.max_channels=4",
    "model.discriminator.channels=2",
    "model.discriminator.max_channels=4",
]

pytestmark = pytest.mark.slow


@dataclass
class Installed:
    """An environment in which the wheel is installed, and a folder to work in."""

    programs: Path
    folder: Path

    def __call__(self, program: str, *argv: str) -> str:
        """Run a program of the environment; what it prints."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [self.programs / program, *argv],
            cwd=self.folder,
            env=kept,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a new environment; its dependencies are those of the tests."""
    place: Path = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(place / "dist"), str(ROOT)]
    subprocess.run(build, check=True)
    (wheel,) = (place / "dist").iterdir()
    venv.create(place / "venv", with_pip=False)
    programs = place / "venv" / ("Scripts" if os.name == "nt" else "bin")
    into = [
        *pip,
        "--python",
        str(programs / "python"),
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(into, check=True)
    # a path in a .pth file is searched, but .pth files in it are not read: an editable install of
    # the package among the tests' dependencies does not count
    (site,) = (place / "venv").glob("[Ll]ib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (place / "empty").mkdir()
    return Installed(programs, place / "empty")


@pytest.fixture(scope="module")
def run(installed: Installed) -> str:
    """A run's folder, trained by the installed command."""
    installed(
        "lightning-gans", "train", "model=dlsgan", "data=mnist5k", *SMALL, "trainer.max_steps=20"
    )
    (found,) = installed.folder.glob("runs/dlsgan/mnist5k/*")
    assert (found / "checkpoints" / "last-step=20.ckpt").is_file()
    return str(found.relative_to(installed.folder))


def test_the_package_is_the_wheels(installed: Installed) -> None:
    code = "import lightning_gans; print(lightning_gans.__file__)"
    file = Path(installed("python", "-c", code).strip())
    assert installed.programs.parent in file.parents
    names = {path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml")}
    found = file.parent / "configs"
    assert {path.relative_to(found) for path in found.rglob("*.yaml")} == names
    assert (file.parent / "py.typed").is_file()
    page = {path.name for path in (file.parent / "runs" / "page").iterdir()}
    assert page == {"report.html", "report.css", "report.js"}


def test_images_are_inverted(installed: Installed, run: str) -> None:
    before = set(installed.folder.rglob("*"))
    installed("lightning-gans", "invert", f"ckpt={run}", "data=mnist5k", "n=2", "steps=3")
    made = {path.name for path in set(installed.folder.rglob("*")) - before}
    assert {"report.md", "config.yaml"} <= made


def test_images_are_scored(installed: Installed, run: str) -> None:
    images = installed.folder / "scans"
    images.mkdir()
    for index in range(3):
        Image.new("L", (28, 28), 80 * index).save(images / f"{index}.png")
    before = set(installed.folder.rglob("*"))
    installed("lightning-gans", "ood", "score", f"ckpt={run}", "images=scans")
    made = {path.name for path in set(installed.folder.rglob("*")) - before}
    assert any(name.endswith(".csv") for name in made), made


def test_help_names_the_commands(installed: Installed) -> None:
    text = installed("python", "-m", "lightning_gans", "--help")
    for command in ("train", "invert", "ood score", "ood table"):
        assert command in text
    assert text == installed("lightning-gans", "--help")


def test_a_config_of_ones_own_is_found_and_listed(installed: Installed) -> None:
    mine = yaml.safe_load((CONFIGS / "model" / "gan.yaml").read_text())
    mine["model"]["init_args"]["latent_dim"] = 7
    file = installed.folder / "configs" / "model" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(mine))
    printed = installed("lightning-gans", "train", "model=mine", "--print_config")
    assert yaml.safe_load(printed)["model"]["init_args"]["latent_dim"] == 7
    assert re.search(r"\bmine\b", installed("lightning-gans", "train", "--help"))
