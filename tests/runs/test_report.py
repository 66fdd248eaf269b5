"""The metrics of a run, and the report on them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from lightning_gans.metrics import active_dimensions
from lightning_gans.runs.claim import Training, read_record, write_record
from lightning_gans.runs.metrics_csv import drop_rows_after
from lightning_gans.runs.report import collect, progress_of, read, table
from lightning_gans.runs.report_files import report
from lightning_gans.runs.report_page import lead, spectrum_words
from lightning_gans.safe_yaml import read_mapping

LOG = """\
accuracy,anybody/loss,epoch,evaluation/samples,psnr/real,step
0.1,,0,10,,0
,2.0,0,,,1
,1.0,0,,,5
0.75,,0,10,12.0,5
"""


def test_the_last_line_may_be_incomplete(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text("generator/r,step\n0.5,1\n0.25,2\n0.125,3\n0.06")
    log = read(file)
    assert log.series == {"generator/r": ([1, 2, 3], [0.5, 0.25, 0.125])}
    assert not log.measured
    assert table(log) == ["Nothing was measured."]
    drop_rows_after(file, 2)
    assert file.read_text().split() == ["generator/r,step", "0.5,1", "0.25,2"]


def test_measurements_are_distinguished_from_losses_whatever_the_names_of_the_players(
    tmp_path: Path,
) -> None:
    (tmp_path / "metrics.csv").write_text(LOG)
    log = read(tmp_path / "metrics.csv")
    assert log.measured == {"accuracy", "psnr/real", "evaluation/samples"}
    assert log.series["anybody/loss"] == ([1, 5], [2, 1])
    assert table(log) == [
        "| measure | step 0 | step 5 |",
        "|---|---:|---:|",
        "| accuracy ↑ | 0.1 | 0.75 |",
        "| evaluation/samples | 10 | 10 |",
        "| psnr/real ↑ |  | 12 |",
    ]


def test_the_report_names_the_files_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(LOG)
    for name in (
        *("images/samples-step=9.png", "images/samples-step=10.png"),
        "checkpoints/last-step=10.ckpt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    printed, written = report(tmp_path), (tmp_path / "report.md").read_text()
    for name in ("curves.png", "images/samples-step=10.png", "checkpoints/last-step=10.ckpt"):
        assert f"- {tmp_path / name}\n" in printed
        # a report is read where it lies
        assert (f"]({name})\n" if name.endswith(".png") else f"- {name}\n") in written
    assert "samples-step=9" not in printed + written


@pytest.mark.parametrize("steps", [(927,), (927, 927)], ids=["one row", "a row written twice"])
def test_a_run_that_was_evaluated_once_has_one_column(tmp_path: Path, steps: tuple[int]) -> None:
    rows = "".join(f"50.5,9,1,{step}\n" for step in steps)
    (tmp_path / "metrics.csv").write_text(
        f"fid/digits,evaluation/samples,epoch,step\n,,0,900\n{rows}"
    )
    only = ["| evaluation/samples | 9 |", "| fid/digits ↓ | 50.5 |"]
    assert table(read(tmp_path / "metrics.csv")) == [
        "| measure | step 927 |",
        "|---|---:|",
        *only,
    ]
    printed, written = report(tmp_path), (tmp_path / "report.md").read_text()
    assert printed.count("step 927") == written.count("step 927") == 1
    assert "| fid/digits ↓ | 50.5 |\n" in written


def test_the_written_report_has_the_best_value_of_what_has_one(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "evaluation/samples,fid/digits,latent/active,psnr/real,step\n"
        "9,50,64,nan,0\n9,20,30,12.5,5\n9,30,20,11,10\n"
    )
    report(tmp_path)
    written = (tmp_path / "report.md").read_text()
    for line in (
        "| measure | step 0 | best | step 10 |",
        "| fid/digits ↓ | 50 | 20 (step 5) | 30 |",
        "| latent/active | 64 |  | 20 |",
        "| psnr/real ↑ | nan | 12.5 (step 5) | 11 |",
    ):
        assert f"{line}\n" in written


def test_a_run_without_a_log_has_a_report(tmp_path: Path) -> None:
    assert "Nothing was measured." in report(tmp_path)
    assert not (tmp_path / "curves.png").exists()
    assert "can only be started again" in (tmp_path / "report.md").read_text()


def saved(run: Path, *names: str) -> None:
    """Files that are intact checkpoints by their own checksums."""
    (run / "checkpoints").mkdir(exist_ok=True)
    for name in names:
        with zipfile.ZipFile(run / "checkpoints" / name, "w") as file:
            file.writestr("archive/data.pkl", b"weights")


def test_a_complete_run_whose_last_checkpoint_is_damaged_says_how_to_make_it_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.yaml").write_text("trainer:\n  max_steps: 10\n")
    (tmp_path / "metrics.csv").write_text("generator/r,step\n0.5,10\n")
    saved(tmp_path, "last-step=5.ckpt", "last-step=10.ckpt")
    found = collect(tmp_path)
    assert found.resume == f"lightning-gans train ckpt={tmp_path} trainer.max_steps=20"
    (tmp_path / "checkpoints" / "last-step=10.ckpt").write_bytes(b"cut")
    with pytest.warns(UserWarning, match=r"last-step=10\.ckpt is damaged"):
        found = collect(tmp_path)
    assert found.resume == f"lightning-gans train ckpt={tmp_path}"
    assert found.progress.is_complete


@pytest.mark.parametrize(
    ("limit", "iterations", "after", "said"),
    [
        ("00:00:05:00", 5, 301, "5, until trainer.max_time was over"),
        ("{minutes: 5}", 5, 301, "5, until trainer.max_time was over"),
        # stopped before, ended by the last iteration, or with a time that is none
        ("00:00:05:00", 5, 290, "5 of 10, not complete"),
        ("00:00:05:00", 10, 301, "10 of 10"),
        ("null", 5, 301, "5 of 10, not complete"),
        ("{weeks: many}", 5, 301, "5 of 10, not complete"),
    ],
)
def test_a_run_with_a_time_made_what_it_was_to_make_when_that_is_over(
    limit: str, iterations: int, after: float, said: str, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(f"trainer: {{max_steps: 10, max_time: {limit}}}\n")
    saved(tmp_path, f"last-step={iterations}.ckpt")
    write_record(tmp_path, Training())
    record = read_record(tmp_path)
    assert record is not None
    started = record.started
    os.utime(tmp_path / "checkpoints" / f"last-step={iterations}.ckpt", (started + after,) * 2)
    report(tmp_path)
    assert f"- iterations: {said}\n" in (tmp_path / "report.md").read_text()
    # the page says the same, in a sentence
    text = lead(collect(tmp_path))
    assert ("not complete" in text) is ("not complete" in said)
    assert ("trainer.max_time was over." in text) is ("max_time" in said)


def test_a_copy_of_a_run_does_not_take_the_time_of_the_copy_for_that_of_the_run(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("trainer: {max_steps: 10, max_time: 00:00:05:00}\n")
    saved(run, "last-step=5.ckpt")
    write_record(run, Training())
    record = read_record(run)
    assert record is not None
    os.utime(run / "checkpoints" / "last-step=5.ckpt", (record.started + 301,) * 2)
    assert progress_of(run, read_mapping(run / "config.yaml"), None).timed_out
    # three hours later, by a program that keeps no times
    for path in run.rglob("*"):
        os.utime(path, (record.started + 10_800,) * 2)
    progress = collect(run).progress
    assert (progress.seconds, progress.images_per_second) == (None, None)
    assert not progress.timed_out
    assert progress.started == record.started


@pytest.mark.parametrize("v", [[8.0, 1.0, 0.5], [2.0, 2.0], [0.0, 0.0], [1.0, 0.0, 0.0]])
def test_the_page_counts_the_elements_that_latent_active_counts(v: list[float]) -> None:
    active = int(active_dimensions(torch.tensor(v)))
    assert f"the first {active} of {len(v)} elements" in spectrum_words(v, 5)


def test_iterations_are_those_of_the_log_and_of_intact_checkpoints(tmp_path: Path) -> None:
    saved(tmp_path, "last-step=5.ckpt", "best-step=3.ckpt")
    (tmp_path / "checkpoints" / "last-step=10.ckpt").write_bytes(b"cut")
    (tmp_path / "checkpoints" / "failed-step=8.ckpt").write_bytes(b"cut")
    assert progress_of(tmp_path, {}, None).iterations == 5
    (tmp_path / "metrics.csv").write_text("generator/r,step\n0.5,3\n0.25,7\n")
    assert progress_of(tmp_path, {}, read(tmp_path / "metrics.csv")).iterations == 7
    saved(tmp_path, "failed-step=8.ckpt")
    assert progress_of(tmp_path, {}, read(tmp_path / "metrics.csv")).iterations == 8
