"""The pages say what the code is: the table of models, the navigation, links and examples."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import pytest
import torch
import yaml
from torch import Tensor

from lightning_gans import models
from lightning_gans.cli import CONFIGS, split_command, train, workflow
from lightning_gans.cli.grammar import Groups, Repeated, split_key_values
from lightning_gans.models.base.capabilities import capabilities
from lightning_gans.trust import split_trust

ROOT = CONFIGS.parent
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "models").glob("*.md"))
SCRIPT = ROOT / "scripts" / "model_table.py"

Entry: TypeAlias = "str | list[Entry] | dict[str, Entry]"

# NAME = ...  # (8, 64)    and    A, B = ...  # (8, 64) each
SHAPED = re.compile(r"^(\w+(?:, \w+)*) = .*# (\(\d[\d, ]*\))(?: each)?$", re.MULTILINE)


def cells() -> dict[str, list[str]]:
    """The rows of the table by config: system, paper, class, capabilities, lines."""
    rows = {}
    for line in (DOCS / "models" / "index.md").read_text().splitlines():
        parts = [part.strip() for part in line.strip("|").split("|")]
        if len(parts) == 6 and parts[0].startswith("["):
            config = parts.pop(3).strip("`")
            assert config not in rows, f"{config} has two rows"
            rows[config] = parts
    return rows


def configs(group: str = "model") -> dict[str, type[models.Model]]:
    """The class of each config of models, or of another group that names models."""
    found = {}
    for file in (CONFIGS / group).glob("*.yaml"):
        named = yaml.safe_load(file.read_text()).get("model")
        if named is not None:
            path = named["class_path"]
            found[file.stem] = getattr(models, path.removeprefix("lightning_gans.models."))
    return found


def module_file(model: type[models.Model]) -> Path:
    return ROOT.joinpath(*model.__module__.split(".")).with_suffix(".py")


def plain_count(source: str) -> int:
    """Lines of code, counted by eye: what is left between docstrings, comments and blank lines."""
    without = re.sub(r'^\s*r?"""(?:.|\n)*?"""\s*$', "", source, flags=re.MULTILINE)
    lines = [line.strip() for line in without.splitlines()]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def script() -> ModuleType:
    """The script as a module; its folder is none that can be imported from."""
    spec = importlib.util.spec_from_file_location("model_table", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_table"] = module
    spec.loader.exec_module(module)
    return module


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["model_table.py", *arguments])
    status: int = script().main()
    return status


def test_the_table_has_one_row_for_each_config() -> None:
    assert cells().keys() == configs().keys()


@pytest.mark.parametrize("config", sorted(configs()))
def test_a_row_says_what_the_class_is(config: str) -> None:
    model = configs()[config]
    system, paper, name, asked, lines = cells()[config]
    assert name == f"`{model.__name__}`"
    assert asked == ", ".join(capabilities(model))
    assert int(lines) == plain_count(module_file(model).read_text())
    assert re.search(r"\b(19|20)\d\d\b", paper)
    assert system.endswith(f"]({module_file(model).stem}.md)")


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings() -> None:
    source = (
        '"""What it is."""\n\n# why\nTEXT = """\n\nkept"""\n\n\n'
        'def f():  # a comment beside code\n    r"""More\n\n    words."""\n    # why\n'
        "    return (\n        1\n    )\n"
    )
    assert script().lines_of_code(source) == 3 + 1 + 3


def test_the_script_notices_and_fixes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "index.md"
    text = (DOCS / "models" / "index.md").read_text()
    page.write_text(text)
    assert run(monkeypatch, "--check", str(page)) == 0
    page.write_text(text.replace("| `GAN` | `gan` |", "| `GAN` | `gun` |"))
    assert run(monkeypatch, "--check", str(page)) == 1
    assert "gun" in page.read_text(), "a check changes nothing"
    assert "scripts/model_table.py" in capsys.readouterr().err
    assert run(monkeypatch, str(page)) == 0
    assert page.read_text() == text


def test_the_script_wants_both_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "index.md"
    page.write_text("# Models\n")
    with pytest.raises(SystemExit, match="put them back"):
        run(monkeypatch, str(page))


def test_each_class_has_a_page_that_names_its_configs() -> None:
    for config, model in configs().items():
        page = DOCS / "models" / f"{module_file(model).stem}.md"
        text = page.read_text()
        assert f"`{config}`" in text, f"{page.name} does not name {config}"
        assert f"model={config}" in text, f"{page.name} does not train {config}"
    modules = {module_file(model).stem for model in configs().values()}
    assert {page.stem for page in PAGES} == modules | {"index"}


def leaves(entry: Entry) -> list[str]:
    """The pages of a navigation, at any depth."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [leaf for part in parts for leaf in leaves(part)]


def test_the_navigation_has_every_page_once() -> None:
    nav = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    pages = [page for ending in ("md", "ipynb") for page in DOCS.rglob(f"*.{ending}")]
    assert sorted(nav) == sorted(str(page.relative_to(DOCS)) for page in pages)


@pytest.mark.parametrize(
    "page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS))
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).is_file(), f"{page.name} links to {target}"


def test_the_pictures_of_the_gallery_are_small_and_each_is_shown() -> None:
    pictures = list((DOCS / "images" / "gallery").iterdir())
    assert sum(picture.stat().st_size for picture in pictures) < 600_000
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert {f"images/gallery/{picture.name}" for picture in pictures} <= {
        *re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    }


def terms(source: str) -> set[str]:
    """The terms that a model's turns minimise, as they are logged."""
    found: set[str] = set()
    for turn in ast.walk(ast.parse(source)):
        if not isinstance(turn, ast.With) or "self.turn(" not in ast.unparse(turn.items[0]):
            continue
        call = turn.items[0].context_expr
        assert isinstance(call, ast.Call)
        player = ast.literal_eval(call.args[0])
        for node in ast.walk(turn):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "minimize":
                found |= {f"{player}/{word.arg}" for word in node.keywords if word.arg}
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "terms":
                found.add(f"{player}/{ast.literal_eval(node.slice)}")
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "terms":
                assert isinstance(node.value, ast.Dict)
                found |= {f"{player}/{ast.literal_eval(k)}" for k in node.value.keys if k}
    return found


@pytest.mark.parametrize("name", sorted({model.__name__ for model in configs().values()}))
def test_a_page_names_the_terms_of_the_log(name: str) -> None:
    model: type[models.Model] = getattr(models, name)
    page = DOCS / "models" / f"{module_file(model).stem}.md"
    players = "|".join(model.players)
    named = set(re.findall(rf"`((?:{players})/\w+)`", page.read_text()))
    assert named
    assert named == terms(module_file(model).read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run_and_give_the_shapes_they_claim(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        torch.manual_seed(0)
        names: dict[str, object] = {}
        exec(compile(block, str(page), "exec"), names)
        claims = SHAPED.findall(block)
        assert claims, f"{page.name} claims no shape"
        for targets, shape in claims:
            for target in targets.split(", "):
                value = names[target]
                assert isinstance(value, Tensor)
                claimed = tuple(int(number) for number in re.findall(r"\d+", shape))
                assert tuple(value.shape) == claimed, f"{target} of {page.name}"


def commands() -> list[str]:
    """What follows ``train`` in the command lines of the pages about models."""
    typed = re.compile(r"^    (?:python train\.py|lightning-gans train) (.+)$", re.MULTILINE)
    return [command for page in PAGES for command in typed.findall(page.read_text())]


def test_there_are_commands() -> None:
    assert len(commands()) > len(PAGES)


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[:40])
def test_commands_name_what_exists(command: str) -> None:
    argv = list(split_key_values(shlex.split(command)))
    typed = dict(argv)
    group = "experiment" if "experiment" in typed else "model"
    arguments = inspect.signature(configs(group)[typed[group] or ""]).parameters
    for key, value in argv:
        if key.startswith("model."):
            assert key.split(".")[1] in arguments, f"{key} is no argument"
        if value is not None and value.startswith("lightning_gans."):
            module, _, name = value.rpartition(".")
            assert hasattr(importlib.import_module(module), name)


def typed_commands() -> list[str]:
    """The command lines of README, all pages and notebooks, without their comments."""
    pages = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    for notebook in sorted(DOCS.rglob("*.ipynb")):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells]
    text = "\n".join(texts)
    found = re.findall(r"^ *lightning-gans (.+)$|`lightning-gans (\w[^`\n]*)`", text, re.MULTILINE)
    lines = [re.sub(r"\s+#.*$", "", block or inline) for block, inline in found]
    # those that stand for others are no command lines
    left_out = re.compile(r"COMMAND|\.\.\.|my\.yaml")
    return list(dict.fromkeys(line for line in lines if not left_out.search(line)))


@pytest.mark.parametrize("typed", typed_commands())
def test_a_command_that_a_page_prints_is_understood(typed: str) -> None:
    command, argv = split_command(shlex.split(typed), "train")
    argv, _ = split_trust(argv)
    known = workflow.workflows()
    if command in known:
        workflow.parse_request(argv, known[command].parameters, Groups())
    elif "--help" not in argv:
        names, files, _ = train.read_arguments(argv, Groups(), Repeated())
        train.check_names(names, [f for f in files if f.is_file()], Groups())


def reference() -> dict[str, str]:
    """What the pages of the API describe: an object's import path, and its page."""
    return {
        name: page.stem
        for page in sorted((DOCS / "api").glob("*.md"))
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }


def described(path: str) -> object:
    """The object of an import path."""
    module, _, name = path.rpartition(".")
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        return getattr(importlib.import_module(module), name)


def test_the_reference_describes_what_is_there_and_every_command() -> None:
    paths = reference()
    for path in paths:
        assert inspect.getdoc(described(path)), f"{path} has no docstring"
    commands = {name.replace(" ", "_") for name in workflow.workflows()}
    assert {path.rpartition(".")[2] for path in paths if ".workflows." in path} == {
        *commands,
        "Outcome",
    }
    # rooms whose names a person imports; the others are inner ones
    rooms = {path.split(".")[1] for path in paths if path.count(".") == 1}
    public = [
        *("priors", "distances", "losses", "augmentation", "optimizers", "labels", "networks"),
        *("data", "metrics", "models", "inversion", "ood", "callbacks"),
    ]
    assert rooms >= {*public}
    linked = re.findall(r"\]\((\w+)\.md\)", (DOCS / "api" / "index.md").read_text())
    assert sorted(linked) == sorted(set(paths.values()))


@pytest.fixture(scope="module")
def website(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as a website, built without a warning."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        check=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    return site


@pytest.mark.slow  # half a minute
def test_the_website_is_built_without_a_warning_and_has_every_public_name(website: Path) -> None:
    for path, page in reference().items():
        text = (website / "api" / f"{page}.html").read_text(encoding="utf-8")
        names = getattr(described(path), "__all__", None)
        for name in [f"{path}.{name}" for name in names] if names else [path]:
            if not isinstance(described(name), (ModuleType, dict, tuple, type(Tensor | None))):
                assert f'id="{name}"' in text, name
    for file in website.rglob("*.html"):
        assets = re.findall(
            r'<(?:script|img|iframe)[^>]* src="(https?:[^"]+)"', file.read_text(encoding="utf-8")
        )
        assert not assets, f"{file.name} loads {assets}"


@pytest.mark.slow  # half a minute
def test_a_website_opened_from_a_disk_leads_to_pages_and_can_be_searched(website: Path) -> None:
    # the page of a server for what it does not find is none that is opened from a disk
    for file in {*website.rglob("*.html")} - {website / "404.html"}:
        text = file.read_text(encoding="utf-8")
        for link in re.findall(r'<a[^>]* href="(?!https?:)([^"#?]+)', text):
            # a browser lists the files of a folder that it opens from a disk
            assert (file.parent / link).is_file(), f"{file.name}: {link}"
        assert "iframe-worker" in text
    index = (website / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = {")


def test_experiments_that_are_named_exist() -> None:
    named = {n for page in PAGES for n in re.findall(r"experiment=(\w+)", page.read_text())}
    assert named
    assert named <= {file.stem for file in (CONFIGS / "experiment").glob("*.yaml")}


def test_the_readme_counts_configs_and_classes() -> None:
    claim = f"[{len(configs())} configs of {len(set(configs().values()))} classes]"
    assert claim in (ROOT / "README.md").read_text()


def test_each_trap_is_held_by_tests_that_are_there_and_none_is_forgotten() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (DOCS / "traps.md").read_text())
    there = {
        (path.name, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 30
    assert set(named) <= there
    # a test that bears the number of somebody's report stands in the table
    assert {t for t in there if re.match(r"test_(lightning|pytorch\w*|torch\w+)_\d", t[1])} <= set(
        named
    )


def reliability(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of the script that counts faults."""
    file = ROOT / "scripts" / "reliability_counts.py"
    monkeypatch.setattr(sys, "argv", [file.name, *arguments])
    status: int = runpy.run_path(str(file))["main"]()
    return status


def test_each_fault_is_made_by_tests_that_are_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reliability(monkeypatch, "--check") == 0, capsys.readouterr().err
    text = (DOCS / "reliability.md").read_text(encoding="utf-8")
    count = re.search(r"\*\*(\d+) faults\*\* in \d+ kinds, held by (\d+) tests", text)
    assert count
    assert int(count[1]) >= 40
    whats = re.findall(r"^\| (.+?) \| .*`tests/.*`.*\|$", text, re.MULTILINE)
    assert len(whats) == len(set(whats)), "no fault is counted twice"
    for file in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (ROOT / file).is_file()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "::test_a_killed_run_ends",
            "::test_a_run_ends",
            "::test_a_run_ends_as_if_it_had_not_been",
        ),
        (" faults**", "0 faults**", "is not up to date"),
    ],
)
def test_a_fault_without_a_test_and_a_wrong_count_are_noticed(
    old: str,
    new: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "page.md"
    text = (DOCS / "reliability.md").read_text(encoding="utf-8").replace(old, new)
    page.write_text(text, encoding="utf-8")
    assert reliability(monkeypatch, "--check", str(page)) == 1
    assert said in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == text, "a check changes nothing"
