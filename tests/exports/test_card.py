"""The card of an exported model, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightning_gans.exports.card import Facts, card
from lightning_gans.models import CGPGAN, DLSGAN, Classifier, Model
from tests.support.models import tiny_dlsgan

FACTS = Facts(
    title="DLSGAN of birds",
    data="Folder (birds), of which 24 images were held out",
    iterations=12_345,
    metrics={"psnr/real": 21.5, "fid/random": 3.25},
    files={"model.safetensors": "the weights", "encoder.pt2": "the encoder", "a.onnx": "ONNX"},
    differences={"encoder.pt2": 3.2e-6, "a.onnx": 0.0},
    examples={"example_onnx.py": "import numpy\n", "example_torch.py": "import torch\n"},
    licence='say "please"',
    pictures={"samples.png": "Samples, not chosen."},
    ood="Scores above 7 are OOD.",
    extra=("classes: a, b",),
)


@pytest.mark.parametrize("has_averages", [False, True])
def test_a_card_says_each_fact_where_it_belongs(has_averages: bool) -> None:
    model = tiny_dlsgan()
    model.has_averages = has_averages
    lines = card(model, FACTS).splitlines()
    weights = sum(value.numel() for value in model.parameters())
    for line in (
        # YAML, whatever the licence is called
        'license: "say \\"please\\""',
        "# DLSGAN of birds",
        "- makes and reads: grey images of 4 x 4 pixels, values in [-1, 1]",
        "- trained on: Folder (birds), of which 24 images were held out",
        "- iterations: 12,345",
        f"- weights: {weights:,}{', averaged over training' * has_averages}",
        "- classes: a, b",
        "![Samples, not chosen.](samples.png)",
        "| `model.safetensors` | the weights |",
        "| `encoder.pt2` | the encoder; differs from the model by at most 3e-06 |",
        "| `a.onnx` | ONNX; differs from the model by at most 0 |",
        "## With ONNX Runtime and numpy (`example_onnx.py`)",
        "## With torch alone (`example_torch.py`)",
        "Scores above 7 are OOD.",
        'Licence of the weights: say "please".',
    ):
        assert line in lines, line
    (fid,) = (line for line in lines if line.startswith("| `fid/random` |"))
    (psnr,) = (line for line in lines if line.startswith("| `psnr/real` |"))
    assert [part.strip() for part in fid.split("|")[2:4]] == ["3.25", "↓"]
    assert [part.strip() for part in psnr.split("|")[2:4]] == ["21.5", "↑"]


def test_what_is_not_known_is_left_out() -> None:
    bare = replace(FACTS, iterations=0, metrics={}, ood="", pictures={}, examples={}, extra=())
    text = card(tiny_dlsgan(), bare)
    assert "Nothing was measured." in text
    for word in ("iterations", "Out-of-distribution detection", "classes:", "![", "With torch"):
        assert word not in text


@pytest.mark.parametrize(
    ("model", "calls", "shape"),
    [
        (
            DLSGAN((2,), 3),
            {"generate", "encode", "reconstruct", "ood_score"},
            "points in the plane",
        ),
        (Classifier((3, 16, 16), (3, 2)), {"ood_score", "classify"}, "colour images of 16 x 16"),
        (CGPGAN((2,), 4, 3), {"generate", "cluster", "ood_score"}, "points in the plane"),
    ],
    ids=["DLSGAN", "Classifier", "CGPGAN"],
)
def test_the_lines_of_python_call_what_the_model_has(
    model: Model, calls: set[str], shape: str
) -> None:
    text = card(model, FACTS)
    assert shape in text
    can = set(model.capabilities)
    listed = {name for name in calls if f"= model.{name}(" in text}
    assert listed == calls & can
    every = {"generate", "encode", "reconstruct", "ood_score", "classify", "cluster"}
    assert not [name for name in every - can if f"model.{name}(" in text]
