"""The thesis's networks, written out once more in plain functions; published sizes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_gans import networks
from lightning_gans.models import CGPGAN
from lightning_gans.networks import (
    BlurredDiscriminator,
    BlurredGenerator,
    CodebookDiscriminator,
    CodebookGenerator,
    MLPGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
    SkipDiscriminator,
    SmallDiscriminator,
    SmallGenerator,
)
from lightning_gans.networks.layers import (
    Blur,
    DownConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    UpConv2d,
)
from lightning_gans.networks.pyramid import BOTTOM
from lightning_gans.networks.residual_block import Residual
from lightning_gans.signatures import CONFIGS


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


# digits


def test_small_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        generator = SmallGenerator(256, (1, 28, 28), (32,))
        discriminator = SmallDiscriminator((1, 28, 28), 32)
        hidden = SmallDiscriminator((1, 28, 28), 1, 10, hidden=512)
    assert count(generator) == 5_494_273
    assert count(discriminator) == 2_500_256
    dense = 7 * 7 * 256 * 512 + 512
    assert count(hidden) == 2_500_256 - (7 * 7 * 256 + 1) * 32 + dense + 513 * 11
    assert [m.out_channels for m in small_layers(generator)] == [256] * 3 + [128] * 3 + [1]
    widths = [m.out_channels for m in small_layers(discriminator)]
    assert widths == [128] * 4 + [256] * 4


class Seen:
    """A layer of the small networks: what it is and its width."""

    def __init__(self, layer: UpConv2d | DownConv2d | EqualizedConv2d) -> None:
        self.layer, self.out_channels = layer, layer.weight.shape[0]
        self.kernel_size = layer.weight.shape[-1]


def small_layers(network: nn.Module) -> list[Seen]:
    kinds = (UpConv2d, DownConv2d, EqualizedConv2d)
    return [Seen(m) for m in network.modules() if isinstance(m, kinds)]


def test_small_generator_computes_its_layers() -> None:
    torch.manual_seed(0)
    generator = SmallGenerator(5, (3, 8, 12), channels=2)
    layers = small_layers(generator)
    assert [type(m.layer) for m in layers] == [UpConv2d, EqualizedConv2d, EqualizedConv2d] * 2 + [
        EqualizedConv2d
    ]
    assert [m.kernel_size for m in layers] == [2, 3, 3, 2, 3, 3, 1]
    z = torch.randn(4, 5)
    (dense,) = (m for m in generator.modules() if isinstance(m, EqualizedLinear))
    x = leaky(dense(z)).reshape(4, 4, 2, 3)
    for seen in layers[:-1]:
        x = leaky(seen.layer(x))
    torch.testing.assert_close(generator(z), layers[-1].layer(x))


@pytest.mark.parametrize("hidden", [None, 7])
def test_small_discriminator_computes_its_layers(hidden: int | None) -> None:
    torch.manual_seed(0)
    discriminator = SmallDiscriminator((3, 8, 12), channels=2, hidden=hidden)
    layers = small_layers(discriminator)
    plain, down = EqualizedConv2d, DownConv2d
    kinds = [plain, plain, plain, down, plain, plain, down, plain]
    assert [type(m.layer) for m in layers] == kinds
    assert [m.kernel_size for m in layers] == [1, 3, 3, 2, 3, 3, 2, 3]
    x = y = torch.randn(4, 3, 8, 12)
    for seen in layers:
        y = leaky(seen.layer(y))
    assert y.shape == (4, 4, 2, 3)
    dense = [m for m in discriminator.modules() if isinstance(m, EqualizedLinear)]
    y = y.flatten(1)
    if hidden is not None:
        y = leaky(dense[0](y))
    torch.testing.assert_close(discriminator(x).features, y)
    torch.testing.assert_close(discriminator(x).score, dense[-1](y)[:, 0])


# animal faces


def test_residual_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        generator = ResidualGenerator(1024, (3, 256, 256), (10,))
        discriminator = ResidualDiscriminator((3, 256, 256), 10)
        beside = CodebookDiscriminator((3, 256, 256), 256)
        without_pages = ResidualGenerator(
            1024, (3, 256, 256), (16,) * 16, bottom_channels=1024, hidden=None
        )
    steps = [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]
    up = sum(9 * a * b + b + 9 * b * b + b + 4 * a * b for a, b in steps) + 64 * 3 + 3
    dense = 1034 * 2048 + 2048 + 2048 * 8192 + 8192
    assert count(generator) == dense + up
    wider = 13 * 512 * 512  # of the first block, which meets 1024 maps
    assert count(without_pages) == (1024 + 256 + 1) * 16384 + up + wider
    steps = [(64, 64), (64, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    down = sum(9 * a * b + b + 9 * b * b + b + 4 * a * b for a, b in steps) + 4 * 64
    dense = 8192 * 2048 + 2048 + 2049 * 10
    assert count(discriminator) == down + 9 * 512 * 512 + 512 + dense
    dense = 16384 * 512 + 512 + 513 * 256
    assert count(beside) == down + 9 * 512 * 1024 + 1024 + dense


@pytest.mark.parametrize(("labels", "classes"), [(4, 4), (4, 8), (16, 16), (32, 32)])
def test_the_discriminator_of_a_codebook_grows_with_its_pages(labels: int, classes: int) -> None:
    pages = labels * classes
    with torch.device("meta"):
        discriminator = CodebookDiscriminator((3, 256, 256), pages)
        without_heads = ResidualDiscriminator((3, 256, 256), 0, bottom_channels=1024, hidden=None)
    # 4 x 4 x 1024 features, two units for each page, and a score for each
    dense = (16384 + 1) * 2 * pages + (2 * pages + 1) * pages
    assert count(discriminator) == count(without_heads) + dense


def test_a_book_of_another_size_changes_the_published_discriminator() -> None:
    settings = yaml.safe_load((CONFIGS / "experiment" / "codebook_afhq.yaml").read_text())
    assert settings["model"]["init_args"]["discriminator"].endswith(".CodebookDiscriminator")
    model = CGPGAN(
        (3, 16, 16),
        latent_dim=2,
        num_categories=3,
        num_labels=5,
        generator=partial(CodebookGenerator, channels=5),
        discriminator=partial(CodebookDiscriminator, channels=5),
    )
    features = model.discriminator(torch.zeros(2, 3, 16, 16)).features
    assert features.shape == (2, 2 * 3 * 5)


@pytest.mark.parametrize("name", ["gan_codebook_afhq", "gan_labels_afhq"])
def test_a_gan_of_many_labels_has_a_discriminator_as_wide_as_that_of_a_codebook(name: str) -> None:
    settings = yaml.safe_load((CONFIGS / "experiment" / f"{name}.yaml").read_text())
    arguments = settings["model"]["init_args"]
    pages = arguments["num_labels"] * arguments["num_categories"]
    with torch.device("meta"):
        published = CodebookDiscriminator((3, 256, 256), pages)
        made = ResidualDiscriminator((3, 256, 256), 1, **arguments["discriminator"]["init_args"])
    # two units for each page; of the scores of the pages, the GAN has one
    assert count(published) - count(made) == (2 * pages + 1) * (pages - 1)


# Gaussian clusters


@pytest.mark.parametrize(
    "name",
    [
        *("acgan_gaussians", "acgan_gaussians_mixed", "acgan_gaussians_pure"),
        *("cagan_gaussians", "cagan_gaussians_pure", "mixed_gaussians"),
    ],
)
def test_discriminators_of_clusters_have_a_fifth_hidden_layer(name: str) -> None:
    settings = yaml.safe_load((CONFIGS / "experiment" / f"{name}.yaml").read_text())
    chosen = settings["model"]["init_args"]["discriminator"]
    if isinstance(chosen, str):
        chosen = {"class_path": chosen, "init_args": {}}
    made = getattr(networks, chosen["class_path"].rpartition(".")[2])
    discriminator = made((2,), 4, 0, **chosen["init_args"])
    # the batch's deviations enter the fifth by weights of their own
    extra = 0 if name in {"acgan_gaussians", "cagan_gaussians"} else 512 * 512
    assert count(discriminator) == (2 + 1) * 512 + 4 * (512 + 1) * 512 + extra + (512 + 1) * 4
    assert count(MLPGenerator(256, (2,), (4,))) == 261 * 512 + 3 * 513 * 512 + 513 * 2


def test_residual_networks_compute_their_layers() -> None:
    torch.manual_seed(0)
    generator = ResidualGenerator(5, (3, 16, 16), channels=2, hidden=6, bottom_channels=3)
    z = torch.randn(4, 5)
    first, second = (m for m in generator.modules() if isinstance(m, EqualizedLinear))
    x = leaky(second(leaky(first(z)))).reshape(4, 3, 4, 4)
    for block in generator.up:
        assert isinstance(block, Residual)
        up, convolution = block.main[0], block.main[2]
        assert isinstance(up, UpConv2d)
        assert isinstance(block.skip, UpConv2d)
        x = (leaky(convolution(leaky(up(x)))) + block.skip(x)) / 2**0.5
    torch.testing.assert_close(generator(z), generator.draw(x))

    discriminator = ResidualDiscriminator((3, 16, 16), 2, channels=2, hidden=6, bottom_channels=3)
    y = x = torch.randn(4, 3, 16, 16)
    read, last = (m for m in discriminator.down if isinstance(m, EqualizedConv2d))
    y = leaky(read(y))
    for down in discriminator.down:
        if isinstance(down, Residual):
            convolution, halve = down.main[0], down.main[2]
            assert isinstance(halve, DownConv2d)
            assert isinstance(down.skip, DownConv2d)
            y = (leaky(halve(leaky(convolution(y)))) + down.skip(y)) / 2**0.5
    y = leaky(last(y)).flatten(1)
    assert y.shape == (4, 3 * 4 * 4)
    (dense,) = (m for m in discriminator.down if isinstance(m, EqualizedLinear))
    torch.testing.assert_close(discriminator(x).features, leaky(dense(y)))


def test_residual_networks_without_hidden_layers() -> None:
    generator = ResidualGenerator(5, (3, 16, 16), channels=2, hidden=None)
    assert sum(isinstance(m, EqualizedLinear) for m in generator.modules()) == 1
    discriminator = ResidualDiscriminator((3, 16, 16), channels=2, hidden=None)
    assert discriminator(torch.zeros(1, 3, 16, 16)).features.shape == (1, 4 * 4 * 4)


# reconstruction


def test_blurred_networks_have_the_published_sizes() -> None:
    with torch.device("meta"):
        generator = BlurredGenerator(1024, (3, 256, 256))
        discriminator = BlurredDiscriminator((3, 256, 256), 1, 2048)
    steps = [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]
    up = sum(9 * a * b + b + 9 * b * b + b + a * b for a, b in steps)
    assert count(generator) == 1024 * 8192 + 512 + up + 64 * 3 + 3
    steps = [(64, 64), (64, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    down = sum(9 * a * b + b + 9 * b * b + b + a * b for a, b in steps)
    assert count(discriminator) == 64 * 3 + 64 + down + 8193 * 2049


def test_blurred_networks_compute_their_layers() -> None:
    torch.manual_seed(0)
    generator, blur = BlurredGenerator(5, (3, 16, 16), channels=2), Blur()
    nn.init.normal_(generator.bias)
    z = torch.randn(4, 5)
    (dense,) = (m for m in generator.modules() if isinstance(m, EqualizedLinear))
    x = leaky((z @ dense.weight.T / 5**0.5).reshape(4, 4, 4, 4) + generator.bias)
    for block in generator.blocks:
        x = residual(block, blur.up(x))
    torch.testing.assert_close(generator(z), generator.draw(x))

    discriminator = BlurredDiscriminator((3, 16, 16), channels=2)
    x = torch.randn(4, 3, 16, 16)
    y = leaky(discriminator.read[0](x))
    for block in discriminator.blocks:
        y = blur.down(residual(block, y))
    assert y.shape == (4, 4, 4, 4)
    torch.testing.assert_close(discriminator(x).features, y.flatten(1))


def residual(block: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(block, Residual)
    first, second = (m for m in block.main if isinstance(m, EqualizedConv2d))
    y: Tensor = (leaky(second(leaky(first(x)))) + block.skip(x)) / 2**0.5
    return y


class Layouts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations that read feature maps or kernels in two layouts at once, which is slow."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen, self.mixed = 0, list[str]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__
        if name.startswith(("convolution", "leaky_relu_backward", "add.")):
            # at the bottom features are flattened
            read = [a for a in args if isinstance(a, Tensor) and a.dim() == 4 and len(a) > 1]
            read = [a for a in read if a.shape[-1] != BOTTOM or "convolution" in name]
            self.seen += 1
            if len({_is_last(a) for a in read}) > 1:
                self.mixed.append(f"{name} {[(*a.shape, _is_last(a)) for a in read]}")
        return func(*args, **(kwargs or {}))


def _is_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("make", [BlurredDiscriminator, SkipDiscriminator])
def test_a_penalty_copies_no_feature_maps_from_one_layout_to_another(
    make: type[BlurredDiscriminator | SkipDiscriminator],
) -> None:
    torch.manual_seed(0)
    discriminator = make((3, 32, 32), channels=8, max_channels=16)
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    with Layouts() as layouts:
        score = discriminator(x).score.sum()
        (slope,) = torch.autograd.grad(score, x, create_graph=True)
        (slope.square().sum() + score).backward()
    assert layouts.seen > 20
    assert not layouts.mixed
