"""Commands whose results come in parts: stopped, killed, out of disk, with bad files, taken up."""

from __future__ import annotations

import csv
import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_gans.cli import CONFIGS, main
from lightning_gans.errors import Stopped
from lightning_gans.inversion import Recovery
from lightning_gans.inversion.descent import Descent
from lightning_gans.models import DLSGAN, Model
from lightning_gans.networks import ConvDiscriminator, ConvGenerator
from lightning_gans.ood import folder_images
from lightning_gans.ood.datasets import MNISTOOD
from lightning_gans.ood.scorer import Scorer
from lightning_gans.runs import tensor_files
from lightning_gans.runs.parts import Parts, finished_parts
from lightning_gans.workflows import ood_score
from lightning_gans.workflows.ood_table import ood_table
from tests.support.idx import write_digits
from tests.support.pictures import draw

SIDE = 16
STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def save(model: Model, run: Path) -> Path:
    """A run's folder with the checkpoint of a model."""
    content: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    (run / "checkpoints").mkdir(parents=True)
    torch.save(content, run / "checkpoints" / "last-step=1.ckpt")
    return run


def small(shape: tuple[int, ...] = (1, SIDE, SIDE), seed: int = 0) -> DLSGAN:
    torch.manual_seed(seed)
    generator, discriminator = (
        partial(ConvGenerator, channels=2),
        partial(ConvDiscriminator, channels=2),
    )
    return DLSGAN(shape, 4, generator, discriminator)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, a folder of 20 images to score in parts of 4, and 40 held-out images."""
    save(small(), tmp_path / "run")
    draw(tmp_path / "scans", 20, SIDE)
    draw(tmp_path / "held out", 40, SIDE, seed=1)
    monkeypatch.setattr(ood_score, "PART", 4)
    return tmp_path


SCORE = ["ood", "score", "ckpt=run", "images=scans", "batch_size=2", "most_anomalous=4"]
SCORE += ["score=nll+reconstruction", "false_alarms=0.1", "device=cpu"]
SCORE += ["data=folder", "data.root=held out", f"data.resolution={SIDE}", "data.channels=1"]
SCORE += ["data.validation=0"]
INVERT = ["invert", "ckpt=run", "images=scans", "accelerator=cpu", "steps=2", "restarts=2"]
INVERT += ["codes_at_once=8"]  # five parts of four images
TABLE = ["ood", "table", "ckpt=run32", "data=mnist_ood", "data.root=digits", "n=12"]
TABLE += ["bootstrap=5", "device=cpu"]


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit status of a command, its output and its last line of errors."""
    capsys.readouterr()
    try:
        main(words)
        status = 0
    except SystemExit as exit_:
        status = int(str(exit_.code))
    text, told = capsys.readouterr()
    return status, text, (told.strip().splitlines() or [""])[-1]


def after(calls: int, then: Callable[[], object], found: Callable[..., Any]) -> Callable[..., Any]:
    """A function that does something else as well in one of its calls."""
    count = 0

    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == calls:
            then()
        return found(*args, **kwargs)

    return called


def counting(found: Callable[..., Any], counted: list[int]) -> Callable[..., Any]:
    """A function that counts the images that it is given as its second argument."""

    def called(self: object, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        counted.append(len(x))
        return found(self, x, *args, **kwargs)

    return called


def kill(name: str) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), getattr(signal, name))


def taken_up(line: str) -> list[str]:
    """The words of the command that a line says goes on."""
    program, *words = shlex.split(line.partition("to go on: ")[2])
    assert program == "lightning-gans"
    return words


def rows(folder: str | Path) -> dict[str, dict[str, str]]:
    with Path(folder, "scores.csv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


# ood score


@pytest.mark.parametrize("name", STATUS)
def test_a_signal_while_images_are_scored_loses_no_score(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(getattr(signal, n)) for n in STATUS]
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    assert {p.name for p in Path("whole").iterdir()} == {
        "scores.csv",
        "most_anomalous.png",
        "error_maps.png",
        "config.yaml",
    }
    score = Scorer.__call__
    # each part is two batches, and the model was first tried for its use of batches
    monkeypatch.setattr(Scorer, "__call__", after(8, kill(name), score))
    status, _, line = run(SCORE, capsys)
    assert status == STATUS[name]
    (results,) = (
        Path("runs/run/scans").iterdir()
        if Path("runs/run").exists()
        else Path("runs/dlsgan/scans").iterdir()
    )
    assert f"stopped by {name}; 2 finished parts are in {results}/parts; to go on: " in line
    assert [signal.getsignal(getattr(signal, n)) for n in STATUS] == handlers
    assert not (results / "scores.csv").exists()

    scored: list[int] = []
    monkeypatch.setattr(Scorer, "__call__", counting(score, scored))
    assert run(taken_up(line), capsys)[0] == 0
    assert sum(scored[5:]) == 12
    for file in ("scores.csv", "most_anomalous.png"):
        assert (results / file).read_bytes() == Path("whole", file).read_bytes()
    assert not (results / "parts").exists()


def test_sigterm_while_held_out_images_are_scored_loses_none(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    score = Scorer.__call__
    monkeypatch.setattr(Scorer, "__call__", after(8, kill("SIGTERM"), score))
    status, _, line = run([*SCORE, "out=x"], capsys)
    assert status == 143
    assert "2 finished parts are in x/parts; to go on: lightning-gans ood score " in line
    scored: list[int] = []
    monkeypatch.setattr(Scorer, "__call__", counting(score, scored))
    assert run([*SCORE, "out=x"], capsys)[0] == 0
    assert sum(scored[5:]) == 32 + 20
    shutil.rmtree(place / "run" / "checkpoints" / "last-step=1.ood.safetensors", True)
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    assert Path("x/scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()


def test_kill_9_while_images_are_scored_leaves_whole_parts(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    score = Scorer.__call__

    def slow(self: Scorer, x: Tensor) -> dict[str, Tensor]:
        time.sleep(0.05)
        return score(self, x)

    child = os.fork()
    if not child:
        Scorer.__call__ = slow  # type: ignore[method-assign]
        try:
            main([*SCORE, "out=x"])
        finally:
            os._exit(0)
    while len(list(Path("x/parts").glob("images-*.safetensors"))) < 2:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended before it was killed"
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    parts = sorted(Path("x/parts").glob("images-*.safetensors"))
    for part in parts:
        tensor_files.read_tensors(part)
    assert run([*SCORE, "out=x"], capsys)[0] == 0
    assert Path("x/scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()


def test_files_that_vanish_or_change_after_they_were_listed_cost_no_other_score(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    kept = {name: (place / "scans" / name).read_bytes() for name in ("03.png", "09.png", "17.png")}

    def spoil() -> None:
        (place / "scans" / "03.png").unlink()
        (place / "scans" / "09.png").write_text("no image any more")
        (place / "scans" / "17.png").unlink()
        (place / "scans" / "17.png").mkdir()

    monkeypatch.setattr(ood_score, "prepared", after(1, spoil, folder_images.prepared))
    status, text, _ = run([*SCORE, "out=x"], capsys)
    assert status == 3
    assert "17 of 20 images scored" in text
    assert "3 unreadable: 03.png (No such file or directory), 09.png (" in text
    found, whole = rows("x"), rows("whole")
    assert [name for name, row in found.items() if row["verdict"] == "unreadable"] == list(kept)
    for name in found.keys() - kept.keys():
        for column in ("nll", "reconstruction", "pvalue"):
            assert float(found[name][column]) == pytest.approx(float(whole[name][column]), rel=1e-5)
    # where they are back, the same folder takes them up, and it is as if nothing had been
    (place / "scans" / "17.png").rmdir()
    for name, content in kept.items():
        (place / "scans" / name).write_bytes(content)
    assert run([*SCORE, "out=x"], capsys)[0] == 0
    assert Path("x/scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()


def test_a_held_out_image_that_vanishes_is_left_out(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil = (place / "held out" / "07.png").unlink
    monkeypatch.setattr(Scorer, "__call__", after(6, spoil, Scorer.__call__))
    status, text, _ = run([*SCORE, "out=x", "score=nll"], capsys)
    assert status == 0
    assert "1 held-out images are left out, such as number 7: No such file" in text
    assert "compared with 39 held-out images" in text


def test_an_image_whose_score_is_not_finite_is_a_row_with_a_reason(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (SIDE, SIDE), 255).save(place / "scans" / "05.png")
    score = Scorer.__call__

    def brittle(self: Scorer, x: Tensor) -> dict[str, Tensor]:
        white = x.flatten(1).mean(1) == 1
        return {k: torch.where(white, torch.inf, v) for k, v in score(self, x).items()}

    monkeypatch.setattr(Scorer, "__call__", brittle)
    status, text, _ = run([*SCORE, "out=x"], capsys)
    assert status == 3
    row = rows("x")["05.png"]
    assert (row["verdict"], row["score"]) == ("unreadable", "")
    assert row["reason"] == "the score nll is not finite"
    assert "19 of 20 images scored" in text


def full(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full when a file of some name is written."""
    write_bytes = Path.write_bytes

    def refuse(self: Path, data: bytes) -> int:
        if self.name.startswith(at):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", refuse)


def test_a_full_disk_leaves_the_parts_that_were_finished(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    with monkeypatch.context() as patch:
        full("images-000000012", patch)
        status, _, line = run([*SCORE, "out=x"], capsys)
    assert status == 1
    assert line.startswith("error: x/parts/images-000000012.safetensors could not be written: No ")
    assert "3 finished parts are in x/parts; to go on: lightning-gans ood score " in line
    assert run(taken_up(line), capsys)[0] == 0
    assert Path("x/scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()


@pytest.mark.figures
@pytest.mark.parametrize("name", ["most_anomalous.png", "losses.png"])
def test_a_disk_that_fills_while_results_are_written_leaves_all_parts(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = SCORE if name == "most_anomalous.png" else INVERT
    replace_file = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self.name.startswith(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return replace_file(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        status, _, line = run([*words, "out=x"], capsys)
    assert status == 1
    assert line.startswith(f"error: x/{name}")
    assert "could not be written: No space left on device" in line
    assert "5 finished parts are in x/parts; to go on: lightning-gans " in line
    worked: list[int] = []
    monkeypatch.setattr(Descent, "run", counting(Descent.run, worked))
    assert run(taken_up(line), capsys)[0] == 0
    assert not worked
    assert not Path("x/parts").exists()


def test_a_requeued_job_goes_on_with_its_own_parts(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line of a SLURM job does not change; two commands of a job are told apart."""
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    score = Scorer.__call__
    for seed, words in enumerate(([*SCORE, "score=nll"], SCORE)):
        monkeypatch.setattr(Scorer, "__call__", after(8 + 2 * seed, kill("SIGTERM"), score))
        assert run(words, capsys)[0] == 143
    monkeypatch.setattr(Scorer, "__call__", score)
    (family,) = Path("runs").glob("*/scans")
    names = ["slurm-7_ood_score", "slurm-7_ood_score_2"]
    assert sorted(path.name for path in family.iterdir()) == names
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert run(SCORE, capsys)[0] == 0
    assert sorted(path.name for path in family.iterdir()) == names
    assert (family / names[1] / "scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()
    assert (family / names[0] / "parts").is_dir()


def test_a_signal_before_the_first_part_leaves_no_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        ood_score, "held_out_scores", after(1, kill("SIGTERM"), ood_score.held_out_scores)
    )
    status, _, line = run(SCORE, capsys)
    assert (status, line) == (143, "stopped by SIGTERM; no part was finished")
    assert not Path("runs").exists()


def test_parts_of_other_results_are_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Scorer, "__call__", after(18, kill("SIGINT"), Scorer.__call__))
    run([*SCORE, "out=x", "held_out=20"], capsys)
    before = {path: path.read_bytes() for path in Path("x").rglob("*") if path.is_file()}
    words = [*SCORE, "out=x", "held_out=20"]
    shutil.copytree("scans", "copies")
    save(small(seed=1), Path("other"))
    for changes, expected in (
        (["score=nll"], 'score was "nll+reconstruction", now it is "nll"'),
        (["batch_size=4"], "batch_size was 2, now it is 4"),
        (["images=copies"], "images was "),
        (["ckpt=other"], "checkpoint was "),
        (["held_out=10"], "held_out was 20, now it is 10"),
    ):
        status, _, line = run([*words, *changes], capsys)
        assert status == 2, line
        assert line.startswith("error: x/parts has parts of other results: ")
        assert expected in line
        assert line.endswith("choose another out=FOLDER")
        assert {path: path.read_bytes() for path in before} == before
    draw(place / "more", 1, SIDE)
    shutil.copy(place / "more" / "00.png", place / "scans" / "20.png")
    status, _, line = run(words, capsys)
    assert status == 2
    assert "has parts of 20 images, and there are 1 others now, such as 20.png" in line
    assert {p: p.read_bytes() for p in before} == before
    (place / "scans" / "20.png").unlink()
    assert run(words, capsys)[0] == 0


def test_a_part_that_was_damaged_or_copied_from_elsewhere(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    monkeypatch.setattr(Scorer, "__call__", after(12, kill("SIGINT"), Scorer.__call__))
    assert run([*SCORE, "out=x"], capsys)[0] == 130
    first, second, *_ = sorted(Path("x/parts").glob("images-*"))
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:100])
    status, text, _ = run([*SCORE, "out=x"], capsys)
    assert status == 0
    assert f"{first} was changed or damaged since it was written; this part is computed" in text
    assert f"{second} is damaged or something else" in text
    assert Path("x/scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()

    for name, seed in (("one", 1), ("two", 2)):
        Parts(Path(name), {"seed": seed}).put("a", {"x": torch.zeros(1)}, {})
    shutil.copy("two/parts/a.safetensors", "one/parts")
    with pytest.raises(Exception, match=r"^one/parts/a\.safetensors is a part of other results"):
        Parts(Path("one"), {"seed": 1}).get("a")
    (Path("two/parts") / "request.json").write_text("no JSON")
    with pytest.raises(Exception, match=r"^two/parts/request\.json is damaged; choose another"):
        Parts(Path("two"), {"seed": 2})
    request = Path("two/parts/request.json")
    request.unlink()
    for make in (request.mkdir, partial(os.mkfifo, request)):
        make()
        with pytest.raises(Exception, match=r"^two/parts/request\.json is damaged; choose another"):
            Parts(Path("two"), {"seed": 2})
        request.rmdir() if request.is_dir() else request.unlink()
    Path("four/parts/request.json").mkdir(parents=True)
    with pytest.warns(UserWarning, match="expected a file, found a folder; it is kept as"):
        Parts(Path("four"), {"seed": 4}).put("a", {"x": torch.zeros(1)}, {})
    assert Parts(Path("four"), {"seed": 4}).get("a") is not None
    # a call that finished nothing binds nobody
    one = Parts(Path("three"), {"seed": 3})
    assert one.listed("images", ["a", "b"]) == ["a", "b"]
    assert Parts(Path("three"), {"seed": 3}).listed("images", ["b"]) == ["a", "b"]
    assert Parts(Path("three"), {"seed": 4}).listed("images", ["c"]) == ["c"]
    (Path("one/parts") / "request.json").unlink()
    with pytest.raises(Exception, match="parts of unknown results"):
        Parts(Path("one"), {"seed": 1})


def test_an_image_that_changed_since_it_was_scored_is_scored_again(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Scorer, "__call__", after(30, kill("SIGINT"), Scorer.__call__))
    assert run([*SCORE, "out=x"], capsys)[0] == 130
    shutil.copy(place / "held out" / "00.png", place / "scans" / "01.png")
    assert run([*SCORE, "out=x"], capsys)[0] == 0
    assert run([*SCORE, "out=whole"], capsys)[0] == 0
    assert Path("x/scores.csv").read_bytes() == Path("whole/scores.csv").read_bytes()


@pytest.mark.parametrize("words", [SCORE, INVERT, TABLE], ids=lambda words: " ".join(words[:2]))
def test_a_folder_that_cannot_be_written_to_is_known_before_the_work(
    words: list[str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    digits(place)
    worked: list[int] = []
    for kind, name in ((Scorer, "__call__"), (Descent, "run")):
        monkeypatch.setattr(kind, name, counting(getattr(kind, name), worked))
    Path("file").touch()
    status, _, line = run([*words, "out=file/x"], capsys)
    assert status == 1
    assert line.startswith("error: file/x could not be written: Not a directory")
    full("config.yaml", monkeypatch)
    status, _, line = run([*words, "out=x"], capsys)
    assert status == 1
    assert line.startswith("error: x/config.yaml could not be written: No space left")
    assert sum(worked) <= 16  # whether the scores of an image depend on its batch, in each call


# invert


def test_sigterm_while_images_are_inverted_loses_no_part(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*INVERT, "out=whole"], capsys)[0] == 0
    descend = Descent.run
    monkeypatch.setattr(Descent, "run", after(2, kill("SIGTERM"), descend))
    status, _, line = run(INVERT, capsys)
    assert status == 143
    (results,) = Path("runs").glob("*/scans/*_invert")
    assert f"stopped by SIGTERM; 2 finished parts are in {results}/parts; to go on: " in line
    inverted: list[int] = []
    monkeypatch.setattr(Descent, "run", counting(descend, inverted))
    assert run(taken_up(line), capsys)[0] == 0
    assert inverted == [4, 4, 4]
    assert same(results, Path("whole"))
    assert not (results / "parts").exists()
    status, _, line = run([*INVERT, f"out={results}"], capsys)
    assert status == 2
    assert "already has a recovery.safetensors" in line


def same(one: Path, other: Path) -> bool:
    """Whether two recoveries are equal to the bit, but for their duration."""
    found, expected = (Recovery.load(p / "recovery.safetensors").tensors() for p in (one, other))
    return all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_second_ctrl_c_does_not_wait_for_the_part_in_hand(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice() -> None:
        kill("SIGINT")()
        kill("SIGINT")()
        raise AssertionError("not stopped")

    monkeypatch.setattr(Descent, "run", after(3, twice, Descent.run))
    status, _, line = run([*INVERT, "out=x"], capsys)
    assert status == 130
    assert "stopped by SIGINT; 2 finished parts are in x/parts; to go on: " in line


def test_memory_that_does_not_suffice_is_one_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, line = run([*INVERT, "restarts=10000000000", "out=x"], capsys)
    assert status == 1
    assert line.startswith(
        "error: there is not enough memory; choose a smaller codes_at_once, or restarts: "
    )
    assert not Path("x").exists()


@pytest.mark.slow
def test_two_processes_stop_together_and_one_goes_on(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM reaches only the first process, which tells the other."""
    words = [*INVERT[:5], "steps=400", "restarts=2", "codes_at_once=4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lightning_gans", *words, "out=x", "devices=2"],
        env={**os.environ, "PYTHONPATH": str(CONFIGS.parent)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while len(list(Path("x/parts").glob("*.safetensors"))) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=200)
    assert process.returncode == 143, told
    line = told.strip().splitlines()[-1]
    assert "finished parts are in x/parts; to go on: " in line
    finished = len(list(Path("x/parts").glob("*.safetensors")))
    assert 2 <= finished < 10
    one = [word for word in taken_up(line) if word != "devices=2"]
    assert run(one, capsys)[0] == 0
    assert run([*words, "out=whole"], capsys)[0] == 0
    assert same(Path("x"), Path("whole"))


def test_a_picture_that_vanishes_is_left_out_of_an_inversion_and_taken_up_when_it_is_back(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*INVERT, "out=whole"], capsys)[0] == 0
    kept = (place / "scans" / "10.png").read_bytes()
    descend = Descent.run
    spoil = (place / "scans" / "10.png").unlink
    monkeypatch.setattr(Descent, "run", after(1, spoil, descend))
    status, text, _ = run([*INVERT, "out=x"], capsys)
    assert status == 3
    assert "1 image could not be read: scans/10.png (No such file or directory)" in text
    found = Recovery.load("x/recovery.safetensors")
    assert found.indices.tolist() == [i for i in range(20) if i != 10]
    names = Path("x/images.txt").read_text(encoding="utf-8").splitlines()
    assert names[11] == "11\tscans/11.png"
    # without it, nothing more can be done; the positions stay
    inverted: list[int] = []
    monkeypatch.setattr(Descent, "run", counting(descend, inverted))
    assert run([*INVERT, "out=x"], capsys)[0] == 3
    assert inverted == []
    assert torch.equal(Recovery.load("x/recovery.safetensors").codes, found.codes)
    (place / "scans" / "10.png").write_bytes(kept)
    assert run([*INVERT, "out=x"], capsys)[0] == 0
    assert inverted == [4]
    assert same(Path("x"), Path("whole"))


def test_files_that_are_no_images_are_named_and_the_others_inverted(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("00.png", "01.png", "02.png", "03.png", "19.png"):
        (place / "scans" / name).write_text("no image")
    status, text, _ = run([*INVERT, "out=x"], capsys)
    assert status == 3
    assert "5 images could not be read: scans/00.png (" in text
    assert Recovery.load("x/recovery.safetensors").indices.tolist() == list(range(4, 19))
    for path in (place / "scans").iterdir():
        path.write_text("no image")
    status, _, line = run([*INVERT, "out=y"], capsys)
    assert status == 1
    assert line.startswith("error: 20 images could not be read: ")


def test_an_inversion_of_other_images_or_settings_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Descent, "run", after(2, kill("SIGTERM"), Descent.run))
    words = [*INVERT, "out=x", "regularizer=wasserstein", "constraint=hard_cutoff"]
    assert run(words, capsys)[0] == 143
    for change, expected in (
        ("steps=3", "steps was 2, now it is 3"),
        ("seed=1", "seed was 0, now it is 1"),
        ("weight=0.2", "weight was 0.1, now it is 0.2"),
        ("regularizer.order=2", "regularizer was "),
        ("constraint=typical_ball", "constraint was "),
        ("loss=l2", "loss was "),
        ("n=8", "n was null, now it is 8"),
        ("probe=noise", 'probe was null, now it is "noise"'),
    ):
        status, _, line = run([*words, change], capsys)
        assert status == 2, line
        assert "error: x/parts has parts of other results: " in line
        assert expected in line
    shutil.copy(place / "held out" / "00.png", place / "scans" / "01.png")
    status, _, line = run(words, capsys)
    assert status == 2
    assert "the image at position 1 is another than the one that was inverted" in line


# ood table


def digits(place: Path) -> None:
    write_digits(place / "digits", "MNIST", 0)
    write_digits(place / "digits", "FashionMNIST", 1, train=0)
    save(small((1, 32, 32)), place / "run32")


def test_a_signal_while_sets_are_scored_loses_no_set(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digits(place)
    assert run([*TABLE, "out=whole"], capsys)[0] == 0
    score = Scorer.__call__
    # 5 calls try the model; ID images are one batch, and each set a far and a near one
    monkeypatch.setattr(Scorer, "__call__", after(9, kill("SIGTERM"), score))
    status, _, line = run([*TABLE, "out=x"], capsys)
    assert status == 143
    assert "stopped by SIGTERM; 3 finished parts are in x/parts; to go on: " in line
    scored: list[int] = []
    monkeypatch.setattr(Scorer, "__call__", counting(score, scored))
    assert run(taken_up(line), capsys)[0] == 0
    assert sum(scored[5:]) == 12 * 2 * 10
    for file in ("table.csv", "table.md", "auroc.png"):
        assert Path("x", file).read_bytes() == Path("whole", file).read_bytes()
    assert not Path("x/parts").exists()


class Broken(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Images of which some cannot be read."""

    def __init__(self, images: Any, broken: set[int]) -> None:
        self.images, self.broken = images, broken

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index in self.broken:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", f"{index}.png")
        x, y = self.images[index]
        return x, y


def test_an_image_of_a_set_that_vanishes_costs_no_other_score(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits(place)
    whole = ood_table(["run32"], MNISTOOD("digits"), n=12, bootstrap=0, out="whole", device="cpu")
    setup = MNISTOOD.setup

    def spoil(self: MNISTOOD, stage: str | None = None) -> None:
        setup(self, stage)
        if not isinstance(self.validation_set, Broken):
            self.validation_set = Broken(self.validation_set, {4})
            self.sets = dict(self.sets)
            self.sets["stripe"] = Broken(self.sets["stripe"], {0})
            self.sets["fog"] = Broken(self.sets["fog"], set(range(5)))

    monkeypatch.setattr(MNISTOOD, "setup", spoil)
    done = ood_table(["run32"], MNISTOOD("digits"), n=12, bootstrap=0, out="x", device="cpu")
    assert done.exit_status == 3
    assert "- Left out: ID image 4. No such file or directory" in str(done)
    assert "- Left out: image 0 of stripe. No such file or directory" in str(done)
    assert "- Left out: fog. 7 images are too few" in str(done)
    images = {(row.score, row.kind, row.set): row.images for row in done.rows}
    assert images["nll", "far", "stripe"] == 11
    assert images["nll", "near", "stripe"] == 10
    assert images["nll", "far", "zigzag"] == 12
    assert ("nll", "far", "fog") not in images
    # when they are back
    monkeypatch.setattr(MNISTOOD, "setup", setup)
    again = ood_table(["run32"], MNISTOOD("digits"), n=12, bootstrap=0, out="x", device="cpu")
    assert again.exit_status == 0
    assert Path("x/table.csv").read_bytes() == Path("whole/table.csv").read_bytes()
    assert str(again.rows) == str(whole.rows)


# the parts themselves


def test_a_signal_between_parts_is_obeyed_at_once_and_python_users_are_told(
    tmp_path: Path,
) -> None:
    def work() -> None:
        with finished_parts(tmp_path / "x", {}) as parts:
            parts.part("a", lambda: ({"x": torch.zeros(1)}, {}))
            kill("SIGTERM")()
            raise AssertionError("not stopped")

    with pytest.raises(Stopped) as caught:
        work()
    assert caught.value.exit_status == 143
    assert str(caught.value) == (
        f"stopped by SIGTERM; 1 finished part is in {tmp_path}/x/parts; to go on: call it again "
        f"with out='{tmp_path}/x'"
    )


def test_a_folder_that_another_process_works_in_is_left_to_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with finished_parts(Path("x"), {}):
        status, _, line = run([*SCORE, "out=x"], capsys)
    assert status == 1
    assert line.startswith("error: another process computes the parts in x/parts; wait until ")
    assert run([*SCORE, "out=x"], capsys)[0] == 0


@pytest.fixture
def ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_lost_connection_does_not_stop(ignored: None, tmp_path: Path) -> None:
    with finished_parts(tmp_path, {}) as parts:
        kill("SIGHUP")()
        assert parts.signals.caught is None
