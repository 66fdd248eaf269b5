"""``wandb-view``: its workspace and report, read back by wandb-workspaces' own classes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_gans.cli import main, split_command
from lightning_gans.errors import UsageError, UserError
from lightning_gans.runs.measures import WORDS
from lightning_gans.workflows.wandb_view import best_of_summary, wandb_view
from tests.support.command_line import only, small
from tests.support.wandb_files import config_of, history, newest, stay_offline


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stay_offline(monkeypatch, tmp_path)


@pytest.fixture
def packages() -> tuple[Any, Any]:
    """The schemas of workspaces and of reports."""
    pytest.importorskip("wandb_workspaces", reason="wandb-workspaces is an extra")
    from wandb_workspaces.reports.v2 import internal as reports
    from wandb_workspaces.workspaces import internal as workspaces

    return workspaces, reports


def contents(folder: Path) -> tuple[str, str]:
    return (folder / "workspace.json").read_text(), (folder / "report.json").read_text()


def panels(specification: object) -> Iterator[dict[str, Any]]:
    """All panels in a specification, at any depth."""
    if isinstance(specification, dict):
        if "viewType" in specification:
            yield specification
        for value in specification.values():
            yield from panels(value)
    elif isinstance(specification, list):
        for value in specification:
            yield from panels(value)


def at(place: str, config: dict[str, Any]) -> Any:
    """What stands in a run's config where a panel looks, which knows each value as key.value."""
    (key,) = [key for key in config if f"{place}.".startswith(f"{key}.value.")]
    value = config[key]
    for name in place.removeprefix(f"{key}.value").removeprefix(".").split("."):
        value = value[name] if name else value
    return value


def without(specification: object, *names: str) -> object:
    """A specification without the entries of some names, at any depth."""
    if isinstance(specification, dict):
        kept = {key: value for key, value in specification.items() if key not in names}
        return {key: without(value, *names) for key, value in kept.items()}
    if isinstance(specification, list):
        return [without(value, *names) for value in specification]
    return specification


def test_both_are_what_wandbs_own_classes_read_and_would_send(packages: tuple[Any, Any]) -> None:
    workspaces, reports = packages
    from wandb_workspaces.reports.v2 import Report
    from wandb_workspaces.workspaces import Workspace

    main(["wandb-view", "team/faces", "measure=psnr/real", "out=views"])
    workspace, report = contents(Path("views"))
    # what its schema does not know would be lost
    view = workspaces.View.model_validate_json(workspace)
    again = Workspace._from_model(view)
    dumped = again._to_model().model_dump_json(by_alias=True, exclude_none=True)
    assert json.loads(dumped) == json.loads(workspace)
    read = reports.ReportViewspec.model_validate_json(report)
    dumped = read.model_dump_json(by_alias=True, exclude_none=True)
    # no comments are an empty list in what is read
    assert without(json.loads(dumped), "inlineComments") == json.loads(report)
    assert (again.entity, again.project, read.project.name) == ("team", "faces", "faces")
    shown = {type(panel).__name__ for section in again.sections for panel in section.panels}
    assert "UnknownPanel" not in shown
    blocks = [type(block).__name__ for block in Report._from_model(read).blocks]
    assert blocks.count("H2") == blocks.count("PanelGrid") == len(again.sections) == 8
    # the largest PSNR first
    for sort in (
        again._to_model().spec.section.run_sets[0].sort,
        next(b for b in read.spec.blocks if b.type == "panel-grid").metadata.run_sets[0].sort,
    ):
        (key,) = sort.keys
        assert (key.key.section, key.key.name) == ("summary", "psnr/real.max")
        assert key.ascending is False
    assert json.loads(report)["spec"]["width"] == "fluid"


def test_every_measure_loss_picture_and_table_that_a_run_logs_has_a_panel(
    packages: tuple[Any, Any], image_folder: Path
) -> None:
    main([*small(image_folder), "logger=wandb"])
    found = newest(only(Path("runs/dlsgan/folder")))
    rows, config = history(found), config_of(found)
    # media have several entries, such as images/samples/path
    logged = {re.sub(r"^((?:images|tables)/\w+)/.*", r"\1", name) for row in rows for name in row}
    wandb_view("faces", measure="psnr/real", out="views")
    for text in contents(Path("views")):
        settings = set(re.findall(r'"config:([^"]+)"', text))
        assert len(settings) >= 3
        for place in settings:
            assert isinstance(at(place, config), (str, float)), place
        shown = list(panels(json.loads(text)))
        patterns = [p["config"]["metricRegex"] for p in shown if "metricRegex" in p["config"]]
        media = {key for p in shown for key in p["config"].get("mediaKeys", [])}
        wanted = {name for name in logged if name.startswith(("images/", "tables/"))}
        measures = {
            name
            for name in logged - wanted
            if name.partition("/")[0] in (*WORDS, "generator", "discriminator") or name in WORDS
        }
        assert len(measures) > 10
        assert {"images/samples", "images/spectrum", "tables/ood"} <= wanted
        for name in measures:
            matching = [pattern for pattern in patterns if re.search(pattern, name)]
            assert len(matching) == 1, name
        for name in wanted:
            assert name in media or f'"{name.removeprefix("images/")}"' in text, name
        axes = {p["config"]["xAxis"] for p in shown if "metricRegex" in p["config"]}
        assert axes == {"trainer/global_step"}
    # each kind of measures that has words has a panel
    assert {kind for kind in WORDS if any(re.search(p, kind) for p in patterns)} == {*WORDS}


def test_what_is_saved_with_an_account_is_what_is_written_without(
    packages: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wandb_workspaces.reports.v2 import interface as reports
    from wandb_workspaces.workspaces import interface as workspaces

    sent: list[dict[str, Any]] = []

    def answer(api: object, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        sent.append(variables)
        view = {**variables, "id": "abc", "type": "runs"}
        view |= {"project": {"name": variables["projectName"], "entityName": "me"}}
        return {"upsertView": {"view": view, "inserted": True}}

    project = SimpleNamespace(name="faces")
    api = SimpleNamespace(default_entity="me", projects=lambda entity: [project])
    monkeypatch.setattr("wandb.Api", lambda *arguments, **named: api)
    for module in (packages[0], reports):
        monkeypatch.setattr(module, "execute_graphql", answer)
    for module in (workspaces, reports):
        monkeypatch.setattr(module, "get_app_url", lambda api: "https://wandb.example")
    main(["wandb-view", "faces"])
    assert [(each["type"], each["entityName"], each["projectName"]) for each in sent] == [
        ("project-view", "me", "faces"),
        ("runs", "me", "faces"),
    ]
    printed = capsys.readouterr().out
    assert "workspace: https://wandb.example/me/faces?nw=" in printed
    assert "report: https://wandb.example/me/faces/reports/" in printed
    wandb_view("me/faces", out="views")
    for text, each in zip(contents(Path("views")), sent, strict=True):
        specification = json.loads(text)["spec"]
        ids = ("id", "__id__")
        assert without(specification, *ids) == without(json.loads(each["spec"]), *ids)


def test_without_an_account_one_line_says_how_to_get_one_or_do_without(
    packages: tuple[Any, Any],
) -> None:
    with pytest.raises(UserError, match=r"No API key.*`wandb login`.*out=FOLDER needs none"):
        wandb_view("faces")


def test_a_folder_that_has_a_view_is_not_written_over(packages: tuple[Any, Any]) -> None:
    wandb_view("faces", out="views")
    before = contents(Path("views"))
    with pytest.raises(UsageError, match="out=views already has a specification"):
        wandb_view("other", out="views")
    assert contents(Path("views")) == before


def test_a_command_of_two_words_may_be_typed_with_a_hyphen() -> None:
    assert split_command(["wandb-view", "faces"], "train") == ("wandb view", ["faces"])
    assert split_command(["ood-score", "a=1"], "train") == ("ood score", ["a=1"])
    with pytest.raises(UsageError, match=r"no command 'wandb-vew' \(did you mean 'wandb-view'"):
        split_command(["wandb-vew"], "train")


@pytest.mark.parametrize("project", ["", "/", "team/", "a/b/c", "../faces", "a?b"])
def test_a_project_that_wandb_would_not_take_is_refused(project: str) -> None:
    with pytest.raises(UsageError, match="expected PROJECT or ENTITY/PROJECT"):
        wandb_view(project, out="views")
    assert not Path("views").exists()


@pytest.mark.parametrize("measure", ["fid", "latent/active", "generator/adversarial", "x"])
def test_runs_are_sorted_only_by_what_has_a_best_value(measure: str) -> None:
    with pytest.raises(UsageError, match=f"measure={measure}: expected the full name of one"):
        wandb_view("faces", measure)
    assert best_of_summary("accuracy") == "accuracy.max"


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("wandb_workspaces")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r"pip install 'lightning_gans\[wandb-view\]'"):
        wandb_view("faces", out="views")
    assert not Path("views").exists()
