"""``ood score`` from the command line to its folder."""

from __future__ import annotations

import csv
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import lightning_gans
from lightning_gans.cli import CONFIGS, main
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.workflow import parse_request, workflows
from lightning_gans.data import Folder
from lightning_gans.errors import UsageError
from lightning_gans.models import DLSGAN, GAN, Classifier, Model
from lightning_gans.networks import BatchStdDiscriminator, ConvDiscriminator, ConvGenerator
from lightning_gans.ood.calibration import Calibration
from lightning_gans.runs.checkpoint_format import stamp
from lightning_gans.workflows.ood_score import ood_score
from lightning_gans.workflows.run_data import run_data
from tests.support.rounds import trainer

SIDE = 16
QUICK = "most_anomalous=0"
STORED = "last-step=1.ood.safetensors"


def draw(folder: Path, count: int, seed: int = 0, level: int = 256) -> Path:
    """Random grey images, half of them in each of two folders."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, level, (count, SIDE, SIDE), generator=random).to(torch.uint8)
    for index, image in enumerate(pixels.numpy()):
        place = folder / ("even", "odd")[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:03}.png")
    return folder


def train(model: str, folder: Path, *words: str) -> Path:
    """A run of one iteration; the last 60 pictures by name are held out."""
    main(
        [
            f"model={model}",
            "data=folder",
            f"data.root={folder / 'pictures'}",
            f"data.resolution={SIDE}",
            "data.channels=1",
            "data.batch_size=8",
            "data.validation=60",
            "evaluation.features=null",
            "trainer.accelerator=cpu",
            "trainer.enable_progress_bar=false",
            "trainer.max_steps=1",
            *words,
        ]
    )
    (run,) = (Path("runs") / model / "folder").iterdir()
    return run.resolve()


def write(name: str, other: Path, model: Model) -> None:
    """A run of another model on the same data, without training."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    run = Path("runs") / name / "folder" / "now"
    made = trainer()
    made.strategy.connect(model)
    made.save_checkpoint(run / "checkpoints" / "last-step=1.ckpt")
    shutil.copy(other / "config.yaml", run)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, others to score, and a DLSGAN, a GAN and a Classifier."""
    folder = tmp_path_factory.mktemp("score")
    draw(folder / "pictures", 80)
    draw(folder / "others", 24, seed=1, level=200)
    before = Path.cwd()
    os.chdir(folder)
    small = ("model.latent_dim=6", "model.generator.channels=2", "model.discriminator.channels=2")
    try:
        run = train("dlsgan", folder, *small)
        thin = partial(ConvDiscriminator, channels=2)
        write("gan", run, GAN((1, SIDE, SIDE), 4, partial(ConvGenerator, channels=2), thin))
        write("classifier", run, Classifier((1, SIDE, SIDE), (2,), 5, thin))
    finally:
        os.chdir(before)
        os.environ.pop("LIGHTNING_GANS_RUN", None)
    return folder


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Path:
    """A copy of the runs: each test writes next to the checkpoints."""
    for model in ("dlsgan", "gan", "classifier"):
        (run,) = (home / "runs" / model / "folder").iterdir()
        shutil.copytree(run, tmp_path / model)
    (tmp_path / "pictures").symlink_to(home / "pictures")
    (tmp_path / "others").symlink_to(home / "others")
    return tmp_path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(found: list[dict[str, str]], name: str) -> Tensor:
    return torch.tensor([float(row[name]) for row in found], dtype=torch.float64)


def look(root: Path, names: list[str]) -> Tensor:
    """Pictures of the right size as a model's input."""
    pixels = [np.asarray(Image.open(root / name)).astype(np.float32) for name in names]
    return torch.from_numpy(np.stack(pixels)).unsqueeze(1) / 127.5 - 1


def load(path: Path) -> DLSGAN:
    """The trained DLSGAN."""
    model = lightning_gans.load(path)
    assert isinstance(model, DLSGAN)
    return model


def names_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))


def score(argv: list[str]) -> int:
    """The exit status of the command."""
    try:
        main(["ood", "score", *argv])
    except SystemExit as exit_:
        return int(str(exit_.code))
    return 0


def fail(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The status and the one line of an error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["ood", "score", *argv])
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return int(str(caught.value.code)), err


def test_every_file_gets_scores_compared_with_held_out_ones(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score([f"ckpt={place / 'dlsgan'}", "images=others", "false_alarms=0.1"]) == 0
    (run,) = (place / "runs" / "dlsgan" / "others").iterdir()
    assert run.name.endswith("_ood_score")
    names = {"scores.csv", "most_anomalous.png", "error_maps.png", "config.yaml"}
    assert {p.name for p in run.iterdir()} == names
    assert "LIGHTNING_GANS_RUN" not in os.environ
    found = rows(run)
    assert list(found[0]) == ["file", "score", "pvalue", "verdict", "reason"]
    files = names_of(place / "others")
    assert [row["file"] for row in found] == files
    assert len(files) == 24

    model = load(place / "dlsgan")
    expected = model.ood_score(look(place / "others", files)).double()
    torch.testing.assert_close(column(found, "score"), expected, rtol=1e-5, atol=1e-5)
    held_out = model.ood_score(
        look(place / "pictures", names_of(place / "pictures")[-60:])
    ).double()
    loop = [(1 + sum(h >= s for h in held_out.tolist())) / 61 for s in expected.tolist()]
    assert column(found, "pvalue").tolist() == pytest.approx(loop, abs=1e-8)
    verdicts = ["OOD" if p <= 0.1 else "ID" for p in loop]
    assert [row["verdict"] for row in found] == verdicts
    assert {row["reason"] for row in found} == {""}

    said = capsys.readouterr().out
    assert f"computing {STORED}: it does not exist yet" in said
    assert (
        "24 of 24 images scored by nll, compared with 60 held-out images of Folder (pictures)"
        in said
    )
    assert f"{verdicts.count('OOD')} called OOD, with p ≤ 0.1" in said
    assert "2.4 expected if all were ID" in said
    first = files[int(expected.argmax())]
    assert f"most anomalous: {first} ({expected.max():.4g}, p {min(loop):.2g}), " in said

    # what is stored serves again, and gives the same
    stored = (place / "dlsgan" / "checkpoints" / STORED).stat().st_mtime_ns
    assert (
        score([f"ckpt={place / 'dlsgan'}", "images=others", QUICK, "false_alarms=0.1", "out=x"])
        == 0
    )
    assert "computing" not in capsys.readouterr().out
    assert (place / "dlsgan" / "checkpoints" / STORED).stat().st_mtime_ns == stored
    assert rows(Path("x")) == found


def test_scores_do_not_depend_on_the_batch(place: Path) -> None:
    found = []
    for size in ("1", "7", "250"):
        (place / "dlsgan" / "checkpoints" / STORED).unlink(missing_ok=True)
        words = [f"ckpt={place / 'dlsgan'}", "images=others", "score=nll+reconstruction", QUICK]
        assert score([*words, f"batch_size={size}", f"out={size}", "false_alarms=0.2"]) == 0
        found.append(rows(Path(size)))
    for name in ("nll", "reconstruction", "score", "pvalue"):
        for other in found[1:]:
            torch.testing.assert_close(
                column(found[0], name), column(other, name), rtol=1e-5, atol=1e-5
            )


def test_images_are_scored_alone_where_a_batch_would_matter(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (1, SIDE, SIDE)
    wide = partial(BatchStdDiscriminator, trunk=partial(ConvDiscriminator, channels=2), width=8)
    model = DLSGAN(shape, 4, partial(ConvGenerator, channels=2), wide)
    write("batchwise", place / "dlsgan", model)
    words = ["ckpt=runs/batchwise/folder/now", "images=others", QUICK, "score=reconstruction"]
    assert score([*words, "out=1"]) == 0
    assert "images are scored one by one" in capsys.readouterr().out
    alone = place / "alone"
    alone.mkdir()
    found = rows(Path("1"))[3]
    shutil.copy(place / "others" / found["file"], alone / "x.png")
    words[1] = "images=alone"
    assert score([*words, "out=2"]) == 0
    assert {**rows(Path("2"))[0], "file": found["file"]} == found
    stored = Calibration.load(Path("runs/batchwise/folder/now/checkpoints") / STORED)
    x = look(place / "pictures", names_of(place / "pictures")[-60:][:1])
    y = model.eval().generator(model.encode(x) * model.prior.scale())
    error = (x - y).square().mean().detach()
    torch.testing.assert_close(stored.scores["reconstruction"][0], error, rtol=1e-5, atol=1e-5)


def test_combined_scores_have_columns_of_their_own(place: Path) -> None:
    words = [f"ckpt={place / 'dlsgan'}", "images=others", "score=reconstruction+nll", QUICK]
    assert score([*words, "false_alarms=0.1", "out=combined"]) == 0
    found = rows(Path("combined"))
    assert list(found[0])[:4] == ["file", "reconstruction", "nll", "score"]
    files = names_of(place / "others")
    model = load(place / "dlsgan")
    x = look(place / "others", files)
    torch.testing.assert_close(
        column(found, "nll"), model.ood_score(x).double(), rtol=1e-5, atol=1e-5
    )
    again = model.generator(model.encode(x) * model.prior.scale())
    error = (x - again).square().flatten(1).mean(1).detach().double()
    torch.testing.assert_close(column(found, "reconstruction"), error, rtol=1e-5, atol=1e-5)
    # 30 of 60 give ranks, and the others are compared with
    steps = column(found, "pvalue") * 31
    assert torch.allclose(steps, steps.round(), atol=1e-5)
    assert column(found, "score").argmax() == column(found, "pvalue").argmin()


def odd_images(folder: Path) -> dict[str, Image.Image | None]:
    """One picture in many formats, and files that are no images."""
    folder.mkdir()
    random = torch.Generator().manual_seed(7)
    grey = torch.randint(0, 256, (SIDE, SIDE), generator=random).numpy()
    plain = Image.fromarray(grey.astype(np.uint8))
    rgb = plain.convert("RGB")
    clear = rgb.copy()
    clear.putalpha(0)
    forms = {
        "colour.png": rgb,
        "cyan.tif": rgb.convert("CMYK"),
        "plain.png": plain,
        "see_through.png": clear,
        "sixteen.png": Image.fromarray((grey * 257).astype(np.uint16)),
        "wide.png": Image.new("L", (3 * SIDE, SIDE), 255),
    }
    for name, image in forms.items():
        image.save(folder / name)
    forms["wide.png"].paste(plain, (SIDE, 0))
    forms["wide.png"].save(folder / "wide.png")
    whole = (folder / "plain.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "letter.png").write_text("not an image")
    (folder / "readme.txt").write_text("not named as an image")
    return {**forms, "cut.png": None, "letter.png": None}


def test_unreadable_files_are_rows_with_a_reason_and_the_others_are_scored(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forms = odd_images(place / "odd")
    assert score([f"ckpt={place / 'dlsgan'}", "images=odd", "out=x"]) == 3
    found = {row["file"]: row for row in rows(Path("x"))}
    assert list(found) == sorted(forms)
    for name, image in forms.items():
        row = found[name]
        if image is None:
            assert (row["score"], row["pvalue"], row["verdict"]) == ("", "", "unreadable")
        else:
            assert row["verdict"] in ("ID", "OOD")
            assert row["reason"] == ""
    assert "truncated" in found["cut.png"]["reason"]
    assert "cannot identify" in found["letter.png"]["reason"]
    said = capsys.readouterr().out
    assert "6 of 8 images scored" in said
    assert "2 unreadable: cut.png (" in said
    # one picture, whatever the file
    same = [float(found[n]["score"]) for n in ("plain.png", "colour.png", "cyan.tif")]
    same += [float(found[n]["score"]) for n in ("sixteen.png", "wide.png")]
    assert same == pytest.approx([same[0]] * 5, rel=1e-5)
    model = load(place / "dlsgan")
    white = float(model.ood_score(torch.ones(1, 1, SIDE, SIDE)))
    assert float(found["see_through.png"]["score"]) == pytest.approx(white, rel=1e-5)


def test_none_that_can_be_read_is_a_table_and_one_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "bad").mkdir()
    (place / "bad" / "x.png").write_text("no")
    status, line = fail([f"ckpt={place / 'dlsgan'}", "images=bad", "out=y"], capsys)
    assert status == 1
    assert "none of 1 images can be read; y/scores.csv has the reasons" in line
    assert rows(Path("y"))[0]["verdict"] == "unreadable"


def test_results_are_never_overwritten(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"ckpt={place / 'dlsgan'}", "images=others", QUICK]
    monkeypatch.setenv("LIGHTNING_GANS_RUN", "job")
    assert score(words) == 0
    before = Path("job/scores.csv").read_bytes()
    status, line = fail([*words, "score=reconstruction"], capsys)
    assert status == 1
    assert "job already has a scores.csv; choose another folder with out=FOLDER" in line
    assert Path("job/scores.csv").read_bytes() == before
    assert os.environ["LIGHTNING_GANS_RUN"] == "job"


def test_a_changed_checkpoint_is_calibrated_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"ckpt={place / 'dlsgan'}", "images=others", "most_anomalous=0"]
    assert score([*words, "out=1"]) == 0
    assert not Path("1/most_anomalous.png").exists()
    file = place / "dlsgan" / "checkpoints" / "last-step=1.ckpt"
    content = torch.load(file, weights_only=True)
    content["state_dict"]["prior.v"] *= 4
    stamp(content)
    torch.save(content, file)
    capsys.readouterr()
    assert score([*words, "out=2"]) == 0
    assert f"computing {STORED}: the checkpoint changed\n" in capsys.readouterr().out
    stored = Calibration.load(file.with_name(STORED))
    model = load(file)
    held_out = model.ood_score(look(place / "pictures", names_of(place / "pictures")[-60:]))
    torch.testing.assert_close(stored.scores["nll"], held_out, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_alone_needs_data_once(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = place / "alone" / "mine.ckpt"
    alone.parent.mkdir()
    shutil.copy(place / "dlsgan" / "checkpoints" / "last-step=1.ckpt", alone)
    words = [f"ckpt={alone}", "images=others", QUICK]
    status, line = fail(words, capsys)
    assert status == 1
    assert "give data=NAME data.root=FOLDER" in line
    status, line = fail([*words, "data.root=pictures"], capsys)
    assert status == 2
    assert "data.root needs data=NAME" in line
    held_out = ["data=folder", "data.root=pictures", f"data.resolution={SIDE}", "data.channels=1"]
    assert score([*words, *held_out, "data.validation=0", "held_out=50", "out=1"]) == 0
    assert "compared with 50 held-out images of Folder (pictures)" in capsys.readouterr().out
    # held-out images that a person names may be a whole folder; they are stored
    assert score([*words, "out=2"]) == 0
    assert "computing" not in capsys.readouterr().out
    assert rows(Path("1")) == rows(Path("2"))
    # with the run's config next to it, it needs nothing
    shutil.copy(place / "dlsgan" / "config.yaml", alone.parent)
    assert score([*words, "out=3"]) == 0
    assert "compared with 60 held-out images of Folder (pictures)" in capsys.readouterr().out


def test_training_images_are_not_held_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = place / "dlsgan" / "config.yaml"
    config.write_text(config.read_text().replace("validation: 60", "validation: 0"))
    words = [f"ckpt={place / 'dlsgan'}", "images=others", QUICK]
    for moved in ([], ["data.root=pictures"]):
        status, line = fail([*words, *moved], capsys)
        assert status == 1
        assert "trained on all images of its data" in line
    assert score([*words, "calibration.validation=40", "out=x"]) == 0
    assert "compared with 40 held-out images" in capsys.readouterr().out


def test_a_read_only_folder_is_logged(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bytes = Path.write_bytes

    def refuse(self: Path, data: bytes) -> int:
        if self.is_relative_to(place / "dlsgan"):
            raise OSError(30, "Read-only file system", str(self))
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", refuse)
    words = [f"ckpt={place / 'dlsgan'}", "images=others", QUICK]
    assert score([*words, "out=1"]) == 0
    said = capsys.readouterr().out
    assert said.count("could not be written: Read-only file system") == 1
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert score([*words, "out=2"]) == 0
    assert rows(Path("1")) == rows(Path("2"))


def test_scores_by_clipped_features_remember_the_thresholds(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"ckpt={place / 'classifier'}", "images=others", QUICK]
    assert score([*words, "score=energy(t=1,p=0.9)", "out=1"]) == 0
    shutil.rmtree(place / "classifier" / "images", ignore_errors=True)
    (place / "pictures").unlink()
    assert score([*words, "score=energy(t=1,p=0.9)", "out=2"]) == 0
    assert "computing" in capsys.readouterr().out
    assert rows(Path("1")) == rows(Path("2"))
    model = lightning_gans.load(place / "classifier")
    assert isinstance(model, Classifier)
    home = (place / "others").resolve().parent
    training = model.features(look(home / "pictures", names_of(home / "pictures")[:20]))
    limit = float(np.quantile(training.numpy(), 0.9))
    features = model.features(look(place / "others", names_of(place / "others")))
    energies = -model.head(features.clamp(max=limit)).logsumexp(1).detach().double()
    torch.testing.assert_close(column(rows(Path("1")), "score"), energies, rtol=1e-5, atol=1e-5)
    assert score([*words, "out=3"]) == 0
    assert "scored by softmax" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected", "status"),
    [
        (["images=others"], "no ckpt is named; give ckpt=VALUE", 2),
        (["ckpt=dlsgan"], "no images is named; give images=VALUE", 2),
        (["ckpt=nowhere", "images=others"], "no checkpoint at nowhere", 1),
        (["ckpt=lst", "images=others"], "does not exist (did you mean 'last'?)", 1),
        (["ckpt=dlsgn", "images=others"], "does not exist (did you mean 'dlsgan'?)", 1),
        (["ckpt=dlsgan", "images=other"], "does not exist (did you mean 'others'?)", 2),
        (["ckpt=dlsgan", "images=nowhere"], "images=nowhere: nowhere does not exist", 2),
        (["ckpt=dlsgan", "images="], "images= has no value", 2),
        (["ckpt=dlsgan", "images= "], "images= names no folder", 2),
        (
            ["ckpt=dlsgan", "images=full/scores.csv"],
            "scores.csv is a file; give images=FOLDER, one",
            2,
        ),
        (["ckpt=dlsgan", "images=others", "out=full/scores.csv"], "full/scores.csv could not", 1),
        (["ckpt=dlsgan", "images=empty"], "no images (.png", 1),
        (["ckpt=gan", "images=others"], "a GAN has no OOD score", 1),
        (["ckpt=dlsgan", "images=others", "score=nnl"], "has no score 'nnl'; it has nll", 2),
        (["ckpt=dlsgan", "images=others", "score=nll+nll"], "expected different scores", 2),
        (
            ["ckpt=dlsgan", "images=others", "false_alarms=1"],
            "false_alarms: expected number between 0 and 1, got 1",
            2,
        ),
        (["ckpt=dlsgan", "images=others", "false_alarms=few"], "false_alarms: expected number", 2),
        (["ckpt=dlsgan", "images=others", "false_alarms=0.01"], "at least 99 held-out", 1),
        (["ckpt=dlsgan", "images=others", "most_anomalous=-1"], "whole number ≥ 0, got -1", 2),
        (["ckpt=dlsgan", "images=others", "most_anomalous=401"], "expected at most 400", 2),
        (["ckpt=dlsgan", "images=others", "batch_size=0"], "whole number ≥ 1, got 0", 2),
        (["ckpt=dlsgan", "images=others", "most_anomolous=4"], "did you mean 'most_anomalous'", 2),
        (["ckpt=dlsgan", "images=others", "data=mnist6k"], "did you mean 'mnist5k'", 2),
        (["ckpt=dlsgan", "images=others", "data=mnist5k"], "images of shape (1, 16, 16)", 1),
        (["ckpt=dlsgan", "images=others", "data.rot=x"], "no option 'data.rot'", 2),
        (["ckpt=dlsgan", "images=others", "data.root=empty"], "data=NAME data.root=FOLDER", 1),
        (["ckpt=dlsgan", "images=others", "data.resolution=0"], "data.resolution=0: resolution", 2),
        (["ckpt=dlsgan", "images=others", "out=full"], "out=full already has a scores.csv", 2),
        (["ckpt=dlsgan", "images=others", "out=others/found"], "in others/found, and their", 2),
        (["ckpt=dlsgan", "images=.", "out=mine"], "choose another out=FOLDER", 2),
        (["ckpt=dlsgan", "images=others", "device=tpus"], "device=tpus: expected auto", 2),
        (["ckpt=dlsgan", "--images"], "--images has no value", 2),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str],
    expected: str,
    status: int,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty").mkdir()
    Path("full").mkdir()
    Path("full/scores.csv").touch()
    found, line = fail(words, capsys)
    assert expected in line
    assert found == status
    assert not Path("runs").exists()


def test_help_and_synonyms(capsys: pytest.CaptureFixture[str]) -> None:
    assert score(["--help"]) == 0
    text = capsys.readouterr().out
    known = workflows()["ood score"].parameters
    assert all(f"  {name}=" in text for name in known)
    groups = Groups([CONFIGS])
    a = parse_request(["--ckpt", "x", "calibration=mnist", "calibration.root=y"], known, groups)
    b = parse_request(["data.root=y", "--data=mnist", "ckpt_path=x"], known, groups)
    assert (a.values, a.sections) == (b.values, b.sections)
    assert a.values == {"ckpt": ["x"], "data.root": ["y"]}
    moved = parse_request(["x", "data.root=y", "strangest=4"], known, groups)
    assert moved.values == {"ckpt": ["x"], "data_changes.root": ["y"], "most_anomalous": ["4"]}


def test_python_users_get_scores_and_verdicts(place: Path) -> None:
    found = ood_score("dlsgan", "others", false_alarms=0.1, most_anomalous=0, out="x")
    assert found.exit_status == 0
    assert found.results is not None
    table = rows(found.folder)
    assert [row["file"] for row in table] == list(found.names)
    torch.testing.assert_close(
        column(table, "pvalue"), found.results.verdicts.pvalues, rtol=1e-6, atol=1e-8
    )
    with pytest.raises(UsageError, match="both given"):
        ood_score("dlsgan", "others", run_data("dlsgan"), {"root": "pictures"})


def test_the_data_of_a_run_can_be_changed(place: Path) -> None:
    data = run_data("dlsgan")
    assert isinstance(data, Folder)
    assert (data.validation, data.resolution) == (60, SIDE)
    moved = run_data("dlsgan", {"root": "elsewhere", "validation": 0.5})
    assert isinstance(moved, Folder)
    assert (moved.root, moved.validation, moved.resolution) == (Path("elsewhere"), 0.5, SIDE)
    with pytest.raises(UsageError, match=r"no option 'data\.rot' \(did you mean 'data\.root'\?\)"):
        run_data("dlsgan", {"rot": "x"})
    Path("dlsgan/config.yaml").unlink()
    assert run_data("dlsgan") is None
