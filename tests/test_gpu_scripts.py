"""The scripts for a GPU, as far as a CPU can run them."""

from __future__ import annotations

import gzip
import json
import lzma
import sys
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_gans.data import mnist5k
from lightning_gans.models import DLSGAN, InfoGAN
from lightning_gans.networks.layers import Blur
from lightning_gans.optimizers import AdamW
from lightning_gans.rng import stream
from tests.support.idx import write_idx
from tests.support.rounds import (
    SHAPE,
    TinyDiscriminator,
    TinyGenerator,
    batches,
    one_by_one,
    trainer,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import check_gpu
import published_ood
from gpu_checks import correctness, determinism, models, speed, synchronisation
from gpu_checks.report import Report


def rows(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_script_reports_that(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_gpu.main([]) == 0
    assert capsys.readouterr().out == "no GPU here: nothing to check\n"


def assert_passed(report: Report, folder: Path, count: int) -> None:
    found = rows(folder)
    assert len(found) == count
    assert all(row["verdict"] in ("pass", "-") for row in found), found
    assert report.failed == 0


def test_checks_of_correctness_and_synchronisation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synchronisation, "FIRST", 1)
    monkeypatch.setattr(synchronisation, "LAST", 2)
    report = Report(tmp_path)
    made = models.factories(models.descent())
    correctness.compare_training(report, "CAGAN", "cpu", made["CAGAN"], "64-true", 1e-10)
    correctness.compare_precisions(report, "cpu", iterations=2)
    correctness.compare_recovery(report, "cpu")
    for name in correctness.METRICS:
        correctness.compare_metric(report, "cpu", name)
    synchronisation.count_synchronisations(report, "cpu", "GAN", made["GAN"])
    assert_passed(report, tmp_path, 14)


@pytest.mark.slow
def test_checks_of_determinism(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist5k, "read_digits", cache(mnist5k.read_digits))
    monkeypatch.setattr(determinism, "STEPS", 7)
    monkeypatch.setattr(determinism, "INTERRUPTED", 6)
    report = Report(tmp_path)
    determinism.check(report, "cpu")
    assert_passed(report, tmp_path, 8)


@pytest.mark.slow
def test_checks_of_speed(tmp_path: Path) -> None:
    report = Report(tmp_path)
    sizes = speed.Sizes("cpu", small=True)
    rates: dict[str, float] = {}
    speed.rate(report, sizes, rates)
    speed.operations(report, sizes, rates)
    speed.ffhq(report, sizes, rates, 2, "32-true", torch.channels_last)
    speed.recovery(report, sizes)
    assert_passed(report, tmp_path, 6)


def test_an_error_becomes_a_row_and_other_checks_still_run(tmp_path: Path) -> None:
    report = Report(tmp_path)

    def broken() -> None:
        raise RuntimeError("no such thing\nand more")

    report.attempt("this", broken)
    report.add("that", "1", passed=True)
    first, second = rows(tmp_path)
    assert (first["value"], first["verdict"]) == ("RuntimeError: no such thing", "FAIL")
    assert (second["check"], report.failed) == ("that", 1)


def test_draws_are_the_same_for_every_device() -> None:
    def draw() -> list[Tensor]:
        with models.DrawOnCPU(3):
            p = torch.tensor([0.2, 0.8])
            return [
                torch.randn(4, generator=torch.Generator(), dtype=torch.float64),
                torch.rand(2, 3),
                torch.multinomial(p, 9, True),
            ]

    torch.manual_seed(0)
    first = draw()
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(first, draw(), strict=True))
    assert first[0].dtype == torch.float64


def test_operations_are_counted_where_gradients_are_differentiated() -> None:
    a = torch.randn(3, 5, requires_grad=True)
    with speed.FlopCounter() as counter:  # type: ignore[no-untyped-call]
        (slope,) = torch.autograd.grad((a @ a.T).square().sum(), a, create_graph=True)
        assert counter.operations == 3 * 2 * 3 * 5 * 3
        slope.square().sum().backward()  # type: ignore[no-untyped-call]
    assert counter.operations > 3 * 2 * 3 * 5 * 3


@pytest.mark.parametrize("kind", [DLSGAN, InfoGAN])
def test_the_loop_trains_the_same_weights_as_the_trainer(kind: type[DLSGAN | InfoGAN]) -> None:
    def make() -> DLSGAN | InfoGAN:
        torch.manual_seed(1)
        optimizer = partial(AdamW, lr=1e-3, weight_decay=0.0)
        return kind(SHAPE, 3, TinyGenerator, TinyDiscriminator, optimizer=optimizer, r1=0.1)

    data, model, other = batches(4), make().double(), make().double()
    pairs = [(x, torch.zeros(len(x), dtype=torch.long)) for x in data]
    trainer(precision="64-true").fit(model, one_by_one(pairs))
    remaining = iter(data)
    loop = published_ood.Loop(other, lambda: next(remaining), stream("training"))
    for _ in data:
        loop.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=1e-12, msg=name)


def test_the_blur_by_matrices_equals_the_blur() -> None:
    x, matrix, blur = torch.randn(2, 3, 8, 8).double(), published_ood.MatrixBlur(), Blur().double()
    matrix.double()
    torch.testing.assert_close(matrix.down(x), blur.down(x))
    torch.testing.assert_close(matrix.up(x), blur.up(x))
    assert not matrix.state_dict()


def test_a_short_run_writes_all_results(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = [f"mnist_c/{name}" for name in published_ood.CORRUPTIONS]
    for name in ("mnist_train", "mnist_test", "fashion_test", *names):
        file = tmp_path / f"{name}.xz"
        file.parent.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (64, 28, 28), dtype=np.uint8)
        file.write_bytes(lzma.compress(pixels.tobytes()))
    out = tmp_path / "out"
    options = f"--data {tmp_path} --out {out} --device cpu --channels 2 --batch 8 --method"
    more = "dlsgan,infogan --iterations 4 --epoch 2 --log 2 --evaluate 2"
    published_ood.main([*options.split(), *more.split()])
    for method in ("dlsgan", "infogan"):
        lines = [json.loads(line) for line in (out / f"{method}.jsonl").read_text().splitlines()]
        events = ["ready", "log", "evaluation", "log", "auroc", "result"]
        assert [line["event"] for line in lines] == events
        cells = lines[-1]["auroc"]["nll"]
        assert len(cells) == 24
        assert cells["near"] == pytest.approx(
            np.mean([value for place, value in cells.items() if place.startswith("near/")])
        )
        kept = np.load(out / f"{method}.npz")
        assert kept["near/fog/nll"].shape == (64,)
        assert (out / f"{method}-encoder.pt").is_file()


def test_reads_the_published_file_formats(tmp_path: Path) -> None:
    pixels = torch.arange(2 * 28 * 28).remainder(256).view(2, 28, 28).to(torch.uint8)
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    write_idx(file, pixels.numpy())
    file.write_bytes(gzip.decompress(file.read_bytes()))
    folder = tmp_path / "mnist_c" / "fog"
    folder.mkdir(parents=True)
    np.save(folder / "test_images.npy", pixels[..., None].numpy())
    for name in ("mnist_test", "mnist_c/fog"):
        found = published_ood.images(tmp_path, name, "cpu")
        assert found.shape == (2, 1, 32, 32)
        assert torch.equal(found[:, 0, 2:-2, 2:-2], pixels)
        assert not found[:, :, :2].any()
