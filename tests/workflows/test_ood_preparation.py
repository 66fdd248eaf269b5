"""``ood table`` and ``ood score`` measure ID images as the run prepared its training images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from lightning_gans.cli import main
from lightning_gans.models import DLSGAN, Classifier, Model
from lightning_gans.ood.calibration import Calibration
from lightning_gans.ood.datasets import CelebAOOD
from lightning_gans.ood.scorer import Scorer
from lightning_gans.workflows.export import export
from tests.support.idx import write_digits

SIDE = 16
CROP = [25, 45, 25, 45]
SAID = "was trained on images with"


def save(model: Model, run: Path, data: dict[str, Any] | None, name: str = "CelebA") -> Path:
    """A run's folder, with a config that says what it was trained on."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(0))
    content: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(content)
    (run / "checkpoints").mkdir(parents=True)
    torch.save(content, run / "checkpoints" / "last-step=1.ckpt")
    if data is not None:
        told = {"class_path": f"lightning_gans.data.{name}", "init_args": data}
        (run / "config.yaml").write_text(yaml.safe_dump({"data": told}))
    return run


def dlsgan(side: int = SIDE, channels: int = 3) -> DLSGAN:
    return DLSGAN((channels, side, side), latent_dim=5)


def faces(folder: Path, **changes: object) -> dict[str, Any]:
    """The arguments of a run on faces; other ones than those of the data now."""
    of_run = {"root": "elsewhere", "resolution": SIDE, "crop": CROP, "attributes": ["Male"]}
    return {**of_run, **changes}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve faces to train on, as many to test, and a folder of other images."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    names = [f"{first + i:06}.jpg" for first in (1, 182638) for i in range(12)]
    for name in names:
        picture(tmp_path / "data" / "celeba" / "img_align_celeba" / name, random, (218, 178))
    for i in range(12):
        picture(tmp_path / "data" / "malaria" / f"{i:02}.png", random, (120, 100))
    rows = "".join(f"{name} 1 -1 1\n" for name in names)
    attributes = f"{len(names)}\nBangs Male Smiling\n{rows}"
    (tmp_path / "data" / "celeba" / "list_attr_celeba.txt").write_text(attributes)
    return tmp_path / "data"


def picture(path: Path, random: np.random.Generator, size: tuple[int, int]) -> None:
    """Coarse noise, of which a part looks unlike the whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = random.integers(0, 256, (6, 5, 3), np.uint8)
    Image.fromarray(pixels).resize(size[::-1], Image.Resampling.NEAREST).save(path)


def run_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit status, the output and the errors of a command."""
    capsys.readouterr()
    try:
        main(words)
        status = 0
    except SystemExit as end:
        status = int(str(end.code))
    text, told = capsys.readouterr()
    return status, text, told


def table(*words: str) -> list[str]:
    scale = ["data.root=data", "bootstrap=0", "device=cpu", "n=12"]
    return ["ood", "table", *scale, *words]


def expected(root: Path, part: str) -> Tensor:
    """The faces as the run cropped them, by Pillow alone."""
    found = sorted((root / "celeba" / "img_align_celeba").iterdir())
    images = []
    for path in found[:12] if part == "train" else found[12:]:
        with Image.open(path) as whole:
            face = whole.crop((25, 45, 178 - 25, 218 - 45))
            small = face.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        images.append(torch.from_numpy(np.asarray(small).astype(np.float32)).permute(2, 0, 1))
    return torch.stack(images) / 127.5 - 1


def test_a_table_measures_the_faces_of_the_training(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save(Classifier((3, SIDE, SIDE), (2,), num_features=5), Path("run"), faces(root))
    seen: list[Tensor] = []
    fitted: list[Tensor] = []
    call, fit = Scorer.__call__, Scorer.fit

    def called(self: Scorer, x: Tensor) -> Any:
        seen.append(x)
        return call(self, x)

    def fitting(self: Scorer, images: Any) -> None:
        fitted.extend(images)
        fit(self, fitted)

    monkeypatch.setattr(Scorer, "__call__", called)
    monkeypatch.setattr(Scorer, "fit", fitting)
    words = table("ckpt=run", "data=celeba_ood", f"data.resolution={SIDE}", "out=made")
    status, _, told = run_command(words, capsys)
    assert status == 0, told
    assert SAID not in told
    assert any(torch.equal(x, expected(root, "validation")) for x in seen)
    # and clips features where those of the training images are
    assert torch.equal(torch.cat(fitted), expected(root, "train"))


def test_faces_that_are_prepared_otherwise_are_refused_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(dlsgan(), Path("cropped"), faces(root))
    save(dlsgan(), Path("centred"), faces(root, crop="center"))
    save(dlsgan(32), Path("larger"), faces(root, resolution=32))
    side, celeba = f"data.resolution={SIDE}", "data=celeba_ood"
    for words, line in (
        (
            ["ckpt=cropped", celeba, side, "data.crop=none"],
            f"cropped {SAID} crop=[25,45,25,45], but the ID images of celeba_ood have crop=none: "
            "give data.crop=[25,45,25,45]",
        ),
        (
            ["ckpt=centred", celeba],
            f"centred {SAID} resolution=16, crop=center, but the ID images of celeba_ood have "
            "resolution=128, crop=[25,45,25,45]: give data.resolution=16 data.crop=center",
        ),
        (
            ["ckpt=cropped", "ckpt=centred", celeba, side],
            f"centred {SAID} crop=center, but the ID images of celeba_ood have "
            "crop=[25,45,25,45]: give data.crop=center, in another table than cropped",
        ),
        (
            ["ckpt=larger", celeba, side],
            f"larger {SAID} resolution=32, but the ID images of celeba_ood have resolution=16: "
            "give data.resolution=32",
        ),
        # the run's data by another name, beside one's own folders
        (
            ["ckpt=cropped", "data=celeba", side, "ood.sets=cells:data/malaria"],
            f"cropped {SAID} crop=[25,45,25,45], but the ID images of celeba have crop=none: "
            "give data.crop=[25,45,25,45]",
        ),
    ):
        status, text, told = run_command(table(*words), capsys)
        assert (status, text, told) == (2, "", f"error: {line}\n")
    assert not Path("runs").exists()
    # what it says to give is enough
    words = ["ckpt=cropped", celeba, side, "data.crop=[25,45,25,45]", "out=made"]
    status, _, told = run_command(table(*words), capsys)
    assert status == 0, told
    assert SAID not in told
    words = ["ckpt=centred", celeba, "data.resolution=16", "data.crop=center", "out=other"]
    assert run_command(table(*words), capsys)[0] == 0


def test_digits_of_another_fold_or_padding_are_refused_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(root, "MNIST", 0, train=65)  # 77 digits, 11 a fold
    of_run = {"root": "elsewhere"}
    save(dlsgan(32, 1), Path("plain"), of_run, "MNIST")
    save(dlsgan(32, 1), Path("pooled"), {**of_run, "pool": True}, "MNIST")
    for name, fold in (("fold0", 0), ("fold1", 1), ("wrong0", 0), ("wrong1", 3)):
        save(dlsgan(32, 1), Path(name), {**of_run, "fold": fold}, "MNIST")
    save(dlsgan(64, 1), Path("wide"), {**of_run, "padding": 18}, "MNIST")
    digits = "the ID images of mnist_ood have"
    for words, line in (
        (["ckpt=fold1"], f"fold1 {SAID} fold=1, but {digits} fold=null: give data.fold=1"),
        (
            ["ckpt=plain", "data.fold=2"],
            f"plain {SAID} fold=null, but {digits} fold=2: give data.fold=null",
        ),
        (["ckpt=wide"], f"wide {SAID} padding=18, but {digits} padding=2: give data.padding=18"),
        (
            ["ckpt=wrong{fold}", "folds=2"],
            f"wrong {SAID} fold=3, but {digits} fold=1: ckpt= must name the run of each fold by "
            "the number of the fold",
        ),
    ):
        status, text, told = run_command(table("data=mnist_ood", *words), capsys)
        assert (status, text, told) == (2, "", f"error: {line}\n")
    for k, fitting in enumerate(
        (
            ["ckpt=fold1", "data.fold=1", "n=11"],
            ["ckpt=fold{fold}", "folds=2", "n=11"],
            ["ckpt=plain"],
            ["ckpt=plain", "data.fold=6", "n=11"],
            ["ckpt=wide", "data.padding=18"],
        )
    ):
        words = table("data=mnist_ood", "scores=nll", *fitting, f"out=out{k}")
        status, _, told = run_command(words, capsys)
        assert status == 0, told
        assert SAID not in told
    status, _, told = run_command(table("data=mnist_ood", "ckpt=pooled", "out=x"), capsys)
    assert status == 0
    assert "pooled was trained with pool=true, and the ID images of mnist_ood are among" in told


def test_what_is_not_known_is_said_once_the_images_are_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(dlsgan(), Path("alone"), None)
    save(dlsgan(), Path("damaged"), faces(root))
    Path("damaged", "config.yaml").write_text("data: [")
    both = table("ckpt=alone", "ckpt=damaged", "data=celeba_ood", f"data.resolution={SIDE}")
    status, _, told = run_command([*both, "out=x"], capsys)
    assert status == 0, told
    unknown = "how its training images were prepared is not known"
    have = "the ID images of celeba_ood have resolution=16, crop=[25,45,25,45], padding=0"
    assert f"alone: {unknown} (there is no config.yaml of its run); {have}\n" in told
    assert told.count(f"damaged: {unknown} (") == 1
    (root / "celeba" / "list_attr_celeba.txt").unlink()
    status, _, told = run_command(both, capsys)
    assert status == 1
    assert told.startswith("error: no list_attr_celeba.txt")
    assert told.count("\n") == 1


def test_other_files_may_have_been_prepared_before(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(dlsgan(), Path("run"), faces(root))
    words = table("ckpt=run", "data=folder", f"data.resolution={SIDE}")
    words[words.index("data.root=data")] = "data.root=data/celeba"
    words += ["data.validation=12", "ood.sets=cells:data/malaria", "scores=nll"]
    line = (
        f"run {SAID} crop=[25,45,25,45], and the ID images of celeba have crop=center: unless "
        "their files were prepared before, give data.crop=[25,45,25,45]\n"
    )
    status, _, told = run_command([*words, "out=x"], capsys)
    assert status == 0, told
    assert told.count(line) == 1
    status, _, told = run_command([*words, "data.crop=[25,45,25,45]", "out=y"], capsys)
    assert status == 0, told
    assert SAID not in told


def test_exported_models_know_how_their_images_were_prepared(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(dlsgan(), Path("run"), faces(root, root=str(root / "celeba")))
    export("run", out="exported", formats="safetensors", false_alarms=0.1)
    words = table("ckpt=exported", "data=celeba_ood", f"data.resolution={SIDE}", "scores=nll")
    status, _, told = run_command([*words, "out=x"], capsys)
    assert status == 0, told
    assert SAID not in told
    assert "not known" not in told
    status, _, told = run_command([*words, "data.crop=center", "out=y"], capsys)
    assert status == 0, told
    assert f" {SAID} crop=[25,45,25,45], and the ID images of celeba_ood have" in told
    config = Path("exported", "config.json")
    told_by = json.loads(config.read_text())
    config.write_text(json.dumps({**told_by, "preparation": {"crop": "\n" * 500, "padding": 0}}))
    status, _, told = run_command([*words, "out=z"], capsys)
    assert status == 0, told
    assert ": how its training images were prepared is not known (its config" in told


def test_held_out_images_are_prepared_as_in_training(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save(dlsgan(), Path("run"), faces(root))
    score = ["ood", "score", "ckpt=run", "images=data/malaria", "most_anomalous=0", "maps=0"]
    score += ["false_alarms=0.1", "device=cpu"]
    moved = "data.root=data/celeba"
    # the run's own data are, and the images to score likewise
    status, text, told = run_command([*score, moved, "out=x"], capsys)
    assert status == 0, told
    assert SAID not in text
    stored = Calibration.load(run / "checkpoints" / "last-step=1.ood.safetensors")
    assert json.loads(stored.origin.data)["init_args"]["crop"] == CROP
    of_data = "the held-out images of celeba have"
    told = f"error: run {SAID} crop=[25,45,25,45], but {of_data} crop=none: give "
    told += "data.crop=[25,45,25,45]\n"
    for words in (
        [moved, "data.crop=none"],
        ["data=celeba", moved, f"data.resolution={SIDE}"],
    ):
        assert run_command([*score, *words], capsys) == (2, "", told)
    # images of another shape are refused in one line, and nothing is said of their padding
    status, text, told = run_command([*score, "data=mnist5k"], capsys)
    assert (status, SAID in text) == (1, False)
    assert told.startswith("error: expected held-out images of shape (3, 16, 16)")
    # other files may be faces that were cropped before
    words = [
        "data=folder",
        "data.root=data/malaria",
        f"data.resolution={SIDE}",
        "data.validation=0",
    ]
    status, text, told = run_command([*score, *words, "out=y"], capsys)
    assert (status, told) == (0, "")
    assert f"run {SAID} crop=[25,45,25,45], and the held-out images of malaria have" in text


def test_digits_of_which_all_were_trained_on_are_not_held_out(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_digits(root, "MNIST", 0)
    save(dlsgan(32, 1), Path("run"), {"root": str(root), "pool": True}, "MNIST")
    words = ["ood", "score", "ckpt=run", "images=data/malaria", "false_alarms=0.1"]
    status, _, told = run_command(words, capsys)
    assert status == 1
    assert "this model was trained on all images of its data" in told


def test_the_default_of_the_faces_is_that_of_the_published_experiments() -> None:
    for path in sorted(Path(__file__).parents[2].glob("configs/experiment/*_celeba.yaml")):
        config = yaml.safe_load(path.read_text())
        found = config["data"]["init_args"]
        # Table 8's, at 128 x 128
        if found.get("resolution") == 128:
            assert found["crop"] == [*CelebAOOD("x").crop]
