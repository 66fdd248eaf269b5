"""A saved workspace and a report in wandb, with panels of what the runs of a project log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from lightning_gans import __version__, models
from lightning_gans.compat import wandb_specification
from lightning_gans.errors import UsageError, UserError, reason
from lightning_gans.paths import typed_path
from lightning_gans.ranges import checked
from lightning_gans.runs.atomic import write_text
from lightning_gans.runs.layout import is_complete
from lightning_gans.runs.measures import WORDS, described
from lightning_gans.runs.parts import new_results
from lightning_gans.runs.wandb_logger import AXIS, BEST
from lightning_gans.runs.wandb_run import is_name
from lightning_gans.workflows.outcome import Outcome

WORKSPACE, REPORT = "workspace.json", "report.json"
NAME = "lightning_gans"
# the measures of each section, by the part of their names before the slash or in full
SECTIONS = {
    "Samples": ("fid", "kid", "precision", "recall", "density", "coverage"),
    "Reconstructions": ("psnr", "ssim", "lpips"),
    "Latents": ("latent/loss", "latent/entropy", "latent/active"),
    "Classes and categories": ("accuracy", "cluster", "categories/entropy", "categories/used"),
}
PICTURES = ("samples", "reconstructions", "traversals", "categories", "edits", "spectrum")
TABLES = ("ood", "goodness_of_fit")
# columns of the runs, beside their names
SETTINGS = ("model", "data", "optimizer.lr")
# the same in the whole config, as the axes of a plot, where a dot always leads into a section
AXES = ("model", "data", "config.model.init_args.optimizer.init_args.lr")
# of the grid of a report, which is 24 wide
WIDTH, HEIGHT = 12, 8


class Packages(NamedTuple):
    """The modules of wandb-workspaces, an extra, and of wandb."""

    workspaces: Any
    reports: Any
    wandb: Any


@dataclass(frozen=True)
class View(Outcome):
    """A workspace and a report.

    Attributes:
        addresses: of both in wandb; empty if they were written to files instead.
    """

    addresses: tuple[str, ...] = ()


@checked
def wandb_view(project: str, measure: str | None = None, out: str | None = None) -> View:
    """Build a saved workspace and a report in wandb for the runs of a project.

    lightning-gans wandb-view lightning_gans
    lightning-gans wandb-view team/faces measure=fid/random
    lightning-gans wandb-view lightning_gans out=views

    Both show pictures, measures with the direction in which they are better, tables, losses, and
    settings in which runs differ, of whichever runs the project has: panels name what a run with
    logger=wandb logs. Each call saves new ones, and changes none that are there. With out, nothing
    is sent, and no account is needed: workspace.json and report.json are their specifications, as
    wandb-workspaces would send them.

    Args:
        project: in wandb, or ENTITY/PROJECT; the entity is that of WANDB_ENTITY, or your account's
            own.
        measure: by whose best value runs are sorted, such as fid/digits; by default they are in
            the order of their start, the newest first.
        out: a folder to which specifications are written, instead of saving both in wandb.

    Returns:
        The addresses, or the folder.

    Raises:
        UsageError: for a name that wandb does not take, a measure of which neither way is better,
            or a folder that has a specification.
        UserError: if wandb-workspaces is not installed, or wandb has no account here or does not
            answer.
    """
    entity, _, name = project.rpartition("/")
    if not is_name(name) or (entity and not is_name(entity)):
        raise UsageError(f"project={project}: expected PROJECT or ENTITY/PROJECT, as in wandb")
    best = None if measure is None else best_of_summary(measure)
    if out is not None and any(is_complete(typed_path(out), f) for f in (WORKSPACE, REPORT)):
        raise UsageError(f"out={out} already has a specification; choose another folder")
    packages = required()
    owner = entity or os.environ.get("WANDB_ENTITY") or ""
    if out is None:
        return saved(packages, owner, name, best)
    notes = {"command": "wandb view", "version": __version__}
    with new_results({"model": "wandb", "data": name}, "view", notes, out) as folder:
        for file, thing in (
            (WORKSPACE, workspace(packages, owner, name, best)),
            (REPORT, report(packages, owner, name, best)),
        ):
            write_text(folder / file, wandb_specification(thing) + "\n")
    text = f"workspace: {folder / WORKSPACE}\nreport: {folder / REPORT}"
    return View(folder, text)


def saved(packages: Packages, owner: str, project: str, best: str | None) -> View:
    """Save both in wandb.

    Raises:
        UserError: if wandb has no account here, or does not answer.
    """
    try:
        owner = owner or packages.wandb.Api().default_entity
        things = [make(packages, owner, project, best) for make in (workspace, report)]
        addresses = tuple(thing.save().url for thing in things)
    # of the network, and of answers that the package does not expect
    except (packages.wandb.Error, OSError, ValueError, TypeError) as error:
        raise UserError(
            f"wandb could not save them: {reason(error):.300}; `wandb login` names an account, and "
            "out=FOLDER needs none"
        ) from error
    text = f"workspace: {addresses[0]}\nreport: {addresses[1]}"
    return View(Path(), text, addresses=addresses)


def required() -> Packages:
    """The modules that build workspaces and reports.

    Raises:
        UserError: if they are not installed.
    """
    try:
        return Packages(
            import_module("wandb_workspaces.workspaces"),
            import_module("wandb_workspaces.reports.v2"),
            import_module("wandb"),
        )
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "wandb_workspaces":
            raise
        raise UserError(
            "wandb-view needs wandb-workspaces: pip install 'lightning_gans[wandb-view]'"
        ) from None


def best_of_summary(measure: str) -> str:
    """The name of a measure's best value in a run's summary.

    >>> best_of_summary("fid/digits")
    'fid/digits.min'

    Raises:
        UsageError: if neither way is better.
    """
    arrow = described(measure)[0]
    # all others are of some features, or of real images or samples
    in_full = "/" in measure or measure == "accuracy"
    if not arrow or not in_full:
        known = ", ".join(name for name, (arrow, _) in WORDS.items() if arrow)
        raise UsageError(
            f"measure={measure}: expected the full name of one that is better in one direction, "
            f"such as fid/digits or psnr/real; there are {known}"
        )
    return f"{measure}.{BEST[arrow]}"


def workspace(packages: Packages, owner: str, project: str, best: str | None) -> Any:
    """The workspace: a section of each kind of panels, and runs with their settings."""
    ws = packages.workspaces
    expressions = import_module("wandb_workspaces.expr")
    order = (
        expressions.Ordering(expressions.Summary(best), ascending=best.endswith(".min"))
        if best
        else expressions.Ordering(expressions.Metric("CreatedTimestamp"), ascending=False)
    )
    columns = ["run:displayName", *([f"summary:{best}"] if best else [])]
    columns += [f"config:{name}.value" for name in SETTINGS]
    return ws.Workspace(
        entity=owner,
        project=project,
        name=NAME,
        sections=[
            ws.Section(name=name, panels=panels, is_open=name in ("Pictures", "Samples"))
            for name, panels in sections(packages, best)
        ],
        settings=ws.WorkspaceSettings(x_axis=AXIS),
        runset_settings=ws.RunsetSettings(order=[order], pinned_columns=columns),
        # histograms, charts and measures of a user's own
        auto_generate_panels=True,
    )


def report(packages: Packages, owner: str, project: str, best: str | None) -> Any:
    """The report: the same panels below headings, and what each measure says."""
    wr = packages.reports
    order = (
        wr.OrderBy(wr.SummaryMetric(best), ascending=best.endswith(".min"))
        if best
        else wr.OrderBy("CreatedTimestamp", ascending=False)
    )
    blocks = [
        wr.P("The runs of the project. An arrow says in which direction a measure is better."),
        wr.TableOfContents(),
    ]
    for name, panels in sections(packages, best):
        for index, panel in enumerate(panels):
            panel.layout = wr.Layout(
                x=WIDTH * (index % 2), y=HEIGHT * (index // 2), w=WIDTH, h=HEIGHT
            )
        # of the report's own project, if none is named; its id would have to be asked for
        runs = wr.Runset(name="runs", order=[order])
        blocks.append(wr.H2(name))
        said = [words_of(kind) for kind in SECTIONS.get(name, ())]
        if said:
            blocks.append(wr.UnorderedList(said))
        blocks.append(wr.PanelGrid(runsets=[runs], panels=panels))
    return wr.Report(
        entity=owner,
        project=project,
        title=f"{project}: what was trained, and how good it is",
        description=f"Built by lightning_gans {__version__}.",
        blocks=blocks,
        width="fluid",
    )


def sections(packages: Packages, best: str | None) -> Iterator[tuple[str, list[Any]]]:
    """The panels of each section, in order, by its name."""
    wr = packages.reports
    yield (
        "Pictures",
        [
            wr.MediaBrowser(title=name, media_keys=[f"images/{name}"], gallery_axis="step")
            for name in PICTURES
        ],
    )
    for name, kinds in SECTIONS.items():
        yield name, [curves(packages, kind) for kind in kinds]
    yield "Tables", [wr.WeavePanelSummaryTable(table_name=f"tables/{name}") for name in TABLES]
    yield (
        "Losses",
        [
            wr.LinePlot(title=player, x=AXIS, metric_regex=pattern(player))
            for player in all_players()
        ],
    )
    compared = [wr.RunComparer(diff_only="split")]
    if best:
        axes = [
            wr.ParallelCoordinatesPlotColumn(metric=wr.Config(place), display_name=name)
            for name, place in zip(SETTINGS, AXES, strict=True)
        ]
        axes.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(best)))
        compared.append(wr.ParallelCoordinatesPlot(columns=axes))
    yield "Settings", compared


def curves(packages: Packages, kind: str) -> Any:
    """The panel of all measures of a kind, whatever features they look through."""
    return packages.reports.LinePlot(
        title=words_of(kind),
        x=AXIS,
        metric_regex=pattern(kind),
        # distances fall by orders of magnitude; that of kernels may be negative
        log_y=True if kind == "fid" else None,
    )


def words_of(kind: str) -> str:
    """The name of a kind of measures, its arrow and what it says.

    >>> words_of("recall")
    'recall ↑: share of held-out images that the samples cover'
    """
    arrow, words = WORDS[kind]
    return f"{kind} {arrow}".rstrip() + f": {words}"


def pattern(kind: str) -> str:
    """The regular expression of the names of a kind of measures, or of a player's losses.

    >>> pattern("fid"), pattern("latent/loss"), pattern("accuracy")
    ('^fid(/.*)?$', '^latent/loss$', '^accuracy(/.*)?$')
    """
    return f"^{re.escape(kind)}$" if "/" in kind else f"^{re.escape(kind)}(/.*)?$"


def all_players() -> Sequence[str]:
    """The players of all models, whose losses a run logs."""
    classes = [getattr(models, name) for name in models.__all__]
    named = [player for each in classes for player in getattr(each, "players", ())]
    return list(dict.fromkeys(named))
