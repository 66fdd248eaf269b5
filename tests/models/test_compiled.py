"""Networks compiled with torch.compile, whose weights torch gives other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

import lightning_gans
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.models import AdversarialModule
from lightning_gans.runs.checkpoint_format import stamp
from lightning_gans.runs.folder import newest
from tests.support.models import tiny_dlsgan
from tests.support.rounds import one_by_one
from tests.support.training import data, points, trainer


def compiled(seed: int = 1) -> AdversarialModule:
    model = points(seed=seed)
    model.generator = cast(Any, torch.compile(model.generator, backend="eager"))
    return model


def fit(folder: Path, model: AdversarialModule, steps: int) -> None:
    runner = trainer(folder, EMA(), Checkpoint(), max_steps=steps)
    runner.fit(model, data(), ckpt_path=newest(folder))


def test_a_compiled_run_resumes_plain_and_a_plain_one_compiled_bit_for_bit(tmp_path: Path) -> None:
    whole, again = points(), points(seed=7)
    fit(tmp_path / "whole", whole, 6)
    fit(tmp_path / "parts", compiled(), 2)
    fit(tmp_path / "parts", points(seed=5), 3)
    fit(tmp_path / "parts", compiled(seed=6), 5)
    fit(tmp_path / "parts", again, 6)
    assert list(again.state_dict()) == list(whole.state_dict())
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.mark.parametrize("older", [False, True])
def test_a_checkpoint_of_compiled_networks_loads(older: bool, tmp_path: Path) -> None:
    model = tiny_dlsgan()
    runner = trainer(tmp_path, EMA(), Checkpoint(), max_steps=1)
    model.generator = cast(Any, torch.compile(model.generator, backend="eager"))
    images = torch.rand(8, 1, 4, 4) * 2 - 1
    runner.fit(model, one_by_one([(images, torch.zeros(8).long())]))
    path = newest(tmp_path)
    assert path is not None
    saved = torch.load(path, weights_only=True)
    average = saved["callbacks"]["EMA"]["average"]
    assert not any("_orig_mod" in name for name in [*saved["state_dict"], *average])
    if older:
        for weights in (saved["state_dict"], average):
            for name in [name for name in weights if name.startswith("generator.")]:
                renamed = name.replace("generator.", "generator._orig_mod.")
                weights[renamed] = weights.pop(name)
        stamp(saved)
        torch.save(saved, path)
    loaded = lightning_gans.load(path, trust="tests")
    expected = {**saved["state_dict"], **average}
    for name, value in loaded.state_dict().items():
        older_name = name.replace("generator.", "generator._orig_mod.")
        assert torch.equal(value, expected[older_name if older_name in expected else name])
