"""The figures and tables of the papers that can be run, and which were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning_gans.paths import typed_path
from lightning_gans.ranges import checked
from lightning_gans.reproduce.items import PROFILES, Item, all_items
from lightning_gans.reproduce.pages import overview
from lightning_gans.reproduce.results import Results, read_results
from lightning_gans.workflows.outcome import Outcome


@dataclass(frozen=True)
class ReproduceList(Outcome):
    """The items.

    Attributes:
        items: by ID, in the order of the documents.
        found: the results that there are, by ID and profile.
    """

    items: dict[str, Item] | None = None
    found: dict[tuple[str, str], Results] | None = None


@checked
def reproduce_list(out: str = "docs/results") -> ReproduceList:
    """List the figures and tables of the papers that can be run, with costs, and which were run.

    lightning-gans reproduce list

    Each row has an ID for reproduce run, and for each profile the seeds and the time of each. cpu
    is a small setting for two cores, paper the published one.

    Args:
        out: the folder of results.

    Returns:
        The items, and the results that there are.

    Raises:
        UserError: if a file of an item or of results cannot be read.
    """
    folder = typed_path(out)
    items = all_items()
    found = results_in(folder, items)
    return ReproduceList(folder, overview(items.values(), found), items=items, found=found)


def results_in(folder: Path, items: dict[str, Item]) -> dict[tuple[str, str], Results]:
    """The results of items that there are in a folder, in order."""
    found = {}
    for item in items.values():
        for profile in PROFILES:
            results = read_results(folder, item.id, profile) if profile in item.profiles else None
            # of an item that has changed since, what is left does not answer its claims
            if results is not None and set(item.values_of(profile)) <= set(results.values):
                found[item.id, profile] = results
    return found
