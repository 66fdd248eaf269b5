"""How often progress is shown, in a terminal and elsewhere."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from lightning_gans.callbacks import progress
from lightning_gans.callbacks.progress import Bar, Lines
from lightning_gans.data import Gaussians
from tests.support.training import data, points, trainer


class Clock:
    """A clock that moves by a step whenever it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(0.0)
    monkeypatch.setattr(progress, "time", found)
    return found


def test_a_log_file_gets_a_line_every_half_minute(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.step = 1.0
    trainer(tmp_path, Lines(), max_steps=65, enable_progress_bar=True).fit(points(), data())
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("iteration ")]
    assert not out
    # the clock is read once an iteration, and once more for each line
    assert [line.split(",")[0] for line in lines] == ["iteration 30 of 65", "iteration 59 of 65"]
    assert " a second, discriminator " in lines[0]
    assert ", generator " in lines[0]


def test_only_the_first_process_tells(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.step, told = 60.0, Lines()
    told.disable()
    trainer(tmp_path, told, max_steps=3, enable_progress_bar=True).fit(points(), data())
    assert "iteration" not in capsys.readouterr().err


@pytest.mark.parametrize("epoch", [1, 10, 1000])
def test_a_terminal_is_redrawn_ten_times_a_second_however_short_an_epoch_is(
    epoch: int, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning draws twice in each iteration."""
    drawn: list[str] = []
    screen = io.StringIO()
    monkeypatch.setattr(screen, "write", drawn.append)
    monkeypatch.setattr(sys, "stdout", screen)
    clock.step = 0.01
    points_of_an_epoch = Gaussians(train=8 * epoch, validation=16, batch_size=8)
    # each evaluation has a bar of its own
    options = {"max_epochs": -1, "enable_progress_bar": True, "limit_val_batches": 0}
    runner = trainer(tmp_path, Bar(), max_steps=100, **options)
    runner.fit(points(), points_of_an_epoch)
    shown = [text for text in drawn if "/100 [" in text]
    # one second passes; the last drawing is of the end
    assert 10 <= len(shown) <= 13
    assert " 100/100 [" in shown[-1]


def test_what_is_shown_depends_on_where_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(progress.progress(), Lines)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert isinstance(progress.progress(), Bar)
