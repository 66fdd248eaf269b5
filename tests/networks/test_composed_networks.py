"""Networks made of others: separate ones, one that sees its batch, and the standard choice."""

from __future__ import annotations

from functools import partial
from unittest.mock import Mock

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from lightning_gans.networks import (
    BatchStdDiscriminator,
    BatchStdLinear,
    ConditionalGeneratorFactory,
    ConvDiscriminator,
    ConvGenerator,
    DCGANDiscriminator,
    DiscriminatorFactory,
    DiscriminatorOutput,
    GeneratorFactory,
    Heads,
    MLPDiscriminator,
    MLPGenerator,
    Separate,
    SmallDiscriminator,
    build_discriminator,
    build_generator,
)
from lightning_gans.networks.layers import EqualizedLinear

small_trunk = partial(MLPDiscriminator, width=8)


# separate networks


def test_separate_networks_share_no_parameter_and_start_apart() -> None:
    torch.manual_seed(0)
    both = Separate((2,), 3, 3, trunk=small_trunk)
    adversary, encoder = list(both.adversary.parameters()), list(both.encoder.parameters())
    assert len({p.data_ptr() for p in both.parameters()}) == len(adversary) + len(encoder)
    assert [p.shape for p in adversary] == [p.shape for p in encoder]
    weights = [(a, e) for a, e in zip(adversary, encoder, strict=True) if a.dim() == 2]
    assert all((a != e).all() for a, e in weights)


def test_separate_networks_judge_each_for_itself() -> None:
    torch.manual_seed(0)
    both = Separate((1, 16, 16), 2, 5, trunk=partial(ConvDiscriminator, channels=2))
    x = torch.randn(3, 1, 16, 16)
    output, adversary, encoder = both(x), both.adversary(x), both.encoder(x)
    assert isinstance(output, DiscriminatorOutput)
    assert (adversary.code.shape, encoder.score.shape) == ((3, 0), (3, 0))
    assert (output.score.shape, output.code.shape) == ((3, 2), (3, 5))
    torch.testing.assert_close(output.score, adversary.score)
    torch.testing.assert_close(output.features, adversary.features)
    torch.testing.assert_close(output.code, encoder.code)


@pytest.mark.parametrize(("scores", "code_dim"), [(1, 0), (0, 5), (1, -1)])
def test_a_separate_network_without_output_is_refused(scores: int, code_dim: int) -> None:
    name, value = ("code_dim", code_dim) if scores else ("scores", scores)
    with pytest.raises(ValueError, match=f"{name}: expected whole number from 1 .* got {value}"):
        Separate((2,), scores, code_dim)


# statistics of the batch


def test_batch_std_layer_is_its_formula() -> None:
    torch.manual_seed(0)
    layer = BatchStdLinear(3, 2).double()
    nn.init.normal_(layer.bias)
    each, spread, bias = (dict(layer.named_parameters())[n] for n in NAMES)
    x = torch.randn(5, 3, dtype=torch.float64)
    for row, y in zip(x, layer(x), strict=True):
        for i in range(2):
            total = 0.0
            for j in range(3):
                mean = sum(x[:, j].tolist()) / 5
                std = (sum((v - mean) ** 2 for v in x[:, j].tolist()) / 5 + 1e-8) ** 0.5
                total += each[i, j].item() * row[j].item() + spread[i, j].item() * std
            assert y[i].item() == pytest.approx(total / 3**0.5 / 2**0.5 + bias[i].item())


NAMES = ("each.weight", "spread.weight", "bias")


def test_batch_std_layer_has_three_parameters_that_learn() -> None:
    layer = BatchStdLinear(3, 2)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {"each.weight": (2, 3), "spread.weight": (2, 3), "bias": (2,)}
    layer(torch.randn(4, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("rows", [1, 4])
def test_equal_rows_have_a_spread_of_zero_and_a_gradient(rows: int) -> None:
    layer = BatchStdLinear(3, 2).double()
    x = torch.ones(rows, 3, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    truth = (layer.each(x) + layer.spread(torch.full_like(x, 1e-4))) / 2**0.5
    torch.testing.assert_close(y, truth)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, layer.each.weight.sum(0).expand(rows, -1) / 6**0.5)


def test_a_score_depends_on_the_other_rows() -> None:
    torch.manual_seed(0)
    discriminator = BatchStdDiscriminator((2,), trunk=small_trunk, width=4).double()
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(x).score[0], x)
    assert (gradient != 0).all()


def test_batch_std_discriminator_computes_its_layers() -> None:
    torch.manual_seed(0)
    discriminator = BatchStdDiscriminator((2,), 2, 5, trunk=small_trunk, width=4)
    x = torch.randn(3, 2)
    assert list(discriminator.trunk(x).score.shape) == [3, 0]
    y = discriminator.layer(discriminator.trunk(x).features)
    y = torch.where(y > 0, y, 0.2 * y)
    torch.testing.assert_close(discriminator(x).features, y)
    score, code = discriminator.heads.score, discriminator.heads.code
    assert score is not None
    assert code is not None
    torch.testing.assert_close(discriminator(x).score, score(y))
    torch.testing.assert_close(discriminator(x).code, code(y))
    assert isinstance(code, EqualizedLinear)


class Foreign(nn.Module):
    """Somebody's discriminator: batch norm, dropout, one part held still."""

    def __init__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 7))
        self.still = nn.BatchNorm1d(7).eval()
        self.heads = Heads(7, scores, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = self.heads(self.still(self.layers(x)))
        return output


def test_counting_features_leaves_no_trace() -> None:
    torch.manual_seed(0)
    alone, first = Foreign((1, 2, 2), 0, 0), BatchStdLinear(7, 3)
    torch.manual_seed(0)
    discriminator = BatchStdDiscriminator((1, 2, 2), 0, trunk=Foreign, width=3)
    trunk = discriminator.trunk
    assert isinstance(trunk, Foreign)
    # the same draws: dropout has drawn none
    assert torch.equal(discriminator.layer.each.weight, first.each.weight)
    for name, value in alone.state_dict().items():
        assert torch.equal(trunk.state_dict()[name], value), name
    assert trunk.training
    assert all(layer.training for layer in trunk.layers)
    assert not trunk.still.training


@pytest.mark.parametrize(
    ("trunk", "shape", "features"),
    [
        (None, (2,), 512),
        (None, (1, 16, 16), 256),
        (partial(SmallDiscriminator, channels=2), (1, 28, 28), 7 * 7 * 4),
        (partial(DCGANDiscriminator, channels=2), (1, 16, 16), 4 * 4 * 4),
    ],
)
def test_features_of_every_trunk_are_counted(
    trunk: DiscriminatorFactory | None, shape: tuple[int, ...], features: int
) -> None:
    discriminator = BatchStdDiscriminator(shape, trunk=trunk, width=3)
    assert discriminator.layer.each.weight.shape == (3, features)
    assert discriminator(torch.zeros(2, *shape)).features.shape == (2, 3)


# what a model builds


def test_the_standard_networks_follow_the_shape_of_a_sample() -> None:
    assert type(build_generator(None, 5, (1, 16, 16))) is ConvGenerator
    assert type(build_generator(None, 5, (2,))) is MLPGenerator
    assert type(build_discriminator(None, (1, 16, 16), 1, 0)) is ConvDiscriminator
    assert type(build_discriminator(None, (2,), 1, 0)) is MLPDiscriminator
    with pytest.raises(ValueError, match=r"expected \(channels.*got \(4, 4\)"):
        build_generator(None, 5, (4, 4))
    with pytest.raises(ValueError, match=r"expected \(channels.*got \(1, 2, 3, 4\)"):
        build_discriminator(None, (1, 2, 3, 4), 1, 0)


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)])
def test_standard_networks_are_given_all_that_is_known(shape: tuple[int, ...]) -> None:
    x = build_generator(None, 5, shape, (3, 2))(torch.zeros(4, 5), torch.zeros(4, 5))
    assert x.shape == (4, *shape)
    output = build_discriminator(None, shape, 2, 7)(x)
    assert (output.score.shape, output.code.shape) == ((4, 2), (4, 7))


class Plain(nn.Module):
    """Somebody's generator that knows nothing of labels."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()


def test_a_generator_without_labels_needs_two_arguments() -> None:
    factory = Mock(wraps=Plain)
    assert isinstance(build_generator(factory, 5, (2,)), Plain)
    factory.assert_called_once_with(latent_dim=5, image_shape=(2,))
    with pytest.raises(TypeError, match="classes"):
        build_generator(Plain, 5, (2,), (3,))


def test_networks_are_made_by_name() -> None:
    generator, discriminator = Mock(wraps=ConvGenerator), Mock(wraps=ConvDiscriminator)
    build_generator(generator, 5, (1, 16, 16), (3,))
    generator.assert_called_once_with(latent_dim=5, image_shape=(1, 16, 16), classes=(3,))
    build_discriminator(discriminator, (1, 16, 16), 2, 7)
    discriminator.assert_called_once_with(image_shape=(1, 16, 16), scores=2, code_dim=7)


# how YAML names them


class Model:
    """Stands for a model with labels."""

    def __init__(
        self,
        generator: GeneratorFactory | ConditionalGeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
    ) -> None:
        self.generator = build_generator(generator, 5, (1, 16, 16), (3,))
        self.discriminator = build_discriminator(discriminator, (1, 16, 16), 2, 3)


def build(**settings: object) -> Model:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Model, "model")
    model = parser.instantiate(parser.parse_object({"model": settings})).model
    assert isinstance(model, Model)
    return model


def test_parts_of_a_network_are_named_in_yaml() -> None:
    room = "lightning_gans.networks"
    trunk = {"class_path": f"{room}.MLPDiscriminator", "init_args": {"width": 6}}
    model = build(
        generator={"class_path": f"{room}.SmallGenerator", "init_args": {"channels": 3}},
        discriminator={"class_path": f"{room}.Separate", "init_args": {"trunk": trunk}},
    )
    x = model.generator(torch.zeros(2, 5), torch.zeros(2, 3))
    assert x.shape == (2, 1, 16, 16)
    assert isinstance(model.discriminator, Separate)
    for network in (model.discriminator.adversary, model.discriminator.encoder):
        assert isinstance(network, MLPDiscriminator)
        assert network(x).features.shape == (2, 6)
