"""Which precisions are trained in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightning_gans.callbacks import Checkpoint
from lightning_gans.errors import UserError
from tests.support.training import data, points, trainer


@pytest.mark.parametrize("precision", ["16-mixed", "16-true"])
def test_stable_pretraining_333_float16_is_refused_in_one_line(
    precision: str, tmp_path: Path
) -> None:
    model = points()
    runner = trainer(tmp_path, max_steps=1)
    runner.strategy.precision_plugin.precision = precision  # type: ignore[assignment]
    with pytest.raises(UserError, match=rf"precision={precision} is not supported"):
        runner.fit(model, data())


def test_bf16_mixed_trains_close_to_float32(tmp_path: Path) -> None:
    finals = []
    for precision in ("32-true", "bf16-mixed"):
        model = points()
        trainer(tmp_path / precision, Checkpoint(), max_steps=10, precision=precision).fit(
            model, data()
        )
        finals.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        assert finals[-1].dtype == torch.float32
    full, half = finals
    start = torch.cat([p.detach().flatten() for p in points().parameters()])
    moved = torch.nn.functional.cosine_similarity(full - start, half - start, dim=0)
    assert 0.8 < moved < 1 - 1e-7
