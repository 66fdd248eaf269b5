"""Recovered digits have the values that numpy and scipy find, and codes that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from lightning_gans.data import MNIST
from lightning_gans.errors import InputError
from lightning_gans.inversion import HardCutoff, Recovery, known_codes
from lightning_gans.models import GAN
from lightning_gans.networks import DiscriminatorOutput
from lightning_gans.priors import Normal, Prior, Uniform
from lightning_gans.reproduce import recoveries
from lightning_gans.reproduce.items import argument, find_item
from lightning_gans.reproduce.recoveries import cell, row
from lightning_gans.rng import stream
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.signatures import CONFIGS
from tests.support.idx import write_digits
from tests.support.recoveries import recovery_of

Floats = npt.NDArray[np.float64]
SIDE, BLOCK = 7, 4
LATENT = SIDE**2
IMAGES = 40
RUN = Path("run")


class Blocks(nn.Module):
    """An image of 7 × 7 blocks, each as grey as an element: any image of `write_digits`."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor) -> Tensor:
        small = self.anchor * z.view(-1, 1, SIDE, SIDE)
        return small.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)


class Brightness(nn.Module):
    """Scores an image by its mean."""

    def __init__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        empty = x.new_zeros(len(x), 0)
        return DiscriminatorOutput(self.anchor * x.mean((1, 2, 3)), empty, empty)


def by_brightness(x: Tensor) -> Tensor:
    """A classifier of digits of 32 × 32: the brighter the inner 28 × 28, the higher the digit."""
    assert x.shape[1:] == (1, 32, 32)
    border = x.clone()
    border[:, :, 2:-2, 2:-2] = -1
    assert (border == -1).all(), "digits have a black border"
    assert x.amin() >= -1
    assert x.amax() <= 1
    return torch.eye(10)[digit_of(x[:, :, 2:-2, 2:-2].mean((1, 2, 3)))]


def digit_of(brightness: Tensor) -> Tensor:
    return ((brightness + 0.25) * 20).long().clamp(0, 9)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of digits, of more test images than are recovered."""
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder, "MNIST", 0, train=8, test=IMAGES + 5)
    return str(folder)


def digits(root: str) -> tuple[Tensor, Tensor]:
    """The first test images (n, 1, 28, 28) and their labels."""
    data = MNIST(root, padding=0)
    data.setup("predict")
    items = [data.validation_set[i] for i in range(IMAGES)]
    return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])


def elements(x: Tensor) -> Tensor:
    """The one code (n, 49) that makes each image."""
    return x[:, 0, ::BLOCK, ::BLOCK].flatten(1)


@pytest.fixture(autouse=True)
def _model(monkeypatch: pytest.MonkeyPatch) -> None:
    models: dict[type[Prior], GAN] = {
        kind: GAN((1, 28, 28), LATENT, Blocks, Brightness, prior=kind).eval()
        for kind in (Normal, Uniform)
    }
    monkeypatch.setattr(
        recoveries, "load", lambda run: models[Uniform if run.name == "uniform" else Normal]
    )
    monkeypatch.setattr(recoveries, "trained_digit_classifier", lambda: by_brightness)


def almost_drawn(prior: Prior, n: int) -> Tensor:
    """Codes that are a little too close to 0."""
    return 0.98 * prior.sample(n, stream("found", 0))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is asked of `recover`, which returns almost draws of the prior."""
    given: dict[str, Any] = {}

    def recover(
        generator: nn.Module,
        x: Tensor,
        prior: Prior,
        regularizer: object = None,
        weight: float = 0.1,
        constraint: object = None,
        **options: object,
    ) -> Recovery:
        given.update(options, x=x, regularizer=regularizer, weight=weight, constraint=constraint)
        codes = almost_drawn(prior, len(x))
        with torch.no_grad():
            return recovery_of(codes, generator(codes))

    monkeypatch.setattr(recoveries, "recover", recover)
    return given


def test_a_cell_has_the_values_that_numpy_and_scipy_find(
    root: str, asked: Mapping[str, Any]
) -> None:
    found = cell(RUN, root, "lr", IMAGES)
    x, y = (values.numpy() for values in digits(root))
    assert np.array_equal(asked["x"].numpy(), x)
    codes = almost_drawn(Normal(LATENT), IMAGES).double().numpy()
    made = codes.reshape(-1, 1, SIDE, SIDE).repeat(BLOCK, 2).repeat(BLOCK, 3)
    brightness = torch.from_numpy(made.clip(-1, 1).mean((1, 2, 3)))
    assert found == {
        "lr.mean": pytest.approx(codes.mean(), abs=1e-6),
        "lr.variance": pytest.approx(codes.var(), rel=1e-5),
        "lr.pvalue": pytest.approx(100 * stats.kstest(codes.ravel(), "norm").pvalue, rel=1e-3),
        "lr.l1": pytest.approx(np.abs(made - x).sum() / IMAGES, rel=1e-5),
        "lr.l2": pytest.approx(((made - x) ** 2).sum() / IMAGES, rel=1e-5),
        "lr.accuracy": pytest.approx(100 * (digit_of(brightness).numpy() == y).mean()),
    }
    assert 0 < found["lr.accuracy"] < 100
    assert 1 < found["lr.pvalue"] < 100


def test_codes_are_tested_against_the_prior_of_their_gan(
    root: str, asked: Mapping[str, Any]
) -> None:
    found = cell(Path("uniform"), root, "lr", IMAGES)["lr.pvalue"]
    codes = almost_drawn(Uniform(LATENT), IMAGES).double().numpy().ravel()
    p = stats.kstest(codes, "uniform", (-1, 2)).pvalue
    assert found == pytest.approx(100 * p, rel=1e-3)
    assert 1 < found < 100


def test_the_settings_of_a_cell_reach_the_descent(root: str, asked: Mapping[str, Any]) -> None:
    cell(RUN, root, "a", 3, 7, 5, 0.25, "z_square", 0.5, "logistic", 3.0, seed=9)
    assert (asked["steps"], asked["restarts"], asked["lr"], asked["seed"]) == (7, 5, 0.25, 9)
    assert (asked["weight"], asked["result"], len(asked["x"])) == (0.5, "best", 3)
    assert asked["shared_step_count"] is False
    probability = asked["constraint"].probability(torch.tensor([[1.0, 3.0]]), Normal(2))
    # the whole probability in each step, not spread over the descent
    assert not asked["constraint"].per_step
    assert probability.tolist()[0] == pytest.approx([1 / (1 + np.e**3), 1 / (1 + np.e**-3)])
    starts = asked["start"].codes(asked["x"], 5, Normal(LATENT), stream("start", 0))
    assert starts.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("number", [8, 22])
def test_the_published_setting_of_a_table_is_that_of_the_published_inversion(
    number: int, root: str, asked: Mapping[str, Any]
) -> None:
    """Of (Cho 2021, section 5.2) and its code, as `inversion=cho_published` has it."""
    item = find_item(f"cho2021-table-{number}")
    published = read_mapping(CONFIGS / "inversion" / "cho_published.yaml")
    variables = {**item.profiles["paper"].variables(), "root": root, "seed": 0, "n": IMAGES}
    measure = next(m for m in item.measures_of("paper") if "regularizer" in m.arguments)
    cell(RUN, **{key: argument(value, variables) for key, value in measure.arguments.items()})
    for key in ("steps", "restarts", "lr", "result", "shared_step_count"):
        assert asked[key] == published[key], key
    assert asked["regularizer"].draws == published["regularizer"]["init_args"]["draws"]


def test_a_row_descends_once_from_zeros_to_its_last_step(
    root: str, asked: Mapping[str, Any]
) -> None:
    found = row(RUN, root, 0.032, (0.32, 3.2), "bhattacharyya", images=3, steps=11)
    assert sorted({name.rpartition(".")[0] for name in found}) == [
        "bhattacharyya.lr_0_032.lambda_0_32",
        "bhattacharyya.lr_0_032.lambda_3_2",
    ]
    assert (asked["steps"], asked["restarts"], asked["lr"]) == (11, 1, 0.032)
    assert (asked["weight"], asked["result"]) == (3.2, "last")
    assert not asked["start"].codes(asked["x"], 1, Normal(LATENT), stream("start", 0)).any()


def test_a_row_without_a_regulariser_is_one_cell(root: str, asked: Mapping[str, Any]) -> None:
    found = row(Path("uniform"), root, 0.1, (1.0, 2.0), resampling="boundary", images=3)
    assert {name.rpartition(".")[0] for name in found} == {"boundary.lr_0_1"}
    assert asked["regularizer"] is None
    outside = asked["constraint"].probability(torch.tensor([[-1.01, -0.5, 1.01]]), Uniform(3))
    assert outside.tolist() == [[1, 0, 1]]
    assert "none.lr_1.l1" in row(RUN, root, 1.0, images=3)
    assert asked["constraint"] is None


def lukaszyk_karmowski(z: Floats) -> float:
    """E|z - A|, mean over elements, of A ~ N(0, 1)."""
    means = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z)
    return float(means.mean())


def normal_form(z: Floats) -> float:
    """Bhattacharyya distance of N(0, 1) from the normal of a code's mean and variance."""
    m, v = z.mean(), z.var()
    return float(m**2 / (v + 1) / 4 + np.log((v + 1) / (2 * np.sqrt(v))) / 2)


QUANTILES = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
PENALTIES: Mapping[str, Callable[[Floats], float]] = {
    "bhattacharyya": lambda z: float(-np.log(np.exp(-(z**2) / 4).sum())),
    "bhattacharyya_normal": normal_form,
    "energy": lambda z: float(stats.energy_distance(z, QUANTILES)),
    "fool": lambda z: float((z.mean() - 1) ** 2),
    "lukaszyk_karmowski": lukaszyk_karmowski,
    "wasserstein": lambda z: float(stats.wasserstein_distance(z, QUANTILES)),
    "z_absolute": lambda z: float(np.abs(z).mean()),
    "z_square": lambda z: float((z**2).mean()),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_each_name_is_the_penalty_of_that_name(
    root: str, name: Any, asked: Mapping[str, Any]
) -> None:
    cell(RUN, root, "a", 3, regularizer=name)
    z = 1.3 * Normal(LATENT).sample(4, stream("codes", 0)) + 0.2
    with torch.no_grad():
        y = Blocks(LATENT, (1, 28, 28))(z)
        found = asked["regularizer"].penalty(z, y, Normal(LATENT), stream("draws", 0))
    expected = [PENALTIES[name](code) for code in z.double().numpy()]
    assert found.tolist() == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name", ["energy", "lukaszyk_karmowski", "wasserstein"])
def test_a_distance_can_be_measured_from_draws_as_in_the_papers(
    root: str, name: Any, asked: Mapping[str, Any]
) -> None:
    z = Normal(LATENT).sample(4, stream("codes", 0))
    found = []
    for draws in (0, 1000):
        cell(RUN, root, "a", 3, regularizer=name, draws=draws)
        found.append(asked["regularizer"].penalty(z, z, Normal(LATENT), stream("draws", 0)))
    assert (found[0] - found[1]).abs().max() < 0.05
    assert not torch.equal(*found)


# At a minimum of (sum |x - z| + weight · penalty) each element has a closed form: 16 of 784 pixels
# show it, and the penalty is a mean over 49 elements, so both have the factor 1/49.
OPTIMA: list[tuple[str, float, Callable[[Tensor], Tensor]]] = [
    ("none", 0.0, lambda x: x),
    ("z_square", 1.0, lambda x: x.clamp(-0.5, 0.5)),  # where 2·weight·|z| = 1
    ("z_absolute", 0.5, lambda x: x),
    ("z_absolute", 2.0, lambda x: 0 * x),
    # where weight·(2Φ(z) - 1) = 1
    ("lukaszyk_karmowski", 2.0, lambda x: x.clamp(-stats.norm.ppf(0.75), stats.norm.ppf(0.75))),
]


@pytest.mark.parametrize(("name", "weight", "optimum"), OPTIMA)
def test_a_row_finds_codes_that_are_known_by_calculus(
    root: str, name: Any, weight: float, optimum: Callable[[Tensor], Tensor]
) -> None:
    found = row(RUN, root, 0.01, (weight,), name, images=IMAGES, steps=300)
    label = "none.lr_0_01" if name == "none" else f"{name}.lr_0_01.lambda_{weight:g}"
    label = label.replace("0.5", "0_5")
    x = elements(digits(root)[0]).double()
    z = optimum(x)
    assert found[f"{label}.mean"] == pytest.approx(float(z.mean()), abs=0.005)
    assert found[f"{label}.variance"] == pytest.approx(float(z.var(correction=0)), abs=0.01)
    expected = float((x - z).abs().sum(1).mean()) * BLOCK**2
    assert found[f"{label}.l1"] == pytest.approx(expected, abs=0.008 * 784)


def test_a_model_without_a_code_to_recover_is_refused(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoveries, "load", lambda run: nn.Linear(2, 2))
    with pytest.raises(InputError, match="run: expected a GAN of images, got Linear"):
        cell(RUN, root, "a")
    with pytest.raises(InputError, match="run: expected a GAN, got Linear"):
        recoveries.known_codes(RUN)


# Known codes (Egan 2018)


def known(monkeypatch: pytest.MonkeyPatch, off: Mapping[str, list[float]]) -> list[str]:
    """Let each criterion be off the true code of each image by some error ‖z - z*‖²/L."""
    names = {id(c): name for name, c in known_codes.published_criteria().items()}
    assert len(names) == 18
    order = list(known_codes.published_criteria())
    ran: list[str] = []

    def recover(generator: nn.Module, x: Tensor, prior: Prior, **options: Any) -> Recovery:
        name = order[len(ran)]
        assert (options["constraint"] is None) == (name == "disabled")
        assert options["result"] == "last", "as in the paper's Algorithm 1"
        ran.append(name)
        errors = torch.tensor(off.get(name, off["disabled"]))
        # half of the elements too high, half too low: the mean square is the error
        signs = torch.ones(LATENT)
        signs[::2] = -1
        codes = elements(x) + errors.sqrt()[:, None] * signs
        return recovery_of(codes, x)

    monkeypatch.setattr(recoveries, "recover", recover)
    return ran


def test_shares_of_known_codes_are_counted_below_each_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = {
        "disabled": [2.0, 0.5, 0.05, 0.02, 0.005],
        "hard(2.5)": [1.5, 0.6, 0.04, 0.03, 0.004],  # wins 3 of 5
        "logistic(2, 2)": [0.002] * 4 + [0.02],
    }
    ran = known(monkeypatch, off)
    found = recoveries.known_codes(RUN, codes=5, steps=10)
    assert ran == list(known_codes.published_criteria())
    exact = {
        "disabled": (np.mean(off["disabled"]), 80, 60, 20, None, None),
        "hard_2_5": (np.mean(off["hard(2.5)"]), 80, 60, 20, 60, math.nan),  # no factor of two
        # the last of five is lost, by a factor of four
        "logistic_2_2": (0.0056, 100, 100, 80, 80, 80),
        # equal errors are no wins
        "trunc_norm_3": (np.mean(off["disabled"]), 80, 60, 20, 0, math.nan),
    }
    for name, (mean, one, tenth, hundredth, wins, significant) in exact.items():
        assert found[f"{name}.mean"] == pytest.approx(mean, rel=1e-4)
        assert found[f"{name}.below_1"] == pytest.approx(one)
        assert found[f"{name}.below_01"] == pytest.approx(tenth)
        assert found[f"{name}.below_001"] == pytest.approx(hundredth)
        assert found.get(f"{name}.wins") == (None if wins is None else pytest.approx(wins))
        if significant is None:
            assert f"{name}.significant_wins" not in found
        else:
            assert found[f"{name}.significant_wins"] == pytest.approx(significant, nan_ok=True)


def test_shares_of_known_codes_have_the_names_of_their_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known(monkeypatch, {"disabled": [0.5, 0.05, 0.005, 5e-4, 5e-5]})
    found = recoveries.known_codes(RUN, codes=5, steps=10)
    names = ("below_1", "below_01", "below_001", "below_0001", "below_00001")
    for name, share in zip(names, (100, 80, 60, 40, 20), strict=True):
        assert found[f"disabled.{name}"] == pytest.approx(share)


def test_known_codes_resume_after_an_interruption_and_are_not_those_of_other_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = {"disabled": [0.5, 0.05]}
    ran = known(monkeypatch, off)
    first = recoveries.known_codes(RUN, codes=2, steps=10)
    assert len(ran) == 18
    last = next(RUN.rglob("logistic_4_3-*.safetensors"))
    last.unlink()
    ran[:] = list(known_codes.published_criteria())[:-1]  # the one that is left is the next
    assert recoveries.known_codes(RUN, codes=2, steps=10) == pytest.approx(first, nan_ok=True)
    assert ran[17:] == ["logistic(4, 3)"]
    # other lengths, or other code, are recovered anew
    ran.clear()
    recoveries.known_codes(RUN, codes=2, steps=11)
    assert len(ran) == 18
    ran.clear()
    monkeypatch.setattr(recoveries, "code_version", lambda paths: "other")
    recoveries.known_codes(RUN, codes=2, steps=10)
    assert len(ran) == 18


class Squashed(Blocks):
    """Images in [-1, 1] of any code."""

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z / 2).tanh()


def test_codes_of_a_generator_without_local_minima_are_all_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gan = GAN((1, 28, 28), LATENT, Squashed, Brightness).eval()
    monkeypatch.setattr(recoveries, "load", lambda run: gan)
    few = {"disabled": None, "hard(3)": HardCutoff(3)}
    monkeypatch.setattr(recoveries, "published_criteria", lambda: few)
    found = recoveries.known_codes(RUN, codes=6, steps=300, lr=0.03)
    assert (found["disabled.below_001"], found["hard_3.below_001"]) == (100, 100)
