"""What a generator can make, by the size of its latent (Latent Space 2019, Figs. 1 to 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from lightning_gans import plots
from lightning_gans.data import MNIST, CelebA, DataModule, FashionMNIST, Folder
from lightning_gans.errors import InputError
from lightning_gans.inversion import L2, FromZeros, Scaled, TypicalBall, recover
from lightning_gans.inversion.diagnostics import (
    directions,
    loss_surface,
    norms,
    placement,
    shell,
)
from lightning_gans.inversion.probes import noise, shifted
from lightning_gans.metrics import to_uint8
from lightning_gans.metrics.digit_classifier import trained_digit_classifier
from lightning_gans.models import Generates, Model, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.networks.digit_classifier import DigitBackbone
from lightning_gans.ood.batches import size
from lightning_gans.ranges import PositiveFloat, PositiveInt
from lightning_gans.reproduce.curves import measured
from lightning_gans.reproduce.fingerprints import code_version
from lightning_gans.reproduce.recoveries import FOLDER
from lightning_gans.rng import stream
from lightning_gans.runs.tensor_files import read_tensors, write_tensors

Source = Literal["mnist", "fashion_mnist", "celeba", "cifar10"]
# pixels by which images are shifted to the right and down (Fig. 6)
SHIFTS = (1, 2, 4)
# images whose gradients are computed at once
BATCH = 100
# draws whose norms are compared with those of codes
DRAWS = 10_000
# weights of which a layer needs at least so many to have a distribution
LEAST = 1000
# the classifier of Fig. 9
EPOCHS, CLASSIFIER_LR, CLASSIFIER_BATCH = 20, 0.002, 50
DIGITS = 10


def errors(
    run: Path,
    root: str,
    source: Source = "mnist",
    foreign: Source = "fashion_mnist",
    images: PositiveInt = 32,
    steps: PositiveInt = 300,
    lr: PositiveFloat = 0.05,
) -> dict[str, float]:
    """How close reconstructions come to images of several kinds.

    Args:
        run: of an autoencoder, or of a GAN, whose codes descend as of :func:`reconstructions`.
        root: the folder of data sets.
        source: the data that it was trained on.
        foreign: other data, resized to its images.
        images: how many of each kind.
        steps: of the descent of a GAN's codes.
        lr: of that descent.

    Returns:
        Mean squared errors of a pixel of images in [-1, 1], of: train and validation, images of the
        data; shifted_1, shifted_2 and shifted_4, those of train, shifted to the right and down by
        so many pixels (Fig. 6); foreign (Fig. 7); noise, uniform in each pixel (Fig. 8).
    """
    found = reconstructions(run, root, source, foreign, images, steps, lr)
    return {
        kind: float((target.double() - made.double()).square().mean())
        for kind, (target, made) in found.items()
    }


def digits(
    run: Path,
    root: str,
    images: PositiveInt = 32,
    steps: PositiveInt = 300,
    lr: PositiveFloat = 0.05,
) -> dict[str, float]:
    """Whether reconstructions still show the digit of their image (Figs. 5 and 12).

    Args:
        run: as of :func:`errors`, of digits.
        root: the folder of data sets.
        images: how many.
        steps: of the descent of a GAN's codes.
        lr: of that descent.

    Returns:
        kept, the share of validation images whose reconstruction the shipped classifier of digits
        takes for the same digit as the image.
    """
    found = reconstructions(run, root, "mnist", "fashion_mnist", images, steps, lr)
    classify = trained_digit_classifier()
    target, made = (_at_32(part) for part in found["validation"])
    with torch.no_grad():
        same = classify(target).argmax(1) == classify(made).argmax(1)
    return {"kept": float(same.double().mean())}


def placements(
    run: Path,
    root: str,
    source: Source = "mnist",
    images: PositiveInt = 32,
    steps: PositiveInt = 300,
    lr: PositiveFloat = 0.05,
) -> dict[str, float]:
    """How many codes, recovered without a constraint, lie outside the shell of draws (Fig. 10).

    Args:
        run: of a GAN.
        root: the folder of data sets.
        source: the data that it was trained on.
        images: how many training images, and how many validation images.
        steps: of the descent.
        lr: of the descent.

    Returns:
        train.above and validation.above, the shares of codes with a norm above the central 99 % of
        those of draws; train.overlap and validation.overlap, the shares with a norm between the
        least and the greatest of 10,000 draws; train.ratio and validation.ratio, the mean norm,
        divided by the mean norm of draws.
    """
    lengths = free_norms(run, root, source, images, steps, lr)
    drawn = lengths["draws"]
    found: dict[str, float] = {}
    for part in ("train", "validation"):
        length = lengths[part]
        inside = (length >= drawn.min()) & (length <= drawn.max())
        found |= {
            f"{part}.above": placement(length, drawn).above,
            f"{part}.overlap": float(inside.double().mean()),
            f"{part}.ratio": float(length.double().mean() / drawn.double().mean()),
        }
    return found


def surfaces(run: Path, images: PositiveInt = 20, points: PositiveInt = 41) -> dict[str, float]:
    """Whether the loss around a generated image leads to its code (Fig. 2).

    The plane is that of :func:`lightning_gans.inversion.diagnostics.loss_surface`, around 0, with
    the code at (1, 0).

    Args:
        run: of a GAN.
        images: how many are drawn.
        points: on each side of the plane, from -2 to 2, one more than a multiple of 4.

    Returns:
        descents, the share of images whose loss falls at each point on the way from 0 to the code;
        least, the share whose least loss on the plane is at the code.
    """
    model = _gan(run)
    if points % 4 != 1 or points < 5:
        raise InputError(f"points must be one more than a multiple of 4, got {points}")
    descents = least = 0
    for values in _planes(model, images, points):
        centre, target = points // 2, points // 2 + points // 4
        way = values[centre : target + 1, centre]
        descents += bool((way.diff() < 0).all())
        least += int(values.argmin()) == target * points + centre
    return {"descents": descents / images, "least": least / images}


def weights(run: Path) -> dict[str, float]:
    """How far the weights of a generator's layers are from a normal distribution (Fig. 1).

    Args:
        run: of a GAN.

    Returns:
        Of layers of at least 1,000 weights: distance, the greatest Kolmogorov-Smirnov distance
        between the weights of a layer and the normal distribution with their mean and deviation;
        for weights of a uniform distribution it is 0.057. kurtosis, the excess kurtosis of greatest
        size, 0 of a normal distribution; spread, the ratio of the greatest to the least standard
        deviation of a layer.
    """
    distances, kurtoses, deviations = [], [], []
    for _, values in _layers(_gan(run)):
        mean, deviation = float(values.mean()), float(values.std())
        numbers = values.numpy()
        distances.append(float(stats.kstest(numbers, "norm", args=(mean, deviation)).statistic))
        kurtoses.append(float(stats.kurtosis(numbers)))
        deviations.append(deviation)
    return {
        "distance": max(distances),
        "kurtosis": max(kurtoses, key=abs),
        "spread": max(deviations) / min(deviations),
    }


def classifier(
    run: Path,
    root: str,
    images: PositiveInt = 500,
    tested: PositiveInt = 2000,
    steps: PositiveInt = 300,
    lr: PositiveFloat = 0.05,
) -> dict[str, float]:
    """How well a classifier does that was trained on reconstructed digits (Fig. 9).

    Args:
        run: as of :func:`errors`, of digits.
        root: the folder of MNIST.
        images: how many training images are reconstructed, and how many real ones are trained on.
        tested: the greatest number of test images that are classified.
        steps: of the descent of a GAN's codes.
        lr: of that descent.

    Returns:
        accuracy and real_accuracy in percent, of test images, by classifiers that were trained on
        the reconstructions and on the images themselves.
    """
    model = _model(run)
    x, y = _labelled(root, model.image_shape, images, "train")
    test, truth = _labelled(root, model.image_shape, tested, "validation")
    found = {}
    for name, inputs in (("", _reconstruct(model, x, steps, lr)), ("real_", x)):
        predicted = _trained_classifier(_at_32(inputs), y, _at_32(test))
        found[f"{name}accuracy"] = 100 * float((predicted == truth).double().mean())
    return found


def free_norms(
    run: Path, root: str, source: Source, images: int, steps: int, lr: float
) -> dict[str, Tensor]:
    """Norms of codes of train and validation images, recovered without a constraint, and of draws.

    Computed once, and kept in the run's folder.
    """
    version = code_version([f"{__name__}.free_norms"])
    file = run / FOLDER / version / f"norms-{source}-{images}-{steps}-{lr:g}.safetensors"
    if not file.is_file():
        model = _gan(run)
        found = {"draws": shell(model.prior, DRAWS, stream("norms", 0))}
        for part in ("train", "validation"):
            x = _images(source, root, model.image_shape, images, part)
            found[part] = norms(_codes(model, x, steps, lr, projected=False))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(file, found, {})
    kept, _ = read_tensors(file)
    return kept


def reconstructions(
    run: Path,
    root: str,
    source: Source,
    foreign: Source,
    images: int,
    steps: int,
    lr: float,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Images of each kind and their reconstructions; computed once, and kept in the run's folder.

    An autoencoder encodes. The codes of a GAN descend from 0 on the squared error by Adam, and are
    projected onto the ball of plausible codes after each step (Eq. 5); the best code of a descent
    is taken.
    """
    model = _model(run)
    train = _images(source, root, model.image_shape, images, "train")
    targets = {
        "train": train,
        "validation": _images(source, root, model.image_shape, images, "validation"),
        **{f"shifted_{by}": shifted(train, by, by) for by in SHIFTS},
        "foreign": _images(foreign, root, model.image_shape, images, "validation"),
        "noise": noise(images, model.image_shape, stream("noise images", 0)),
    }
    version = code_version([f"{__name__}.reconstructions"])
    file = run / FOLDER / version / f"kinds-{source}-{foreign}-{images}-{steps}-{lr:g}.safetensors"
    if not file.is_file():
        made = _reconstruct(model, torch.cat(list(targets.values())), steps, lr)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(file, dict(zip(targets, torch.split(made, images), strict=True)), {})
    kept, _ = read_tensors(file)
    return {kind: (target, kept[kind]) for kind, target in targets.items()}


# Pictures


def draw_reconstructions(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    root: str,
    source: Source = "mnist",
    foreign: Source = "fashion_mnist",
    images: PositiveInt = 32,
    steps: PositiveInt = 300,
    lr: PositiveFloat = 0.05,
    kind: str = "validation",
    rows: PositiveInt = 8,
) -> None:
    """Images in the first column, and their reconstructions by the first run of each training."""
    columns: list[Tensor] = []
    for folders in runs.values():
        found = reconstructions(folders[0], root, source, foreign, images, steps, lr)
        if kind not in found:
            raise InputError(f"there are no images '{kind}'; kinds are {', '.join(found)}")
        target, made = (part[:rows] for part in found[kind])
        columns += [made] if columns else [target, made]
    plots.sheet(list(to_uint8(torch.stack(columns, 1))), path, gaps=(1,))


def draw_errors(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    root: str,
    source: Source = "mnist",
    foreign: Source = "fashion_mnist",
    images: PositiveInt = 32,
    steps: PositiveInt = 300,
    lr: PositiveFloat = 0.05,
    kinds: tuple[str, ...] = ("train", "validation"),
) -> None:
    """Errors by the size of the latent, a panel for each kind of images, a curve for each seed."""
    panels: Panels = {kind: {} for kind in kinds}
    for folders in zip(*runs.values(), strict=True):
        for run in folders:
            model, found = _model(run), errors(run, root, source, foreign, images, steps, lr)
            group = "GAN" if isinstance(model, Generates) else "autoencoder"
            for kind in kinds:
                if kind not in found:
                    raise InputError(f"there are no images '{kind}'; kinds are {', '.join(found)}")
                _add(panels[kind], group, model.prior.dim, found[kind], folders[0])
    plots.curve_panels(_sorted(panels), path, 3, "elements of the latent", log=True)


def draw_evaluations(
    runs: Mapping[str, Sequence[Path]], path: Path, names: tuple[str, ...]
) -> None:
    """The last evaluations by the size of the latent, in one panel, a curve for each seed.

    Args:
        runs: of GANs and autoencoders.
        path: the PNG file.
        names: of the measures, such as fid.digits; a run without one has no point of it.
    """
    panels: Panels = {", ".join(names): {}}
    for folders in zip(*runs.values(), strict=True):
        for run in folders:
            series = measured(run)
            for name in (name for name in names if name in series):
                value = series[name][1][-1]
                _add(panels[", ".join(names)], name, _model(run).prior.dim, value, folders[0])
    plots.curve_panels(_sorted(panels), path, 1, "elements of the latent", log=True)


def draw_norms(
    runs: Mapping[str, Sequence[Path]],
    path: Path,
    root: str,
    source: Source = "mnist",
    images: PositiveInt = 32,
    steps: PositiveInt = 300,
    lr: PositiveFloat = 0.05,
) -> None:
    """Histograms of the norms of draws, and of codes recovered without a constraint (Fig. 10)."""
    groups = {
        name: free_norms(folders[0], root, source, images, steps, lr)
        for name, folders in runs.items()
    }
    plots.histograms(groups, path)


def draw_surfaces(runs: Mapping[str, Sequence[Path]], path: Path, points: PositiveInt = 41) -> None:
    """The loss around one generated image of the first run of each training."""
    planes = {
        name: next(iter(_planes(_gan(folders[0]), 1, points))) for name, folders in runs.items()
    }
    plots.surfaces(planes, 2.0, path)


def draw_weights(runs: Mapping[str, Sequence[Path]], path: Path) -> None:
    """Histograms of the weights of each layer of the first generators."""
    plots.histograms({name: dict(_layers(_gan(f[0]))) for name, f in runs.items()}, path)


# Parts

# of each panel, of each group, by a seed's first run: the value at each size
Panels = dict[str, dict[str, dict[Path, dict[float, float]]]]


def _add(
    groups: dict[str, dict[Path, dict[float, float]]],
    group: str,
    size_: int,
    value: float,
    seed: Path,
) -> None:
    groups.setdefault(group, {}).setdefault(seed, {})[size_] = value


def _sorted(panels: Panels) -> dict[str, dict[str, list[tuple[list[float], list[float]]]]]:
    """The panels as they are drawn: sizes in order."""
    return {
        title: {
            group: [
                (sorted(points), [points[x] for x in sorted(points)]) for points in seeds.values()
            ]
            for group, seeds in groups.items()
        }
        for title, groups in panels.items()
    }


def _model(run: Path) -> Model:
    model = load(run)
    if not isinstance(model, Model) or len(model.image_shape) != 3:
        raise InputError(f"{run}: expected a model of images, got {type(model).__name__}")
    return model


def _gan(run: Path) -> Model:
    model = _model(run)
    if not isinstance(model, Generates):
        raise InputError(f"{run}: expected a GAN, got {type(model).__name__}")
    return model


def _reconstruct(model: Model, x: Tensor, steps: int, lr: float) -> Tensor:
    """Reconstructions of images (n, *image_shape), in [-1, 1]."""
    with torch.no_grad():
        if isinstance(model, Reconstructs) and not isinstance(model, Generates):
            return torch.cat([model.reconstruct(part) for part in torch.split(x, BATCH)])
    z = _codes(model, x, steps, lr, projected=True)
    with torch.no_grad():
        scaled = Scaled(model.generator, model.prior.scale())
        return torch.cat([scaled(part) for part in torch.split(z, BATCH)]).clamp(-1, 1)


def _codes(model: Model, x: Tensor, steps: int, lr: float, projected: bool) -> Tensor:
    """Codes of images under a GAN, (n, latent_dim)."""
    return recover(
        Scaled(model.generator, model.prior.scale()),
        x,
        model.prior,
        constraint=TypicalBall() if projected else None,
        steps=steps,
        restarts=1,
        lr=lr,
        loss=L2(),
        start=FromZeros(),
    ).codes


def _planes(model: Model, images: int, points: int) -> list[Tensor]:
    """The loss on the plane of each of some generated images, (points, points)."""
    generator = Scaled(model.generator, model.prior.scale())
    z = model.prior.sample(images, stream("surface", 0))
    with torch.no_grad():
        x = generator(z)
    zero = torch.zeros_like(z[0])
    return [
        loss_surface(generator, image, zero, directions(zero, code), 2.0, points, L2())
        for image, code in zip(x, z, strict=True)
    ]


def _layers(model: Model) -> list[tuple[str, Tensor]]:
    """The weights of linear and convolutional layers of a generator, in order, flat.

    Layers of few weights, such as the one that makes grey images of eight maps, are left out.
    """
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    layers = [m for m in model.generator.modules() if isinstance(m, kinds)]
    found = [
        (f"layer {i}", layer.weight.detach().double().flatten())
        for i, layer in enumerate(layers, start=1)
        if layer.weight.numel() >= LEAST
    ]
    if not found:
        raise InputError(f"the generator has no layers of at least {LEAST:,} weights")
    return found


def _module(source: Source, root: str, shape: tuple[int, ...]) -> DataModule:
    """The data of a name, as images of a shape."""
    side = shape[-1]
    match source:
        case "mnist" | "fashion_mnist":
            kind = MNIST if source == "mnist" else FashionMNIST
            return kind(root, padding=(side - 28) // 2)
        case "celeba":
            return CelebA(str(Path(root, source)), resolution=side, crop="center")
        case "cifar10":
            return Folder(str(Path(root, source)), resolution=side, validation=10_000)


def _images(source: Source, root: str, shape: tuple[int, ...], n: int, part: str) -> Tensor:
    """The first n images of a part of some data, (n, *shape)."""
    data = _module(source, root, shape)
    data.setup("fit" if part == "train" else "validate")
    dataset = data.train_set if part == "train" else data.validation_set
    if size(dataset) < n:
        raise InputError(f"{source} has {size(dataset):,} images of {part}, expected {n:,}")
    return torch.stack([dataset[i][0] for i in range(n)])


def _labelled(root: str, shape: tuple[int, ...], n: int, part: str) -> tuple[Tensor, Tensor]:
    """The first n digits of a part of MNIST, or all, (n, *shape), and their labels, (n,)."""
    data = _module("mnist", root, shape)
    data.setup("fit" if part == "train" else "validate")
    dataset = data.train_set if part == "train" else data.validation_set
    items = [dataset[i] for i in range(min(n, size(dataset)))]
    return torch.stack([x for x, _ in items]), torch.stack([torch.as_tensor(y) for _, y in items])


def _at_32(x: Tensor) -> Tensor:
    """Digits with a black border, (n, 1, 32, 32), in [-1, 1]."""
    return pad(x.clamp(-1, 1), ((32 - x.shape[-1]) // 2,) * 4, value=-1.0)


def _trained_classifier(x: Tensor, y: Tensor, test: Tensor) -> Tensor:
    """What a classifier that was trained on digits x with labels y takes others for, (n,)."""
    random = stream("classifier of reconstructions", 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # first weights
        network = DigitBackbone((1, 32, 32), scores=DIGITS, code_dim=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=CLASSIFIER_LR)
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(x), generator=random), CLASSIFIER_BATCH):
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(network(x[rows]).score, y[rows]))
            optimizer.step()
    network.eval()
    with torch.no_grad():
        return torch.cat([network(part).score.argmax(1) for part in torch.split(test, BATCH)])
