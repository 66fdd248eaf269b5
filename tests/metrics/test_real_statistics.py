"""The real side of measures in files: what they are known by, and when they are not used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, distributed
from torch.utils.data import Dataset

from lightning_gans.metrics import (
    FeatureExtractor,
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    RealStatistics,
)
from lightning_gans.metrics.real_statistics import default_folder
from tests.support.features import COUNT, WIDTH, Projection, prepared, random_images, random_pixels
from tests.support.processes import several


def measures() -> list[Any]:
    return [FrechetDistance(WIDTH), PrecisionRecall(), KernelDistance()]


def see(metrics: list[Any], extractor: FeatureExtractor, x: Tensor, real: bool) -> None:
    for part in torch.split(extractor(x), 17):
        for metric in metrics:
            metric.update(part, real=real)


def evaluated(kept: RealStatistics, extractor: FeatureExtractor) -> tuple[bool, list[Any]]:
    """As an evaluation does: whether the real pass was left out, and the values."""
    metrics = measures()
    known = kept.load(*metrics)
    if not known:
        see(metrics, extractor, random_pixels(), real=True)
        kept.save(*metrics)
    see(metrics, extractor, random_pixels(40, seed=1), real=False)
    return known, [metric.compute() for metric in metrics]


@pytest.fixture
def kept(tmp_path: Path) -> RealStatistics:
    return RealStatistics(random_images(), prepared(), COUNT, tmp_path / "kept")


def test_a_second_run_leaves_the_real_images_out(kept: RealStatistics, tmp_path: Path) -> None:
    first = evaluated(kept, prepared())
    files = sorted(kept.folder.iterdir())
    assert files == [kept.path("features"), kept.path("moments")]
    again = evaluated(
        RealStatistics(random_images(), prepared(), COUNT, tmp_path / "kept"), prepared()
    )
    assert (first[0], again[0]) == (False, True)
    torch.testing.assert_close(again[1], first[1], rtol=0, atol=0)
    assert sorted(kept.folder.iterdir()) == files


def test_what_is_kept_is_what_the_measures_need(kept: RealStatistics) -> None:
    distance = FrechetDistance(WIDTH)
    see([distance], prepared(), random_pixels(), real=True)
    kept.save(distance)
    assert list(kept.folder.iterdir()) == [kept.path("moments")]
    assert kept.load(FrechetDistance(WIDTH))
    # the moments are no help to who needs features, and then are not taken either
    untouched = FrechetDistance(WIDTH)
    assert not kept.load(untouched, KernelDistance())
    assert untouched.real[0, 0] == 0
    stored = safetensors.torch.load_file(kept.path("moments"))["moments"]
    assert stored.dtype == torch.float64
    torch.testing.assert_close(stored, distance.real, rtol=0, atol=0)


def test_each_ingredient_makes_another_file(tmp_path: Path) -> None:
    def path(
        data: Dataset[Any], extractor: FeatureExtractor, count: int, statistic: str = "features"
    ) -> Path:
        return RealStatistics(data, extractor, count, tmp_path).path(statistic)

    class Renamed(Projection):
        name = "renamed"

    renamed = Renamed()
    renamed.prepare("cpu")
    base = path(random_images(), prepared(), COUNT)
    assert path(random_images(), prepared(), COUNT) == base
    others = {
        path(random_images(seed=1), prepared(), COUNT),
        path(random_images(), prepared(seed=1), COUNT),
        path(random_images(), renamed, COUNT),
        path(random_images(), prepared(), COUNT - 1),
        path(random_images(), prepared(), COUNT, "moments"),
    }
    assert len(others | {base}) == 6


def test_the_folder_is_the_user_s_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    statistics = RealStatistics(random_images(), prepared(), COUNT)
    assert statistics.folder == tmp_path / "cache" / "lightning_gans"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "lightning_gans"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


def foreign(path: Path) -> None:
    safetensors.torch.save_file({"features": torch.zeros(COUNT, WIDTH)}, path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, empty, flip, foreign, folder])
def test_damaged_files_are_named_in_one_line_and_made_again(
    kept: RealStatistics, damage: Callable[[Path], None]
) -> None:
    first = evaluated(kept, prepared())
    damage(kept.path("features"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        again = evaluated(kept, prepared())
    (message, *_) = [str(warning.message) for warning in caught]
    assert message.startswith(f"{kept.path('features')} is not used (")
    assert "\n" not in message
    assert not again[0]
    torch.testing.assert_close(again[1], first[1], rtol=0, atol=0)
    if damage is not folder:
        assert evaluated(kept, prepared())[0]
    assert not list(kept.folder.glob("*.draft"))


def test_a_file_under_another_s_name_is_not_used(kept: RealStatistics, tmp_path: Path) -> None:
    evaluated(kept, prepared())
    other = RealStatistics(random_images(seed=1), prepared(), COUNT, tmp_path / "kept")
    kept.path("features").rename(other.path("features"))
    kept.path("moments").rename(other.path("moments"))
    with pytest.warns(UserWarning, match="it belongs to other data"):
        assert not other.load(*measures())


def test_another_number_of_samples_is_not_kept(kept: RealStatistics) -> None:
    metrics = measures()
    see(metrics, prepared(), random_pixels()[:59], real=True)
    with pytest.warns(UserWarning, match="expected 60 samples, got 59"):
        kept.save(*metrics)
    assert not kept.folder.exists()


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = RealStatistics(random_images(), prepared(), COUNT, tmp_path / "file" / "below")
    with pytest.warns(UserWarning, match="cannot be stored in .*/file/below") as caught:
        known, values = evaluated(kept, prepared())
    assert not known
    assert len(values) == 3
    assert all("\n" not in str(warning.message) for warning in caught)


def in_each(rank: int, processes: int) -> tuple[list[str], list[bool], list[Any]]:
    """Evaluate twice, with folders of our own: only one process may use its."""
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    extractor = prepared()
    kept = RealStatistics(random_images(), extractor, COUNT, f"rank-{rank}")
    values, known = [], []
    for _ in range(2):
        metrics = measures()
        known.append(kept.load(*metrics))
        if not known[-1]:
            see(metrics, extractor, random_pixels()[rank::processes], real=True)
            kept.save(*metrics)
        see(metrics, extractor, random_pixels(40, seed=1)[rank::processes], real=False)
        values.append([metric.compute() for metric in metrics])
    distributed.destroy_process_group()
    return [path.name for path in Path(f"rank-{rank}").glob("*")], known, values


def test_only_the_first_process_reads_and_writes(tmp_path: Path) -> None:
    _, expected = evaluated(
        RealStatistics(random_images(), prepared(), COUNT, tmp_path / "kept"), prepared()
    )
    files, known, values = zip(*several(3, in_each, tmp_path / "ranks"), strict=True)
    assert [len(names) for names in files] == [2, 0, 0]
    assert known == ([False, True],) * 3
    for passes in values:
        for found in passes:
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_measures_say_what_they_need() -> None:
    assert [metric.statistic for metric in measures()] == ["moments", "features", "features"]
