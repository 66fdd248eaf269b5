"""How checkpoints name classes, and how classes that have moved since are found."""

from __future__ import annotations

from functools import partial

import pytest
from torch import nn

from lightning_gans import data, distributed, metrics, models, networks, ood, priors
from lightning_gans.losses import LeastSquares
from lightning_gans.models.base.constructor_spec import path_of, plain
from lightning_gans.networks.layers import EqualizedLinear
from lightning_gans.runs.metrics_csv import MetricsCSV
from lightning_gans.trust import NoSuchClass, Trust

EXPORTED = [
    getattr(room, name)
    for room in (data, metrics, models, networks, priors)
    for name in room.__all__
    if isinstance(getattr(room, name), type)
]

# what checkpoints and configs of version 0.1.0 may name
OLD = {
    "lightning_gans.data.mnist.MNIST": data.MNIST,
    "lightning_gans.data.base.DataModule": data.DataModule,
    "lightning_gans.loggers.MetricsCSV": MetricsCSV,
    "lightning_gans.metrics.digits.DigitFeatures": metrics.DigitFeatures,
    "lightning_gans.models.adversarial.AdversarialModule": models.AdversarialModule,
    "lightning_gans.models.base.Model": models.Model,
    "lightning_gans.models.dlsgan.DLSGAN": models.DLSGAN,
    "lightning_gans.models.mixing.MixedBatches": models.MixedBatches,
    "lightning_gans.models.mixing.PureBatches": models.PureBatches,
    "lightning_gans.networks.digits.DigitBackbone": networks.DigitBackbone,
    "lightning_gans.networks.judgement.Heads": networks.Heads,
    "lightning_gans.networks.mlp.MLPGenerator": networks.MLPGenerator,
    "lightning_gans.ood.sets.MNISTOOD": ood.datasets.MNISTOOD,
    "lightning_gans.ood.sets.digits.MNISTOOD": ood.datasets.MNISTOOD,
    "lightning_gans.ood.sets.faces.CelebAOOD": ood.datasets.CelebAOOD,
    "lightning_gans.priors.base.Prior": priors.Prior,
    "lightning_gans.priors.traced.FixedScale": priors.FixedScale,
    "lightning_gans.strategies.GANDDP": distributed.GANDDP,
}


@pytest.mark.parametrize("exported", EXPORTED, ids=lambda c: str(c.__name__))
def test_exported_classes_are_named_by_room_and_found_again(exported: type) -> None:
    path = path_of(exported)
    assert path.split(".") == ["lightning_gans", path.split(".")[1], exported.__name__]
    assert Trust().resolve(path, "a file") is exported


def test_other_classes_are_named_by_module() -> None:
    assert path_of(LeastSquares) == "lightning_gans.losses.LeastSquares"
    assert path_of(EqualizedLinear) == "lightning_gans.networks.layers.EqualizedLinear"
    assert path_of(nn.Linear) == "torch.nn.modules.linear.Linear"
    assert plain(partial(networks.MLPGenerator, width=8)) == {
        "class_path": "lightning_gans.networks.MLPGenerator",
        "init_args": {"width": 8},
    }


@pytest.mark.parametrize("path", OLD)
def test_classes_of_version_0_1_0_are_found(path: str) -> None:
    assert Trust().resolve(path, "a file") is OLD[path]


@pytest.mark.parametrize(
    "path", ["lightning_gans.models.mixing.Nothing", "lightning_gans.strategies.Nothing"]
)
def test_a_class_that_never_was_is_named_as_it_was_given(path: str) -> None:
    with pytest.raises(NoSuchClass, match=rf"^a file names {path}, but there is no such class$"):
        Trust().resolve(path, "a file")


def test_a_lambda_has_no_import_path() -> None:
    with pytest.raises(TypeError, match="has no import"):
        path_of(lambda: None)
