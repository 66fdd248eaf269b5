"""P-values and verdicts from held-out scores, and the file that stores them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy import stats
from torch import Tensor

from lightning_gans.data.tensors import TensorImages
from lightning_gans.errors import InputError
from lightning_gans.models import DLSGAN
from lightning_gans.networks import (
    BatchStdDiscriminator,
    ConvDiscriminator,
    ConvGenerator,
    DiscriminatorFactory,
)
from lightning_gans.ood.batches import subsample
from lightning_gans.ood.calibration import (
    Calibration,
    Origin,
    UnreadableCalibration,
    calibrated,
    checksum,
)
from lightning_gans.ood.conformal import ConformalDetector
from lightning_gans.ood.score_report import contact_sheet
from lightning_gans.ood.scorer import scorer
from lightning_gans.runs.folder import calibration_file
from lightning_gans.runs.tensor_files import write_tensors

DATA = json.dumps({"class_path": "lightning_gans.data.Folder", "init_args": {"root": "x"}})


def draw(n: int, seed: int) -> dict[str, Tensor]:
    """Two scores of n images, neither Gaussian nor independent."""
    random = torch.Generator().manual_seed(seed)
    common, own = torch.randn(2, n, generator=random)
    return {"a": common.exp(), "b": (common + own).pow(3)}


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_p_values_of_id_images_are_uniform(names: list[str]) -> None:
    """Each with its own held-out images: the guarantee is over these too."""
    n = 46
    p, alarms = [], 0
    for seed in range(3000):
        scores = draw(n + 1, seed)
        detector = ConformalDetector({name: scores[name][:n] for name in names}, 0.125)
        found = detector({name: scores[name][n:] for name in names})
        p.append(float(found.pvalues[0]))
        alarms += int(found.is_ood[0])
    compared = n if names == ["a"] else n - n // 2
    # 1/m, ..., m/m are equally likely; spread evenly below each value, they are uniform
    steps = np.array(p) * (compared + 1)
    assert np.abs(steps - steps.round()).max() < 1e-9
    spread = (steps - np.random.default_rng(0).random(len(p))) / (compared + 1)
    assert stats.kstest(spread, "uniform").pvalue > 0.02
    expected = int(0.125 * (compared + 1)) / (compared + 1)
    assert stats.binomtest(alarms, 3000, expected).pvalue > 0.02


def test_p_values_of_one_split_are_uniform() -> None:
    scores = draw(8000, seed=0)
    detector = ConformalDetector({"a": scores["a"][:4000]}, 0.05)
    found = detector({"a": scores["a"][4000:]})
    result = stats.ks_2samp(found.pvalues.numpy(), np.arange(1, 4001) / 4001)
    assert result.pvalue > 0.05
    assert float(found.is_ood.double().mean()) == pytest.approx(0.05, abs=3 * (0.05 / 2000) ** 0.5)


def test_verdicts_are_those_of_plain_loops() -> None:
    random = torch.Generator().manual_seed(3)
    held_out = torch.randint(0, 12, (57,), generator=random).float()
    new = torch.randint(-2, 14, (40,), generator=random).float()
    for rate in (0.02, 0.05, 0.2, 0.5, 0.9):
        detector = ConformalDetector({"a": held_out}, rate)
        found = detector({"a": new})
        for i, score in enumerate(new.tolist()):
            p = (1 + sum(h >= score for h in held_out.tolist())) / (1 + len(held_out))
            assert float(found.pvalues[i]) == pytest.approx(p, abs=1e-15)
            assert bool(found.is_ood[i]) == (p <= rate) == (score > detector.threshold)
        assert torch.equal(found.scores, new.double())


def test_an_image_at_the_rate_itself_is_called_ood() -> None:
    detector = ConformalDetector({"a": torch.arange(19.0)}, 0.05)
    assert detector({"a": torch.tensor([18.0, 18.1])}).is_ood.tolist() == [False, True]


def test_combined_scores_are_ranked_and_compared_in_different_halves() -> None:
    scores = draw(101, seed=5)
    held_out = {name: values[:81] for name, values in scores.items()}
    new = {name: values[81:] for name, values in scores.items()}
    detector = ConformalDetector(held_out, 0.1)
    found = detector(new)
    assert len(detector.reference) == 41
    # which images give the ranks: those whose own combined scores are not among the compared
    order = torch.randperm(81, generator=_halves())
    ranks, rest = order[:40].tolist(), order[40:].tolist()

    def combined(i: int, source: dict[str, Tensor]) -> float:
        total = 0.0
        for name, values in source.items():
            above = sum(float(held_out[name][j]) >= float(values[i]) for j in ranks)
            total -= np.log((1 + above) / 41)
        return total

    compared = [combined(i, held_out) for i in rest]
    for i in range(20):
        score = combined(i, new)
        assert float(found.scores[i]) == pytest.approx(score, abs=1e-12)
        p = (1 + sum(c >= score - 1e-12 for c in compared)) / 42
        assert float(found.pvalues[i]) == pytest.approx(p)


def _halves() -> torch.Generator:
    from lightning_gans.rng import stream

    return stream("ood/halves", seed=0)


def test_combined_scores_have_no_unit() -> None:
    held_out, new = draw(200, seed=1), draw(50, seed=2)
    one = ConformalDetector(held_out, 0.1)(new)
    other = ConformalDetector({"b": held_out["b"] / 1024, "a": held_out["a"] * 8}, 0.1)(
        {"a": new["a"] * 8, "b": new["b"] / 1024}
    )
    torch.testing.assert_close(one.pvalues, other.pvalues)


def test_too_few_held_out_images_are_one_line() -> None:
    with pytest.raises(InputError, match=r"needs at least 19 held-out scores, got 18; hold out"):
        ConformalDetector({"a": torch.arange(18.0)}, 0.05)
    with pytest.raises(InputError, match=r"needs at least 19 held-out scores, got 18; hold out"):
        ConformalDetector({"a": torch.arange(36.0), "b": torch.arange(36.0)}, 0.05)
    with pytest.raises(InputError, match="two held-out images to combine"):
        ConformalDetector({"a": torch.zeros(1), "b": torch.zeros(1)}, 0.05)
    with pytest.raises(InputError, match="at least one name, got none"):
        ConformalDetector({}, 0.05)
    with pytest.raises(InputError, match="of the same images"):
        ConformalDetector({"a": torch.zeros(40), "b": torch.zeros(41)}, 0.05)
    with pytest.raises(InputError, match=r"held-out a of finite numbers, got 1 of 20"):
        ConformalDetector({"a": torch.tensor([float("nan")] + [0.0] * 19)}, 0.05)
    with pytest.raises(InputError, match="a is missing"):
        ConformalDetector({"a": torch.zeros(40)}, 0.05)({"b": torch.zeros(3)})


# The file


class Counted:
    """Makes calibrations and counts them."""

    def __init__(self, names: tuple[str, ...] = ("a", "b")) -> None:
        self.names, self.made = names, 0
        self.logged: list[str] = []

    def __call__(self, origin: Origin) -> Calibration:
        self.made += 1
        scores = {name: torch.arange(5.0) + self.made for name in self.names}
        return Calibration(scores, origin, {0.9: 1.5})

    def ask(
        self,
        checkpoint: Path,
        data: str | None = DATA,
        most: int | None = 10,
        names: tuple[str, ...] = ("a",),
    ) -> Calibration:
        return calibrated(checkpoint, data, most, names, self, self.logged.append)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "best-step=3.ckpt"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


def test_a_calibration_is_stored_beside_its_checkpoint_and_used_again(checkpoint: Path) -> None:
    counted = Counted()
    first = counted.ask(checkpoint)
    names = sorted(path.name for path in checkpoint.parent.iterdir())
    assert names == ["best-step=3.ckpt", "best-step=3.ood.safetensors"]
    (line,) = counted.logged
    assert "best-step=3.ood.safetensors: it does not exist yet" in line
    again = counted.ask(checkpoint, names=("b",))
    assert (counted.made, counted.logged) == (1, [line])
    assert torch.equal(again.scores["b"], first.scores["b"])
    assert (again.origin, again.thresholds) == (first.origin, {0.9: 1.5})
    assert (len(again), again.data) == (5, "Folder (x)")
    assert again.origin.checkpoint == checksum(checkpoint)
    assert checksum(checkpoint) == hashlib.sha256(b"weights").hexdigest()


def test_a_checkpoint_that_its_run_replaced_meanwhile_leaves_no_calibration(
    checkpoint: Path,
) -> None:
    class Slow(Counted):
        def __call__(self, origin: Origin) -> Calibration:
            checkpoint.unlink()
            return super().__call__(origin)

    assert len(Slow().ask(checkpoint)) == 5
    assert not [*checkpoint.parent.iterdir()]


def test_what_changed_is_logged_and_computed_again(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    counted.ask(checkpoint)
    other = DATA.replace("Folder", "MNIST")
    counted.ask(checkpoint, other)
    assert counted.logged[-1].endswith(": it has other held-out images")
    counted.ask(checkpoint, other, 11)
    assert counted.logged[-1].endswith(": it has at most 10 images")
    checkpoint.write_bytes(b"Weights")
    assert counted.ask(checkpoint, other, 11).scores["a"][0] == 4
    assert counted.logged[-1].endswith(": the checkpoint changed")
    wider = Counted(("a", "b", "c"))
    wider.ask(checkpoint, other, 11, ("a", "c"))
    assert wider.logged[-1].endswith(": it lacks the score c")
    stored = Calibration.load(calibration_file(checkpoint))
    replace(stored, origin=replace(stored.origin, version="0.0")).save(calibration_file(checkpoint))
    wider.ask(checkpoint, other, 11)
    assert "version 0.0 of lightning_gans" in wider.logged[-1]
    assert (counted.made, wider.made) == (4, 2)
    assert len(counted.logged) == 4
    wider.ask(checkpoint, other, 11)
    assert wider.made == 2


def test_without_data_the_stored_one_serves_or_one_line_says_what_to_give(checkpoint: Path) -> None:
    counted = Counted()
    with pytest.raises(InputError, match=r"give data=NAME data\.root=FOLDER") as caught:
        counted.ask(checkpoint, None)
    assert "\n" not in str(caught.value)
    counted.ask(checkpoint)
    for most in (None, 10):
        found = counted.ask(checkpoint, None, most)
        assert (found.origin.data, found.origin.most) == (DATA, 10)
    assert counted.made == 1
    for names, most, why in ((("a",), 11, "at most 10 images"), (("c",), None, "lacks the score")):
        with pytest.raises(
            InputError, match=rf"ood\.safetensors cannot be used: it .*{why}.*; give data=NAME"
        ):
            counted.ask(checkpoint, None, most, names)
    checkpoint.write_bytes(b"Weights")
    with pytest.raises(InputError, match=r"the checkpoint changed; give data=NAME"):
        counted.ask(checkpoint, None)
    assert counted.made == 1
    counted.ask(checkpoint, DATA, None)
    assert Calibration.load(calibration_file(checkpoint)).origin.most == 10_000


@pytest.mark.parametrize("content", [b"", b"broken", b"{}" * 50])
def test_a_damaged_file_is_replaced(content: bytes, checkpoint: Path) -> None:
    path = calibration_file(checkpoint)
    path.write_bytes(content)
    counted = Counted()
    counted.ask(checkpoint)
    assert "is damaged or something else" in counted.logged[0]
    assert "\n" not in counted.logged[0]
    assert Calibration.load(path).scores["a"].tolist() == [1, 2, 3, 4, 5]


def test_a_file_of_something_else_is_no_calibration(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    good = {"origin": json.dumps(vars(Origin("c", DATA, 1))), "thresholds": "[]"}
    for metadata in (
        {},
        {**good, "origin": "{}"},
        {**good, "origin": "["},
        {**good, "thresholds": "[3]"},
        {**good, "origin": json.dumps(vars(Origin("c", "{}", 1)))},
    ):
        write_tensors(path, {"a": torch.zeros(3)}, metadata)
        with pytest.raises(UnreadableCalibration, match=r"^[^\n]*$"):
            Calibration.load(path)
    for scores, message in (
        ({"a": torch.zeros(3), "b": torch.zeros(4)}, "no finite scores of the same images"),
        ({"a": torch.tensor([0.0, torch.inf])}, "no finite scores"),
        ({"a": torch.zeros(0)}, "no finite scores"),
        ({"a": torch.zeros(2).long()}, "no finite scores"),
        ({}, "no finite scores"),
        ({"reconstruction": torch.tensor([1.0, -1.0])}, "a score reconstruction below 0"),
    ):
        write_tensors(path, scores, good)
        with pytest.raises(UnreadableCalibration, match=message):
            Calibration.load(path)
    write_tensors(path, {"a": torch.zeros(3)}, {**good, "thresholds": "[[0.9, Infinity]]"})
    with pytest.raises(UnreadableCalibration, match="thresholds that are finite"):
        Calibration.load(path)
    write_tensors(path, {"a": torch.zeros(3)}, good)
    assert len(Calibration.load(path)) == 3


def test_a_calibration_that_somebody_changed_is_refused(checkpoint: Path) -> None:
    """Held-out scores of 1e30 would call every image ID."""
    counted = Counted()
    honest = counted.ask(checkpoint)
    path = calibration_file(checkpoint)
    content = bytearray(path.read_bytes())
    content[-4:] = torch.tensor(1e30).numpy().tobytes()
    path.write_bytes(content)
    with pytest.raises(UnreadableCalibration, match="was changed or damaged since"):
        Calibration.load(path)
    with pytest.raises(InputError, match=r"cannot be used: .* was changed .*; give data=NAME"):
        counted.ask(checkpoint, None)
    again = counted.ask(checkpoint)
    assert "was changed or damaged since it was written" in counted.logged[-1]
    assert again.scores["a"].tolist() == (honest.scores["a"] + 1).tolist()
    # files of version 0.2.0 have no checksum
    save_file(dict(again.scores), path, metadata={"origin": "{}", "thresholds": "[]"})
    counted.ask(checkpoint)
    assert "has no checksum" in counted.logged[-1]


def test_a_folder_that_takes_no_file_is_logged_and_the_old_file_stays(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    counted.ask(checkpoint)
    path = calibration_file(checkpoint)
    before = path.read_bytes()

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    made = counted.ask(checkpoint, most=11)
    assert made.scores["a"][0] == 2
    assert f"{path} could not be written: No space left on device" in counted.logged[-1]
    assert "this call only" in counted.logged[-1]
    assert path.read_bytes() == before
    names = sorted(path.name for path in checkpoint.parent.iterdir())
    assert names == ["best-step=3.ckpt", "best-step=3.ood.safetensors"]


def test_held_out_images_are_drawn_once_each_and_always_the_same() -> None:
    images = TensorImages(
        torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1), torch.arange(100)
    )
    assert subsample(images, 100, "x") is images
    chosen = subsample(images, 30, "x")
    labels = [int(chosen[i][1]) for i in range(30)]
    assert labels == sorted(set(labels))
    assert labels == [int(y) for _, y in (subsample(images, 30, "x")[i] for i in range(30))]
    assert labels != [int(y) for _, y in (subsample(images, 30, "y")[i] for i in range(30))]
    # from everywhere: the validation images may come sorted
    assert labels[0] < 15
    assert labels[-1] > 85


def test_it_is_noticed_if_scores_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    cases: list[tuple[DiscriminatorFactory, bool]] = [
        (partial(ConvDiscriminator, channels=2), True),
        (BatchStdDiscriminator, False),
    ]
    for make, expected in cases:
        model = DLSGAN(
            (1, 16, 16),
            latent_dim=4,
            generator=partial(ConvGenerator, channels=2),
            discriminator=make,
        ).eval()
        assert scorer(model).is_batch_independent() is expected


# The sheet


@pytest.mark.figures
def test_a_sheet_shows_images_in_order(tmp_path: Path) -> None:
    levels = torch.tensor([-1.0, 0.0, 1.0, -0.5, 0.5])
    images = levels.view(5, 1, 1, 1).expand(5, 1, 8, 8)
    captions = ["a", "$b_{", "\udcff\n2", "日", "e"]
    contact_sheet(images, captions, [True, False, False, False, False], tmp_path / "x.png")
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(float)
    height, width = pixels.shape[0] / 2, pixels.shape[1] / 3
    for index, level in enumerate(levels.tolist()):
        row, column = divmod(index, 3)
        centre = pixels[int((row + 0.6) * height), int((column + 0.5) * width)]
        assert centre == pytest.approx([(level + 1) * 127.5] * 3, abs=2)
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 80)
    rows, columns = red.nonzero()
    assert rows.max() < height / 3
    assert columns.max() < width


@pytest.mark.figures
def test_a_sheet_shows_colours(tmp_path: Path) -> None:
    image = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    contact_sheet(image, [""], [False], tmp_path / "x.png")
    pixels = np.asarray(Image.open(tmp_path / "x.png").convert("RGB")).astype(float)
    height, width, _ = pixels.shape
    assert pixels[int(0.6 * height), width // 2] == pytest.approx([255, 0, 127.5], abs=2)
