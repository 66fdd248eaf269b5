"""OpenOOD's measures, and folders as OOD sets."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn import metrics

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.errors import UsageError
from lightning_gans.ood import scorer
from lightning_gans.ood.datasets import NamedFolder, parse_folders
from lightning_gans.ood.openood import openood_measures
from lightning_gans.workflows.run_data import run_data
from tests.support.command_line import only, small
from tests.support.pictures import draw
from tests.support.saved_models import refusal


def by_scikit_learn(id_scores: npt.ArrayLike, ood_scores: npt.ArrayLike) -> list[float]:
    """FPR at a TPR of 95 %, AUROC, AUPR_IN and AUPR_OUT as OpenOOD v1.5 takes them from curves."""
    negative, positive = np.asarray(id_scores), np.asarray(ood_scores)
    scores = np.concatenate([negative, positive])
    is_ood = np.repeat([0, 1], [len(negative), len(positive)])
    fpr, tpr, _ = metrics.roc_curve(is_ood, scores)
    inside = metrics.precision_recall_curve(1 - is_ood, -scores)
    outside = metrics.precision_recall_curve(is_ood, scores)
    return [
        fpr[np.argmax(tpr >= 0.95)],
        metrics.auc(fpr, tpr),
        metrics.auc(inside[1], inside[0]),
        metrics.auc(outside[1], outside[0]),
    ]


COLUMNS = ("FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT")
SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=60)


@given(id_scores=SCORES, ood_scores=SCORES)
def test_measures_are_those_of_scikit_learns_curves_with_many_ties(
    id_scores: list[float], ood_scores: list[float]
) -> None:
    expected = by_scikit_learn(id_scores, ood_scores)
    np.testing.assert_allclose(openood_measures(id_scores, ood_scores), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "m", "shift"), [(1000, 300, 1.0), (50, 2000, -0.5), (20, 20, 9.0)])
def test_measures_are_those_of_scikit_learns_curves(n: int, m: int, shift: float) -> None:
    numbers = np.random.default_rng(n)
    id_scores, ood_scores = numbers.normal(size=n), numbers.normal(size=m) + shift
    expected = by_scikit_learn(id_scores, ood_scores)
    np.testing.assert_allclose(openood_measures(id_scores, ood_scores), expected, atol=1e-12)


def test_the_rate_is_that_of_a_point_that_scikit_learn_keeps() -> None:
    # two ID and two OOD images at each of ten levels: the curve is one straight line, of which
    # only the ends are kept
    levels = np.repeat(np.arange(10.0), 2)
    assert openood_measures(levels, levels).fpr95 == by_scikit_learn(levels, levels)[0] == 1


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["a:x"], [("ood", "a", "x")]),
        (["near/a:x,far/b:y", "c:z"], [("near", "a", "x"), ("far", "b", "y"), ("ood", "c", "z")]),
        (["a:x,y z,b:c:d"], [("ood", "a", "x,y z"), ("ood", "b", "c:d")]),
        ([" my set : x "], [("ood", "my set", "x")]),
    ],
)
def test_folders_are_named(typed: list[str], expected: list[tuple[str, str, str]]) -> None:
    found = [NamedFolder(kind, name, Path(root)) for kind, name, root in expected]
    assert parse_folders(typed) == found


WRONG = ["photos", "a:", ":x", "../a:x", "near/:x", "mid/a:x", "ID:x", "mean:x", "a:x,a:y"]


@pytest.mark.parametrize("typed", [*WRONG, "a\nb:x", "", "a|b:x"])
def test_what_names_no_folder_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match=r"ood\.sets"):
        parse_folders([typed])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on grey images of 16 × 16, of which 24 are held out."""
    folder = tmp_path_factory.mktemp("openood")
    draw(folder / "pictures", 60, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main([*small(folder / "pictures"), "ema.decay=0"])
    return only(folder / "runs" / "dlsgan" / "folder")


def stripes(folder: Path, count: int) -> Path:
    """Colour images of 20 × 30 pixels, which a model of grey ones of 16 × 16 sees cropped."""
    folder.mkdir()
    for index in range(count):
        pixels = np.zeros((20, 30, 3), np.uint8)
        pixels[:, :: 2 + index % 5] = (255, index, 40)
        Image.fromarray(pixels).save(folder / f"{index:03}.png")
    return folder


def table(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    with (folder / "openood.csv").open(newline="", encoding="utf-8") as file:
        return {(row["score"], row["dataset"]): row for row in csv.DictReader(file)}


def test_folders_are_measured_as_the_runs_held_out_images_are_prepared(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, dots = stripes(tmp_path / "lines", 40), draw(tmp_path / "dots", 12, 16, seed=7)
    words = [f"ood.sets=near/lines:{lines},far/dots:{dots}", "bootstrap=0", "out=made"]
    main(["ood", "table", f"ckpt={run}", "scores=nll,reconstruction", *words])
    text = capsys.readouterr().out
    assert "## OpenOOD v1.5" in text
    assert f"- Set lines: the images of {lines}, as they are." in text
    assert "Near images are" not in text, "nothing is mixed"
    found = table(Path("made"))
    assert list(next(iter(found.values()))) == [
        *("model", "score", "group", "dataset"),
        *COLUMNS,
    ]
    # what the pictures become: the centred square, grey, at the side of the model
    score = scorer(lightning_gans.load(run), ("nll", "reconstruction"))
    data = run_data(str(run))
    assert data is not None
    data.setup("predict")
    held_out = torch.stack([data.validation_set[i][0] for i in range(24)])

    def prepared(path: Path) -> torch.Tensor:
        with Image.open(path) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("L").crop((left, top, left + side, top + side))
            if side != 16:
                square = square.resize((16, 16), Image.Resampling.BICUBIC, reducing_gap=None)
            return torch.from_numpy(np.asarray(square).astype(np.float32))[None] / 127.5 - 1

    id_scores = score(held_out)
    for name, root, count in (("lines", lines, 40), ("dots", dots, 12)):
        x = torch.stack([prepared(path) for path in sorted(root.glob("*.png"))])
        ood_scores = score(x)
        for kind in ("nll", "reconstruction"):
            assert len(ood_scores[kind]) == count, "also more than there are ID images"
            expected = by_scikit_learn(id_scores[kind].numpy(), ood_scores[kind].numpy())
            row = found[kind, name]
            got = [
                float(row[column]) / 100 for column in ("FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT")
            ]
            np.testing.assert_allclose(got, expected, atol=0.005)
    assert found["nll", "lines"]["group"] == "near"
    assert found["nll", "nearood"]["AUROC"] == found["nll", "lines"]["AUROC"]
    assert found["nll", "farood"]["AUROC"] == found["nll", "dots"]["AUROC"]
    printed = re.search(r"\| nll \| lines \| ([\d.]+) \|", text)
    assert printed
    assert float(printed[1]) == pytest.approx(float(found["nll", "lines"]["FPR@95"]), abs=0.005)
    # the tables that were there before have the sets as well
    rows = (Path("made") / "table.csv").read_text()
    assert ",nll,near,lines,files,24," in rows
    assert ",nll,far,dots,files,12," in rows


def test_a_mean_is_over_the_sets_of_a_kind(run: Path, tmp_path: Path) -> None:
    a, b = stripes(tmp_path / "a", 12), draw(tmp_path / "b", 12, 16, seed=7)
    sets = [f"ood.sets=a:{a}", f"ood.sets=b:{b}"]
    main(["ood", "table", f"ckpt={run}", *sets, "scores=nll", "bootstrap=0", "out=made"])
    found = table(Path("made"))
    for column in COLUMNS:
        values = [float(found["nll", name][column]) for name in ("a", "b")]
        assert float(found["nll", "ood"][column]) == pytest.approx(np.mean(values))


def test_an_image_that_cannot_be_read_is_named_by_its_file(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = draw(tmp_path / "a", 14, 16, seed=7)
    (folder / "03.png").write_bytes(b"no image")
    words = [f"ood.sets=a:{folder}", "scores=nll", "bootstrap=0", "out=made"]
    with pytest.raises(SystemExit) as end:
        main(["ood", "table", f"ckpt={run}", *words])
    assert end.value.code == 3
    assert f"- Left out: {folder / '03.png'}. " in capsys.readouterr().out
    # and once it can be read, the same command with out= completes the table
    draw(folder, 14, 16, seed=7)
    main(["ood", "table", f"ckpt={run}", *words])
    assert "Left out" not in capsys.readouterr().out
    assert not Path("made/parts").exists()
    assert "a,files,14," in Path("made/table.csv").read_text()


def test_wrong_sets_are_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = draw(tmp_path / "few", 4, 16)
    (tmp_path / "empty").mkdir()
    gauss = ["data=gaussians", f"ood.sets=a:{few}"]
    for words, status, expected in (
        (["ood.sets=a:nowhere"], 2, "nowhere does not exist; give NAME:FOLDER"),
        (["ood.sets=nowhere"], 2, "expected NAME:FOLDER"),
        (["ood.sets=a:empty"], 1, "no images"),
        ([f"ood.sets=a:{few}"], 1, "expected at least 10 images of a, got 4"),
        ([f"ood.sets=a:{few}", f"out={few}/made"], 2, "among the images of"),
        (gauss, 2, "data=gaussians has points"),
        (["data=mnist5k"], 2, "data=mnist5k has no OOD sets; give data=mnist_ood"),
        (["data=mnist5k", f"ood.sets=a:{few}"], 1, "choose other data"),
    ):
        found, said = refusal(["ood", "table", f"ckpt={run}", *words], capsys)
        assert (found, expected in said) == (status, True), said
    assert not (tmp_path / "runs").exists()
