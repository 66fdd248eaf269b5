"""What cannot be used stops at once, in words, and costs no weight and no checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

import lightning_gans
from lightning_gans.callbacks import Checkpoint
from lightning_gans.errors import InputError, UserError
from lightning_gans.losses import NonSaturating
from lightning_gans.models import (
    ACGAN,
    AEDLSGAN,
    CAGAN,
    DLSGAN,
    GAN,
    PVDGAN,
    VAEGAN,
    AdversarialModule,
    Classifier,
    InfoGAN,
    NonFiniteLoss,
)
from lightning_gans.priors import DynamicScale, Uniform
from tests.support.rounds import (
    DESCENT,
    LATENT,
    SHAPE,
    TinyDiscriminator,
    TinyGenerator,
    batches,
    one_by_one,
    trainer,
)

Weights = dict[str, Tensor]
Kind = type[GAN] | type[DLSGAN] | type[InfoGAN] | type[PVDGAN] | type[VAEGAN]
KINDS: list[Kind] = [GAN, DLSGAN, InfoGAN, PVDGAN, VAEGAN]
INVERTING: list[Kind] = [DLSGAN, InfoGAN, PVDGAN, VAEGAN]


def tiny(kind: Kind, **options: object) -> AdversarialModule:
    torch.manual_seed(1)
    arguments: dict[str, Any] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
    }
    return kind(**{**arguments, **options})


class Watch(Callback):
    """Remembers the state after each iteration, from before the first one on."""

    def __init__(self) -> None:
        self.after: list[Weights] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.after.append(copy.deepcopy(pl_module.state_dict()))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.after.append(copy.deepcopy(pl_module.state_dict()))


def fit(model: AdversarialModule, data: list[Tensor], folder: Path, every: int = 1000) -> Watch:
    watch = Watch()
    options = {"enable_checkpointing": True, "callbacks": [watch, Checkpoint(every)]}
    pairs = [(x, torch.zeros(len(x), dtype=torch.long)) for x in data]
    try:
        trainer(default_root_dir=folder, **options).fit(model, one_by_one(pairs))
    finally:
        assert not list(folder.glob("checkpoints/*.part"))
    return watch


def images(count: int = 3, size: int = 6) -> list[Tensor]:
    return [x.float() for x in batches(count, size)]


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def assert_equal(ours: Weights, theirs: Weights) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def spoilt(x: Tensor, how: str) -> Tensor:
    x = x.clone()
    if how == "nan":
        x[2, 0, 1, 1] = torch.nan
    elif how == "infinite":
        x[2, 0, 1, 1] = -torch.inf
    elif how == "size":
        x = torch.zeros(6, 1, 5, 4)
    elif how == "bytes":
        x = (x + 1) * 127.5
    elif how == "slightly":
        x[0, 0, 0, 0] = -1.01
    return x


BAD = [
    ("nan", r"expected images of the data of finite numbers, got some that are NaN or infinite"),
    ("infinite", r"expected images of the data of finite numbers, got some .* infinite"),
    ("size", r"expected images of the data of shape \(n, 1, 4, 4\), got \(6, 1, 5, 4\)"),
    ("bytes", r"in \[-1, 1\], got values from \d.* to 25\d.*; scale pixels of 0 to 255 by"),
    ("slightly", r"expected images of the data in \[-1, 1\], got values from -1\.01 to "),
]


# all of them on one model, and one of them on all
CASES = [(DLSGAN, *case) for case in BAD] + [(kind, *BAD[0]) for kind in KINDS if kind != DLSGAN]


@pytest.mark.parametrize(
    ("kind", "how", "words"), CASES, ids=[f"{kind.__name__}-{how}" for kind, how, _ in CASES]
)
def test_data_that_cannot_be_used_stop_before_anything_moves(
    kind: Kind, how: str, words: str, tmp_path: Path
) -> None:
    model, data = tiny(kind), images()
    good = copy.deepcopy(model)
    watch = fit(good, data[:2], tmp_path / "good")

    data[2] = spoilt(data[2], how)
    with pytest.raises(ValueError, match=words) as caught:
        fit(model, data, tmp_path / "bad")
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    assert_equal(dict(model.state_dict()), watch.after[2])
    assert saved(tmp_path / "bad") == ["last-step=2.ckpt"]
    loaded = lightning_gans.load(tmp_path / "bad")
    assert type(loaded) is kind
    assert_equal(dict(loaded.state_dict()), watch.after[2])


def test_what_rounding_does_to_an_image_is_no_error(tmp_path: Path) -> None:
    x = images(1)[0]
    x[0, 0, 0, :2] = torch.tensor([1 + 1e-6, -1 - 1e-6])
    assert len(fit(tiny(DLSGAN), [x], tmp_path).after) == 2


def test_points_may_lie_anywhere_but_not_nowhere(tmp_path: Path) -> None:
    model = DLSGAN(image_shape=(2,), latent_dim=2)
    far = torch.tensor([[300.0, -40.0], [0.0, 0.0]])
    assert len(fit(model, [far], tmp_path / "far").after) == 2
    far[0, 1] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit(model, [far], tmp_path / "nowhere")


@pytest.mark.parametrize("kind", [ACGAN, AEDLSGAN, CAGAN, Classifier])
def test_labels_out_of_range_are_refused_in_training(
    kind: type[ACGAN] | type[AEDLSGAN] | type[CAGAN] | type[Classifier],
) -> None:
    model = kind((2,), (3,))
    before = copy.deepcopy(model.state_dict())
    pairs = [(torch.randn(4, 2), torch.tensor([0, 1, 2, 3]))]
    with pytest.raises(InputError, match="expected classes 0 to 2 of label 0, got 0 to 3"):
        trainer().fit(model, one_by_one(pairs))
    assert_equal(dict(model.state_dict()), dict(before))


@pytest.mark.parametrize(
    ("kind", "size", "words"),
    [
        (PVDGAN, 1, r"got a batch of 1; choose a data\.batch_size of at least 2"),
        (VAEGAN, 5, r"got a batch of 5; choose an even data\.batch_size"),
        (VAEGAN, 1, r"got a batch of 1; choose an even data\.batch_size"),
    ],
)
def test_a_batch_that_cannot_be_halved(kind: Kind, size: int, words: str, tmp_path: Path) -> None:
    model, data = tiny(kind), images(1)
    watch = fit(copy.deepcopy(model), data, tmp_path / "good")
    with pytest.raises(ValueError, match=words):
        fit(model, [*data, *images(1, size)], tmp_path / "bad")
    assert_equal(dict(model.state_dict()), watch.after[1])
    assert saved(tmp_path / "bad") == ["last-step=1.ckpt"]
    assert_equal(dict(lightning_gans.load(tmp_path / "bad").state_dict()), watch.after[1])


@pytest.mark.parametrize("kind", KINDS)
def test_latents_that_cannot_be_decoded(kind: Kind) -> None:
    model = tiny(kind)
    for wrong in (torch.zeros(2, LATENT + 1), torch.zeros(LATENT), torch.zeros(2, 1, LATENT)):
        shape = ", ".join(map(str, wrong.shape))
        with pytest.raises(ValueError, match=rf"latents of shape \(n, 3\), got \({shape},?\)"):
            model.decode(wrong)
    for value in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="expected latents of finite numbers"):
            model.decode(torch.full((2, LATENT), value))


@pytest.mark.parametrize("kind", INVERTING)
@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_images_that_cannot_be_encoded(kind: Kind, method: str) -> None:
    ask = getattr(tiny(kind), method)
    for wrong in (torch.zeros(2, 1, 5, 4), torch.zeros(1, 4, 4), torch.zeros(2, 16)):
        with pytest.raises(ValueError, match=r"expected images of shape \(n, 1, 4, 4\), got \("):
            ask(wrong)
    with pytest.raises(ValueError, match=r"in \[-1, 1\], got values from 0 to 255; scale"):
        ask(torch.tensor([0.0, 255.0] * 8).view(1, *SHAPE))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ask(torch.full((1, *SHAPE), torch.nan))
    assert len(ask(torch.zeros(0, *SHAPE))) == 0


class Explodes(NonSaturating):
    """Infinite for one player, and sound for the other, from an iteration on."""

    def __init__(self, player: str, iteration: int) -> None:
        self.player, self.left = player, iteration

    def _countdown(self, player: str, values: Tensor) -> Tensor:
        if player == self.player:
            self.left -= 1
        return values + torch.inf if self.left <= 0 and player == self.player else values

    def real(self, score: Tensor) -> Tensor:
        return self._countdown("discriminator", super().real(score))

    def generator(self, score: Tensor) -> Tensor:
        return self._countdown("generator", super().generator(score))


@pytest.mark.parametrize("kind", [DLSGAN, VAEGAN])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_loss_that_grows_infinite_is_named_and_reaches_no_weight(
    kind: Kind, player: str, tmp_path: Path
) -> None:
    model, good = tiny(kind), tiny(kind)
    watch = fit(good, images(3), tmp_path / "good")
    model.loss = Explodes(player, iteration=3)
    words = f"'{player}/adversarial' became inf in iteration 3"
    with pytest.raises(NonFiniteLoss, match=words) as caught:
        fit(model, images(4), tmp_path / "bad", every=1)
    assert "\n" not in str(caught.value)

    # the player whose loss it was has not moved; the other one perhaps
    for name, value in model.state_dict().items():
        if name.startswith("discriminator.") == (player == "discriminator"):
            assert torch.equal(value, watch.after[2][name]), name
    # the last good state and what was found are both there, and both hold numbers
    kept = ["last-step=1.ckpt", "last-step=2.ckpt"]
    assert saved(tmp_path / "bad") == ["failed-step=2.ckpt", *kept]
    assert_equal(dict(lightning_gans.load(tmp_path / "bad").state_dict()), watch.after[2])
    failed = lightning_gans.load(tmp_path / "bad" / "checkpoints" / "failed-step=2.ckpt")
    assert_equal(dict(failed.state_dict()), dict(model.state_dict()))
    assert all(value.isfinite().all() for value in failed.state_dict().values())


@pytest.mark.parametrize("kind", [GAN, PVDGAN, InfoGAN])
def test_a_weight_that_is_no_number_is_found_by_the_loss(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(batch: Any, batch_idx: int) -> None:
        if batch_idx == 2:
            head = model.get_submodule("discriminator.heads.score")
            assert isinstance(head.weight, Tensor)
            head.weight.data[0, 0] = torch.nan

    model, watch = tiny(kind), Watch()
    # called after the callbacks, which save what the iteration before has made
    monkeypatch.setattr(model, "on_train_batch_start", spoil)
    options = {"enable_checkpointing": True, "callbacks": [watch, Checkpoint(every=1)]}
    pairs = [(x, torch.zeros(len(x))) for x in images(4)]
    with pytest.raises(
        NonFiniteLoss, match="'discriminator/adversarial' became nan in iteration 3"
    ):
        trainer(default_root_dir=tmp_path, **options).fit(model, one_by_one(pairs))
    # nothing but the one weight has changed, and the good state is what is loaded
    good = lightning_gans.load(tmp_path)
    assert_equal(dict(good.state_dict()), watch.after[2])
    different = [
        name
        for name, value in model.state_dict().items()
        if not torch.equal(value, watch.after[2][name])
    ]
    assert different == ["discriminator.heads.score.weight"]


def test_the_term_that_is_no_number_is_the_one_that_is_named(tmp_path: Path) -> None:
    """The head of the code is spoilt: the adversarial loss and its penalty are sound."""
    model = tiny(DLSGAN)
    with torch.no_grad():
        model.get_parameter("discriminator.heads.code.bias")[1] = torch.inf
    with pytest.raises(NonFiniteLoss, match="'discriminator/latent' became inf in iteration 1"):
        fit(model, images(1), tmp_path)


def test_a_prior_that_a_method_cannot_use_is_one_line() -> None:
    with pytest.raises(ValueError, match="GAN has no encoder, whose codes a DynamicScale"):
        GAN(SHAPE, latent_dim=LATENT, prior=DynamicScale)
    with pytest.raises(ValueError, match=r"VAEGAN.* N\(0, 1\), got the prior Uniform"):
        VAEGAN(SHAPE, latent_dim=LATENT, prior=Uniform)
