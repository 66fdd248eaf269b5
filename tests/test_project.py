"""What holds the project together: its files agree, and its rooms depend one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lightning_gans.cli import CONFIGS

ROOT = CONFIGS.parent
PACKAGE = ROOT / "lightning_gans"

# a room may import from those before it, not from those after
ORDER = [
    "errors",
    "trust",
    "safe_yaml",
    "compat",
    "links",
    "slurm",
    "run_folder",
    "randomness",
    "processes",
    "sync_batch_norm",
    "strategies",
    "inputs",
    "labels",
    "priors",
    "distances",
    "losses",
    "optimizers",
    "networks",
    "data",
    "checkpoint_format",
    "checkpoints",
    "models",
    "metrics",
    "plots",
    "inversion",
    "ood",
    "loggers",
    "callbacks",
    "report",
    "loading",
    "app",
    "cli",
]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.name))
def test_arrows_never_return(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    if path.name == "__main__.py":
        return  # an entry point only hands over to the command line, whichever room it stands in
    here = ORDER.index(room(path))
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules = [node.module]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            if module.startswith("lightning_gans."):
                there = ORDER.index(module.split(".")[1])
                assert there <= here, f"{path.name} imports {module}"


def test_the_measures_know_no_model() -> None:
    for path in (PACKAGE / "metrics").rglob("*.py"):
        assert "lightning_gans.models" not in path.read_text()


def test_environment_and_pyproject_agree() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pyproject = (ROOT / "pyproject.toml").read_text()
    python, pip, own = environment["dependencies"]
    lowest = re.search(r'requires-python = "(.+)"', pyproject)
    assert lowest
    assert python == f"python{lowest[1]}"
    assert pip == "pip"
    # what is needed is written once, in pyproject.toml: conda's file installs the package itself
    assert own == {"pip": ["--editable .[dev]"]}
    assert re.search(r'name = "lightning_gans"', pyproject)
    assert environment["name"] == "lightning_gans"


def test_lightning_21691_requirements_leave_out_the_malicious_releases() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    (bound,) = re.findall(r'"lightning>=([\d.]+)"', pyproject)
    assert tuple(map(int, bound.split("."))) >= (2, 6, 6)


def test_every_import_is_a_requirement() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    needed = pyproject.partition("dependencies = [")[2].partition("]\n")[0]
    names = {n.lower() for n in re.findall(r'^\s+"([A-Za-z_-]+)', needed, re.MULTILINE)}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
    called = {"yaml": "pyyaml", "pil": "pillow", "torch_fidelity": "torch-fidelity"}
    called |= {"lightning_utilities": "lightning", "typing_extensions": "lightning"}
    called |= {"skimage": "scikit-image"}
    found.remove("gradio")  # an extra, asked for by one module when it is run
    outside = {n.lower() for n in found - set(sys.stdlib_module_names) - {"lightning_gans"}}
    assert {called.get(name, name) for name in outside} <= names


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, lightning_gans, lightning_gans.cli; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_readme_names_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text())) <= targets
