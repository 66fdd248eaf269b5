"""A user's own parts work from the command line and in Python, as CONTRIBUTING.md says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lightning_gans
from lightning_gans import inversion
from lightning_gans.cli import CONFIGS
from lightning_gans.errors import UserError
from lightning_gans.inversion import Recovery
from lightning_gans.models import AdversarialModule, Encodes, Generates
from lightning_gans.ood.scores import ForwardPasses, Score
from lightning_gans.priors import Prior
from lightning_gans.signatures import subclasses
from tests.support.command_line import MLP, rows

ROOT = CONFIGS.parent

MODULE = '''
"""One part of each kind that the command line takes by its import path."""

import torch
from torch import nn
from torchmetrics import MeanMetric

from lightning_gans.augmentation import Augmentation
from lightning_gans.callbacks.measurements import Measurement
from lightning_gans.inversion import Constraint, Regularizer
from lightning_gans.models import Generates
from lightning_gans.networks import MLPGenerator
from lightning_gans.ood.scores import Score
from lightning_gans.priors import Uniform


class Spread(Regularizer):
    def __init__(self, target: float = 1.0):
        self.target = target

    def check(self, prior):
        pass

    def penalty(self, z, y, prior, random):
        return (z.std(1) - self.target).square()


class Rounded(Constraint):
    def check(self, prior):
        pass

    def apply(self, z, prior, steps, random):
        return (z * 4).round() / 4, torch.zeros_like(z, dtype=torch.bool)


class Narrow(Uniform):
    def __init__(self, dim):
        super().__init__(dim, -0.5, 0.5)


class Noise(Augmentation):
    draws = 2

    def __init__(self, strength: float = 0.1):
        self.strength = strength

    def __call__(self, x, u):
        return x + self.strength * (u - 0.5)


class Shifted(nn.Module):
    def __init__(self, latent_dim, image_shape, offset: float = 0.0):
        super().__init__()
        self.net, self.offset = MLPGenerator(latent_dim, image_shape, width=8, depth=1), offset

    def forward(self, z):
        return self.net(z) + self.offset


class Brightness(Measurement):
    def applies_to(self, model, data):
        return isinstance(model, Generates)

    def start(self, model, data, complete):
        self.mean = MeanMetric().to(model.device)

    def update(self, batch):
        self.mean.update(batch.fakes)

    def results(self):
        return {"brightness": self.mean.compute()}


class CodeNorm(Score):
    name = "norm"

    def applies_to(self, model):
        return True

    def __call__(self, passes):
        return passes.encoding.code.norm(dim=1)
'''


def run(*argv: str, place: Path) -> str:
    """Run a command in a new process, in a folder that has the user's module."""
    done = subprocess.run(
        [sys.executable, "-m", "lightning_gans", *argv],
        cwd=place,
        env={
            "PATH": "",
            "PYTHONPATH": f"{place}:{ROOT}",
            "OMP_NUM_THREADS": "1",
            "HOME": f"{place}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the user's module, their config, and a run that used them."""
    folder = tmp_path_factory.mktemp("user")
    package = folder / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text(MODULE)
    (folder / "configs" / "model").mkdir(parents=True)
    (folder / "configs" / "model" / "mine.yaml").write_text(
        "model:\n"
        "  class_path: lightning_gans.models.DLSGAN\n"
        "  init_args:\n"
        "    latent_dim: 6\n"
        "    prior: lightning_gans.priors.DynamicScale\n"
        "    optimizer:\n"
        "      class_path: lightning_gans.optimizers.AdamW\n"
    )
    brief = [word for word in MLP if "generator" not in word]
    run(
        *("train", "model=mine", *brief, "trainer.max_steps=2", "trainer.val_check_interval=2"),
        *("model.generator=mine.parts.Shifted", "model.generator.offset=5"),
        'evaluation.measurements=[{"class_path": "mine.parts.Brightness"}]',
        place=folder,
    )
    return folder


def trained(place: Path) -> Path:
    """The folder of that run."""
    return next((place / "runs" / "mine" / "gaussians").glob("*/checkpoints")).parent


def test_a_config_a_network_and_a_measurement(place: Path) -> None:
    assert float(rows(trained(place))[0]["brightness"]) == pytest.approx(5, abs=1)


def test_a_checkpoint_needs_its_module_trusted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(place))
    with pytest.raises(UserError, match=r"trust=mine\.parts"):
        lightning_gans.load(trained(place))
    model = lightning_gans.load(trained(place), trust="mine")
    assert isinstance(model, Generates)
    assert model.generate(2).shape == (2, 2)


def test_a_prior_and_an_augmentation(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(
        *("train", "model=gan", *MLP, "model.latent_dim=3", "model.prior=mine.parts.Narrow"),
        *("model.augmentation=mine.parts.Noise", "model.augmentation.strength=0.3"),
        *("trainer.max_steps=1", "trainer.num_sanity_val_steps=0"),
        place=place,
    )
    (made,) = (place / "runs" / "gan" / "gaussians").iterdir()
    monkeypatch.syspath_prepend(str(place))
    model = lightning_gans.load(made, trust="mine")
    assert isinstance(model, AdversarialModule)
    assert vars(model.augmentation) == {"strength": 0.3}
    prior = model.get_submodule("prior")
    assert isinstance(prior, Prior)
    assert prior.support == (-0.5, 0.5)


def test_a_regulariser_and_a_constraint(place: Path) -> None:
    run(
        *("invert", f"ckpt={trained(place)}", "data=gaussians", "n=2", "steps=3", "restarts=2"),
        *("regularizer=mine.parts.Spread", "regularizer.target=0.5", "weight=2"),
        *("constraint=mine.parts.Rounded", "accelerator=cpu", "trust=mine"),
        place=place,
    )
    (made,) = (place / "runs").glob("*/*/*_invert")
    recovery = Recovery.load(made / "recovery.safetensors")
    assert torch.equal(recovery.codes * 4, (recovery.codes * 4).round())
    penalty = (recovery.codes.std(1) - 0.5).square()
    torch.testing.assert_close(recovery.losses, recovery.reconstruction + 2 * penalty)


def test_an_ood_score(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(place))
    from mine import parts  # type: ignore[import-not-found]

    score = parts.CodeNorm()
    assert isinstance(score, Score)
    model, x = lightning_gans.load(trained(place), trust="mine"), torch.randn(4, 2)
    assert isinstance(model, Encodes)
    with torch.no_grad():
        found = score(ForwardPasses(model, x, {}))
    torch.testing.assert_close(found, model.encode(x).norm(dim=1))


@pytest.mark.parametrize(
    ("module", "base"),
    [
        ("regularizers", "Regularizer"),
        ("constraints", "Constraint"),
        ("reconstruction", "Reconstruction"),
        ("starts", "Start"),
    ],
)
def test_a_part_that_its_file_lists_is_exported(module: str, base: str) -> None:
    found = subclasses(f"lightning_gans.inversion.{module}", base)
    assert found
    assert set(found) <= set(inversion.__all__)


def test_the_recipes_name_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Recipes")[2]
    for path in re.findall(r"`([\w/]+\.\w+)`", text):
        if "/" in path:
            assert (ROOT / path).is_file(), path


def test_the_table_of_rooms_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "rooms_table.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
