"""The scripts for a GPU, as far as a CPU can run them."""

from __future__ import annotations

import gzip
import json
import lzma
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

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
from gpu_checks import (
    compiled,
    correctness,
    determinism,
    long,
    models,
    speed,
    synchronisation,
    tasks,
)
from gpu_checks.report import Report
from gpu_checks.timing import Sizes


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "rows.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "finished" not in row]


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
    monkeypatch.setattr(synchronisation, "FIRST", 2)
    monkeypatch.setattr(synchronisation, "LAST", 3)
    report = Report(tmp_path)
    made = models.factories(models.descent())
    correctness.compare_training(report, "CAGAN", "cpu", made["CAGAN"], "64-true", 1e-10)
    correctness.compare_precisions(report, "cpu", iterations=2)
    correctness.compare_recovery(report, "cpu")
    correctness.compare_functions(report, "cpu")
    for name in correctness.METRICS:
        correctness.compare_metric(report, "cpu", name)
    synchronisation.count_synchronisations(report, "cpu", "GAN", made["GAN"])
    synchronisation.pinned_batches(report, "cpu")
    synchronisation.copies(report, "cpu", side=8)
    assert_passed(report, tmp_path, 19)


@pytest.mark.slow
def test_checks_of_determinism(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist5k, "read_digits", cache(mnist5k.read_digits))
    monkeypatch.setattr(determinism, "STEPS", 7)
    monkeypatch.setattr(determinism, "INTERRUPTED", 6)
    report = Report(tmp_path)
    determinism.check(report, "cpu")
    assert_passed(report, tmp_path, 8)


@pytest.mark.slow
def test_a_small_call_adds_rows_of_all_parts_and_another_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pixels(tmp_path)
    timed = "speed,compiled,host,memory,tasks,long"
    arguments = f"--device cpu --small --only {timed} --data {tmp_path} --out {tmp_path / 'out'}"
    assert check_gpu.main(arguments.split()) == 0
    found = rows(tmp_path / "out")
    assert {row["part"] for row in found} == {"", *timed.split(",")}
    assert all(row["verdict"] in ("pass", "-") for row in found), found
    assert sum(row["part"] == "long" for row in found) == 1 + 24
    capsys.readouterr()
    assert check_gpu.main([*arguments.split(), "--resume"]) == 0
    again = capsys.readouterr().out.splitlines()
    # what has no end is checked again
    assert len(again) == 3 + 1 + 25, again


def test_rows_survive_a_call_that_is_cut_off_and_the_next_goes_on(tmp_path: Path) -> None:
    report = Report(tmp_path, "a GPU")
    report.part = "speed"

    def cut_off() -> None:
        report.add("begun", "1 ms")
        raise KeyboardInterrupt

    report.attempt("complete", partial(report.at_most, "product", "2 s", 2.0, 3.0, " s"))
    with pytest.raises(KeyboardInterrupt):
        report.attempt("cut off", cut_off)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"part": "speed", "che')  # the process was killed while it wrote
    table = (tmp_path / "rows.md").read_text()
    assert "| product | 2 s | at most 3 s | pass |\n| begun | 1 ms |  | - |" in table

    ran: list[str] = []
    following = Report(tmp_path, "a GPU", resume=True)
    following.part = "speed"
    following.attempt("complete", lambda: ran.append("complete"))
    following.attempt("cut off", lambda: ran.append("cut off"))
    following.add("begun", "3 ms")
    assert ran == ["cut off"]
    table = (tmp_path / "rows.md").read_text()
    assert "| product | 2 s | at most 3 s | pass |\n| begun | 3 ms |  | - |" in table
    assert "1 ms" not in table


def test_a_check_that_failed_runs_again_when_a_call_goes_on(tmp_path: Path) -> None:
    def broken() -> None:
        raise RuntimeError("no such thing\nand more")

    report = Report(tmp_path)
    report.attempt("this", broken)
    report.add("that", "1", passed=True, requirement="1")
    first, second = rows(tmp_path)
    assert (first["value"], first["verdict"]) == ("RuntimeError: no such thing", "FAIL")
    assert (second["check"], report.failed) == ("that", 1)
    ran: list[str] = []
    Report(tmp_path, resume=True).attempt("this", lambda: ran.append("this"))
    assert ran == ["this"]


def test_no_check_begins_when_the_minutes_are_over(tmp_path: Path) -> None:
    report, ran = Report(tmp_path, seconds=0.0), []
    report.part = "tasks"
    report.attempt("FID", lambda: ran.append("FID"))
    assert (ran, report.left) == ([], ["tasks: FID"])
    Report(tmp_path, resume=True).attempt("FID", lambda: ran.append("FID"))
    assert ran == ["FID"]


@pytest.mark.parametrize(
    ("number", "verdict"), [(0.9, "pass"), (1.0, "pass"), (1.1, "FAIL"), (float("nan"), "FAIL")]
)
def test_a_verdict_compares_the_number_with_its_bound(
    number: float, verdict: str, tmp_path: Path
) -> None:
    report = Report(tmp_path)
    report.at_most("ratio", f"{number}", number, 1.0)
    assert rows(tmp_path)[0]["verdict"] == verdict
    assert rows(tmp_path)[0]["requirement"] == "at most 1"
    assert report.failed == (verdict == "FAIL")


def test_there_is_no_verdict_without_a_requirement(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a requirement"):
        Report(tmp_path).add("speed", "fast", passed=True)


def test_an_unknown_part_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        check_gpu.main(["--device", "cpu", "--only", "speed,sped"])
    assert stopped.value.code == 2
    assert "no part 'sped'; choose from correctness, determinism" in capsys.readouterr().err


def test_an_unknown_method_is_refused_before_anything_trains(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        check_gpu.main(["--device", "cpu", "--only", "long", "--methods", "dlsgan,infogam"])
    assert stopped.value.code == 2
    assert "no method 'infogam'; choose from dlsgan, infogan, msegan" in capsys.readouterr().err


def test_networks_that_torch_cannot_compile_are_a_row_not_a_failure(tmp_path: Path) -> None:
    report, sizes = Report(tmp_path), Sizes("cpu", small=True)

    def unsupported(model: DLSGAN) -> None:
        raise RuntimeError("no double backward\nbecause of this")

    compiled.speed(report, sizes, "discriminator compiled", unsupported)
    (row,) = rows(tmp_path)
    assert row["value"] == "not possible: RuntimeError: no double backward"
    assert (row["verdict"], report.failed) == ("-", 0)


def test_only_images_whose_gradient_is_penalised_are_scored_without_the_compiler() -> None:
    model, calls = Sizes("cpu", small=True).dlsgan(), []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        def run(*args: Any) -> Any:
            calls.append(len(args))
            return graph(*args)

        return run

    plain = model.discriminator(torch.ones(2, 3, 32, 32)).score
    compiled.Compiler(backend).apart(model)  # type: ignore[arg-type]  # torch takes functions too
    real = torch.ones(2, 3, 32, 32, requires_grad=True)
    torch.testing.assert_close(model.discriminator(real).score, plain)
    assert not calls
    torch.testing.assert_close(model.discriminator(2 * real / 2).score, plain)
    assert len(calls) == 1
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("last", "verdict"), [("50.99", "pass"), ("63.8", "FAIL"), ("1,989", "FAIL"), ("nan", "FAIL")]
)
def test_the_demo_must_reach_the_fid_of_the_cpu(last: str, verdict: str, tmp_path: Path) -> None:
    report = Report(tmp_path)
    tasks.demo_row(
        report, 0.7, f"| measure | step 0 | step 3000 |\n| fid/digits ↓ | 1,989 | {last} |", ""
    )
    assert rows(tmp_path)[0]["verdict"] == verdict


def test_a_demo_that_ends_without_an_fid_fails_with_its_error(tmp_path: Path) -> None:
    report = Report(tmp_path)
    tasks.demo_row(report, 0.1, "", "error: no data\n")
    assert rows(tmp_path)[0]["value"] == "no FID: error: no data"
    assert report.failed == 1


def test_the_long_training_is_compared_with_the_published_means(tmp_path: Path) -> None:
    cells = {f"{kind}/{name}": 80.0 for kind in ("near", "far") for name in long.NAMES}
    result = {"event": "result", "iterations": 56250, "train": 630.0}
    result["auroc"] = {"nll": {**cells, "near": 80.4, "far": 96.3}}
    progress = {"event": "log", "iteration": 5500}
    (tmp_path / "dlsgan.jsonl").write_text(json.dumps(progress))
    report = Report(tmp_path)
    long.table(report, tmp_path, "dlsgan", small=False)
    (row,) = rows(tmp_path)
    assert (row["verdict"], row["value"]) == ("-", "5,500 iterations so far; call again to go on")
    (tmp_path / "dlsgan.jsonl").write_text(f"{json.dumps(progress)}\n{json.dumps(result)}\n")
    long.table(report, tmp_path, "dlsgan", small=False)
    found = {row["check"].partition(": ")[2]: row for row in rows(tmp_path)}
    assert found["training"]["value"] == "56,250 iterations in 10.5 minutes"
    near, far = (found[f"{kind}, mean AUROC of the NLL in %"] for kind in ("near", "far"))
    assert (near["value"], near["verdict"]) == ("80.4; thesis 83.3", "pass")
    assert (far["value"], far["verdict"]) == ("96.3; thesis 99.4", "FAIL")
    assert found["near fog, AUROC of the NLL in %"]["value"] == "80.0; thesis 99.4"


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


def write_pixels(folder: Path) -> None:
    random = np.random.default_rng(0)
    names = [f"mnist_c/{name}" for name in published_ood.CORRUPTIONS]
    for name in ("mnist_train", "mnist_test", "fashion_test", *names):
        file = folder / f"{name}.xz"
        file.parent.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (64, 28, 28), dtype=np.uint8)
        file.write_bytes(lzma.compress(pixels.tobytes()))


def test_a_run_that_is_stopped_by_the_clock_goes_on_with_the_same_weights(tmp_path: Path) -> None:
    write_pixels(tmp_path)
    options = f"--data {tmp_path} --device cpu --channels 2 --batch 24 --evaluate 100 --images 8"
    options += " --iterations 6 --epoch 2 --log 1 --resume --out"

    def state(name: str) -> dict[str, Any]:
        found: dict[str, Any] = torch.load(tmp_path / name / "dlsgan-state.pt", weights_only=True)
        return found

    published_ood.main([*options.split(), str(tmp_path / "whole")])
    stopped = [*options.split(), str(tmp_path / "stopped")]
    for made in (1, 2, 3):
        published_ood.main([*stopped, "--seconds", "0"])
        assert state("stopped")["iterations"] == made
        assert "result" not in (tmp_path / "stopped" / "dlsgan.jsonl").read_text()
    published_ood.main(stopped)
    assert '"result"' in (tmp_path / "stopped" / "dlsgan.jsonl").read_text()
    whole, again = state("whole"), state("stopped")
    assert whole["iterations"] == again["iterations"] == 6
    for name, value in whole["model"].items():
        assert torch.equal(value, again["model"][name]), name
    with pytest.raises(SystemExit, match="another --batch: expected 24, got 8; give the same"):
        published_ood.main([*stopped, "--batch", "8"])


def test_a_short_run_writes_all_results(tmp_path: Path) -> None:
    write_pixels(tmp_path)
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
