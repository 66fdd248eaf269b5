"""A model's card: what it is, what it was trained on, how well it does, and how to use it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning_gans.models import Model
from lightning_gans.runs.measures import described, number
from lightning_gans.runs.report import CITATION


@dataclass(frozen=True)
class Facts:
    """What a card says beside the model itself.

    Attributes:
        title: the name of the model and its data.
        data: what it was trained on, in words.
        iterations: of training; 0 if unknown.
        metrics: of the last evaluation, by name.
        files: written ones, with what they are.
        differences: of programs from the networks, by file.
        examples: programs, by file.
        licence: of the weights.
        pictures: files of pictures with captions.
        ood: a line on the OOD calibration; empty without one.
        extra: further lines, such as names of classes.
    """

    title: str
    data: str
    iterations: int
    metrics: Mapping[str, float]
    files: Mapping[str, str]
    differences: Mapping[str, float]
    examples: Mapping[str, str]
    licence: str
    pictures: Mapping[str, str]
    ood: str = ""
    extra: Sequence[str] = field(default_factory=tuple)


def card(model: Model, facts: Facts) -> str:
    """The card as Markdown, with the header that hubs of models read."""
    lines = [
        "---",
        f"license: {json.dumps(facts.licence)}",
        "library_name: lightning_gans",
        "tags: [lightning_gans, gan, "
        f"{'image-generation' if len(model.image_shape) == 3 else 'generative'}]",
        "---",
        "",
        f"# {facts.title}",
        "",
        *about(model, facts),
        "",
        *(f"![{caption}]({name})\n\n{caption}\n" for name, caption in facts.pictures.items()),
        "## Measurements",
        "",
        *metrics_table(facts.metrics),
        "",
        "## With lightning_gans",
        "",
        "```python",
        "import lightning_gans",
        "",
        'model = lightning_gans.from_pretrained("FOLDER")  # or USER/NAME, from a hub',
        *[f"{line}" for line in calls(model)],
        "```",
        "",
        "Commands take the folder too, as in `lightning-gans info FOLDER`.",
        "",
    ]
    for name, text in facts.examples.items():
        what = "ONNX Runtime and numpy" if "onnx" in name else "torch alone"
        lines += [f"## With {what} (`{name}`)", "", "```python", text.rstrip("\n"), "```", ""]
    if facts.ood:
        lines += ["## Out-of-distribution detection", "", facts.ood, ""]
    lines += ["## Files", "", "| file | content |", "|---|---|"]
    for name, what in facts.files.items():
        apart = facts.differences.get(name)
        note = "" if apart is None else f"; differs from the model by at most {apart:.1g}"
        lines.append(f"| `{name}` | {what}{note} |")
    lines += ["", "## Licence and citation", "", f"Licence of the weights: {facts.licence}.", ""]
    lines += [" ".join(CITATION), ""]
    return "\n".join(lines)


def about(model: Model, facts: Facts) -> list[str]:
    """What the model is."""
    module = inspect.getmodule(type(model))
    first = ((module and module.__doc__) or type(model).__doc__ or "").strip().splitlines()[:1]
    channels = {1: "grey", 3: "colour"}.get(model.image_shape[0], "")
    shape = (
        f"{channels} images of {model.image_shape[1]} x {model.image_shape[2]} pixels"
        if len(model.image_shape) == 3
        else "points in the plane"
    )
    weights = sum(p.numel() for p in model.parameters())
    lines = [
        f"- model: `{type(model).__name__}`. {first[0] if first else ''}",
        f"- makes and reads: {shape}, values in [-1, 1]",
        f"- trained on: {facts.data}",
    ]
    if facts.iterations:
        lines.append(f"- iterations: {facts.iterations:,}")
    lines += [
        f"- weights: {weights:,}{', averaged over training' if model.has_averages else ''}",
        f"- can: {', '.join(f'`{name}`' for name in model.capabilities)}",
        *(f"- {line}" for line in facts.extra),
    ]
    return lines


def metrics_table(metrics: Mapping[str, float]) -> list[str]:
    """The measurements, with what they say and which way is better."""
    if not metrics:
        return ["Nothing was measured."]
    lines = ["| measure | value | better | says |", "|---|---:|:---:|---|"]
    for name, value in sorted(metrics.items()):
        arrow, words = described(name)
        lines.append(f"| `{name}` | {number(value)} | {arrow} | {words} |")
    return lines


def calls(model: Model) -> list[str]:
    """Lines that use what the model can do."""
    can = model.capabilities
    found = []
    if "generate" in can:
        found.append("x = model.generate(8)        # images in [-1, 1]")
    if "encode" in can:
        found.append("z = model.encode(x)          # images to codes")
    if "reconstruct" in can:
        found.append("y = model.reconstruct(x)     # and back")
    if "ood_score" in can:
        found.append("s = model.ood_score(x)       # the higher, the more anomalous")
    if "classify" in can:
        found.append("k = model.classify(x)")
    if "cluster" in can:
        found.append("k = model.cluster(x)")
    return found
