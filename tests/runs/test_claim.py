"""Whose folder it is: one training writes to a run's folder at a time."""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from lightning_gans.errors import UserError
from lightning_gans.runs.atomic import Unwritable
from lightning_gans.runs.claim import (
    LOCK,
    RECORD,
    FolderInUse,
    Training,
    discard_unused,
    hold,
    make_folder,
    read_record,
    release,
    release_all,
    write_record,
)
from lightning_gans.runs.layout import new_run, run_scope
from tests.support.run_folders import another_process, checkpoint

NAMES = {"model": "gan", "data": "mnist"}


@pytest.fixture(autouse=True)
def no_folder_is_held() -> Iterator[None]:
    yield
    release_all()


def test_a_second_training_in_a_folder_is_told_who_trains_there(tmp_path: Path) -> None:
    with another_process(tmp_path) as pid, pytest.raises(FolderInUse) as caught:
        hold(tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path} is in use by process {pid} on {os.uname().nodename}")
    assert "wait until that training ends" in text


@pytest.mark.parametrize("loader", [False, True])
def test_a_killed_process_holds_no_folder_even_if_its_loader_lives_on(
    loader: bool, tmp_path: Path
) -> None:
    with another_process(tmp_path, loader):
        pass
    assert hold(tmp_path)


def test_a_loader_that_ends_lets_nobody_else_in(tmp_path: Path) -> None:
    hold(tmp_path)
    pid = os.fork()
    if pid == 0:
        release_all()
        os._exit(0)
    os.waitpid(pid, 0)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if (child := os.fork()) == 0:  # not a child of the process that holds it
            try:
                hold(tmp_path)
            except FolderInUse:
                os._exit(7)
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_process_holds_a_folder_once_under_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    monkeypatch.chdir(tmp_path)
    assert hold(tmp_path / "run")
    assert not hold(Path("run"))
    assert not hold(Path("link"))
    release(Path("link"))
    assert hold(Path("run"))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_network_disk_without_locks_is_warned_about_and_used(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match=r"has no locks \(.*start no second training there"):
        assert hold(tmp_path)
    assert not hold(tmp_path)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_cannot_be_written_to_is_named(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", refuse)
        with pytest.raises(Unwritable) as caught:
            hold(tmp_path)
        assert str(tmp_path) in str(caught.value)
    folder = tmp_path / "runs" / "gan" / "mnist" / "now"
    with monkeypatch.context() as patch:
        patch.setattr(os, "mkdir", refuse)
        with pytest.raises(Unwritable) as caught:
            make_folder(folder)
    assert str(folder) in str(caught.value)
    assert os.strerror(number) in str(caught.value)


def test_runs_that_is_a_file_or_a_link_to_nowhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").write_text("my runs\n")
    with pytest.raises(UserError, match=r"runs/gan/mnist/.* cannot be made: runs is a file; move"):
        new_run(NAMES, "fit")
    Path("runs").unlink()
    Path("runs").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"cannot be made: runs is a link that leads nowhere"):
        new_run(NAMES, "fit")
    Path("runs").unlink()
    Path("runs/gan").mkdir(parents=True)
    Path("runs/gan/mnist").touch()
    with pytest.raises(UserError, match=r"cannot be made: runs/gan/mnist is a file"):
        new_run(NAMES, "test")


@pytest.mark.parametrize("job", [None, "77"])
def test_trainings_that_start_at_the_same_moment_have_folders_of_their_own(
    job: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in one allocation of SLURM without srun, where nothing else tells them apart."""
    monkeypatch.chdir(tmp_path)
    if job is not None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    moment = time.localtime(1.8e9)
    monkeypatch.setattr("time.localtime", lambda *_: moment)
    pids = []
    for number in range(6):
        if (pid := os.fork()) == 0:
            try:
                run = new_run(NAMES, "fit", Training())
                (run / str(number)).touch()
                time.sleep(0.5)  # while it is held
            finally:
                os._exit(0)
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    made = sorted((tmp_path / "runs" / "gan" / "mnist").iterdir())
    assert len(made) == 6
    assert sorted(path.name for run in made for path in run.glob("[0-9]")) == [*"012345"]
    if job is not None:
        assert {run.name for run in made} == {"slurm-77", *(f"slurm-77_{n}" for n in range(2, 7))}


def test_a_folder_that_a_person_chose_is_not_shared_with_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "fold 1"
    monkeypatch.setenv("LIGHTNING_GANS_RUN", str(run))
    assert new_run(NAMES, "fit", Training()) == run
    release(run)
    assert new_run(NAMES, "fit", Training()) == run  # the first one wrote nothing
    release(run)
    (run / "metrics.csv").write_text("step\n1\n")
    with pytest.raises(FolderInUse, match=r"fold 1 holds another run: metrics.csv; choose another"):
        new_run(NAMES, "fit", Training())
    release(run)
    (run / "metrics.csv").unlink()
    checkpoint(run / "checkpoints" / "last-step=3.ckpt")
    with pytest.raises(FolderInUse, match=r"checkpoints/last-step=3.ckpt; .* ckpt_path=.*fold 1"):
        new_run(NAMES, "fit", Training())


def test_a_run_that_wrote_nothing_leaves_no_folder(tmp_path: Path) -> None:
    run = new_run(NAMES, "fit", Training())
    discard_unused(run)
    assert not run.exists()
    run = new_run(NAMES, "fit", Training())
    (run / "notes.txt").touch()
    discard_unused(run)
    assert run.is_dir()


def test_another_run_of_the_same_process_may_have_the_folder(tmp_path: Path) -> None:
    with run_scope():
        hold(tmp_path)
    assert hold(tmp_path)


DAMAGED = [
    b"",
    b"{",
    b"[1]",
    b"null",
    b"\xff\xfe",
    b'{"started": 1.0}',
    b"[" * 9000,
    b'{"started": NaN, "name": "a", "host": "b", "pid": 1, "training": {}}',
    b'{"started": Infinity, "name": "a", "host": "b", "pid": 1, "training": {}}',
    b'{"started": 1e300, "name": "a", "host": "b", "pid": 1, "training": {}}',
    b'{"started": -1.0, "name": "a", "host": "b", "pid": 1, "training": {}}',
    b'{"started": "1", "name": "a", "host": "b", "pid": 1, "training": {}}',
    b'{"started": 1.0, "name": 3, "host": "b", "pid": 1, "training": {}}',
    b'{"started": 1.0, "name": "a", "host": "b", "pid": "1", "training": {}}',
    b'{"started": 1.0, "name": "a", "host": "b", "pid": 1, "training": {"debug": 1}}',
    b'{"started": 1.0, "name": "a", "host": "b", "pid": 1, "training": {"job": [1]}}',
    b'{"started": 1.0, "name": "a", "host": "b", "pid": 1, "training": {"other": 1}}',
    b'{"started": 1.0, "name": "a", "host": "b", "pid": 1, "training": 4}',
    b'{"started": 1.0, "name": "a", "host": "b", "pid": 1, "training": {}, "environment": [1]}',
    b'{"started": 1.0, "name": "a", "host": "b", "pid": 1, "training": {}, "environment": {"": 1}}',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_counts_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_bytes(content)
    assert read_record(tmp_path) is None


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    training = Training("slurm-3.0", "1", "abc", debug=True)
    write_record(tmp_path, training, after=5e9)
    record = read_record(tmp_path)
    assert record is not None
    assert record.training == training
    assert record.started > 5e9
    assert record.pid == os.getpid()
    assert record.environment["torch"] == torch.__version__.partition("+")[0]
    assert record.environment["Python"] == platform.python_version()
    content = json.loads((tmp_path / RECORD).read_text())
    assert content["name"] == tmp_path.name


def test_two_python_programs_do_not_train_in_one_folder(tmp_path: Path) -> None:
    from lightning_gans.callbacks import Checkpoint
    from tests.support.training import data, points, trainer

    with another_process(tmp_path) as pid, pytest.raises(FolderInUse, match=f"by process {pid}"):
        trainer(tmp_path, Checkpoint(), max_steps=1).fit(points(), data())
    assert not (tmp_path / "checkpoints").exists()
    trainer(tmp_path, Checkpoint(), max_steps=1).fit(points(), data())
    record = read_record(tmp_path)
    assert record is not None
    assert record.pid == os.getpid()
    with another_process(tmp_path):  # it was let go when training ended
        pass


def test_a_disk_that_fills_while_the_folder_is_made_leaves_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise Unwritable(tmp_path / "run.json", OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)))

    monkeypatch.setattr("lightning_gans.runs.claim.write_text", refuse)
    with pytest.raises(Unwritable, match=r"run.json could not be written: .*quota is used up"):
        new_run(NAMES, "fit", Training())
    assert not list((tmp_path / "runs").glob("*/*/*"))


def test_a_process_that_has_ended_is_not_said_to_train(tmp_path: Path) -> None:
    with another_process(tmp_path):
        record = json.loads((tmp_path / RECORD).read_text())
        ended = os.fork()
        if ended == 0:
            os._exit(0)
        os.waitpid(ended, 0)
        # as long as the process that resumes a run has not written its own record
        (tmp_path / RECORD).write_text(json.dumps({**record, "pid": ended}))
        with pytest.raises(FolderInUse, match="is in use by another process;"):
            hold(tmp_path)


@pytest.mark.parametrize("link", [False, True])
def test_a_lock_that_is_no_file_is_named(link: bool, tmp_path: Path) -> None:
    if link:
        (tmp_path / LOCK).symlink_to("elsewhere")
    else:
        (tmp_path / LOCK).mkdir()
    with pytest.raises(UserError, match="is no file, which a run locks; remove it"):
        hold(tmp_path)
