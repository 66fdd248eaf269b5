"""``evaluate`` from two folders, or a model, to its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm
from torch import Tensor

from lightning_gans.cli import main
from lightning_gans.data import Folder, Gaussians
from lightning_gans.errors import UserError
from lightning_gans.metrics import PSNR, DigitFeatures, RandomFeatures, from_uint8
from lightning_gans.models import CAGAN, Generates
from lightning_gans.models.base.load import load
from lightning_gans.ood.folder_images import PreparedImages
from lightning_gans.rng import stream
from lightning_gans.runs.exported import write_config
from lightning_gans.workflows import image_features as choosing
from lightning_gans.workflows.evaluate import (
    Images,
    Sample,
    class_distances,
    data_images,
    evaluate,
    generated,
    half,
    is_of_digits,
    measured,
    over_seeds,
)
from lightning_gans.workflows.image_features import image_features
from tests.support.features import Projection, prepared
from tests.support.models import tiny_dlsgan
from tests.support.pictures import draw
from tests.support.rounds import SHAPE, TinyConditionalGenerator, TinyDiscriminator
from tests.support.saved_models import refusal, save, spread


def pixels(folder: Path) -> Tensor:
    """The images of a folder, (n, 1, 4, 4), uint8."""
    found = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    return torch.from_numpy(np.stack(found))[:, None]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A DLSGAN of images of 4 × 4."""
    return save(spread(tiny_dlsgan()), tmp_path / "run")


def test_fid_of_two_folders_is_that_of_their_images(tmp_path: Path) -> None:
    real, fake = draw(tmp_path / "real", 40, 4), draw(tmp_path / "fake", 30, 4, seed=1)
    found = evaluate(real=str(real), fake=str(fake), features=Projection(), out="both")
    assert found.measures is not None
    a, b = (prepared()(pixels(folder)).double().numpy() for folder in (real, fake))
    covariances = np.cov(a.T), np.cov(b.T)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root)
    assert found.measures["fid/projection"].value == pytest.approx(expected, rel=1e-5)
    assert set(found.measures) == {
        f"{name}/projection"
        for name in ("fid", "kid", "precision", "recall", "density", "coverage")
    }
    content = json.loads(Path("both/metrics.json").read_text(encoding="utf-8"))
    assert content["images"] == {"real": 40, "generated": 30}
    assert content["measures"]["fid/projection"]["value"] == pytest.approx(expected, rel=1e-5)
    text = Path("both/evaluation.md").read_text(encoding="utf-8")
    assert "| fid/projection ↓ |" in text
    assert "| recall/projection ↑ |" in text


def test_precision_is_of_generated_and_recall_of_real_images() -> None:
    random = torch.Generator().manual_seed(0)
    real = torch.randn(60, 2, generator=random)
    narrow = 0.1 * torch.randn(60, 2, generator=random)
    values, _ = measured(real, narrow, "x", 3)
    # few samples are far from real images, and most real images are far from all samples
    assert values["precision/x"] > 0.9
    assert values["recall/x"] < 0.3
    wide, _ = measured(narrow, real, "x", 3)
    assert wide["recall/x"] > 0.9
    assert wide["precision/x"] < 0.3
    more, _ = measured(real, narrow, "x", 20)
    assert more["recall/x"] > values["recall/x"], "the 20th neighbour is further away"


def test_an_arrow_points_to_better_values() -> None:
    names = ("fid/a", "kid/a", "precision/a", "recall/a", "density/a", "coverage/a", "psnr/real")
    found = over_seeds([dict.fromkeys(names, 1.0)] * 2)
    assert [m.higher_is_better for m in found.values()] == [False, False, *[True] * 5]


def test_halves_of_two_folders_are_drawn_apart() -> None:
    numbers = torch.arange(50.0)[:, None]
    assert not torch.equal(half(numbers, "real", 0), half(numbers, "fake", 0))


def test_the_number_and_the_size_of_images_are_those_asked_for(tmp_path: Path) -> None:
    real, fake = draw(tmp_path / "real", 14, 4), draw(tmp_path / "fake", 12, 8, seed=1)
    found = evaluate(real=str(real), fake=str(fake), features=Projection(), n=11, resolution=4)
    assert found.measures is not None
    assert "11 real and 11 generated images" in found.text
    # the first ones, resized
    expected = Images(
        PreparedImages([str(p) for p in sorted(fake.iterdir())], 4, 1, "center"), (), ""
    )
    features = Sample(prepared(), None, expected, 11, 250).features
    whole, _ = measured(prepared()(pixels(real)[:11]), features, "projection", 3)
    for name, value in whole.items():
        assert found.measures[name].value == pytest.approx(value, rel=1e-5)


def test_few_images_are_said_to_bias_fid_and_many_are_not(tmp_path: Path) -> None:
    few, many = Projection.num_features, Projection.num_features + 1
    for count, warns in ((few, True), (many, False)):
        real = draw(tmp_path / f"real{count}", count, 4)
        fake = draw(tmp_path / f"fake{count}", count, 4, seed=1)
        found = evaluate(real=str(real), fake=str(fake), features=Projection(), seeds=1)
        assert ("is biased upwards" in found.text) == warns


def test_real_images_of_a_run_are_those_that_were_held_out() -> None:
    found = data_images(Gaussians(train=80, validation=16, batch_size=8), (2,))
    assert len(found.dataset) == 16  # type: ignore[arg-type]  # a dataset of points has a length


def test_the_deviation_over_halves_is_that_of_the_mean_of_all_images() -> None:
    features = torch.randn(400, 1, generator=torch.Generator().manual_seed(0))
    means = torch.stack([half(features, "real", seed).mean() for seed in range(300)])
    assert len({*half(features, "real", 0).flatten().tolist()}) == 200, "no image is drawn twice"
    assert float(means.std()) == pytest.approx(float(features.std()) / 20, rel=0.15)


def test_a_model_is_measured_over_seeds(run: Path, tmp_path: Path) -> None:
    real = draw(tmp_path / "real", 20, 4)
    found = evaluate(str(run), real=str(real), features=Projection(), seeds=3, out="model")
    assert found.measures is not None
    fid = found.measures["fid/projection"]
    assert len(set(fid.values)) == 3, "seeds draw other images"
    assert fid.value == pytest.approx(np.mean(fid.values))
    assert fid.sd == pytest.approx(np.std(fid.values, ddof=1))
    model = load(run)
    x, metric = from_uint8(pixels(real)), PSNR()
    metric.update(x, model.reconstruct(x))
    quality = found.measures["psnr/real"]
    assert quality.value == pytest.approx(float(metric.compute()), rel=1e-5)
    assert quality.sd is None
    assert "ssim/real is not measured" in found.text


def test_more_images_or_smaller_batches_do_not_change_the_first(run: Path) -> None:
    model = load(run)
    few, many = (
        torch.cat([x for x, _ in generated(model, 5, count, batch_size)])  # type: ignore[arg-type]  # a DLSGAN
        for count, batch_size in ((10, 250), (260, 7))
    )
    assert len(many) == 260
    assert torch.allclose(few, many[:10], atol=1e-6)
    assert not torch.allclose(many[:10], many[250:], atol=1e-3)


def test_images_of_a_class_conditional_model_do_not_depend_on_the_batch() -> None:
    generator: Any = TinyConditionalGenerator
    discriminator: Any = TinyDiscriminator
    model = spread(CAGAN(SHAPE, (2, 3), 4, generator, discriminator)).eval()
    assert isinstance(model, Generates)
    whole, parts = (torch.cat([x for x, _ in generated(model, 5, 40, size)]) for size in (250, 7))
    assert torch.allclose(whole, parts, atol=1e-6)
    # of latents and conditions in one stream, which is that of the first block
    random = stream("evaluate/0", 5)
    z = model.prior.sample(250, random)
    assert model.categories is not None
    c = model.categories.sample(250, random)
    assert torch.allclose(whole, model.decode(z[:40], c[:40]), atol=1e-6)


def frechet(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance of two samples, written out."""
    (m, s), (n, t) = ((x.mean(0), np.cov(x, rowvar=False)) for x in (a.numpy(), b.numpy()))
    return float(((m - n) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real))


def test_each_class_is_compared_with_what_was_generated_for_it() -> None:
    real, fake = torch.randn(2, 90, 3, generator=torch.Generator().manual_seed(0)).double()
    classes, conditions = torch.arange(90) % 3, torch.arange(90) // 40
    real[classes == 1] += 2
    found, lines = class_distances(real, classes[:, None], fake, conditions, "own")
    expected = [frechet(real[classes == k], fake[conditions == k]) for k in range(3)]
    assert [found[f"class_fid_{k}/own"] for k in range(3)] == pytest.approx(expected, rel=1e-4)
    assert found["class_fid/own"] == pytest.approx(np.mean(expected), rel=1e-4)
    assert lines == []
    rare = torch.where(classes == 2, 0, classes).index_fill(0, torch.tensor([0]), 2)
    found, lines = class_distances(real, rare, fake, conditions, "own")
    assert "class_fid_2/own" not in found
    assert found["class_fid/own"] == pytest.approx(
        np.mean([found["class_fid_0/own"], found["class_fid_1/own"]])
    )
    (line,) = lines
    assert line.startswith("not measured: class_fid_2 (")


def test_a_class_conditional_model_is_measured_by_class(tmp_path: Path) -> None:
    generator: Any = TinyConditionalGenerator
    discriminator: Any = TinyDiscriminator
    model = save(spread(CAGAN(SHAPE, (2,), 4, generator, discriminator)), tmp_path / "run")
    for seed, name in enumerate(("cat", "dog")):
        draw(tmp_path / "real" / name, 12, 4, seed=seed)
    data = Folder(str(tmp_path / "real"), 4, channels=1, validation=0)
    found = evaluate(str(model), data=data, features=Projection(), seeds=2, out="made")
    assert found.measures is not None
    by_class = [found.measures[f"class_fid_{k}/projection"].value for k in range(2)]
    assert found.measures["class_fid/projection"].value == pytest.approx(np.mean(by_class))
    assert not any(m.higher_is_better for n, m in found.measures.items() if "class_fid" in n)
    assert "| class_fid_1/projection ↓ |" in found.text
    # without labels there are no classes to compare
    found = evaluate(str(model), real=str(tmp_path / "real"), features=Projection(), out="plain")
    assert found.measures is not None
    assert not any("class_fid" in name for name in found.measures)


def test_the_neighbour_that_is_asked_for_gives_the_radius(tmp_path: Path) -> None:
    real, fake = draw(tmp_path / "real", 40, 4), draw(tmp_path / "fake", 40, 4, seed=1)
    a, b = (prepared()(pixels(folder)).double() for folder in (real, fake))
    values = []
    for k in (1, 5):
        found = evaluate(real=str(real), fake=str(fake), features=Projection(), k=k, seeds=1)
        assert found.measures is not None
        radii = torch.cdist(a, a).sort(1).values[:, k]
        precision = (torch.cdist(a, b) <= radii[:, None]).any(0).double().mean()
        values.append(found.measures["precision/projection"].value)
        assert values[-1] == pytest.approx(float(precision))
    assert values[0] < values[1]


def test_unreadable_images_are_named_and_the_others_measured(tmp_path: Path) -> None:
    real, fake = draw(tmp_path / "real", 12, 4), draw(tmp_path / "fake", 12, 4, seed=1)
    (real / "05.png").write_bytes(b"no image")
    (fake / "00.png").write_bytes(b"")
    found = evaluate(real=str(real), fake=str(fake), features=Projection(), out="some")
    assert found.exit_status == 3
    assert "2 images could not be read: real 05.png (" in found.text
    content = json.loads(Path("some/metrics.json").read_text(encoding="utf-8"))
    assert content["images"] == {"real": 11, "generated": 11}


def test_nothing_is_downloaded_unless_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cpu = torch.device("cpu")
    chosen, line = image_features(None, (1, 32, 32), cpu, digits=True)
    assert isinstance(chosen, DigitFeatures)
    assert line.startswith("features: digits, ")
    assert "features=inception_features downloads" in line
    for shape in ((3, 64, 64), (1, 64, 64), (3, 28, 28), (1, 16, 128)):
        chosen, line = image_features(None, shape, cpu)
        assert isinstance(chosen, RandomFeatures)
        assert chosen(torch.zeros(2, *shape, dtype=torch.uint8)).shape == (2, chosen.num_features)
        assert line.startswith("features: random, ")
    for shape in ((3, 15, 64), (2, 64, 64)):
        with pytest.raises(UserError, match="no features fit images of shape"):
            image_features(None, shape, cpu)
    weights = tmp_path / "checkpoints" / choosing.INCEPTION_WEIGHTS
    weights.parent.mkdir()
    weights.write_bytes(b"")
    assert choosing.choice((3, 64, 64))[0].name == "inception"


def pictures(folder: Path, side: int, mode: str, seed: int = 0) -> Path:
    """Twelve pictures of noise, grey (L) or in colour (RGB)."""
    draw(folder, 12, side, seed)
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.convert(mode).save(path)
    return folder


@pytest.mark.parametrize(
    ("side", "mode", "words", "features"),
    [
        (32, "RGB", [], "random"),
        (28, "RGB", [], "random"),
        (70, "RGB", [], "random"),
        (64, "L", [], "random"),
        # nothing says that grey images of the size of digits are some
        (28, "L", [], "random"),
        (32, "L", [], "random"),
        (32, "L", ["features=digit_features"], "digits"),
        (40, "L", ["resolution=28", "features=digit_features"], "digits"),
        (8, "RGB", ["resolution=16"], "random"),
    ],
)
def test_two_folders_are_measured_offline_through_features_that_suit_them(
    side: int, mode: str, words: list[str], features: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(Path("a"), side, mode)
    pictures(Path("b"), side, mode, seed=1)
    main(["evaluate", "real=a", "fake=b", "out=made", "seeds=1", *words])
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("features: ")]
    assert line.startswith(f"features: {features}, ")
    assert ("features=digit_features" in line) == ((mode, words) == ("L", []) and side < 64)
    content = json.loads(Path("made/metrics.json").read_text())
    assert {name.partition("/")[2] for name in content["measures"]} == {features}
    assert f"| fid/{features} ↓ |" in said.out


def test_images_that_are_too_small_for_features_are_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a", "b"):
        pictures(Path(name), 8, "RGB")
    status, said = refusal(["evaluate", "real=a", "fake=b"], capsys)
    assert status == 1
    assert "no features fit images of shape (3, 8, 8) without a download" in said


@pytest.mark.parametrize(
    ("data", "is_known"),
    [("MNIST5k", True), ("MNIST", True), ("FashionMNIST", False), ("KMNIST", False)],
)
def test_the_digit_classifier_judges_models_of_digits_alone(
    data: str, is_known: bool, tmp_path: Path
) -> None:
    run = save(tiny_dlsgan(), tmp_path / "model")
    arguments = {} if data == "MNIST5k" else {"root": "nowhere"}
    section = {"class_path": f"lightning_gans.data.{data}", "init_args": arguments}
    (run / "config.yaml").write_text(json.dumps({"data": section}))
    (checkpoint,) = (run / "checkpoints").iterdir()
    assert is_of_digits(checkpoint) == is_known
    # another's folder tells nothing, and is no reason to fail
    for text in ("data: {class_path: my.own.Digits}", "{}", "model: ["):
        (run / "config.yaml").write_text(text)
        assert not is_of_digits(checkpoint)


@pytest.mark.parametrize(("name", "is_known"), [("digits", True), ("random", False)])
def test_an_exported_model_tells_through_which_features_it_was_measured(
    name: str, is_known: bool, tmp_path: Path
) -> None:
    write_config(tmp_path, {"metrics": {f"fid/{name}": 3.0}})
    (tmp_path / "model.safetensors").touch()
    assert is_of_digits(tmp_path / "model.safetensors") == is_known


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "nothing is named"),
        (["real=a"], "nothing is named to evaluate; give ckpt=RUN, or fake=FOLDER"),
        (["ckpt=run", "fake=b", "real=a"], "ckpt and fake are both named"),
        (["fake=b"], "no real images are named"),
        (["fake=b", "real=a", "data=mnist5k"], "real and data are both given"),
        (["ckpt=run", "resolution=8"], "resolution is for two folders"),
        (["fake=b", "real=missing"], "real=missing: missing does not exist; give real=FOLDER"),
    ],
)
def test_a_wrong_command_line_gets_one_line(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        draw(Path(name), 3, 4)
    if not words:
        words = ["seeds=3"]
    status, said = refusal(["evaluate", *words], capsys)
    assert status == 2
    assert expected in said
