"""LPIPS, of weights that are on the machine."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
from torchvision.models import alexnet

from lightning_gans.inversion.evaluation import lpips_network
from lightning_gans.metrics import perceptual


def images(count: int, side: int, seed: int) -> Tensor:
    """Random grey images."""
    return 2 * torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) - 1


class MeanDifference(nn.Module):
    """In place of LPIPS: knows its value for a batch, of RGB images in [-1, 1]."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        assert x.shape[1] == y.shape[1] == 3
        assert max(float(x.abs().max()), float(y.abs().max())) <= 1
        assert x.dtype == y.dtype == torch.float32
        assert not torch.is_grad_enabled()
        return (x - y).abs().mean()


def test_the_distance_of_many_images_is_the_mean_over_them() -> None:
    x, y = images(130, 8, 0), 1.5 * images(130, 8, 1)
    found = perceptual.lpips(MeanDifference(), x, y)
    assert found == pytest.approx(float((x - y.clamp(-1, 1)).abs().mean()), rel=1e-5)


def test_images_of_a_half_precision_model_are_compared_in_float32() -> None:
    x, y = (images(3, 8, seed).bfloat16() for seed in (0, 1))
    found = perceptual.lpips(MeanDifference(), x, y)
    assert found == pytest.approx(float((x.float() - y.float()).abs().mean()), rel=1e-5)


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_file_of_weights_with_code_in_it_runs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file, trace = tmp_path / "checkpoints" / perceptual.WEIGHTS, tmp_path / "trace"
    file.parent.mkdir()
    torch.save({"weight": Touches(trace)}, file)
    network, line = lpips_network(images(2, 32, 0))
    assert network is None
    assert "is damaged (UnpicklingError)" in line
    assert not trace.exists()


@pytest.mark.parametrize("content", [None, b"", b"<html>"])
def test_missing_or_damaged_weights_are_never_downloaded(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    file = tmp_path / "checkpoints" / perceptual.WEIGHTS
    if content is not None:
        file.parent.mkdir()
        file.write_bytes(content)
    network, line = lpips_network(images(2, 32, 0))
    assert network is None
    assert line.startswith("LPIPS is not measured: ")
    assert str(file) in line
    assert perceptual.URL in line
    assert "\n" not in line


@pytest.mark.slow
def test_weights_on_the_machine_give_the_distance_of_torchmetrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / perceptual.WEIGHTS
    file.parent.mkdir()
    torch.manual_seed(0)
    torch.save(alexnet().state_dict(), file)
    x, y = images(3, 32, 0), images(3, 32, 1)
    network, line = lpips_network(x)
    assert network is not None
    assert line == ""
    assert perceptual.lpips(network, x, x) == 0
    each = [
        float(
            learned_perceptual_image_patch_similarity(
                a.expand(1, 3, -1, -1), b.expand(1, 3, -1, -1)
            )
        )
        for a, b in zip(x[:, None], y[:, None], strict=True)
    ]
    assert perceptual.lpips(network, x, y) == pytest.approx(sum(each) / 3, rel=1e-4)
