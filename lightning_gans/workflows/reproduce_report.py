"""Pages of all that was reproduced, from the values that runs have left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from lightning_gans.paths import typed_path
from lightning_gans.ranges import checked
from lightning_gans.reproduce.items import all_items
from lightning_gans.reproduce.pages import judged, pages
from lightning_gans.reproduce.predicate import Verdict
from lightning_gans.runs.atomic import write_text
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.reproduce_list import results_in


@dataclass(frozen=True)
class ReproduceReport(Outcome):
    """The pages.

    Attributes:
        verdicts: how many claims have each.
    """

    verdicts: dict[str, int] | None = None


@checked
def reproduce_report(out: str = "docs/results") -> ReproduceReport:
    """Write pages of all figures and tables that were run: values, published ones, and verdicts.

    lightning-gans reproduce report

    Nothing is trained or measured. The pages are written from the files that reproduce run has left
    in the folder data, and twice the same pages from the same files.

    Args:
        out: the folder of results.

    Returns:
        The counts of verdicts, and the folder of the pages.

    Raises:
        UserError: if a file of an item or of results cannot be read.
    """
    folder = typed_path(out)
    items = all_items()
    found = results_in(folder, items)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(items, found).items():
        write_text(folder / name, text)
    counts = Counter(
        answer.verdict
        for (name, _), results in found.items()
        for _, answer in judged(items[name], results)
    )
    verdicts = {verdict.value: counts[verdict] for verdict in Verdict}
    lines = [f"{number} claims: {verdict}" for verdict, number in verdicts.items()]
    text = "\n".join([*lines, f"{len(found)} results of {len(items)} items", f"pages: {folder}"])
    return ReproduceReport(folder, text, verdicts=verdicts)
