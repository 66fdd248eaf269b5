"""Checkpoints and run folders of version 0.1.0 load, resume, and give the same results."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lightning_gans
from lightning_gans.cli import CONFIGS, main
from lightning_gans.inversion import Scaled, recover
from lightning_gans.models import Model
from lightning_gans.networks.convolution import Conv2d
from tests.support.bits import arithmetic, sha256, sha256_of_all

FIXTURE = CONFIGS.parent / "tests" / "fixtures" / "v0_1_0"
EXPECTED: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text())
NAMES = sorted(path.parent.name for path in FIXTURE.glob("*/checkpoints"))
STEPS, MORE = 6, 5
LATENTS = [[((7 * i + 3 * j) % 17 - 8) / 8 for j in range(4)] for i in range(3)]


@pytest.fixture(scope="module")
def same_bits() -> bool:
    """Whether this machine computes the same bits as the one that recorded the expected values."""
    return bool(arithmetic() == EXPECTED["arithmetic"])


def assert_result(result: Tensor, expected: dict[str, Any], same_bits: bool) -> None:
    """Equal bit by bit where the machine allows it, to a relative 1e-5 elsewhere.

    A value near 0 among large ones, such as a distance between two of them, is as exact as float32
    holds the large ones.
    """
    assert list(result.shape) == expected["shape"]
    flat = result.detach().double().flatten()
    rounding = torch.finfo(torch.float32).eps * float(flat.abs().max())
    near = pytest.approx(expected["first"], rel=1e-5, abs=max(1e-6, rounding))
    assert flat[:3].tolist() == near
    scale = float(flat.abs().sum())
    assert float(flat.sum()) == pytest.approx(expected["sum"], abs=1e-5 * max(scale, 1.0))
    if same_bits:
        assert sha256(result) == expected["sha256"]


def images_of(model: Model) -> Tensor:
    shape = torch.Size(model.image_shape)
    return torch.linspace(-1, 1, 3 * shape.numel()).reshape(3, *shape)


def output(model: Any, method: str) -> Tensor:
    """The result of a model's method for fixed inputs."""
    result: Tensor
    if method == "decode":
        categories = model.categories
        c = () if categories is None else (categories.condition(torch.tensor([0, 1, 2]), 3),)
        result = model.decode(torch.tensor(LATENTS), *c)
    elif method == "generate":
        torch.manual_seed(0)
        result = model.generate(3)
    else:
        result = getattr(model, method)(images_of(model))
    return result


@pytest.mark.parametrize("name", NAMES)
def test_loaded_models_have_their_averaged_weights_and_outputs(name: str, same_bits: bool) -> None:
    model, expected = lightning_gans.load(FIXTURE / name), EXPECTED[name]
    assert type(model).__name__ == expected["class"]
    assert sha256_of_all(model.state_dict()) == expected["weights"]
    for method, values in expected["outputs"].items():
        assert_result(output(model, method), values, same_bits)


@pytest.mark.parametrize("name", [name for name in NAMES if "recovery" in EXPECTED[name]])
def test_images_are_inverted_as_before(name: str, same_bits: bool) -> None:
    model: Any = lightning_gans.load(FIXTURE / name)
    expected = EXPECTED[name]["recovery"]
    generator = Scaled(model.generator, model.prior.scale())
    found = recover(generator, images_of(model), model.prior, steps=5, restarts=2, lr=0.1)
    assert found.losses.tolist() == pytest.approx(expected["losses"], rel=1e-5)
    assert_result(found.codes, expected["codes"], same_bits)


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", [name for name in NAMES if "resumed" in EXPECTED[name]])
def test_a_run_resumes_from_its_folder(
    name: str, same_bits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its config.yaml names modules that have moved and options that were removed."""
    run = tmp_path / "runs" / name / "data" / "fixture"
    shutil.copytree(FIXTURE / name, run)
    shutil.copytree(FIXTURE / "gan", tmp_path / "gan")  # the generator that encoder's config names
    last = f"checkpoints/last-step={STEPS}.ckpt"
    main([f"ckpt_path={run.relative_to(tmp_path) / last}", f"trainer.max_steps={STEPS + MORE}"])
    made = run / "checkpoints" / f"last-step={STEPS + MORE}.ckpt"
    expected = EXPECTED[name]["resumed"]
    again = rows(run)
    assert [row["step"] for row in again] == [row["step"] for row in expected["metrics"]]
    for row, values in zip(again, expected["metrics"], strict=True):
        if same_bits:
            # sums of SSIM were once taken in another order
            exact = {key: value for key, value in values.items() if not key.startswith("ssim/")}
            assert {key: row[key] for key in exact} == exact
        for key, value in values.items():
            measured = "/" in key and key.split("/")[1] == "digits"  # of features of few images
            assert row[key] == pytest.approx(value, rel=1e-3 if measured else 1e-5, abs=1e-6), key
    # the gradients of convolutions are summed in another order since
    convolutions = any(isinstance(m, Conv2d) for m in lightning_gans.load(made).modules())
    if same_bits and not convolutions:
        content = torch.load(made, weights_only=True)
        assert sha256_of_all(content["state_dict"]) == expected["weights"]
        assert sha256_of_all(lightning_gans.load(made).state_dict()) == expected["averages"]
        moments = {
            f"{player}.{index}.{key}": torch.as_tensor(value)
            for player, optimizer in enumerate(content["optimizer_states"])
            for index, state in optimizer["state"].items()
            for key, value in state.items()
        }
        assert sha256_of_all(moments) == expected["optimizers"]
