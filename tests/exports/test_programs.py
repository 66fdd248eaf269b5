"""Networks as programs, and the examples of a card."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.exports import programs
from lightning_gans.exports.examples import Preparation, example
from lightning_gans.exports.modules import parts_of
from lightning_gans.exports.ood_file import ood_values, portable_scores
from lightning_gans.exports.programs import difference, traced, write_torch
from lightning_gans.metrics import to_uint8
from lightning_gans.models import CGPGAN, DLSGAN, GAN, Classifier, Decodes, InfoGAN
from lightning_gans.networks import (
    BatchStdDiscriminator,
    BlurredDiscriminator,
    BlurredGenerator,
    ConvDiscriminator,
    ConvGenerator,
)
from lightning_gans.ood.calibration import Calibration, Origin
from lightning_gans.ood.conformal import ConformalDetector
from lightning_gans.ood.folder_images import PreparedImages
from lightning_gans.ood.scorer import Scorer
from lightning_gans.priors import HalfUniformHalfNormal, Normal, Traced, Uniform
from tests.support.saved_models import spread


def narrow_generator(
    latent_dim: int, image_shape: tuple[int, ...], **options: Any
) -> ConvGenerator:
    return ConvGenerator(latent_dim, image_shape, channels=2, **options)


def narrow_discriminator(
    image_shape: tuple[int, ...], scores: int = 1, code_dim: int = 0
) -> ConvDiscriminator:
    return ConvDiscriminator(image_shape, scores, code_dim, channels=2, hidden=8)


def blurred_generator(latent_dim: int, image_shape: tuple[int, ...]) -> BlurredGenerator:
    return BlurredGenerator(latent_dim, image_shape, channels=2)


def blurred_discriminator(
    image_shape: tuple[int, ...], scores: int = 1, code_dim: int = 0
) -> BlurredDiscriminator:
    return BlurredDiscriminator(image_shape, scores, code_dim, channels=2)


def spread_discriminator(
    image_shape: tuple[int, ...], scores: int = 1, code_dim: int = 0
) -> BatchStdDiscriminator:
    return BatchStdDiscriminator(image_shape, scores, code_dim, trunk=narrow_discriminator, width=8)


SHAPE = (1, 16, 16)
conditional_generator: Any = narrow_generator
MODELS: dict[str, Any] = {
    "blurred": lambda: DLSGAN(SHAPE, 3, blurred_generator, blurred_discriminator),
    "batch": lambda: DLSGAN(SHAPE, 3, narrow_generator, spread_discriminator),
    "variance": lambda: InfoGAN(SHAPE, 3, narrow_generator, narrow_discriminator),
    "classes": lambda: CGPGAN(
        SHAPE, 4, 3, generator=conditional_generator, discriminator=narrow_discriminator
    ),
    "labels": lambda: Classifier(SHAPE, (3, 2)),
    "points": lambda: DLSGAN((2,), 3),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_model_is_exported_for_any_batch(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = MODELS[kind]().eval()
    parts = parts_of(model)
    assert {part.name for part in parts} == {
        "blurred": {"generator", "encoder"},
        "batch": {"generator", "encoder"},
        "variance": {"generator", "encoder"},
        "classes": {"generator", "classifier"},
        "labels": {"classifier"},
        "points": {"generator", "encoder"},
    }[kind]
    for part in parts:
        assert write_torch(part, traced(part), tmp_path / f"{part.name}.pt2") < 1e-5
        assert (part.outputs == ("code", "variance")) == (
            kind == "variance" and part.name == "encoder"
        )


def test_a_generator_takes_unscaled_latents() -> None:
    model = MODELS["points"]().eval()
    model.prior.v.copy_(torch.tensor([1.0, 4.0, 0.1]))
    (part, _) = parts_of(model)
    z = torch.randn(4, 3)
    assert torch.equal(part.module(z)[0], model.generator(z * model.prior.scale()))


@pytest.mark.parametrize("kind", ["blurred", "classes"])
def test_a_generator_gives_the_models_images_and_what_they_were_clipped_from(kind: str) -> None:
    model = spread(MODELS[kind]().eval(), std=2.0)
    assert isinstance(model, Decodes)
    if isinstance(model.prior, Traced):
        model.prior.v.copy_(torch.arange(1.0, model.prior.dim + 1))
        assert len({*model.prior.scale().tolist()}) == model.prior.dim
    part = parts_of(model)[0]
    arguments = part.example(5)
    images, unclipped = part.module(*arguments)
    assert torch.equal(images, model.decode(*arguments))
    assert torch.equal(unclipped.clamp(-1, 1), images)
    if kind == "blurred":  # the others end in a tanh
        assert float(unclipped.abs().max()) > 1, "there is something to clip"


def program_of(model: Any, folder: Path, false_alarms: float, images: torch.Tensor) -> Any:
    """The printed program of a model, whose held-out images are given."""
    names = portable_scores(model)
    scores = {name: found.cpu() for name, found in Scorer(model, names)(images).items()}
    calibration = Calibration(scores, Origin("", json.dumps({"class_path": "Folder"}), 100))
    values = ood_values(model, calibration, names, false_alarms)
    (folder / "ood.json").write_text(json.dumps(values))
    for part in parts_of(model):
        write_torch(part, traced(part), folder / f"{part.name}.pt2")
    file = folder / "program.py"
    file.write_text(example(model, Preparation(), "torch", has_ood=True))
    return runpy.run_path(str(file))


@pytest.mark.parametrize("kind", ["blurred", "variance", "classes", "labels"])
def test_the_program_scores_images_and_calls_them_ood_as_the_package_does(
    kind: str, tmp_path: Path
) -> None:
    # so that scores of images differ by more than rounding
    model = spread(MODELS[kind]().eval(), std={"blurred": 0.6, "labels": 0.1}.get(kind, 0.2))
    if isinstance(model, Decodes) and isinstance(model.prior, Traced):
        model.prior.v.copy_(torch.arange(1.0, model.prior.dim + 1) / 2)
    random = torch.Generator().manual_seed(0)
    held_out, others = (torch.rand(n, *SHAPE, generator=random) * 2 - 1 for n in (19, 6))
    program = program_of(model, tmp_path, 0.2, held_out)
    # a held-out image is as typical as itself
    x = torch.cat([held_out[:5], others, others * 0.1])
    names = portable_scores(model)
    assert len(names) == {"blurred": 3, "variance": 4, "classes": 1, "labels": 1}[kind]
    expected = Scorer(model, names)(x)
    stored = {name: Scorer(model, names)(held_out)[name] for name in names}
    for name in names:
        program["OOD"]["score"] = name
        program["ood_score"].__defaults__ = (name,)
        detector = ConformalDetector({name: stored[name]}, 0.2)
        verdicts = detector({name: expected[name]})
        np.testing.assert_allclose(program["ood_score"](x.numpy()), expected[name], rtol=1e-4)
        p, is_ood = program["ood"](x.numpy())
        np.testing.assert_allclose(p, verdicts.pvalues)
        assert is_ood.tolist() == verdicts.is_ood.tolist()
        assert program["OOD"]["thresholds"][name] == detector.threshold
    with pytest.raises(ValueError, match="there is no score colour"):
        program["ood_score"](x.numpy(), "colour")


def test_the_program_draws_images_of_a_category_and_saves_them(tmp_path: Path) -> None:
    model = spread(MODELS["classes"]().eval(), std=0.4)
    assert isinstance(model, Decodes)
    program = program_of(model, tmp_path, 0.5, torch.zeros(3, *SHAPE))
    z = np.random.default_rng(7).standard_normal((2, model.prior.dim), np.float32)
    hot = torch.eye(3)[[2, 2]]
    expected = model.decode(torch.from_numpy(z), hot)
    np.testing.assert_allclose(program["generate"](2, 2, seed=7), expected.numpy(), atol=1e-5)
    x = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    program["save"](x.numpy(), tmp_path / "row.png")
    row = torch.from_numpy(np.asarray(Image.open(tmp_path / "row.png")).copy())
    assert torch.equal(row, torch.cat([*to_uint8(x)[:, 0]], 1))


def test_values_that_are_no_numbers_are_not_kept() -> None:
    (part, _) = parts_of(MODELS["points"]().eval())
    broken: Any = lambda arguments: [x * torch.nan for x in part.module(*arguments)]  # noqa: E731
    with pytest.raises(programs.Differs, match="differs from the network by nan"):
        difference(part, broken, Path("g.onnx"))


def test_a_network_that_looks_at_the_size_of_its_batch_is_noticed() -> None:
    model = MODELS["points"]().eval()
    (part, _) = parts_of(model)
    constant = part.module(*part.example(1))
    with pytest.raises(programs.Differs, match="shape"):
        difference(part, lambda arguments: [x.repeat(2, 1) for x in constant], Path("g.onnx"))


@pytest.mark.parametrize(
    ("prior", "line"),
    [
        (Normal(2), "z = random.standard_normal((n, 2), np.float32)"),
        (Normal(2, 1.0, 2.0), "z = 1.0 + 2.0 * random.standard_normal((n, 2), np.float32)"),
        (Uniform(2, -1.0, 3.0), "z = random.uniform(-1.0, 3.0, (n, 2)).astype(np.float32)"),
        (HalfUniformHalfNormal(2), None),
    ],
)
def test_the_program_draws_latents_of_the_models_prior(prior: Any, line: str | None) -> None:
    model = GAN((2,), 2, prior=lambda dim: prior)
    assert isinstance(model, Decodes)
    text = example(model, Preparation(), "torch", has_ood=False)
    assert (line in text) if line else ("def generate" not in text)


@pytest.mark.parametrize("crop", ["center", "none", (1, 2, 3, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_program_prepares_pictures_as_training_does(
    crop: Any, channels: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (23, 30, 4)).astype(np.uint8)
    Image.fromarray(colours[..., :3]).save(tmp_path / "a.png")
    Image.fromarray(colours).save(tmp_path / "b.png")
    Image.fromarray(colours[..., 0]).save(tmp_path / "c.png")
    Image.fromarray(colours[:16, :16, 0]).save(tmp_path / "d.png")
    Image.fromarray(colours[..., 0].astype(np.uint16) * 257).save(tmp_path / "e.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colours[..., :3]).save(tmp_path / "f.png", exif=exif)
    files = sorted(str(path) for path in tmp_path.glob("*.png"))
    expected = PreparedImages(files, 20, channels, crop, 2)
    narrow: Any = lambda **_: torch.nn.Identity()  # noqa: E731
    model = GAN((channels, 20, 20), 2, generator=narrow, discriminator=narrow)
    text = example(model, Preparation(crop, 2), "torch", has_ood=False)
    (tmp_path / "program.py").write_text(text.replace('generator = network("generator")', ""))
    program = runpy.run_path(str(tmp_path / "program.py"))
    for file, (x, _) in zip(files, (expected[i] for i in range(len(files))), strict=True):
        assert np.array_equal(program["prepare"](file)[0], x.numpy()), file
