"""Attributes of digits, edited by a trained model (thesis, section 4.2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_gans import plots
from lightning_gans.data import CelebA, MNISTStrokes
from lightning_gans.data.strokes import slant, thickness
from lightning_gans.errors import InputError
from lightning_gans.metrics import to_uint8
from lightning_gans.models import Edits, Model, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import size
from lightning_gans.ranges import NonNegativeInt, PositiveFloat, PositiveInt

# in the order of the labels of ``MNISTStrokes``
ATTRIBUTES = {"slanted": slant, "thick": thickness}


def strokes(
    run: Path, root: str, images: PositiveInt = 200, strength: PositiveFloat = 1.0
) -> dict[str, float]:
    """How edits of each attribute change the slant and thickness of test digits.

    Args:
        run: of a model that was trained on ``mnist_strokes`` and edits.
        root: the folder of MNIST.
        images: the greatest number that is edited.
        strength: of the edits, in the thesis's unit: the score divided by √latent_dim, set to
            -strength and to strength, whatever becomes of the other attribute.

    Returns:
        For each edit, slanted and thick: slant and thickness, the mean difference between the
        images with and without the attribute, in standard deviations of the test images; right, the
        share of images whose own measure is larger with the attribute than without it.
    """
    model, x = _model(run), _digits(root, images)
    spread = {name: measure(_ink(x)).std() for name, measure in ATTRIBUTES.items()}
    found = {}
    for k, name in enumerate(ATTRIBUTES):
        with_it, without = (edited(model, x, k, sign * strength) for sign in (1, -1))
        for other, measure in ATTRIBUTES.items():
            change = measure(_ink(with_it)) - measure(_ink(without))
            found[f"{name}.{measure.__name__}"] = float((change / spread[other]).mean())
            if other == name:
                found[f"{name}.right"] = float((change > 0).double().mean())
    return found


def draw(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    root: str,
    attribute: NonNegativeInt,
    data: str = "mnist_strokes",
    rows: PositiveInt = 8,
    columns: PositiveInt = 9,
) -> None:
    """Test images, their reconstructions, and edits of one attribute from -1 to 1.

    Args:
        runs: of which the first one is drawn.
        path: the PNG file.
        root: the folder of data sets.
        attribute: which, in the order of the labels.
        data: mnist_strokes, or celeba.
        rows: the greatest number of images.
        columns: edits of each image, whose scores divided by √latent_dim go from -1 to 1.
    """
    run = next(iter(runs.values()))[0]
    model = _model(run)
    x = _digits(root, rows) if data == "mnist_strokes" else _faces(root, rows, model)
    assert isinstance(model, Reconstructs)
    with torch.no_grad():
        shown = [x, model.reconstruct(x)]
    strengths = torch.linspace(-1, 1, columns).tolist()
    shown += [edited(model, x, attribute, strength) for strength in strengths]
    plots.sheet(list(to_uint8(torch.stack(shown, 1))), path, gaps=(1, 2))


def edited(model: Model, x: Tensor, attribute: int, strength: float) -> Tensor:
    """Images with the score of an attribute, divided by √latent_dim, of a strength."""
    assert isinstance(model, Edits)
    with torch.no_grad():
        return model.edit(x, attribute, strength, keep_others=False, unit="sqrt_dim")


def _model(run: Path) -> Model:
    model = load(run)
    if not isinstance(model, Edits) or not isinstance(model, Reconstructs):
        raise InputError(f"{run}: {type(model).__name__} does not edit attributes")
    return model


def _digits(root: str, n: int) -> Tensor:
    data = MNISTStrokes(root)
    data.setup("validate")
    return torch.stack(
        [data.validation_set[i][0] for i in range(min(n, size(data.validation_set)))]
    )


def _faces(root: str, n: int, model: Model) -> Tensor:
    data = CelebA(str(Path(root, "celeba")), resolution=model.image_shape[-1])
    data.setup("validate")
    return torch.stack(
        [data.validation_set[i][0] for i in range(min(n, size(data.validation_set)))]
    )


def _ink(x: Tensor) -> Tensor:
    """White on black as ink from 0 to 1."""
    return (x.clamp(-1, 1) + 1) / 2
