"""Networks: shapes, published widths, heads, gradients, and how YAML names them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import pytest
import torch
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.networks import (
    BlurredDiscriminator,
    BlurredGenerator,
    ConvDiscriminator,
    ConvGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    DiscriminatorFactory,
    DiscriminatorOutput,
    GeneratorFactory,
    InstanceNormDiscriminator,
    InstanceNormGenerator,
    MLPDiscriminator,
    MLPGenerator,
    PixelShuffleGenerator,
    PlainDiscriminator,
    PlainGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
    SkipDiscriminator,
    SkipGenerator,
    SmallDiscriminator,
    SmallGenerator,
    StyleDiscriminator,
    StyleGenerator,
    WGANCritic,
    WGANGenerator,
)
from lightning_gans.networks.layers import Blur
from lightning_gans.networks.skip import DownBlock

Discriminator: TypeAlias = (
    BlurredDiscriminator
    | ConvDiscriminator
    | DCGANDiscriminator
    | InstanceNormDiscriminator
    | MLPDiscriminator
    | PlainDiscriminator
    | ResidualDiscriminator
    | SkipDiscriminator
    | SmallDiscriminator
    | StyleDiscriminator
    | WGANCritic
)


class Pair(NamedTuple):
    """A generator and its discriminator, small enough to be differentiated in a test."""

    image_shape: tuple[int, ...]
    generator: Callable[[], nn.Module]
    discriminator: Callable[[int, int], Discriminator]


PAIRS = {
    "mlp": Pair(
        (2,),
        lambda: MLPGenerator(5, (2,), width=16),
        lambda scores, code_dim: MLPDiscriminator((2,), scores, code_dim, width=16),
    ),
    "conv": Pair(
        (1, 16, 16),
        lambda: ConvGenerator(5, (1, 16, 16), channels=4),
        lambda scores, code_dim: ConvDiscriminator((1, 16, 16), scores, code_dim, channels=4),
    ),
    "skip": Pair(
        (3, 32, 32),
        lambda: SkipGenerator(5, (3, 32, 32), channels=4),
        lambda scores, code_dim: SkipDiscriminator(
            (3, 32, 32), scores, code_dim, channels=4, hidden=16
        ),
    ),
    "residual": Pair(
        (3, 16, 16),
        lambda: ResidualGenerator(5, (3, 16, 16), channels=4, hidden=16),
        lambda scores, code_dim: ResidualDiscriminator(
            (3, 16, 16), scores, code_dim, channels=4, hidden=16
        ),
    ),
    "small": Pair(
        (1, 8, 12),
        lambda: SmallGenerator(5, (1, 8, 12), channels=4),
        lambda scores, code_dim: SmallDiscriminator((1, 8, 12), scores, code_dim, channels=4),
    ),
    "blurred": Pair(
        (3, 16, 16),
        lambda: BlurredGenerator(5, (3, 16, 16), channels=4),
        lambda scores, code_dim: BlurredDiscriminator((3, 16, 16), scores, code_dim, channels=4),
    ),
    "plain": Pair(
        (3, 16, 16),
        lambda: PlainGenerator(5, (3, 16, 16), channels=4),
        lambda scores, code_dim: PlainDiscriminator((3, 16, 16), scores, code_dim, channels=4),
    ),
    "style": Pair(
        (3, 16, 16),
        lambda: StyleGenerator(5, (3, 16, 16), channels=4),
        lambda scores, code_dim: StyleDiscriminator(
            (3, 16, 16), scores, code_dim, channels=4, max_channels=16
        ),
    ),
    "instance norm": Pair(
        (1, 8, 12),
        lambda: InstanceNormGenerator(5, (1, 8, 12), channels=2),
        lambda scores, code_dim: InstanceNormDiscriminator(
            (1, 8, 12), scores, code_dim, channels=2
        ),
    ),
    "wgan": Pair(
        (1, 16, 16),
        lambda: WGANGenerator(5, (1, 16, 16), channels=4),
        lambda scores, code_dim: WGANCritic((1, 16, 16), scores, code_dim, channels=4),
    ),
    "dcgan": Pair(
        (3, 16, 16),
        lambda: DCGANGenerator(5, (3, 16, 16), channels=4),
        lambda scores, code_dim: DCGANDiscriminator((3, 16, 16), scores, code_dim, channels=4),
    ),
    "shuffle": Pair(
        (3, 32, 32),
        lambda: PixelShuffleGenerator(5, (3, 32, 32), channels=4),
        lambda scores, code_dim: DCGANDiscriminator((3, 32, 32), scores, code_dim, channels=4),
    ),
}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
every_plain_pair = pytest.mark.parametrize(
    "pair", [PAIRS[name] for name in PAIRS if name not in {"dcgan", "shuffle"}]
)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def judge(discriminator: nn.Module, x: Tensor) -> DiscriminatorOutput:
    output = discriminator(x)
    assert isinstance(output, DiscriminatorOutput)
    return output


# shapes


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize(
    ("generator", "discriminator", "side"),
    [(ConvGenerator, ConvDiscriminator, 2**i) for i in range(4, 9)]
    + [(SkipGenerator, SkipDiscriminator, 2**i) for i in range(5, 11)]
    + [(ResidualGenerator, ResidualDiscriminator, 2**i) for i in range(4, 9)]
    + [(BlurredGenerator, BlurredDiscriminator, 2**i) for i in range(4, 9)]
    + [(PlainGenerator, PlainDiscriminator, 2**i) for i in range(4, 9)]
    + [(StyleGenerator, StyleDiscriminator, 2**i) for i in range(4, 9)]
    + [(DCGANGenerator, DCGANDiscriminator, 2**i) for i in range(4, 9)]
    + [(PixelShuffleGenerator, DCGANDiscriminator, 2**i) for i in range(4, 9)]
    + [(WGANGenerator, WGANCritic, 2**i) for i in range(4, 9)]
    + [(SmallGenerator, SmallDiscriminator, side) for side in (4, 28, 32)]
    + [(InstanceNormGenerator, InstanceNormDiscriminator, side) for side in (8, 28, 32)]
    + [(MLPGenerator, MLPDiscriminator, 28)],
)
def test_images_of_every_side(
    generator: GeneratorFactory, discriminator: DiscriminatorFactory, side: int, colours: int
) -> None:
    shape = (colours, side, side)
    with torch.device("meta"):
        x = generator(7, shape)(torch.empty(3, 7))
        output = judge(discriminator(shape, 2, 7), x)
    assert x.shape == (3, *shape)
    assert output.score.shape == (3, 2)
    assert output.code.shape == (3, 7)


def test_points() -> None:
    x = MLPGenerator(7, (2,))(torch.randn(3, 7))
    assert x.shape == (3, 2)
    assert judge(MLPDiscriminator((2,)), x).features.shape == (3, 512)


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 32, 64), (32, 32), (2,), (1, 8, 8)])
@pytest.mark.parametrize(
    "network", [ConvGenerator, SkipGenerator, ResidualGenerator, DCGANGenerator, WGANGenerator]
)
def test_other_shapes_are_refused_in_one_line(
    network: GeneratorFactory, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"32, 64, 128, 256.*got") as refusal:
        network(5, shape)
    assert str(shape) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("shape", [(1, 28, 30), (1, 2, 4), (28, 28), (2,), (1, 6, 28)])
@pytest.mark.parametrize("network", [SmallDiscriminator, lambda shape: SmallGenerator(5, shape)])
def test_sides_without_a_quarter_are_refused(
    network: Callable[[tuple[int, ...]], nn.Module], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"multiples of 4.*got \(") as refusal:
        network(shape)
    assert str(shape) in str(refusal.value)


@pytest.mark.parametrize("channels", [0, -4])
def test_networks_without_width_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=f"channels: expected .* from 1 to 65,536, got {channels}"):
        ConvDiscriminator((1, 32, 32), channels=channels)
    with pytest.raises(ValueError, match=f"width: expected .* from 1 to 65,536, got {channels}"):
        MLPGenerator(5, (2,), width=channels)
    with pytest.raises(ValueError, match=f"channels: expected .* from 1 to 65,536, got {channels}"):
        SmallGenerator(5, (1, 28, 28), channels=channels)


# widths


def test_mlp_has_the_published_layers() -> None:
    shapes = [tuple(p.shape) for p in MLPGenerator(256, (2,)).parameters() if p.dim() == 2]
    assert shapes == [(512, 256), (512, 512), (512, 512), (512, 512), (2, 512)]
    shapes = [tuple(p.shape) for p in MLPDiscriminator((2,), 16).parameters() if p.dim() == 2]
    assert shapes == [(512, 2), (512, 512), (512, 512), (512, 512), (16, 512)]


def test_conv_widths_double_towards_the_bottom_up_to_the_widest() -> None:
    with torch.device("meta"):
        generator = ConvGenerator(100, (3, 128, 128), channels=16, max_channels=128)
        discriminator = ConvDiscriminator((3, 128, 128), 2, channels=16, max_channels=128)
    # a transposed convolution keeps (in, out, 4, 4), a convolution (out, in, 4, 4)
    widths = [(128, 128), (128, 128), (128, 64), (64, 32), (32, 16)]
    kernels = [tuple(p.shape) for p in generator.parameters()]
    assert kernels[0] == (256, 100)
    assert kernels[2] == (128 * 4 * 4, 256)
    assert [k for k in kernels if len(k) == 4] == [*((*w, 4, 4) for w in widths), (3, 16, 1, 1)]
    kernels = [tuple(p.shape) for p in discriminator.parameters()]
    widths = [(32, 3), (64, 32), (128, 64), (128, 128), (128, 128)]
    assert [k for k in kernels if len(k) == 4] == [(*w, 4, 4) for w in widths]
    assert (256, 128 * 4 * 4) in kernels
    assert kernels[-2] == (2, 256)


def test_skip_generator_has_the_published_widths() -> None:
    with torch.device("meta"):
        generator = SkipGenerator(1024, (3, 256, 256))
    dense = 1024 * 2056 + 2056 + 2056 * 8192 + 8192
    steps = [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64)]
    up = sum(9 * wide * width + width for wide, width in steps)
    convolutions = sum(9 * width * width + width for _, width in steps)
    draw = 3 * (512 + 512 + 512 + 512 + 256 + 128 + 64) + 3
    assert count(generator) == dense + up + convolutions + draw


def test_skip_discriminator_has_the_published_widths() -> None:
    with torch.device("meta"):
        discriminator = SkipDiscriminator((3, 256, 256), scores=1, code_dim=1024)
    read = 3 * 64 + 64
    steps = [(64, 64), (64, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    convolutions = sum(9 * narrow * width + width for narrow, width in steps)
    down = sum(9 * width * width + width for _, width in steps)
    skips = sum(3 * width for _, width in steps)
    dense = 8192 * 2056 + 2056
    heads = 2056 + 1 + 2056 * 1024 + 1024
    assert count(discriminator) == read + convolutions + down + skips + dense + heads


# what they compute


def test_mlp_computes_its_layers() -> None:
    torch.manual_seed(0)
    generator = MLPGenerator(5, (2, 3), width=16, depth=2)
    parameters = list(generator.parameters())
    x = z = torch.randn(4, 5)
    for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        nn.init.normal_(bias)
        x = x @ weight.T / math.sqrt(weight.shape[1]) + bias
        x = torch.where(x > 0, x, 0.2 * x)
    truth = (x @ parameters[-2].T / 4 + parameters[-1]).reshape(4, 2, 3)
    torch.testing.assert_close(generator(z), truth)


def test_skip_generator_adds_the_images_of_all_resolutions() -> None:
    torch.manual_seed(0)
    generator, blur = SkipGenerator(5, (1, 32, 32), channels=4), Blur()
    nn.init.constant_(generator.bias, 0.5)
    x = generator.dense(z := torch.randn(2, 5))
    images = [generator.draw[0](x)]
    for block, draw in zip(generator.blocks, generator.draw[1:], strict=True):
        images.append(draw(x := block(x)))
    assert [image.shape[-1] for image in images] == [4, 8, 16, 32]
    for i, image in enumerate(images):
        for _ in range(3 - i):
            image = blur.up(image)  # noqa: PLW2901
        images[i] = image
    torch.testing.assert_close(generator(z), torch.stack(images).sum(0) + 0.5)


def test_skip_discriminator_joins_the_halved_image_to_every_block() -> None:
    torch.manual_seed(0)
    discriminator, blur = SkipDiscriminator((1, 32, 32), channels=4, hidden=16), Blur()
    for parameter in discriminator.parameters():
        nn.init.normal_(parameter)
    image = x = torch.randn(2, 1, 32, 32)
    y = discriminator.read(x)
    for block in discriminator.blocks:
        assert isinstance(block, DownBlock)
        image = blur.down(image)
        first, second = block.main[0], block.main[2]
        main = second(functional.leaky_relu(first(y), 0.2))
        y = functional.leaky_relu((main + block.skip(image)) / 2**0.5 + block.bias, 0.2)
    assert y.shape == (2, 16, 4, 4)
    torch.testing.assert_close(discriminator(x).features, discriminator.dense(y))


def test_conv_networks_keep_the_size_of_signals_at_the_start() -> None:
    torch.manual_seed(0)
    energies: list[float] = []

    def note(_: nn.Module, __: tuple[Tensor, ...], y: Tensor) -> None:
        energies.append(y[..., 1:-1, 1:-1].square().mean().item() if y.dim() == 4 else 1.0)

    generator = ConvGenerator(256, (1, 64, 64))
    discriminator = ConvDiscriminator((1, 64, 64))
    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, nn.LeakyReLU):
            module.register_forward_hook(note)
    generator(torch.randn(32, 256))
    discriminator(torch.randn(32, 1, 64, 64))
    assert len(energies) == 2 + 4 + 4 + 1
    assert all(0.6 < energy < 1.4 for energy in energies), energies


@every_pair
def test_samples_of_a_batch_do_not_see_each_other(pair: Pair) -> None:
    torch.manual_seed(0)
    # with batch norm they do in training
    generator, discriminator = pair.generator().eval(), pair.discriminator(2, 5).eval()
    z = torch.randn(3, 5)
    x = generator(z)
    torch.testing.assert_close(x[1:2], generator(z[1:2]))
    for whole, alone in zip(judge(discriminator, x), judge(discriminator, x[1:2]), strict=True):
        torch.testing.assert_close(whole[1:2], alone)


@pytest.mark.parametrize("name", ["mlp", "skip", "residual", "blurred", "small"])
def test_output_is_not_bounded(name: str) -> None:
    torch.manual_seed(0)
    generator = PAIRS[name].generator().double()
    z = torch.randn(4, 5, dtype=torch.float64)
    # biases start at 0 and leaky rectifiers scale with their input
    torch.testing.assert_close(generator(100 * z), 100 * generator(z))


def test_conv_output_is_bounded_as_images_are() -> None:
    torch.manual_seed(0)
    x = PAIRS["conv"].generator()(100 * torch.randn(4, 5))
    assert 0.99 < x.abs().max() <= 1


# heads


@every_plain_pair
@pytest.mark.parametrize(("scores", "code_dim"), [(1, 0), (0, 5), (4, 0), (1, 5)])
def test_only_the_heads_asked_for_exist(pair: Pair, scores: int, code_dim: int) -> None:
    discriminator = pair.discriminator(scores, code_dim)
    output = judge(discriminator, torch.randn(3, *pair.image_shape))
    assert output.score.shape == ((3,) if scores == 1 else (3, scores))
    assert output.code.shape == (3, code_dim)
    extra = count(discriminator) - count(pair.discriminator(0, 0))
    assert extra == (output.features.shape[1] + 1) * (scores + code_dim)


@every_pair
def test_heads_read_the_features(pair: Pair) -> None:
    torch.manual_seed(0)
    discriminator = pair.discriminator(1, 5)
    x = torch.randn(3, *pair.image_shape)
    output = judge(discriminator, x)
    again = discriminator.heads(output.features)
    torch.testing.assert_close(again.score, output.score)
    torch.testing.assert_close(again.code, output.code)
    first = next(discriminator.parameters())
    # everything that the heads know of x passes through these features
    through = torch.autograd.grad(output.score.sum(), output.features, retain_graph=True)
    (by_features,) = torch.autograd.grad(output.features, first, through, retain_graph=True)
    (direct,) = torch.autograd.grad(output.score.sum(), first)
    assert direct.any()
    torch.testing.assert_close(by_features, direct)


# gradients


@every_pair
def test_every_parameter_of_both_networks_receives_a_gradient(pair: Pair) -> None:
    torch.manual_seed(0)
    generator, discriminator = pair.generator(), pair.discriminator(1, 5)
    output = judge(discriminator, generator(torch.randn(4, 5)))
    parameters = {
        **dict(generator.named_parameters("generator")),
        **dict(discriminator.named_parameters("discriminator")),
    }
    gradients = torch.autograd.grad(
        output.score.sum() + output.code.sum(), list(parameters.values()), allow_unused=True
    )
    for name, gradient in zip(parameters, gradients, strict=True):
        assert gradient is not None, name
        assert gradient.any(), name


@every_plain_pair
def test_gradient_penalty_can_be_differentiated(pair: Pair) -> None:
    torch.manual_seed(0)
    discriminator = pair.discriminator(1, 0).double()
    x = torch.randn(4, *pair.image_shape, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        score = judge(discriminator, x).score.sum()
        (slope,) = torch.autograd.grad(score, x, create_graph=True)
        return slope.square().sum()

    # the slope of a piecewise linear function does not depend on its biases
    weights = {n: p for n, p in discriminator.named_parameters() if n.endswith("weight")}
    gradients = torch.autograd.grad(penalty(), list(weights.values()))
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        direction, step = torch.randn_like(weight), 1e-6
        weight.data.add_(direction, alpha=step)
        above = penalty().item()
        weight.data.sub_(direction, alpha=2 * step)
        below = penalty().item()
        weight.data.add_(direction, alpha=step)
        slope = (above - below) / (2 * step)
        assert abs(slope) > 1e-5 * above, name
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4), name


# how YAML and the command line name them


class Model:
    """Stands for a model: it fills in what it knows, the user fills in the rest."""

    def __init__(
        self,
        generator: GeneratorFactory = ConvGenerator,
        discriminator: DiscriminatorFactory = ConvDiscriminator,
    ) -> None:
        self.generator = generator(latent_dim=5, image_shape=(1, 16, 16))
        self.discriminator = discriminator(image_shape=(1, 16, 16), scores=2, code_dim=5)


def build(*arguments: str, **settings: object) -> Model:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Model, "model")
    config = parser.parse_object({"model": settings}) if settings else parser.parse_args(arguments)
    model = parser.instantiate(config).model
    assert isinstance(model, Model)
    return model


CONV = "lightning_gans.networks.ConvGenerator"
MLP = "lightning_gans.networks.MLPDiscriminator"


@pytest.mark.parametrize(
    ("built", "generator", "discriminator"),
    [
        (build, ConvGenerator, ConvDiscriminator),
        (lambda: build(discriminator=MLP), ConvGenerator, MLPDiscriminator),
        (lambda: build(f"--model.discriminator={MLP}"), ConvGenerator, MLPDiscriminator),
    ],
    ids=["default", "yaml", "command line"],
)
def test_a_class_path_is_a_factory(
    built: Callable[[], Model], generator: type[nn.Module], discriminator: type[nn.Module]
) -> None:
    model = built()
    assert type(model.generator) is generator
    assert type(model.discriminator) is discriminator
    assert judge(model.discriminator, model.generator(torch.randn(3, 5))).score.shape == (3, 2)


@pytest.mark.parametrize(
    "built",
    [
        lambda: build(generator={"class_path": CONV, "init_args": {"channels": 3}}),
        lambda: build(f"--model.generator={CONV}", "--model.generator.channels=3"),
        lambda: build("--model.generator.channels=3"),
    ],
    ids=["yaml", "command line", "of the default"],
)
def test_settings_of_a_factory_are_filled_in(built: Callable[[], Model]) -> None:
    assert count(built().generator) == count(ConvGenerator(5, (1, 16, 16), channels=3))


def test_a_misspelt_setting_is_named() -> None:
    with pytest.raises(ArgumentError, match="'chanels' is not accepted"):
        build(generator={"class_path": CONV, "init_args": {"chanels": 3}})
