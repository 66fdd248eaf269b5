"""Pages of results, from numbers that nobody has to train for."""

from __future__ import annotations

import pytest

from lightning_gans.reproduce.items import find_item
from lightning_gans.reproduce.pages import pages
from lightning_gans.reproduce.results import Results
from tests.support.reproductions import TINY, write_item


@pytest.mark.parametrize(("losses", "printed"), [((0.2, 0.1), True), ((0.9, 0.89), False)])
def test_the_investigation_of_a_claim_is_printed_unless_it_holds(
    losses: tuple[float, float], printed: bool
) -> None:
    name = write_item(TINY + "    investigation: >\n      Eight iterations\n      teach nothing.\n")
    item = find_item(name)
    values = {
        "gan.latent.loss": losses,
        "cgpgan.categories": (4.0, 4.0),
        "cgpgan.entropy": (0.51, 0.5),
    }
    found = Results(name, "cpu", "0.2.0", (0, 1), (), values)
    text = pages({name: item}, {(name, "cpu"): found})["thesis.md"]
    line = "*The encoder of the GAN is poor.* Eight iterations teach nothing."
    assert (line in text.splitlines()) == printed


def test_our_own_questions_are_marked_and_counted_apart() -> None:
    name = write_item(TINY + "    ours: true\n")
    item = find_item(name)
    assert [claim.ours for claim in item.claims][-1]
    values = {
        "gan.latent.loss": (0.9, 0.89),
        "cgpgan.categories": (4.0, 4.0),
        "cgpgan.entropy": (0.51, 0.5),
    }
    found = Results(name, "cpu", "0.2.0", (0, 1), (), values)
    run = pages({name: item}, {(name, "cpu"): found})
    assert f"| {item.claims[-1].text} (ours) | **" in run["thesis.md"]
    assert "(ours)" not in run["thesis.md"].replace(f"{item.claims[-1].text} (ours)", "")
    counts = [line for line in run["index.md"].splitlines() if line.count("|") == 4]
    held = len(item.claims) - 1
    assert counts[:3] == [
        "| claims | of the documents | ours |",
        "|---|---:|---:|",
        f"| holds | {held} | 1 |",
    ]
    unrun = pages({name: item}, {})
    assert f"- {item.claims[-1].text} (ours)" in unrun["thesis.md"]
    assert f"| of items that were not run | {held} | 1 |" in unrun["index.md"]
