"""Which run ``ckpt_path=last`` means."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from lightning_gans.errors import UsageError
from lightning_gans.runs.claim import (
    RECORD,
    FolderInUse,
    Training,
    release_all,
    this_training,
)
from lightning_gans.runs.layout import find_checkpoint, new_run, requeued, runs, start
from tests.support.run_folders import another_process, checkpoint


def trained(model: str = "gan", data: str = "mnist", debug: bool = False) -> Path:
    """The folder of a run that has ended."""
    run = new_run({"model": model, "data": data}, "fit", Training(debug=debug))
    checkpoint(run / "checkpoints" / "last-step=5.ckpt")
    release_all()
    return run


def last(**names: str) -> Path:
    """The folder of the run that is found."""
    return find_checkpoint("last", names).parent.parent


def age(run: Path, seconds: float) -> None:
    """Change the times of all files of a run."""
    moment = time.time() - seconds
    for path in [run, *run.rglob("*")]:
        os.utime(path, (moment, moment))


def test_the_newest_run_of_what_is_named_is_found_whatever_its_data() -> None:
    first, second, third = trained("gan", "mnist"), trained("gan", "own"), trained("dlsgan", "own")
    assert last() == third
    assert last(model="gan") == second
    assert last(data="mnist") == first
    assert last(data="own") == third
    assert last(model="gan", data="own") == second
    assert last(model="configs/model/gan.yaml") == second
    with pytest.raises(UsageError, match=r"no run with a checkpoint in runs/infogan/\*; train"):
        last(model="infogan")
    with pytest.raises(UsageError, match=r"in runs/\*/celeba;"):
        last(data="celeba")


def test_a_run_whose_folder_a_person_chose_is_found_as_the_newest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained()
    monkeypatch.setenv("LIGHTNING_GANS_RUN", "runs/reference")
    chosen = trained()
    monkeypatch.setenv("LIGHTNING_GANS_RUN", "runs/first/second")
    deeper = trained()
    monkeypatch.delenv("LIGHTNING_GANS_RUN")
    assert last() == deeper
    shutil.rmtree(deeper)
    assert last() == chosen == Path("runs/reference")


def test_without_any_run_the_folder_of_all_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no run with a checkpoint in runs; train"):
        last()
    (tmp_path / "runs").write_text("a file\n")
    with pytest.raises(UsageError, match=r"there is no run with a checkpoint in runs; train"):
        last()


def test_a_run_that_has_saved_nothing_yet_is_named() -> None:
    run = new_run({"model": "gan", "data": "mnist"}, "fit", Training())
    (Path("runs/gan/mnist") / "2026-01-01_00-00-00_generate").mkdir()
    new_run({"model": "gan", "data": "own"}, "fit", Training(debug=True))
    for kind in ("last", "best"):
        with pytest.raises(UsageError, match=rf"^ckpt={kind}: the newest run, {run}, has no check"):
            find_checkpoint(kind, {}, "ckpt")
    checkpoint(run / "checkpoints" / "failed-step=5.ckpt")
    with pytest.raises(UsageError, match=r"the newest run, .*, has no last checkpoint;"):
        last()
    with pytest.raises(UsageError, match=r"there is no run with a checkpoint in runs/\*/own;"):
        last(data="own")


def test_a_clock_that_was_set_back_does_not_make_a_new_run_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = trained()
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: now - 86_400)
        second = trained("dlsgan")
        assert last() == second
    age(first, -1000)
    assert last() == second


def test_a_copy_of_an_old_run_is_not_the_newest() -> None:
    old, new = trained(), trained()
    copy = Path(shutil.copytree(old, old.with_name("backup"), copy_function=shutil.copy))
    age(copy, -1000)
    assert last() == new
    # nor is a copy of the newest
    copied = Path(shutil.copytree(new, new.with_name("zzz"), copy_function=shutil.copy))
    assert last() == new
    shutil.rmtree(new)
    assert last() == copied


def test_a_run_that_was_moved_is_found() -> None:
    trained()
    moved = trained().rename("runs/gan/mnist/my best one")
    assert last() == moved


def test_a_run_that_is_resumed_is_the_newest() -> None:
    old, new = trained(), trained("dlsgan")
    assert last() == new
    start(old, Training())
    assert last() == old


def test_runs_of_one_second_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1.8e9)
    made = [trained() for _ in range(12)]
    assert last() == made[-1]
    for run in made:  # version 0.2.0 recorded nothing
        (run / RECORD).unlink()
        age(run, 0)
    assert last() == made[-1]


def test_runs_of_version_0_2_0_are_ordered_by_their_names_and_not_by_the_times_of_copies() -> None:
    for name, moment in (("2026-11-02_10-00-00", -9), ("2026-11-01_10-00-00", 9)):
        run = Path("runs/gan/mnist", name)
        checkpoint(run / "checkpoints" / "last-step=5.ckpt")
        age(run, -moment)
    assert last().name == "2026-11-02_10-00-00"


def test_a_debug_run_is_not_continued() -> None:
    run = trained()
    debug = trained(debug=True)
    assert debug.name.endswith("_debug")
    assert last() == run


def test_a_run_without_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    run = trained()
    unfinished = new_run({"model": "gan", "data": "mnist"}, "fit", Training())
    (unfinished / "metrics.csv").touch()
    assert last() == run


def test_foreign_files_and_folders_among_the_runs_are_ignored() -> None:
    run = trained()
    for folder in ("runs", "runs/gan", "runs/gan/mnist", str(run)):
        for name in (".DS_Store", "notes.txt", "last-step=9.ckpt"):
            Path(folder, name).touch()
        Path(folder, ".ipynb_checkpoints").mkdir()
        Path(folder, "last-step=7.ckpt").mkdir()
    Path("runs/link").symlink_to("nowhere")
    Path("runs/gan/loop").symlink_to("..")
    os.mkfifo("runs/gan/mnist/pipe")
    assert last() == run
    assert last(model="gan", data="mnist") == run


def test_a_folder_that_may_not_be_read_is_left_out_with_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = trained()
    Path("runs/other").mkdir()
    listed = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "other":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.warns(UserWarning, match=r"runs/other cannot be read \(Permission denied\)"):
        assert last() == run


def test_the_newest_run_is_not_replaced_by_an_older_one_in_silence() -> None:
    trained()
    run = trained()
    with pytest.raises(UsageError, match=r"the newest run, .* has no best checkpoint"):
        find_checkpoint("best", {})
    (run / "checkpoints" / "last-step=5.ckpt").write_bytes(b"PK")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(UsageError, match=r"the newest run, .* has no intact last checkpoint"),
    ):
        last()


def test_each_training_of_a_requeued_job_resumes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    names, found = {"model": "gan", "data": "mnist"}, {}
    for command in ("seed 1", "seed 2", "seed 2"):
        run = new_run(names, "fit", this_training(command, alone=True, debug=False))
        found[run] = command
        checkpoint(run / "checkpoints" / "last-step=5.ckpt")
    release_all()
    assert [run.name for run in found] == ["slurm-9", "slurm-9_2", "slurm-9_3"]
    assert requeued(names, "seed 2") is None  # it was not requeued
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    for command in ("seed 2", "seed 1"):
        path = requeued(names, command)
        assert path is not None
        assert found[path.parent.parent] == command
        release_all()
    # of two with the same command, the second takes what the first has left
    with another_process(list(found)[1]):
        path = requeued(names, "seed 2")
        assert path is not None
        assert path.parent.parent == list(found)[2]
    release_all()
    assert requeued(names, "another") is None
    assert len(runs(names)) == 3


def test_of_two_requeued_trainings_with_one_command_the_one_without_a_checkpoint_starts_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    names = {"model": "gan", "data": "mnist"}
    training = this_training("same", alone=True, debug=False)
    first, _ = new_run(names, "fit", training), new_run(names, "fit", training)
    made = checkpoint(first / "checkpoints" / "last-step=5.ckpt")
    release_all()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with another_process(first):
        assert requeued(names, "same") is None
    release_all()
    assert requeued(names, "same") == made


def test_a_requeued_training_whose_only_folder_stays_in_use_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setattr("lightning_gans.runs.layout.WAIT", 0.5)
    names = {"model": "gan", "data": "mnist"}
    run = new_run(names, "fit", this_training("same", alone=True, debug=False))
    checkpoint(run / "checkpoints" / "last-step=5.ckpt")
    release_all()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with another_process(run), pytest.raises(FolderInUse, match=r"slurm-9 is in use by process"):
        requeued(names, "same")


def test_each_task_of_a_step_that_trains_alone_resumes_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``srun --ntasks=3 train ...``: the command line is the same for all."""
    names, made = {"model": "gan", "data": "mnist"}, {}
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    for task in "201":
        monkeypatch.setenv("SLURM_PROCID", task)
        run = new_run(names, "fit", this_training("same", alone=True, debug=False))
        made[task] = checkpoint(run / "checkpoints" / "last-step=5.ckpt")
    release_all()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    for task in "012":
        monkeypatch.setenv("SLURM_PROCID", task)
        assert requeued(names, "same") == made[task]
        release_all()


def test_a_requeued_run_of_version_0_2_0_or_with_another_command_resumes_the_only_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    made = checkpoint(Path("runs/gan/mnist/slurm-9/checkpoints/last-step=5.ckpt"))
    checkpoint(Path("runs/gan/mnist/slurm-91/checkpoints/last-step=9.ckpt"))
    assert requeued({"model": "gan", "data": "mnist"}, "any") == made


def test_a_requeued_run_in_a_folder_that_a_person_chose_resumes_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("LIGHTNING_GANS_RUN", "runs/fold3")
    assert requeued({"model": "gan", "data": "mnist"}, "any") is None
    made = checkpoint(Path("runs/fold3/checkpoints/last-step=5.ckpt"))
    assert requeued({"model": "gan", "data": "mnist"}, "any") == made
