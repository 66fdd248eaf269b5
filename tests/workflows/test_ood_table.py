"""The table of detection: its numbers, its files, and its command from the first word."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torch import Tensor
from torch.utils.data import Dataset

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError
from lightning_gans.models import DLSGAN, GAN, Classifier, Model
from lightning_gans.ood import aupr, auroc, auroc_coarse, bootstrap, fisher, fpr_at_tpr, scorer
from lightning_gans.ood.benchmark import Row, rows, score_sets
from lightning_gans.ood.corruptions import corrupt, mix
from lightning_gans.ood.datasets import MNISTOOD
from lightning_gans.ood.resampling import MEASURES, coarse, estimates, samples
from lightning_gans.ood.table import draw, markdown, write_csv
from lightning_gans.workflows import ood_table
from lightning_gans.workflows.ood_table import load_scorers
from tests.support.idx import write_digits

SHAPE = (1, 32, 32)


def save(model: Model, run: Path) -> Path:
    """A run's folder with the checkpoint of a model."""
    content: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    (run / "checkpoints").mkdir(parents=True)
    torch.save(content, run / "checkpoints" / "last-step=1.ckpt")
    return run


def small(seed: int = 0) -> DLSGAN:
    torch.manual_seed(seed)
    model = DLSGAN(SHAPE, latent_dim=5)
    model.eval()
    return model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_digits(tmp_path / "data", "MNIST", 0)
    write_digits(tmp_path / "data", "FashionMNIST", 1, train=0)
    return tmp_path / "data"


# --- measures


@pytest.mark.parametrize("decimals", [1, 9])
def test_samples_are_those_of_the_plain_bootstrap(decimals: int) -> None:
    numbers = np.random.default_rng(0)
    id_scores = np.sort(numbers.normal(size=90).round(decimals))
    ood_scores = np.sort((numbers.normal(size=70) + 0.7).round(decimals))
    found = samples(id_scores, ood_scores, 40, seed=3)
    assert found.shape == (41, 3)
    measures = (auroc, aupr, fpr_at_tpr)
    np.testing.assert_allclose(found[0], [m(id_scores, ood_scores) for m in measures], atol=1e-12)
    intervals = estimates([found])
    for name, measure in zip(MEASURES, measures, strict=True):
        expected = bootstrap(measure, id_scores, ood_scores, 40, seed=3)
        np.testing.assert_allclose(intervals[name][1:], expected, atol=1e-12)
    rough = samples(id_scores, ood_scores, 40, seed=3, area=coarse)
    assert rough[0, 0] == pytest.approx(auroc_coarse(id_scores, ood_scores))
    expected = bootstrap(auroc_coarse, id_scores, ood_scores, 40, seed=3)
    np.testing.assert_allclose(estimates([rough])["auroc"][1:], expected, atol=1e-12)
    # the order of images decides what is drawn, not what is measured
    np.testing.assert_allclose(samples(id_scores[::-1], ood_scores, 0), found[:1])


def test_folds_are_averaged_with_students_interval() -> None:
    values = np.array([[0.9, 0.8, 0.1], [0.7, 0.9, 0.2], [0.8, 0.7, 0.3]])
    found = estimates([value[None] for value in values])
    assert found["auroc"].value == pytest.approx(0.8)
    # of two degrees of freedom, 4.302653
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert found["auroc"].low == pytest.approx(0.8 - half, abs=1e-6)
    assert found["fpr95"].high == pytest.approx(0.2 + half, abs=1e-6)
    assert found["aupr"].high == 1, "no share is above 1"
    alone = estimates([values[:1]])["aupr"]
    assert alone.value == 0.8
    assert math.isnan(alone.low)


# --- scores of sets


class Singles(Dataset[Batch]):
    """Images given one by one."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        return self.x[index], torch.tensor(0)


def opened(root: Path) -> MNISTOOD:
    data = MNISTOOD(str(root))
    data.setup("predict")
    return data


def test_near_images_are_paired_by_index(root: Path) -> None:
    data, model = opened(root), small()
    # a set that has fewer images than there are digits
    short = torch.rand(10, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    data.sets = {**data.sets, "short": Singles(short)}
    found = score_sets({"m": scorer(model)}, data, n=11, near=0.25, batch_size=4)["m"]
    x = torch.stack([data.validation_set[i][0] for i in range(11)])
    torch.testing.assert_close(found.id_scores["nll"], model.ood_score(x), rtol=1e-4, atol=1e-3)
    assert set(found.ood_scores) == {(kind, name) for kind in ("near", "far") for name in data.sets}
    expected = {
        "stripe": torch.stack([data.sets["stripe"][i][0] for i in range(11)]),
        "short": short,
    }
    inner = corrupt(x[:, :, 2:-2, 2:-2], "stripe")
    torch.testing.assert_close(expected["stripe"][:, :, 2:-2, 2:-2], inner, atol=0.004, rtol=0)
    for name, ood_scores in expected.items():
        far, near = found.ood_scores["far", name], found.ood_scores["near", name]
        torch.testing.assert_close(far["nll"], model.ood_score(ood_scores), rtol=1e-4, atol=1e-3)
        paired = mix(x[: len(ood_scores)], ood_scores, 0.25)
        torch.testing.assert_close(near["nll"], model.ood_score(paired), rtol=1e-4, atol=1e-3)
        assert far["reconstruction"].shape == (len(ood_scores),)
    for few in (9, 3):
        with pytest.raises(InputError, match=f"at least 10 ID images, got {few}"):
            score_sets({"m": scorer(model)}, data, few, 0.1)
    data.sets = {"short": Singles(short[:5])}
    with pytest.raises(InputError, match="at least 10 images of short, got 5"):
        score_sets({"m": scorer(model)}, data, 11, 0.1)


def by_place(found: list[Row]) -> dict[tuple[str, str, str], Row]:
    return {(row.score, row.kind, row.set): row for row in found}


def test_rows_are_scikit_learns_numbers(root: Path) -> None:
    data = opened(root)
    short = torch.rand(11, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    data.sets = {"stripe": data.sets["stripe"], "short": Singles(short)}
    scored = score_sets({"m": scorer(small())}, data, n=12, near=0.1)
    table = by_place(rows([scored], repetitions=0))
    usual = ("typicality(held out)", "nll+reconstruction")
    scores = ("nll", "typicality", "reconstruction", *usual)
    names = [*data.sets, "mean"]
    assert list(table) == [(s, k, n) for s in scores for k in ("near", "far") for n in names]
    means: dict[tuple[str, str], list[Any]] = {}
    for (score, kind, name), row in table.items():
        if name == "mean":
            expected = np.mean(means.pop((score, kind)), axis=0)
        else:
            id_scores, ood_scores = scored["m"].id_scores, scored["m"].ood_scores[kind, name]
            if score == "typicality(held out)":
                middle = id_scores["nll"][10:].min()  # torch's median of two is the lower one
                negative, positive = (
                    (of["nll"][:10] - middle).abs() for of in (id_scores, ood_scores)
                )
            elif score == "nll+reconstruction":
                # the last two of twelve rank; the first ten are ranked
                parts = ("nll", "reconstruction")
                known = [id_scores[p][10:] for p in parts]
                negative, positive = (
                    fisher([of[p][:10] for p in parts], known) for of in (id_scores, ood_scores)
                )
            else:
                # as many of either
                positive = ood_scores[score]
                negative = id_scores[score][: len(positive)]
            assert row.images == len(positive)
            truth = np.repeat([0, 1], [len(negative), len(positive)])
            values = torch.cat([negative, positive]).numpy()
            rates = roc_curve(truth, values, drop_intermediate=False)
            expected = np.array(
                [
                    roc_auc_score(truth, values),
                    average_precision_score(truth, values),
                    rates[0][np.flatnonzero(rates[1] >= 0.95)[0]],
                ]
            )
            means.setdefault((score, kind), []).append(expected)
        got = [row.measures[measure].value for measure in MEASURES]
        np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.figures
def test_tables_agree_with_each_other(root: Path, tmp_path: Path) -> None:
    found = rows([score_sets({"m": scorer(small())}, opened(root), 12, 0.1)], repetitions=30)
    write_csv(found, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found) == 5 * 2 * 13
    for line, row in zip(lines, found, strict=True):
        assert (line["model"], line["score"], line["kind"]) == (row.model, row.score, row.kind)
        for measure in MEASURES:
            numbers = [float(line[f"{measure}{end}"]) for end in ("", "_low", "_high")]
            assert numbers == list(row.measures[measure])
            assert numbers[1] <= numbers[2]
    parts = re.split(r"^## ", markdown(found), flags=re.MULTILINE)[1:]
    assert [part.split()[0] for part in parts] == ["AUROC", "AUPR", "FPR"]
    for part, measure in zip(parts, MEASURES, strict=True):
        head, _, *body = [
            line.strip("| ").split(" | ") for line in part.splitlines() if "|" in line
        ]
        assert head[-5:] == [f"m {s}" for s in dict.fromkeys(row.score for row in found)]
        assert len(body) == 26
        for kind, name, *cells in body:
            for column, cell in zip(head[-5:], cells, strict=True):
                place = (column.removeprefix("m "), kind, name.strip("*"))
                estimate = by_place(found)[place].measures[measure]
                value, low, high = (f"{100 * number:.2f}" for number in estimate)
                assert cell == f"{value} ({low} to {high})"
    draw(found, tmp_path / "heat.png")
    with Image.open(tmp_path / "heat.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


# --- the command


def test_the_command_leaves_tables_of_all_models(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = save(small(), tmp_path / "one"), save(small(1), tmp_path / "two")
    main(
        [
            "ood",
            "table",
            f"ckpt={one}",
            f"ckpt={two}",
            "data=mnist_ood",
            f"data.root={root}",
            "n=12",
            "near=0.2",
            "bootstrap=20",
            "seed=3",
            "scores=nll,reconstruction",
            "device=cpu",
        ]
    )
    (folder,) = (Path("runs") / "ood" / "mnist_ood").iterdir()
    assert folder.name.endswith("_table")
    assert {file.name for file in folder.iterdir()} == {
        "auroc.png",
        "config.yaml",
        "table.csv",
        "table.json",
        "table.md",
    }
    text, told = capsys.readouterr()
    assert (folder / "table.md").read_text() in text
    assert "- Missing: kmnist. KMNIST is not complete" in text
    assert "without kmnist: KMNIST is not complete" in told
    assert "last 2 ID images, which are held out" in text
    assert "0.2 OOD image + 0.8 ID image" in text
    assert f"ckpt:\n- {one}\n- {two}\n" in (folder / "config.yaml").read_text()
    models = {name: lightning_gans.load(run) for name, run in (("one", one), ("two", two))}
    scorers = {name: scorer(model, ("nll", "reconstruction")) for name, model in models.items()}
    data = opened(root)
    scored = [score_sets(scorers, data, 12, 0.2)]
    expected = rows(scored, repetitions=20, seed=3, sources=data.sources)
    write_csv(expected, tmp_path / "expected.csv")
    assert (folder / "table.csv").read_text() == (tmp_path / "expected.csv").read_text()


def write_fog(root: Path) -> None:
    """A file as MNIST-C's, of as many images as there are test digits."""
    (root / "mnist_c" / "fog").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28, 1), np.uint8)
    np.save(root / "mnist_c" / "fog" / "test_images.npy", pixels)


def test_every_table_says_which_sets_are_the_published_files(root: Path, tmp_path: Path) -> None:
    write_fog(root)
    run = save(small(), tmp_path / "run")
    main(
        [
            *("ood", "table", f"ckpt={run}", "data=mnist_ood", f"data.root={root}", "scores=nll"),
            *(f"out={tmp_path}/out", "bootstrap=0", "device=cpu"),
        ]
    )
    sources = opened(root).sources
    assert sources["fog"] == sources["fashion_mnist"] == "files"
    assert sources["stripe"] == sources["letters"] == "made"
    text = (tmp_path / "out" / "table.md").read_text()
    assert "\n- Images read from files: fog, fashion_mnist.\n" in text
    made = [name for name, source in sources.items() if source == "made"]
    assert f"\n- Images made by this package: {', '.join(made)}.\n" in text
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        expected = "files and made" if line["set"] == "mean" else sources[line["set"]]
        assert line["source"] == expected
    content = json.loads((tmp_path / "out" / "table.json").read_text())
    assert content["sources"] == dict(sources)
    assert list(content["missing"]) == ["kmnist"]
    assert len(content["rows"]) == len(lines)
    for row, line in zip(content["rows"], lines, strict=True):
        for name in ("model", "score", "kind", "set", "source"):
            assert row[name] == line[name]
        assert row["images"] == int(line["images"])
        for measure in MEASURES:
            estimate = row[measure]
            assert estimate == {"value": float(line[measure]), "low": None, "high": None}


def test_files_that_come_between_two_calls_are_scored_and_not_what_was_there_before(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = save(small(), tmp_path / "run")
    argv = ["ood", "table", f"ckpt={run}", "data=mnist_ood", f"data.root={root}", "scores=nll"]

    def stopped(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lightning_gans.workflows.ood_table.rows", stopped)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            main([*argv, f"out={tmp_path}/out", "bootstrap=0"])
    assert list((tmp_path / "out" / "parts").glob("fog*"))
    write_fog(root)
    main([*argv, f"out={tmp_path}/out", "bootstrap=0"])
    main([*argv, f"out={tmp_path}/anew", "bootstrap=0"])
    found, anew = ((tmp_path / name / "table.csv").read_text() for name in ("out", "anew"))
    assert found == anew


def test_models_whose_folders_have_one_name_are_all_in_the_table(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "my run", tmp_path / "b" / "my run", tmp_path / "c" / "my run (2)"]
    paths = [str(save(small(i), folder)) for i, folder in enumerate(folders)]
    found = load_scorers([*paths, paths[0]], "nll", None, "cpu")
    assert list(found) == ["my run", "my run (2)", "my run (2) (2)", "my run (3)"]


@pytest.mark.parametrize(
    ("file", "typed", "name"),
    [
        ("my run/checkpoints/last-step=3.ckpt", "my run", "my run"),
        ("my run/checkpoints/last-step=3.ckpt", "my run/checkpoints", "my run"),
        ("my run/checkpoints/last-step=3.ckpt", "my run/checkpoints/last-step=3.ckpt", "my run"),
        ("models/a.ckpt", "models/a.ckpt", "models"),
        ("faces/model.safetensors", "faces", "faces"),
        ("faces/model.safetensors", "faces/model.safetensors", "faces"),
    ],
)
def test_a_model_is_named_after_its_own_folder(
    file: str, typed: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ood_table, "find", lambda path: tmp_path / file)
    assert ood_table.model_name(str(tmp_path / typed), str(tmp_path / typed), "gan") == name


def test_folds_are_averaged_each_with_its_own_digits(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(root, "MNIST", 0, train=65)  # 77 digits, 11 a fold
    for fold in range(3):
        save(small(fold), tmp_path / f"run-{fold}")
    argv = ["ood", "table", "data=mnist_ood", f"data.root={root}", "scores=nll", "device=cpu"]
    main([*argv, f"ckpt={tmp_path}/run-{{fold}}", "folds=3", f"out={tmp_path}/out", "seed=5"])
    folds = []
    sources: dict[str, str] = {}
    for fold in range(3):
        data = MNISTOOD(str(root), fold=fold)
        data.setup()
        folds.append(score_sets({"run": scorer(small(fold), ("nll",))}, data, 11, 0.1))
        sources |= data.sources
    write_csv(rows(folds, sources=sources), tmp_path / "expected.csv")
    assert (tmp_path / "out" / "table.csv").read_text() == (tmp_path / "expected.csv").read_text()
    assert "means over 3 folds" in capsys.readouterr().out
    main(
        [
            *argv,
            f"ckpt={tmp_path}/run-1",
            "data.fold=1",
            f"out={tmp_path}/alone",
            "bootstrap=0",
            "auroc=coarse",
        ]
    )
    alone_rows = rows(folds[1:2], repetitions=0, area=coarse, sources=sources)
    write_csv(alone_rows, tmp_path / "alone.csv")
    assert alone_rows != rows(folds[1:2], repetitions=0, sources=sources)
    alone = (tmp_path / "alone" / "table.csv").read_text()
    assert alone == (tmp_path / "alone.csv").read_text().replace("run,", "run-1,")


def test_a_classifier_is_fitted_if_training_images_are_there(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    run = save(Classifier(SHAPE, (10,), num_features=8), tmp_path / "classifier")
    argv = ["ood", "table", f"ckpt={run}", "data=mnist_ood", f"data.root={root}", "bootstrap=0"]
    main([*argv, f"out={tmp_path}/all", "auroc=coarse"])
    text = capsys.readouterr().out
    assert "classifier energy(t=1,p=0.85)" in text
    assert "AUROC is coarse" in text
    assert "held out" not in text
    (root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").unlink()
    main([*argv, f"out={tmp_path}/some"])
    text, told = capsys.readouterr()
    assert "p=0.85" not in text
    assert "energy(t=10)" in text
    assert "without scores that need training images, such as ReAct: MNIST is not" in told


def test_mistakes_end_in_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save(small(), tmp_path / "run")
    gan = save(GAN(SHAPE, latent_dim=4), tmp_path / "gan")
    other = save(DLSGAN((1, 16, 16), latent_dim=4), tmp_path / "other")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "table.csv").touch()
    data = ("data=mnist_ood", f"data.root={root}")
    model = f"ckpt={run}"
    cases = [
        (["tabel"], 2, "no command 'ood tabel' (did you mean 'ood table'?)"),
        ([], 2, "'ood' is incomplete; commands are"),
        (["table", *data], 2, "no ckpt is named"),
        (["table", model], 2, "no OOD sets are named; give data=mnist_ood or data=celeba_ood, or"),
        (["table", f"ckpt={tmp_path}/none", *data], 1, "no checkpoint at"),
        (["table", f"ckpt={gan}", *data], 1, "a GAN has no OOD score"),
        (["table", f"ckpt={other}", *data], 1, "expected images of shape (1, 16, 16), as other"),
        (["table", model, "data=mnist5k"], 2, "data=mnist5k has no OOD sets"),
        (["table", model, *data, "n=5"], 2, "n=5: expected at least 10"),
        (["table", model, *data, "near=2"], 2, "near: expected number from 0 to 1 or null, got 2"),
        (["table", model, *data, "scores=softmax"], 2, "DLSGAN has none of them; it has nll"),
        (["table", model, *data, "scores=nll,nnl"], 2, "there is no score 'nnl'; scores are nll"),
        (["table", model, *data, "scores=nll,nll"], 2, "nll is given twice"),
        (
            ["table", model, *data, "scores=energy(t=1,p=0.9),softmax"],
            2,
            "DLSGAN has none of them; it has nll",
        ),
        (["table", model, *data, "bootstrp=3"], 2, "no option 'bootstrp' (did you mean"),
        (["table", model, *data, "auroc=rough"], 2, "auroc"),
        (["table", model, *data, "folds=7"], 2, "{fold} in a path is the number of the fold"),
        (["table", f"ckpt={run}-{{fold}}", *data], 2, "{fold} in a path is the number of the fold"),
        (["table", model, *data, "data.fold=9"], 2, "fold must be from 0 to 6"),
        (["table", model, *data, "data.flod=1"], 2, "there is no option 'data.flod'"),
        (["table", model, *data, f"out={tmp_path}/done"], 2, "done already has a table.csv"),
        (["table", model, "data=mnist_ood", "data.root=nowhere"], 1, "MNIST is not complete"),
        (["table", model, "data=mnist_odo"], 2, "no data 'mnist_odo' (did you mean 'mnist_ood'?)"),
    ]
    for argv, status, message in cases:
        with pytest.raises(SystemExit) as caught:
            main(["ood", *argv])
        text, told = capsys.readouterr()
        assert caught.value.code == status, (argv, told)
        assert not text
        assert told.startswith("error: "), told
        assert message in told, told
        assert told.count("\n") == 1, told
    assert not Path("runs").exists()


def test_help_names_the_data_and_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    main(["ood", "table", "--help"])
    text = capsys.readouterr().out
    assert "mnist_ood" in text
    assert "celeba_ood" in text
