"""Scores of averaged weights: which one decides, and who is warned."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.models import DLSGAN, Autoencoder, InfoGAN, Model
from lightning_gans.networks import ConvDiscriminator, ConvGenerator
from lightning_gans.ood.scorer import Scorer
from lightning_gans.runs.checkpoint_format import stamp
from tests.support.idx import write_digits
from tests.support.pictures import draw

LINE = (
    "these weights are averages, and the variance v was traced from codes of weights that are not"
)


def saved(model: Model, run: Path, factor: float | None) -> Path:
    """A run with averages that are the weights times a factor; None for no averages."""
    content: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    if factor is not None:
        average: dict[str, Tensor] = {n: p * factor for n, p in model.state_dict().items()}
        parameters = dict(model.named_parameters())
        average = {name: value for name, value in average.items() if name in parameters}
        content["callbacks"] = {"EMA": {"average": average}}
        stamp(content)
    (run / "checkpoints").mkdir(parents=True)
    torch.save(content, run / "checkpoints" / "last-step=1.ckpt")
    return run


def small(kind: Any = DLSGAN, side: int = 16) -> Model:
    torch.manual_seed(0)
    parts = (partial(ConvGenerator, channels=2), partial(ConvDiscriminator, channels=2))
    model: Model = kind((1, side, side), 4, *parts)
    return model


@pytest.mark.parametrize(
    ("kind", "factor", "score"),
    [
        (DLSGAN, None, "nll"),
        # ema.decay=0: the averages are the weights
        (DLSGAN, 1.0, "nll"),
        (DLSGAN, 0.9, "reconstruction"),
        (InfoGAN, None, "nll"),
        # not nll_own, which comes before it
        (InfoGAN, 0.9, "reconstruction"),
        (Autoencoder, 0.9, "reconstruction"),
    ],
)
def test_the_score_is_chosen_by_what_the_checkpoint_is(
    kind: type[Model],
    factor: float | None,
    score: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = saved(small(kind), tmp_path / "run", factor)
    model = lightning_gans.load(run)
    assert model.has_averages is (factor == 0.9)
    found = Scorer(model).default
    assert found.name == score
    assert ("averaged" in found.why) is (factor == 0.9 and kind is not Autoencoder)
    if kind is not DLSGAN:
        return
    draw(tmp_path / "scans", 4, 16)
    draw(tmp_path / "held out", 20, 16)
    words = ["ood", "score", "ckpt=run", "images=scans", "data=folder", "data.root=held out"]
    words += ["data.resolution=16", "data.channels=1", "data.validation=0", "most_anomalous=0"]
    main([*words, "out=x", "device=cpu"])
    text = capsys.readouterr().out
    assert f"4 of 4 images scored by {score}, compared with 20 held-out images" in text
    assert text.count(f"score={score}: {found.why}; score= chooses another\n") == 1
    assert LINE not in text
    # whoever asks for it gets it, and is warned once
    main([*words, "out=y", "device=cpu", "score=nll"])
    text = capsys.readouterr().out
    assert "scored by nll" in text
    assert text.count(LINE) == (factor == 0.9)


def test_a_likelihood_of_averaged_weights_is_warned_about_where_it_matters(
    tmp_path: Path,
) -> None:
    x = torch.zeros(2, 1, 16, 16)
    averaged = lightning_gans.load(saved(small(), tmp_path / "averaged", 0.9))
    plain = lightning_gans.load(saved(small(), tmp_path / "plain", None))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            averaged.ood_score(x)
        for model in (averaged, plain):
            model.decode(model.encode(x))
            model.reconstruct(x)
        plain.ood_score(x)
    assert [str(w.message).startswith(LINE) for w in caught] == [True]
    assert caught[0].filename == __file__
    assert Scorer(averaged, ("reconstruction",)).warning is None
    assert Scorer(plain).warning is None
    line = Scorer(averaged).warning
    assert line is not None
    assert line.startswith(f"nll, typicality: {LINE}")


def test_a_table_of_averaged_weights_warns_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(tmp_path / "digits", "MNIST", 0)
    for name, factor in (("averaged", 0.9), ("plain", None)):
        saved(small(side=32), tmp_path / name, factor)
    words = ["ood", "table", "ckpt=averaged", "ckpt=plain", "data=mnist_ood", "data.root=digits"]
    main([*words, "n=10", "bootstrap=0", "out=x", "device=cpu"])
    told = capsys.readouterr().err
    assert told.count(LINE) == 1
    assert f"\naveraged nll, typicality: {LINE}" in told
    main([*words, "n=10", "bootstrap=0", "out=y", "device=cpu", "scores=reconstruction"])
    assert LINE not in capsys.readouterr().err
