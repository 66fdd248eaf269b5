"""How many threads compute: the choice, its place in a run, and how it follows the load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from lightning_gans import threads
from lightning_gans.callbacks.pace import Pace as PaceCallback
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.train import parse_command
from lightning_gans.errors import UsageError
from lightning_gans.threads import LOWER_AFTER, RAISE_AFTER, Choice, Pace, Usage, choose
from tests.support.models import tiny_dlsgan
from tests.support.training import data, trainer
from tests.support.training import points as small_points

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("cores", "quota", "environment", "typed", "processes", "count", "adapts"),
    [
        (8, None, {}, None, 1, 8, True),
        (1, None, {}, None, 1, 1, False),  # there is nothing to give way with
        (8, 2.5, {}, None, 1, 2, True),
        (8, 0.5, {}, None, 1, 1, False),
        (8, 16.0, {}, None, 1, 8, True),
        (8, None, {}, None, 3, 2, False),
        (2, None, {}, None, 4, 1, False),
        (8, None, {"LOCAL_WORLD_SIZE": "4"}, None, 1, 2, False),
        (8, 4.0, {"LOCAL_WORLD_SIZE": "2"}, None, 1, 2, False),
        (8, None, {"SLURM_CPUS_PER_TASK": "3"}, None, 2, 3, False),
        (8, None, {"OMP_NUM_THREADS": "5", "SLURM_CPUS_PER_TASK": "3"}, None, 2, 5, False),
        (8, None, {"OMP_NUM_THREADS": "4,2"}, None, 1, 4, False),
        (8, None, {"MKL_NUM_THREADS": "3"}, None, 1, 3, False),
        (8, None, {"OMP_NUM_THREADS": "many"}, None, 1, 8, True),
        (8, 2.0, {"OMP_NUM_THREADS": "5", "SLURM_CPUS_PER_TASK": "3"}, 6, 2, 6, False),
    ],
)
def test_the_number_fits_the_machine_and_a_given_one_counts_first(
    cores: int,
    quota: float | None,
    environment: dict[str, str],
    typed: int | None,
    processes: int,
    count: int,
    adapts: bool,
) -> None:
    found = choose(cores, quota, environment, typed, processes)
    assert (found.count, found.adapts) == (count, adapts)


def test_a_line_says_why_there_are_fewer_threads_than_cores() -> None:
    assert choose(8, None, {}).why == ""
    assert choose(8, None, {}, typed=2).why == ""
    assert choose(8, 2.5, {}).why == "as the container may use 2.5 of 8 cores"
    assert choose(8, None, {}, processes=2).why == "the share of each of 2 processes in 8 cores"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (  # the tightest limit of a group and those above it
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
            },
            2.0,
        ),
        (  # a container that sees its path on the host, and its own group as the root
            {"proc/self/cgroup": "0::/docker/1\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"},
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n1:cpu,cpuacct:/x\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "a b"}, None),
    ],
)
def test_the_limit_of_a_container_is_found(
    tmp_path: Path, files: dict[str, str], expected: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads.quota(tmp_path) == expected


class Load:
    """A machine of some cores on which others keep a number of them busy."""

    def __init__(self, cores: int, most: int | None = None) -> None:
        self.cores, self.now, self.idle, self.own = cores, 0.0, 0.0, 0.0
        self.set: list[int] = []
        choice = Choice(most or cores, adapts=True)
        self.pace = Pace(choice, cores, self.measure, self.set.append)

    def measure(self) -> Usage:
        return Usage(self.now, self.idle, self.own)

    def run(self, seconds: float, others: float) -> None:
        """Let time pass, a look every 0.4 seconds."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            before = self.measure()
            own = min(self.pace.count, self.cores - others)
            self.now += 0.4
            self.own += 0.4 * own
            self.idle += 0.4 * (self.cores - own - others)
            self.pace.update(before, self.measure())


@pytest.mark.parametrize(
    ("cores", "others", "count"),
    [
        (2, 0.67, 1),
        (2, 1.0, 1),
        (2, 1.5, 1),
        (2, 0.3, 2),
        (2, 0.55, 2),
        (8, 1.0, 7),
        (8, 3.0, 5),
        (8, 7.8, 1),
    ],
)
def test_a_neighbour_that_comes_after_the_start_takes_a_thread_and_gives_it_back(
    cores: int, others: float, count: int
) -> None:
    load = Load(cores)
    load.run(10, 0.0)
    assert load.set == []
    load.run(LOWER_AFTER + 0.8, others)
    assert load.pace.count == count
    load.run(RAISE_AFTER - 0.4, 0.0)
    assert load.pace.count == count
    load.run(1.0, 0.0)
    assert load.pace.count == cores


def test_a_moment_of_load_changes_nothing() -> None:
    load = Load(2)
    for _ in range(10):
        load.run(0.4, 1.0)
        load.run(0.8, 0.0)
    assert load.set == []


def test_cores_that_the_threads_do_not_need_may_be_busy() -> None:
    load = Load(8, most=2)  # as in a container on a large machine
    load.run(10, 6.0)
    assert load.set == []


def test_load_that_comes_and_goes_changes_the_number_ever_more_rarely() -> None:
    load = Load(2)
    for _ in range(60):
        load.run(4, 1.0)
        load.run(4, 0.0)
    assert load.set == [1, 2, 1]
    load.run(70, 0.0)
    assert load.pace.count == 2


def test_the_change_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    load = Load(2)
    for _ in range(3):
        load.run(4, 1.0)
        load.run(40, 0.0)
    assert load.set[:4] == [1, 2, 1, 2]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("threads: 1 instead of 2 while other processes keep 1.0 of 2 cores busy")
    assert "threads=2 keeps it" in line


def test_a_busy_process_is_seen(tmp_path: Path) -> None:
    before = threads.usage()
    if before is None:
        pytest.skip("this system does not tell what its cores do")
    own = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1)
        after = threads.usage()
    finally:
        own.kill()
        own.wait()
    assert after is not None
    passed = after.moment - before.moment
    busy = passed * len(threads.cores()) - (after.idle - before.idle) - (after.own - before.own)
    assert busy / passed > 0.4


@pytest.mark.parametrize(("niceness", "idle"), [(0, 4.0 + 0.5 + 0.2), (10, 4.0 + 0.5)])
def test_idle_time_is_of_own_cores_and_of_processes_that_would_yield(
    niceness: int, idle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = {"cpu": 90, "cpu0": 1, "cpu1": 1, "cpu2": 7}  # cpu2 is of others
    # user, nice, system, idle, waiting for a disk, interrupts
    shares = (1.0, 0.1, 0.3, 2.0, 0.25, 9.0)
    lines = [
        " ".join([name, *(str(int(share * ticks * scale)) for share in shares)])
        for name, scale in seconds.items()
    ]
    monkeypatch.setattr(threads, "_lines", lambda path: lines)
    monkeypatch.setattr(threads, "cores", lambda: {0, 1})
    monkeypatch.setattr(os, "nice", lambda more: niceness)
    found = threads.usage()
    assert found is not None
    assert found.idle == pytest.approx(idle)
    monkeypatch.setattr(threads, "cores", lambda: {0, 5})
    assert threads.usage() is None


def parsed(*argv: str) -> tuple[int | None, int]:
    found = parse_command("train", ["model=gan", *argv], Groups())
    return found.threads, found.processes


def test_threads_are_typed_in_train(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("threads: 3\n")
    assert parsed() == (None, 1)
    assert parsed("threads=2") == (2, 1)
    assert parsed("trainer.threads=2") == (2, 1)
    assert parsed("--trainer.threads", "2") == (2, 1)
    assert parsed("--config=mine.yaml") == (3, 1)
    assert parsed("--config=mine.yaml", "threads=null") == (0, 1)
    assert parsed("--config=mine.yaml", "threads=2", "trainer.devices=2") == (2, 2)
    assert parsed("trainer=cpu", "trainer.devices=0,1,2") == (None, 3)
    for wrong in ("0", "-1", "two", "1.5"):
        with pytest.raises(UsageError, match=r"threads: expected .*whole number"):
            parsed(f"trainer.threads={wrong}")


def test_threads_are_typed_in_other_commands() -> None:
    split = threads.split_threads
    assert split(["ckpt=a", "threads=2", "n=3"]) == (["ckpt=a", "n=3"], 2)
    assert split(["--threads", "2", "ckpt=a"]) == (["ckpt=a"], 2)
    assert split(["trainer.threads=2"]) == ([], 2)
    assert split(["threads"]) == (["threads"], None)
    with pytest.raises(UsageError, match="threads: expected"):
        split(["threads=0"])


def test_the_environment_is_set_before_torch_is_imported() -> None:
    code = """
import os, sys
from lightning_gans.threads import fitted, kept, pace
assert "torch" not in sys.modules
with fitted():
    assert "torch" not in sys.modules
    print(kept().count, *(os.environ[n] for n in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")))
print(*(n in os.environ for n in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")))
os.environ.update(OMP_WAIT_POLICY="active", MKL_NUM_THREADS="1")
with fitted(typed=3):
    import torch
    pace()
    print(torch.get_num_threads(), "GOMP_SPINCOUNT" in os.environ)
"""
    own = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OMP_WAIT_POLICY",
        "GOMP_SPINCOUNT",
        "KMP_BLOCKTIME",
    )
    slurm = ("SLURM_CPUS_PER_TASK", "LOCAL_WORLD_SIZE")
    environment = {k: v for k, v in os.environ.items() if k not in (*own, *slurm)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, third = done.stdout.splitlines()
    count = choose(len(threads.cores()), threads.quota(), {}).count
    assert first == f"{count} {count} {threads.SPINS}"
    assert (second, third) == ("False False", "3 False")


def test_a_typed_number_counts_in_a_program_that_has_torch() -> None:
    before = torch.get_num_threads()
    with threads.fitted(typed=3):
        assert torch.get_num_threads() == 3
        assert threads.kept() == Choice(3, most=3)
    assert torch.get_num_threads() == before
    assert threads.kept() is None


def run_on(state: dict[str, object], typed: int | None) -> int:
    """The number of threads of a run that resumes from the state of another process."""
    callback = PaceCallback()
    callback.load_state_dict(state)
    with threads.fitted(typed=typed):
        callback.on_train_start(Trainer(accelerator="cpu", logger=False), tiny_dlsgan())
        return torch.get_num_threads()


def test_a_resumed_run_keeps_its_number_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with threads.fitted(typed=2):
        state = PaceCallback().state_dict()
    assert state == {"threads": 2, "most": 2, "adapts": False}
    assert run_on(state, typed=None) == 2
    assert run_on(state, typed=3) == 3
    assert run_on(state, typed=0) == choose(len(threads.cores()), threads.quota(), {}).count
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run_on(state, typed=None) == 1
    # a checkpoint may be untrusted
    assert run_on({"threads": "all", "most": 2, "adapts": 1}, typed=None) == 1


def test_a_run_resumes_with_the_threads_that_it_had_on_a_larger_machine() -> None:
    counts: list[int] = []
    pace = Pace(Choice(8, adapts=True), 8, Load(8).measure, counts.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_pace", pace)
        # other processes kept it from its second thread when it was stopped
        threads.keep(Choice(1, adapts=True, most=2))
        assert threads.kept() == Choice(1, adapts=True, most=2)
        pace.update(Usage(0, 0, 0), Usage(10, 70, 10))
        assert threads.kept() == Choice(2, adapts=True, most=2)
        threads.fix()
        threads.keep(Choice(2, adapts=True, most=2))
        assert threads.kept() == Choice(2, adapts=False, most=2)
        assert counts == [1, 2, 2]


@pytest.mark.parametrize(
    ("device", "deterministic", "is_fixed"),
    [("cpu", False, False), ("cpu", True, True), ("cuda", False, True)],
)
def test_the_number_stays_where_bits_are_promised_and_where_a_gpu_computes(
    device: str, deterministic: bool, is_fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace(
        Choice(2, adapts=True), 2, lambda: Usage(time.monotonic(), 0, 0), lambda count: None
    )
    monkeypatch.setattr(threads, "_pace", pace)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    runner: Any = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)))
    PaceCallback().setup(runner, tiny_dlsgan(), "fit")
    assert pace.adapts != is_fixed


def test_the_load_is_looked_at_between_iterations_and_batches_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []
    monkeypatch.setattr(threads, "pace", lambda: looks.append(None))
    model, points = small_points(), data()
    counts = []
    for name, limits in (
        ("fit", {"limit_val_batches": 0}),
        ("validate", {}),
        ("test", {}),
        ("predict", {}),
    ):
        runner = trainer(tmp_path, PaceCallback(), max_steps=7, **limits)
        looks.clear()
        getattr(runner, name)(model, datamodule=points)
        counts.append(len(looks))
    # once at the start, then for each of seven batches, and of two with sixteen images
    assert counts[:3] == [8, 3, 3]
    assert counts[3] >= 3


def test_a_checkpoint_with_other_values_leaves_the_number_as_it_is() -> None:
    for wrong in (
        {"threads": 2, "most": 2, "adapts": "no"},
        {"threads": 2, "most": -1, "adapts": True},
        {"threads": 0, "most": 2, "adapts": True},
        {},
    ):
        callback = PaceCallback()
        callback.load_state_dict(wrong)
        assert callback.restored is None
