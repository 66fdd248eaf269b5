"""What holds the project together: its files agree, and its rooms depend one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import lightning_gans
from lightning_gans.cli import CONFIGS

ROOT = CONFIGS.parent
PACKAGE = ROOT / "lightning_gans"

# a room may import from those before it, not from those after
ORDER = [
    "text",
    "paths",
    "errors",
    "files",
    "yaml_loader",
    "safe_yaml",
    "status_line",
    "quick_imports",
    "freed_memory",
    "trust",
    "compat",
    "ranges",
    "scaling",
    "signatures",
    "threads",
    "rng",
    "distributed",
    "validation",
    "labels",
    "priors",
    "distances",
    "losses",
    "augmentation",
    "optimizers",
    "networks",
    "data",
    "plots",
    "runs",
    "metrics",
    "models",
    "inversion",
    "ood",
    "callbacks",
    "exports",
    "app",
    "reproduce",
    "workflows",
    "cli",
]


def dotted(path: Path) -> str:
    """The name by which a file of the package is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(module: str, source: str, is_package: bool = False) -> set[str]:
    """The modules that a module imports: at its top, in functions, and for type checking.

    ``from package import name`` imports ``package.name`` where that is a module, and a leading dot
    stands for the package that the module is in.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".") if is_package else module.split(".")[:-1]
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return found


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_way_of_importing_is_seen() -> None:
    source = """
from lightning_gans import priors
from lightning_gans.models.base import model, Model
import lightning_gans.rng
from . import normal
from ..labels import OneHot
if TYPE_CHECKING:
    from lightning_gans.cli import main
def f():
    from lightning_gans.ood import detection
"""
    assert imported("lightning_gans.distances.closed", source) == {
        "lightning_gans.priors",
        "lightning_gans.models.base.model",
        "lightning_gans.models.base",
        "lightning_gans.rng",
        "lightning_gans.distances.normal",
        "lightning_gans.labels",
        "lightning_gans.cli",
        "lightning_gans.ood.detection",
    }
    assert imported("lightning_gans.distances", "from . import normal", is_package=True) == {
        "lightning_gans.distances.normal"
    }


@pytest.mark.parametrize("module", MODULES)
def test_arrows_never_return(module: str) -> None:
    path = MODULES[module]
    if path == PACKAGE / "__init__.py":
        return  # it imports rooms when they are asked for
    if path.name == "__main__.py":
        return  # an entry point only hands over to the command line, whichever room it stands in
    here = ORDER.index(room(module))
    for other in imported(module, path.read_text(), path.name == "__init__.py"):
        if other.startswith("lightning_gans."):
            assert ORDER.index(room(other)) <= here, f"{module} imports {other}"


def test_the_table_of_rooms_has_this_order() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert [name for name in rooms if name != "configs"] == ORDER


def test_no_file_name_stands_for_three_things() -> None:
    rooms: dict[str, set[str]] = {}
    for path in MODULES.values():
        if not path.stem.startswith("__"):
            rooms.setdefault(path.stem, set()).add(path.relative_to(PACKAGE).parts[0])
    assert {name: found for name, found in rooms.items() if len(found) > 2} == {}


TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_imports_from_a_test(path: Path) -> None:
    for module in imported(dotted(path), path.read_text()):
        assert not any(part.startswith("test_") for part in module.split(".")), module


def test_tests_mirror_the_package() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders == rooms
    files = {path.name for path in TESTS if path.name.startswith("test_")}
    repeated = [name for name in files if sum(path.name == name for path in TESTS) > 1]
    assert repeated == [], "names in the table of traps are without folders"


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
    (bound,) = re.findall(r'"lightning>=([\d.]+)[",]', pyproject)
    assert tuple(map(int, bound.split("."))) >= (2, 6, 6)


def test_every_import_is_a_requirement() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    needed = pyproject.partition("dependencies = [")[2].partition("]\n")[0]
    names = {n.lower() for n in re.findall(r'^\s+"([A-Za-z0-9_-]+)', needed, re.MULTILINE)}
    found = {
        other.split(".")[0]
        for module, path in MODULES.items()
        for other in imported(module, path.read_text(), path.name == "__init__.py")
    }
    called = {"yaml": "pyyaml", "pil": "pillow", "torch_fidelity": "torch-fidelity"}
    called |= {"lightning_utilities": "lightning", "typing_extensions": "lightning"}
    called |= {"skimage": "scikit-image"}
    found.discard("gradio")  # an extra, asked for by one module when it is run
    outside = {n.lower() for n in found - set(sys.stdlib_module_names) - {"lightning_gans"}}
    assert {called.get(name, name) for name in outside} <= names


def in_python(code: str) -> str:
    """What code prints in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, lightning_gans, lightning_gans.cli; print('torch' in sys.modules)"
    assert in_python(code) == "False"


def test_rooms_are_attributes_that_are_imported_when_first_used() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    rooms = {name for name in rooms if not name.startswith("_")}
    assert rooms == set(ORDER)
    assert rooms | {"load", "__version__"} <= set(dir(lightning_gans))
    code = "import sys, lightning_gans; before = 'torch' in sys.modules; "
    assert in_python(code + "print(before, lightning_gans.models.GAN.__name__)") == "False GAN"
    for name in rooms:
        assert getattr(lightning_gans, name).__name__ == f"lightning_gans.{name}"
    with pytest.raises(AttributeError, match="has no attribute 'modles'"):
        lightning_gans.modles  # noqa: B018


def test_readme_names_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE)) <= targets
