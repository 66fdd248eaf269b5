"""The pages of results: one for each document, and an index. They are written from JSON alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lightning_gans.reproduce.items import DOCUMENTS, PROFILES, SEEDS, Claim, Item
from lightning_gans.reproduce.predicate import Judged, Predicate, Verdict, number, spread
from lightning_gans.reproduce.results import Results

# by the IDs of items and the names of profiles
Found = Mapping[tuple[str, str], Results]
TITLES = {
    "thesis": "Results: the thesis",
    "Cho 2021": "Results: Cho 2021",
    "Cho, short paper": "Results: Cho, short paper",
    "Egan 2018": "Results: Egan 2018",
    "Latent Space 2019": "Results: Latent Space 2019",
}
WRITTEN = (
    "`lightning-gans reproduce report` writes this page from the files in `data`; a change here is "
    "lost."
)


def page_of(document: str) -> str:
    """The name of the page of a document."""
    return f"{next(key for key, value in DOCUMENTS.items() if value == document)}.md"


def pages(items: Mapping[str, Item], found: Found) -> dict[str, str]:
    """All pages by the names of their files.

    Args:
        items: all items, in order.
        found: the results that there are.
    """
    texts = {"index.md": index(items, found)}
    for document in DOCUMENTS.values():
        own = [item for item in items.values() if item.document == document]
        texts[page_of(document)] = document_page(document, own, found)
    return texts


def judged(item: Item, results: Results) -> list[tuple[Claim, Judged]]:
    """The claims of an item with their verdicts."""
    seeds = [results.of_seed(index) for index in range(len(results.seeds))]
    return [
        (
            claim,
            Predicate(claim.holds, item.values_of(results.profile), claim.exact).judge(seeds),
        )
        for claim in item.claims_of(results.profile)
    ]


def index(items: Mapping[str, Item], found: Found) -> str:
    """The first page: counts of claims, and a row for each item."""
    verdicts = Counter(
        (answer.verdict, claim.ours)
        for (name, _), results in found.items()
        for claim, answer in judged(items[name], results)
    )
    run = {name for name, _ in found}
    unrun = Counter(
        claim.ours for name, item in items.items() if name not in run for claim in item.claims
    )
    lines = [
        "# Results",
        "",
        WRITTEN,
        "",
        "Figures and tables of the documents in the [bibliography](../bibliography.md): "
        f"{len(items)} items, of which {len(run)} were run. "
        "[Reproducing](../reproducing.md) says how, and how a verdict is reached.",
        "",
        "| claims | of the documents | ours |",
        "|---|---:|---:|",
        *(f"| {v.value} | {verdicts[v, False]} | {verdicts[v, True]} |" for v in Verdict),
        f"| of items that were not run | {unrun[False]} | {unrun[True]} |",
        "",
        "| item | shows | profile | seeds | holds | does not hold | cannot be told "
        "| from one seed |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for item in items.values():
        label, title = f"[{item.id}]({page_of(item.document)}#{item.id})", cell(item.title)
        profiles = [name for name in PROFILES if (item.id, name) in found]
        for profile in profiles:
            results = found[item.id, profile]
            counts = Counter(answer.verdict for _, answer in judged(item, results))
            cells = " | ".join(str(counts[verdict]) for verdict in Verdict)
            lines.append(f"| {label} | {title} | {profile} | {len(results.seeds)} | {cells} |")
        if not profiles:
            lines.append(f"| {label} | {title} | not run | - | - | - | - | - |")
    return "\n".join([*lines, ""])


def document_page(document: str, items: Sequence[Item], found: Found) -> str:
    """The page of one document."""
    lines = [f"# {TITLES[document]}", "", WRITTEN, ""]
    for item in items:
        lines += item_section(
            item, {p: found[item.id, p] for p in PROFILES if (item.id, p) in found}
        )
    if not items:
        lines += ["No figure or table of this document has an item yet.", ""]
    return "\n".join(lines)


def item_section(item: Item, results: Mapping[str, Results]) -> list[str]:
    """All that is known of one item."""
    lines = [f"## {item.id}", "", f"**{item.title}** ({item.document}, {item.place}).", ""]
    if item.about:
        lines += [item.about, ""]
    for profile in item.profiles:
        lines += profile_lines(item, profile, results.get(profile))
    if not results:
        lines += ["Claims that a run would check:", ""]
        lines += [f"- {sentence(claim)}" for claim in item.claims]
        lines.append("")
    return lines


def profile_lines(item: Item, profile: str, results: Results | None) -> list[str]:
    """A profile of an item: what it takes and, if it was run, what was found."""
    chosen = item.profiles[profile]
    cost = f"about {duration(chosen.minutes)} a seed"
    # as it was run, whatever the item says now
    network, iterations, samples = (
        (chosen.network, chosen.iterations, chosen.samples)
        if results is None or results.setting is None
        else (results.setting.network, results.setting.iterations, results.setting.samples)
    )
    length = f" {iterations:,} iterations;" if iterations else ""
    setting = f"{network};{length} {samples}; {cost}"
    if results is None:
        seeds = "" if chosen.seeds == SEEDS else f" seeds={chosen.seeds}"
        command = f"lightning-gans reproduce run {item.id} profile={profile}{seeds}"
        return [f"Profile {profile} (not run; `{command}`): {setting}.", ""]
    numbers = f"{len(results.seeds)} seed{'s' * (len(results.seeds) != 1)}"
    lines = [f"Profile {profile} ({numbers}, version {results.version}): {setting}.", ""]
    answers = judged(item, results)
    if answers:
        lines += ["| claim | verdict | evidence |", "|---|---|---|"]
        lines += [
            f"| {cell(sentence(claim))} | **{answer.verdict.value}** "
            f"| {cell('; '.join(answer.evidence))} |"
            for claim, answer in answers
        ]
        lines.append("")
    if results.sources:
        lines += [sources_line(results.sources), ""]
    for claim, answer in answers:
        if claim.investigation and profile == "cpu" and answer.verdict is not Verdict.HOLDS:
            lines += [f"*{claim.text}* {claim.investigation}", ""]
    lines += [*values_table(item, results), ""]
    lines += [
        part
        for name, text in results.pictures.items()
        for part in (f"{text}:", "", f"![{cell(text)}](images/{name})", "")
    ]
    if results.trainings:
        lines += ["Trained by:", ""]
        lines += [f"    {record.command}" for record in results.trainings]
        lines.append("")
    return lines


def values_table(item: Item, results: Results) -> list[str]:
    """All values of an item, with the published ones."""
    lines = [
        "| value | ours: mean ± standard deviation | published | seeds |",
        "|---|---:|---:|---|",
    ]
    for name, values in results.values.items():
        numbers = results.all_of(name)
        published = item.published.get(name)
        printed = "-" if published is None else ", ".join(map(number, published))
        each = ", ".join(number(value) for value in numbers) if len(values) > 1 else ""
        lines.append(f"| {name} | {spread(numbers)} | {printed} | {each} |")
    return lines


def sources_line(sources: Mapping[str, str]) -> str:
    """Where the images of each OOD set came from."""
    kinds = {
        kind: [name for name, of in sources.items() if of == kind] for kind in sources.values()
    }
    parts = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items()]
    return f"Images of the OOD sets, by their source: {'; '.join(parts)}."


def sentence(claim: Claim) -> str:
    """A claim as pages have it: with a mark if no document says it."""
    return f"{claim.text} (ours)" if claim.ours else claim.text


def duration(minutes: float) -> str:
    """A time as people say it.

    >>> duration(25), duration(150), duration(60 * 24 * 10), duration(0.5)
    ('25 min', '2.5 h', '10 days', '30 s')
    """
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    if minutes < 60 * 48:
        return f"{minutes / 60:.2g} h"
    return f"{minutes / 60 / 24:.2g} days"


def cell(text: str) -> str:
    """A text in a cell of a table."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")


def overview(items: Iterable[Item], found: Found) -> str:
    """A table of all items for a terminal: costs of their profiles, and which were run."""
    rows: list[tuple[str, ...]] = [("item", "shows", "cpu", "paper", "run")]
    for item in items:
        costs = [
            f"{item.profiles[name].seeds} x {duration(item.profiles[name].minutes)}"
            if name in item.profiles
            else "-"
            for name in PROFILES
        ]
        run = [f"{p} ({len(found[item.id, p].seeds)})" for p in PROFILES if (item.id, p) in found]
        rows.append((item.id, item.title, *costs, ", ".join(run) or "-"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
