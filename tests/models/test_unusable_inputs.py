"""What a person gives a trained model or a metric by mistake is one clear line, or is converted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_gans.data import DataModule
from lightning_gans.errors import InputError, UserError
from lightning_gans.inversion import recover
from lightning_gans.metrics import (
    PSNR,
    SSIM,
    Accuracy,
    FrechetDistance,
    LatentLoss,
    PrecisionRecall,
    Purity,
    active_dimensions,
    from_uint8,
    latent_entropy,
    to_uint8,
)
from lightning_gans.models import AEDLSGAN, CAGAN, Classifier, Model
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.ood.scorer import Scorer
from tests.support.models import tiny_dlsgan
from tests.support.rounds import LATENT, trainer

SHAPE = (1, 4, 4)
SMALL: dict[str, Any] = {
    "latent_dim": 3,
    "generator": partial(MLPGenerator, width=8, depth=1),
    "discriminator": partial(MLPDiscriminator, width=8, depth=1),
}


def methods() -> dict[str, Callable[[Any], Tensor]]:
    """All that takes images."""
    model, classifier = (
        tiny_dlsgan().eval(),
        Classifier(SHAPE, (3,), discriminator=SMALL["discriminator"]).eval(),
    )
    editor = AEDLSGAN(SHAPE, (2, 2), **SMALL).eval()
    assert model.image_shape == SHAPE
    return {
        "encode": model.encode,
        "reconstruct": model.reconstruct,
        "ood_score": model.ood_score,
        "score": lambda x: Scorer(model)(x)["nll"],
        "recover": lambda x: recover(model.generator, x, model.prior, steps=1, restarts=1).codes,
        "classify": classifier.classify,
        "logits": classifier.logits,
        "features": classifier.features,
        "edit": lambda x: editor.edit(x, 0, 1.0),
    }


METHODS = methods()
INTEGERS = (torch.uint8, torch.int64, torch.bool)


@pytest.mark.parametrize("name", METHODS)
def test_images_of_another_precision_are_converted(name: str) -> None:
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)).bfloat16()
    expected = METHODS[name](x.float())
    for dtype in (torch.float64, torch.bfloat16):
        found = METHODS[name](x.to(dtype))
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected)
    METHODS[name](x.half())


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_images_are_taken_for_unscaled_pixels(name: str, dtype: torch.dtype) -> None:
    words = rf"images as floating-point numbers, got {dtype}; scale pixels of 0 to 255 by x / 127"
    with pytest.raises(InputError, match=words):
        METHODS[name](torch.zeros(2, *SHAPE, dtype=dtype))


@pytest.mark.parametrize("name", METHODS)
def test_what_is_no_batch_of_images_is_one_line(name: str) -> None:
    zeros = torch.zeros(2, *SHAPE)
    wrong: list[tuple[Any, str]] = [
        (zeros.numpy(), "as a torch.Tensor, got ndarray; torch.as_tensor makes one"),
        ([0.0], "as a torch.Tensor, got list"),
        (None, "as a torch.Tensor, got NoneType"),
        (zeros.to_sparse(), "dense tensor of real numbers, got torch.sparse_coo"),
        (zeros.to(torch.complex64), "dense tensor of real numbers, got torch.complex64"),
        (torch.nested.nested_tensor([zeros[0]]), "dense tensor of real numbers, got a nested"),
        (torch.tensor(0.0), r"got shape \(\)|got \(\)"),
        (zeros[0], r"got \(1, 4, 4\); add a dimension with x\[None\]"),
        (zeros + torch.nan, "NaN or infinite"),
        (zeros + 255, r"in \[-1, 1\], got values from 255"),
    ]
    for x, words in wrong:
        with pytest.raises(InputError, match=words) as caught:
            METHODS[name](x)
        assert "\n" not in str(caught.value)


def test_images_on_another_device_are_one_line() -> None:
    with pytest.raises(InputError, match="images on cpu, where the model is, got them on meta"):
        tiny_dlsgan().encode(torch.zeros(2, *SHAPE, device="meta"))


# --- latents, conditions, numbers


def test_latents_of_another_precision_are_converted_and_integers_refused() -> None:
    model = tiny_dlsgan()
    z = torch.randn(2, LATENT).bfloat16()
    for dtype in (torch.float64, torch.bfloat16):
        assert torch.equal(model.decode(z.to(dtype)), model.decode(z.float()))
    for dtype in INTEGERS:
        with pytest.raises(InputError, match="expected latents as floating-point numbers"):
            model.decode(z.to(dtype))


def test_a_condition_for_a_model_without_classes_is_refused() -> None:
    with pytest.raises(InputError, match="DLSGAN is not class-conditional: omit c"):
        tiny_dlsgan().decode(torch.zeros(2, LATENT), torch.zeros(2, 10))


def test_conditions() -> None:
    model = CAGAN(SHAPE, (3, 2), **SMALL)
    z, c = torch.randn(2, 3), torch.tensor([[1.0, 0, 0, 0, 1]] * 2)
    expected = model.decode(z, c)
    for dtype in (torch.int64, torch.bool, torch.float64, torch.uint8):
        assert torch.equal(model.decode(z, c.to(dtype)), expected)
    wrong: list[Any] = [c[:1], torch.zeros(3, 5), torch.tensor([0, 1]), c.numpy(), c + torch.nan]
    for condition in (*wrong, None):
        with pytest.raises(InputError, match="condition"):
            model.decode(z, condition)


@pytest.mark.parametrize("n", [-1, 0, 1.5, 2.0, True, "2", None])
def test_a_number_of_images_that_cannot_be_drawn(n: Any) -> None:
    with pytest.raises(InputError, match=f"n as a whole number of at least 1, got {n!r}"):
        tiny_dlsgan().generate(n)
    assert len(tiny_dlsgan().generate(np.int64(2))) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("category", ["a", 1.5, True, [0, 9], [0], -1, [[0, 0]] * 3])
def test_a_category_that_cannot_be_drawn(category: Any) -> None:
    with pytest.raises(InputError, match=r"category|classes 0 to"):
        CAGAN(SHAPE, (3, 2), **SMALL).generate(2, category=category)


@pytest.mark.parametrize(
    ("attribute", "strength"),
    [(9, 1.0), (-1, 1.0), (1.5, 1.0), ("a", 1.0), (None, 1.0), (True, 1.0), (0, "a"), (0, None),
     (0, float("nan")), (0, torch.zeros(3))],
)  # fmt: skip
def test_an_edit_that_cannot_be_made(attribute: Any, strength: Any) -> None:
    with pytest.raises(InputError, match=r"expected an? (attribute|finite strength)|one strength"):
        AEDLSGAN(SHAPE, (2, 2), **SMALL).edit(torch.zeros(2, *SHAPE), attribute, strength)


# --- metrics


@pytest.mark.parametrize(
    "wrong", [None, np.zeros((4, 1, 16, 16)), [1.0], torch.zeros(4).to_sparse()]
)
def test_what_is_no_tensor_is_no_input_of_a_metric(wrong: Any) -> None:
    updates: list[Callable[[], object]] = [
        lambda: PSNR().update(wrong, wrong),
        lambda: SSIM().update(wrong, wrong),
        lambda: Accuracy().update(wrong, wrong),
        lambda: Purity().update(wrong, wrong),
        lambda: LatentLoss().update(wrong, wrong, wrong),
        lambda: FrechetDistance(4).update(wrong, real=True),
        lambda: PrecisionRecall().update(wrong, real=False),
        lambda: to_uint8(wrong),
        lambda: from_uint8(wrong),
        lambda: active_dimensions(wrong),
        lambda: latent_entropy(1.0, wrong),
    ]
    for update in updates:
        with pytest.raises(InputError, match=r"expected .* as a (torch.Tensor|dense tensor)"):
            update()


@pytest.mark.parametrize("metric", [PSNR, SSIM])
def test_reconstructions_that_are_no_numbers_are_refused(metric: type[PSNR] | type[SSIM]) -> None:
    x = torch.zeros(2, 1, 16, 16)
    with pytest.raises(ValueError, match="NaN; the generator has diverged"):
        metric().update(x, x + torch.nan)
    empty = metric()
    empty.update(x[:0], x[:0])
    empty.update(x, x)
    assert empty.compute().isfinite()


def test_an_empty_batch_of_categories_counts_nothing() -> None:
    purity = Purity()
    purity.update(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
    purity.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1]))
    assert purity.compute() == 0.75


# --- data of the user's own


class Own(DataModule):
    """Data whose batches are anything."""

    image_shape = SHAPE
    classes = ()

    def __init__(self, x: Tensor, y: Tensor | None = None) -> None:
        super().__init__(batch_size=2)
        self.x = x
        self.y = torch.zeros(len(x), dtype=torch.long) if y is None else y

    def setup(self, stage: str | None = None) -> None:
        pass

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(self.x, self.y), batch_size=2)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.train_dataloader()


class Hooked(Own):
    """The same, with a hook of its own in place of the model's."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch


def train(model: Model, data: DataModule, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(default_root_dir=folder).fit(model, datamodule=data)


@pytest.mark.parametrize("kind", [Own, Hooked])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, *SHAPE) + torch.nan, "images of the data of finite numbers"),
        (torch.zeros(2, *SHAPE) + 9, r"images of the data in \[-1, 1\]"),
        (torch.zeros(2, *SHAPE, dtype=torch.uint8), "images of the data as floating-point"),
        (torch.zeros(2, 1, 5, 4), r"images of the data of shape \(n, 1, 4, 4\)"),
    ],
)
def test_no_hook_of_the_data_goes_around_the_check(
    kind: type[Own], x: Tensor, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        train(tiny_dlsgan(), kind(x), tmp_path)
    with pytest.raises(InputError, match=words):
        trainer(default_root_dir=tmp_path).predict(tiny_dlsgan(), datamodule=kind(x))


def test_double_precision_data_train_as_single(tmp_path: Path) -> None:
    x = torch.rand(4, *SHAPE)
    models = [tiny_dlsgan(), tiny_dlsgan()]
    for model, data in zip(models, (Own(x), Own(x.double())), strict=True):
        torch.manual_seed(0)
        train(model, data, tmp_path)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(InputError, match=r"got torch.float64; convert them in on_before_batch"):
        train(tiny_dlsgan(), Hooked(x.double()), tmp_path)


def test_batches_that_are_no_pairs_are_one_line(tmp_path: Path) -> None:
    data = Own(torch.zeros(2, *SHAPE))
    batches = [{"image": data.x}, data.x, (data.x,), (data.x, data.y, data.y)]
    for batch in batches:
        with pytest.raises(InputError, match=r"pairs of images and labels \(x, y\), got"):
            tiny_dlsgan().on_before_batch_transfer(batch, 0)  # type: ignore[arg-type]


def test_labels_that_are_no_integers_are_one_line() -> None:
    model = CAGAN(SHAPE, (3,), **SMALL)
    assert model.training
    for y in (torch.tensor([0.5, 1.0]), None, [0, 1]):
        with pytest.raises(UserError, match="expected class indices as a tensor of integers, got"):
            model.on_before_batch_transfer((torch.zeros(2, *SHAPE), y), 0)  # type: ignore[arg-type]
