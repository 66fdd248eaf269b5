"""The classifier against cross-entropy written out, scikit-learn, and the shipped weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.optim import Adam

import lightning_gans
from lightning_gans.app.explored import check_images
from lightning_gans.callbacks import Checkpoint, Evaluation, Pictures
from lightning_gans.data.mnist5k import MNIST5k
from lightning_gans.errors import UserError
from lightning_gans.metrics import DigitFeatures, to_uint8
from lightning_gans.metrics.digit_classifier import WEIGHTS, digit_weights, trained_digit_classifier
from lightning_gans.models import Classifier
from lightning_gans.networks import DigitBackbone
from tests.support.linear_networks import LinearDiscriminator
from tests.support.rounds import (
    DESCENT,
    SHAPE,
    TinyDiscriminator,
    assert_same,
    batches,
    descend,
    labels_of,
    one_by_one,
    trainer,
)

FEATURES = 5


def tiny(classes: tuple[int, ...] = (4,)) -> Classifier:
    torch.manual_seed(1)
    return Classifier(
        image_shape=SHAPE,
        classes=classes,
        num_features=FEATURES,
        discriminator=TinyDiscriminator,
        optimizer=DESCENT,
    )


def images(count: int) -> list[Tensor]:
    return [x.float() for x in batches(count)]


def pairs(data: Sequence[Tensor], classes: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(data, labels_of(data, classes), strict=True))


@pytest.mark.parametrize("classes", [(4,), (2, 3, 2)])
def test_two_rounds_are_the_cross_entropy(classes: tuple[int, ...]) -> None:
    model, data = tiny(classes).double(), pairs(batches(2), classes)
    reference: Any = copy.deepcopy(model)
    trainer(precision="64-true").fit(model, one_by_one(data))
    for x, y in data:
        _, code, _ = reference.backbone(x)
        features = torch.where(code > 0, code, torch.zeros_like(code))
        logits = features @ reference.head.weight.T + reference.head.bias
        loss, rows = torch.zeros((), dtype=torch.float64), y.reshape(len(y), len(classes))
        for row, answer in zip(logits, rows.tolist(), strict=True):
            begin = 0
            for size, right in zip(classes, answer, strict=True):
                part = row[begin : begin + size]
                begin += size
                loss = loss + (part.exp().sum().log() - part[right]) / (len(x) * len(classes))
        descend(list(reference.parameters()), loss)
    assert_same(model, reference)


def test_a_linear_backbone_is_as_accurate_as_logistic_regression() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    y = torch.randint(3, (2000,))
    x = centres[y] + torch.randn(2000, 2)
    seen, answers, held_out, truth = x[:1000], y[:1000], x[1000:], y[1000:]
    plain = LogisticRegression().fit(seen.numpy(), answers.numpy())
    expected = plain.score(held_out.numpy(), truth.numpy())
    assert expected > 0.9

    model = Classifier(
        image_shape=(2,),
        classes=(3,),
        num_features=8,
        discriminator=LinearDiscriminator,
        optimizer=partial(Adam, lr=0.03),
    )
    trainer().fit(model, one_by_one([(seen, answers)] * 200))
    reached = (model.classify(held_out) == truth).double().mean()
    assert reached >= expected - 0.01


def test_the_shipped_digit_classifier_is_one() -> None:
    """Against the layers as the file names them, written out without the package's networks."""
    layers: list[nn.Module] = []
    for inputs, outputs, kernel, pool in (
        (1, 32, 5, 0),
        (32, 32, 3, 1),
        (32, 64, 3, 0),
        (64, 64, 3, 1),
    ):
        stride = 2 if kernel == 5 else 1
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
        if pool:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(1024, 128), nn.ReLU()]
    plain = nn.ModuleDict({"backbone": nn.Sequential(*layers), "head": nn.Linear(128, 10)})
    plain.load_state_dict(safetensors.torch.load(WEIGHTS.read_bytes()))
    plain.eval()

    model = Classifier((1, 32, 32), (10,), num_features=128, discriminator=DigitBackbone)
    model.load_state_dict(digit_weights())
    model.eval()
    data = MNIST5k()
    data.setup()
    x, y = data.validation_set.__getitems__(list(range(50)))  # type: ignore[attr-defined]
    with torch.no_grad():
        features = plain["backbone"](x)
        logits = plain["head"](features)
    assert torch.equal(model.features(x), features)
    assert torch.equal(model.logits(x), logits)
    assert (model.classify(x) == y).double().mean() > 0.97
    shipped, extractor = trained_digit_classifier(), DigitFeatures()
    extractor.prepare("cpu")
    assert torch.equal(shipped(x), logits)
    assert torch.equal(extractor(to_uint8(x)), features)


def test_the_backbone_takes_other_images_and_has_the_heads_it_is_asked_for() -> None:
    found = DigitBackbone((3, 16, 24), scores=1, code_dim=7)(torch.zeros(2, 3, 16, 24))
    assert [tuple(part.shape) for part in found] == [(2,), (2, 7), (2, 64 * 2 * 3)]
    for shape in ((1, 28, 28), (2,), (1, 4, 4)):
        with pytest.raises(ValueError, match=r"multiples of 8, such as \(1, 32, 32\); got"):
            DigitBackbone(shape)


@pytest.mark.parametrize(("classes", "shape"), [((4,), (6,)), ((2, 3), (6, 2))])
def test_capabilities_agree(classes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    model, x = tiny(classes).eval(), images(1)[0]
    features, logits, found = model.features(x), model.logits(x), model.classify(x)
    assert features.shape == (6, FEATURES)
    assert (features >= 0).all()
    assert (features == 0).any()
    torch.testing.assert_close(features, model.backbone(x).code.clamp(min=0))
    torch.testing.assert_close(logits, model.head(features))
    assert logits.shape == (6, sum(classes))
    assert not logits.requires_grad
    assert found.shape == shape
    columns, begin = found.reshape(6, -1), 0
    for label, size in enumerate(classes):
        best = logits[:, begin : begin + size].max(1).values
        chosen = logits[torch.arange(6), begin + columns[:, label]]
        assert torch.equal(chosen, best)
        begin += size
    predicted = model.predict_step((x, torch.zeros(6)), 0)
    assert torch.equal(predicted["class"], found)
    assert torch.equal(predicted["logits"], logits)


@pytest.mark.parametrize("method", ["features", "logits", "classify"])
def test_capabilities_refuse_wrong_images(method: str) -> None:
    ask = getattr(tiny(), method)
    with pytest.raises(ValueError, match=r"images of shape \(n, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        ask(torch.zeros(2, 1, 5, 5))
    with pytest.raises(ValueError, match=r"in \[-1, 1\], got values from 0 to 255"):
        ask(torch.stack([torch.zeros(SHAPE), torch.full(SHAPE, 255.0)]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        ask(torch.full((2, *SHAPE), torch.nan))


def test_what_it_cannot_do_is_one_line() -> None:
    model, x = tiny(), torch.zeros(2, *SHAPE)
    questions: list[tuple[Callable[[], Tensor], str]] = [
        (lambda: model.generate(2), "generate"),
        (lambda: model.decode(torch.zeros(2, 3)), "decode"),
        (lambda: model.encode(x), "encode"),
        (lambda: model.reconstruct(x), "reconstruct"),
        (lambda: model.cluster(x), "cluster"),
    ]
    for ask, name in questions:
        with pytest.raises(UserError, match=rf"^Classifier does not support {name}\(\)[^\n]*$"):
            ask()


@pytest.mark.parametrize("classes", [(), (1,)])
def test_data_without_labels_are_one_line(classes: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="Classifier needs labels, and the data have none"):
        tiny(classes)


def test_is_measured_by_its_accuracy_alone_and_draws_nothing(tmp_path: Path) -> None:
    model, data = tiny().eval(), pairs(images(3), (4,))
    runner = trainer(default_root_dir=tmp_path, callbacks=[Evaluation(), Pictures()])
    runner.validate(model, one_by_one(data), verbose=False)
    right = [bool(a == b) for x, y in data for a, b in zip(model.classify(x), y, strict=True)]
    assert set(runner.callback_metrics) == {"accuracy", "evaluation/samples", "step"}
    assert float(runner.callback_metrics["accuracy"]) == pytest.approx(sum(right) / len(right))
    assert not (tmp_path / "images").exists()


def test_saves_and_loads_and_has_no_page(tmp_path: Path) -> None:
    model = tiny((2, 3))
    options = {"enable_checkpointing": True, "callbacks": [Checkpoint()]}
    trainer(default_root_dir=tmp_path, **options).fit(model, one_by_one(pairs(images(2), (2, 3))))
    loaded = lightning_gans.load(tmp_path)
    assert isinstance(loaded, Classifier)
    assert loaded.classes == (2, 3)
    x = images(1)[0]
    torch.testing.assert_close(loaded.logits(x), model.eval().logits(x))
    with pytest.raises(UserError, match="expected a model that generates images, got a Classifier"):
        check_images(loaded)
