"""Networks as programs, and the examples of a card."""

from __future__ import annotations

import json
import logging
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_gans.errors import UserError
from lightning_gans.exports import programs
from lightning_gans.exports.examples import Preparation, example
from lightning_gans.exports.modules import TRACED, Part, parts_of
from lightning_gans.exports.ood_file import ood_values, portable_scores
from lightning_gans.exports.programs import difference, quietly, traced, write_torch
from lightning_gans.metrics import to_uint8
from lightning_gans.models import CAGAN, CGPGAN, DLSGAN, GAN, Classifier, Decodes, InfoGAN
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
from tests.support.rounds import SHAPE as TINY
from tests.support.rounds import TinyConditionalGenerator, TinyDiscriminator
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
    program["save"](x.numpy(), tmp_path / "row", "images")
    row = torch.from_numpy(np.asarray(Image.open(tmp_path / "row.png")).copy())
    assert torch.equal(row, torch.cat([*to_uint8(x)[:, 0]], 1))


def test_an_export_leaves_the_model_as_it_is_and_is_in_evaluation_mode() -> None:
    model = MODELS["points"]()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for part in parts_of(model.train()):
        assert not any(module.training for module in part.module.modules())
        assert not any(weight.requires_grad for weight in part.module.parameters())
    assert all(module.training for module in model.modules())
    assert all(weight.requires_grad for weight in model.generator.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Apart:
    """A program that differs from a network by some amount, for each size of batch."""

    def __init__(self, part: Part, by: Callable[[int], float]) -> None:
        self.part, self.by = part, by
        self.sizes: list[int] = []

    def __call__(self, arguments: Sequence[Tensor]) -> list[Tensor]:
        n = len(arguments[0])
        self.sizes.append(n)
        return [y + self.by(n) for y in self.part.module(*arguments)]


def constant(value: float) -> Part:
    """A network whose result is one value."""
    network: Any = lambda x: (torch.full((len(x), 1), value),)  # noqa: E731
    return Part("generator", network, ("z",), ("image",), lambda n: (torch.zeros(n, 1),))


def test_the_largest_difference_of_any_batch_counts_and_that_traced_proves_nothing() -> None:
    program = Apart(constant(0.01), lambda n: 8e-5 if n == 1 else 1e-6)
    assert difference(program.part, program, Path("g.onnx")) == pytest.approx(8e-5, rel=0.01)
    assert 1 in program.sizes
    assert max(program.sizes) > TRACED
    assert TRACED not in program.sizes


@pytest.mark.parametrize(
    ("value", "by", "is_kept"),
    [(0.01, 9e-5, True), (0.01, 1.1e-4, False), (1000.0, 0.09, True), (1000.0, 0.11, False)],
)
def test_a_program_may_differ_by_a_ten_thousandth_of_values_above_one(
    value: float, by: float, is_kept: bool
) -> None:
    program = Apart(constant(value), lambda n: by)
    if is_kept:
        found = difference(program.part, program, Path("g.onnx"))
        assert found == pytest.approx(by / max(value, 1), rel=0.02)
    else:
        with pytest.raises(programs.Differs, match=r"more than 0\.0001, and is not kept"):
            difference(program.part, program, Path("g.onnx"))


def refused(logger: logging.Logger) -> None:
    """Write what torch refuses, while it says nothing of its own."""
    with quietly(constant(1.0), "ONNX"):
        assert logger.level == logging.ERROR
        raise RuntimeError("no such operation")


def test_notes_of_torch_are_shown_again_afterwards() -> None:
    logger = logging.getLogger("torch.export")
    logger.setLevel(logging.INFO)
    try:
        with pytest.raises(UserError, match="the generator cannot be written for ONNX: no such"):
            refused(logger)
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize("kind", ["blurred", "variance", "classes", "labels"])
def test_the_score_that_decides_comes_first(kind: str) -> None:
    model = MODELS[kind]().eval()
    for has_averages in (False, True):
        model.has_averages = has_averages
        scorer, names = Scorer(model), portable_scores(model)
        assert names[0] == scorer.default.name
        assert [name for name in scorer.defaults if name in names[1:]] == list(names[1:])
    scores = {name: torch.arange(20.0) for name in names}
    calibration = Calibration(scores, Origin("", json.dumps({"class_path": "Folder"}), 100))
    values = ood_values(model, calibration, names, 0.1)
    assert values["score"] == names[0]
    assert values["one_by_one"] is False


def test_a_network_that_looks_across_the_batch_is_said_to_score_one_by_one() -> None:
    model = MODELS["batch"]().eval()
    scores = {"nll": torch.arange(20.0)}
    calibration = Calibration(scores, Origin("", json.dumps({"class_path": "Folder"}), 100))
    assert ood_values(model, calibration, ("nll",), 0.1)["one_by_one"] is True


def test_the_program_draws_images_of_a_category_for_each_label_by_name_or_number(
    tmp_path: Path,
) -> None:
    generator: Any = TinyConditionalGenerator
    discriminator: Any = TinyDiscriminator
    model = spread(CAGAN(TINY, (2, 3), 4, generator, discriminator).eval())
    assert isinstance(model, Decodes)
    model.class_names = (("no", "red"), ("red", "green", "blue"))
    for part in parts_of(model):
        write_torch(part, traced(part), tmp_path / f"{part.name}.pt2")
    file = tmp_path / "program.py"
    file.write_text(example(model, Preparation(), "torch", has_ood=False))
    program = runpy.run_path(str(file))
    z = np.random.default_rng(3).standard_normal((2, model.prior.dim), np.float32)
    for category, hot in (
        (["red", "blue"], [0.0, 1, 0, 0, 1]),
        (["no", "red"], [1.0, 0, 1, 0, 0]),
        ([1, 0], [0.0, 1, 1, 0, 0]),
    ):
        expected = model.decode(torch.from_numpy(z), torch.tensor([hot, hot]))
        found = program["generate"](2, category, seed=3)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


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
