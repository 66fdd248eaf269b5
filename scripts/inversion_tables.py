"""Cho's tables of latent code recovery (7 to 22) at a small scale, next to the paper's values.

    python scripts/inversion_tables.py run normal=RUN uniform=RUN half=RUN
    python scripts/inversion_tables.py run --share 0/2 normal=RUN ...      (or 1/2)
    python scripts/inversion_tables.py draw docs/experiments/inversion-tables.md

Each RUN is the folder of an LSGAN that was trained with that prior. 100 test images of MNIST, 16
restarts, 200 steps, a new Adam for each batch of images. Each finished cell is a file in
runs/inversion and is not computed again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import torch
from torch import Tensor

import lightning_gans
from lightning_gans.data import MNIST
from lightning_gans.inversion import (
    BoundaryResampling,
    Constraint,
    Energy,
    FoolDiscriminator,
    LogisticCutoff,
    Regularizer,
    Scaled,
    TruncatedNormalCutoff,
    Wasserstein,
    ZScoreSquare,
    recover,
)
from lightning_gans.inversion.evaluation import as_dict, measure
from lightning_gans.losses import LeastSquares
from lightning_gans.metrics.digit_classifier import trained_digit_classifier
from lightning_gans.models import Model

FOLDER = Path("runs/inversion")
IMAGES = 100


@dataclass(frozen=True)
class Cell:
    """One setting under one prior; ``paper`` holds the values printed in the paper.

    variance, p-values in percent (three repetitions), L1, L2, accuracy in percent; empty where the
    paper has no such cell.
    """

    prior: str
    method: str
    value: str
    regularizer: Callable[[Model], Regularizer] | None = None
    weight: float = 0.0
    constraint: Constraint | None = None
    lr: float = 0.01
    typical: bool = False
    seed: int = 0
    paper: tuple[str, ...] = field(default=())

    @property
    def path(self) -> Path:
        name = "-".join((self.prior, self.method, self.value)).replace(" ", "_")
        return FOLDER / f"{name}-seed={self.seed}.json"


def wasserstein(model: Model) -> Regularizer:
    """In closed form."""
    return Wasserstein()


def energy(model: Model) -> Regularizer:
    """In closed form."""
    return Energy()


def square(model: Model) -> Regularizer:
    """Mean squared z-score."""
    return ZScoreSquare()


def fool(model: Model) -> Regularizer:
    """With the discriminator that the generator was trained against."""
    return FoolDiscriminator(model.discriminator, LeastSquares())


def weighted(
    prior: str,
    method: str,
    regularizer: Callable[[Model], Regularizer],
    rows: dict[float, tuple[str, ...]],
) -> list[Cell]:
    """A cell for each weight."""
    return [
        Cell(prior, method, f"λ {weight:g}", regularizer, weight, paper=paper)
        for weight, paper in rows.items()
    ]


def rates(prior: str, rows: dict[float, tuple[str, ...]]) -> list[Cell]:
    """A cell for each learning rate, without regulariser."""
    return [Cell(prior, "none", f"lr {lr:g}", lr=lr, paper=paper) for lr, paper in rows.items()]


def resampled(
    make: type[Constraint], method: str, rows: dict[float, tuple[str, ...]]
) -> list[Cell]:
    """A cell for each cutoff."""
    cells = []
    for a, paper in rows.items():
        # as in the paper's experiments: the whole probability in each step
        constraint = (
            LogisticCutoff(a, 2.0, per_step=False)
            if make is LogisticCutoff
            else TruncatedNormalCutoff(a, per_step=False)
        )
        cells.append(Cell("normal", method, f"a {a:g}", constraint=constraint, paper=paper))
    return cells


def cells() -> list[Cell]:
    """All cells, in the order of the paper's tables, with the paper's numbers."""
    n, u, h = "normal", "uniform", "half"
    # fmt: off
    found = rates(n, {
        1e-4: (".997", "87.9, 14.8, 78.6", "122.9", "165.7", "63.9"),
        1e-3: ("1.001", "65.5, 92.2, 18.7", "37.7", "28.2", "96.4"),
        1e-2: ("1.332", "0, 0, 0", "18.6", "7.95", "99.2"),
        1e-1: ("19.424", "0, 0, 0", "20.6", "10.1", "98.2"),
    })
    found += weighted(n, "Wasserstein", wasserstein, {
        0.01: ("1.179", "0, 0, 0", "18.6", "7.85", "98.8"),
        0.03: (),
        0.1: (".999", "100, 100, 100", "19.7", "8.53", "99.0"),
        1: (".995", "58.8, 58.8, 58.9", "28.2", "16.3", "98.5"),
        10: (".995", "56.2, 54.4, 56.3", "69.1", "74.0", "85.8"),
    })
    found += weighted(n, "energy", energy, {
        0.01: ("1.228", "0, 0, 0", "18.5", "7.75", "99.1"),
        0.03: (),
        0.1: ("1.021", "63.8, 62.8, 65.5", "19.4", "8.31", "99.3"),
        1: (".996", "99.5, 99.3, 99.3", "29.6", "17.7", "98.7"),
        10: (".996", "89.3, 91.6, 91.9", "81.1", "92.7", "82.2"),
    })
    found += weighted(n, "z²", square, {
        0.001: ("1.261", "0, 0, 0", "18.6", "7.86", "99.2"),
        0.0057: (".994", "18.3, .2, 32.5", "18.4", "7.75", "98.9"),
        0.1: (".091", "0, 0, 0", "17.2", "6.13", "99.0"),
    })
    found += weighted(n, "fool D", fool, {
        0.01: ("1.304", "0, 0, 0", "21.3", "10.2", "98.8"),
        1: ("1.122", "0, 0, 0", "152.4", "218.8", "45.9"),
    })
    found += resampled(LogisticCutoff, "logistic", {
        2: (".330", "0, 0, 0", "99.5", "119.2", "85.3"),
        4: (".282", "0, 0, 0", "39.7", "26.8", "98.2"),
    })
    found += resampled(TruncatedNormalCutoff, "truncated normal", {
        2.0: (".528", "0, 0, 0", "154.4", "221.2", "50.4"),
        4.0: ("1.022", "0, 0, 0", "25.2", "12.0", "99.0"),
    })
    found += rates(u, {
        1e-3: (".341", "0, 0, 0", "30.0", "19.0", "98.0"),
        1e-2: (".571", "0, 0, 0", "18.1", "7.32", "99.2"),
        1e-1: ("19.105", "0, 0, 0", "23.0", "12.5", "97.6"),
    })
    found += weighted(u, "Wasserstein", wasserstein, {
        0.1: (".346", "0, 0, 0", "18.4", "7.30", "99.2"),
        0.3: (),
        1: (".333", "99.9, 99.9, 100", "22.3", "10.5", "98.9"),
        10: (".333", "100, 100, 100", "40.7", "31.6", "95.9"),
    })
    found += weighted(u, "energy", energy, {
        0.1: (".363", "0, 0, 0", "18.1", "7.15", "99.4"),
        0.3: (),
        1: (".334", "62.5, 67.8, 67.6", "24.5", "12.5", "98.7"),
        10: (".333", "100, 100, 100", "56.0", "53.9", "91.5"),
    })
    found += weighted(u, "fool D", fool, {
        0.01: (".557", "0, 0, 0", "20.5", "9.37", "99.0"),
        1: (".450", "0, 0, 0", "160.5", "233.9", "44.7"),
    })
    found += [
        Cell(u, "boundary", f"lr {lr:g}", constraint=BoundaryResampling(), lr=lr, paper=paper)
        for lr, paper in {
            0.01: (".247", "0, 0, 0", "22.4", "10.2", "99.1"),
            0.1: (".297", "0, 0, 0", "47.9", "37.7", "97.0"),
            10: (".333", "75.3, 70.1, 62.7", "176.3", "263.3", "36.0"),
        }.items()
    ]
    found += rates(h, {
        1e-3: (".647", "0, 0, 0", "35.2", "24.8", "97.9"),
        1e-2: (".911", "0, 0, 0", "19.2", "8.21", "98.9"),
        1e-1: ("17.514", "0, 0, 0", "22.2", "11.0", "98.8"),
    })
    found += weighted(h, "Wasserstein", wasserstein, {
        0.1: (".649", "0, 0, 0", "18.6", "7.35", "99.0"),
        0.3: (),
        1: (".642", "56.6, 56.8, 57.8", "25.2", "12.9", "98.7"),
        10: (".642", "56.9, 55.9, 56.1", "54.5", "50.6", "92.4"),
    })
    found += weighted(h, "energy", energy, {
        0.1: (".674", "0, 0, 0", "18.6", "7.37", "99.3"),
        0.3: (),
        1: (".642", "26.1, 36.8, 27.4", "26.6", "14.1", "98.4"),
        10: (".642", "85.6, 86.2, 86.5", "70.0", "74.4", "86.9"),
    })
    # fmt: on
    for prior in (n, u, h):
        found += [
            Cell(prior, "Wasserstein", "typical", wasserstein, typical=True, seed=seed)
            for seed in (0, 1, 2)
        ]
    return found


def run(todo: list[Cell], models: dict[str, Model], data: MNIST) -> None:
    """Recover and measure each unfinished cell."""
    items = [data.validation_set[i] for i in range(IMAGES)]
    x, labels = (torch.stack(values) for values in zip(*items, strict=True))
    digits = trained_digit_classifier()

    def classify(images: Tensor) -> Tensor:
        logits: Tensor = digits(images.clamp(-1, 1))
        return logits.argmax(1)

    FOLDER.mkdir(parents=True, exist_ok=True)
    for cell in todo:
        if cell.path.exists() or cell.prior not in models:
            continue
        model = models[cell.prior]
        recovery = recover(
            Scaled(model.generator, model.prior.scale()),
            x,
            model.prior,
            cell.regularizer(model) if cell.regularizer else None,
            "typical" if cell.typical else cell.weight,
            cell.constraint,
            lr=cell.lr,
            seed=cell.seed,
        )
        measures = measure(recovery, x, model.prior, labels, classify)
        cell.path.write_text(json.dumps(as_dict(measures)), encoding="utf-8")
        print(cell.path.stem, json.dumps(as_dict(measures)), flush=True)


def draw(path: Path) -> None:
    """One Markdown table of all finished cells."""
    lines = [
        "| prior | method | | variance | KS p % | verdict | L1 | L2 | accuracy % | paper: variance "
        "| KS p % | L1 | L2 | accuracy % |",
        "|---" * 14 + "|",
    ]
    for cell in cells():
        if not cell.path.exists():
            continue
        found = json.loads(cell.path.read_text(encoding="utf-8"))
        ours = (
            f"{found['variance']:.3f}",
            f"{100 * found['pvalue']:.1f}",
            found["verdict"],
            f"{found['l1']:.1f}",
            f"{found['l2']:.1f}",
            f"{100 * found['accuracy']:.0f}",
        )
        seed = f", seed {cell.seed}" if cell.typical else ""
        row = (cell.prior, cell.method, cell.value + seed, *ours, *(cell.paper or ("-",) * 5))
        lines.append(f"| {' | '.join(row)} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(path)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("run", "draw"))
    parser.add_argument("arguments", nargs="+", help="PRIOR=RUN ..., or the file to draw")
    parser.add_argument("--share", default="0/1", help="I/N: cells I, I + N, ...")
    parser.add_argument("--data", default="data", help="the folder that holds MNIST")
    parser.add_argument("--only", default="*", help="patterns of 'PRIOR METHOD VALUE', by commas")
    given = parser.parse_args()
    if given.command == "draw":
        draw(Path(given.arguments[0]))
        return
    index, count = map(int, given.share.split("/"))
    runs = dict(argument.split("=", 1) for argument in given.arguments)
    models = {prior: lightning_gans.load(folder) for prior, folder in runs.items()}
    data = MNIST(given.data)
    data.setup("predict")
    patterns = given.only.split(",")
    todo = [c for p in patterns for c in cells() if fnmatch(f"{c.prior} {c.method} {c.value}", p)]
    run(todo[index::count], models, data)


if __name__ == "__main__":
    main()
