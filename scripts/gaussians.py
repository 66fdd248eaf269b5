"""The thesis's experiments on four Gaussian clusters (sections 4.1 and 4.5.1), measured and drawn.

    python scripts/gaussians.py list
    python scripts/gaussians.py train --iterations 20000 --warmup 6000 cgpgan
    python scripts/gaussians.py train --share 0/2 all      (the even jobs; 1/2 the odd ones)
    python scripts/gaussians.py draw docs/experiments/gaussians

Networks, batches and weights of losses are the published ones; the published length is 200,000
iterations, of which 60,000 are warmup, at --lr 1e-4 (CAGAN and ACGAN: 1e-3, which is ten times
--lr). 100,000 points are drawn once, not for each batch, and the averages are updated every ten
iterations with their own warmup. Each finished job is a file in runs/gaussians and is not
trained again.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import seed_everything
from lightning.pytorch import Trainer
from torch import Tensor

from lightning_gans.callbacks import EMA
from lightning_gans.data import Gaussians
from lightning_gans.data.gaussians import Points
from lightning_gans.models import ACGAN, CAGAN, CGPGAN, CategoricalInfoGAN, Model
from lightning_gans.models.base.mixed_batches import MixedBatches, PureBatches
from lightning_gans.networks import BatchStdDiscriminator
from lightning_gans.optimizers import AdamW
from lightning_gans.plots import clusters
from lightning_gans.priors import Categorical, GumbelSoftmax

FOLDER = Path("runs/gaussians")
TRUE = (0.1, 0.2, 0.3, 0.4)
PUBLISHED = 200_000


@dataclass(frozen=True)
class Job:
    """One training run: its experiment, setting and seed."""

    experiment: str
    setting: str
    seed: int
    iterations: int
    warmup: int

    @property
    def path(self) -> Path:
        name = f"{self.experiment}-{self.setting}-seed={self.seed}-steps={self.iterations}.pt"
        return FOLDER / name


def jobs(iterations: int, warmup: int) -> list[Job]:
    """All training runs, the most informative first."""
    make = partial(Job, iterations=iterations, warmup=warmup)
    found = [make("cgpgan", "penalty=0.1", seed) for seed in range(8)]
    found += [make("infogan", "known", seed) for seed in range(8)]
    found += [make("penalty", f"penalty={p}", 0) for p in (0, 1, 10, 100)]
    found += [make("boundary", name, 0) for name in ("cagan", "acgan=0.01", "acgan=1", "acgan=100")]
    found += [
        make("mixing", f"{name}-{how}", 0)
        for name in ("cagan", "acgan=1")
        for how in ("pure", "mixed")
    ]
    found += [
        make("elastic", f"t={t}-lr={lr}", 0)
        for t in (0.1, 0.3, 1.0)
        for lr in (0.0001, 0.0003, 0.001)
    ]
    return found


def model_of(job: Job, lr: float) -> Model:
    """The model of a job, untrained."""
    name, _, value = job.setting.partition("=")
    own = partial(AdamW, lr=lr, weight_decay=1e-4)
    if job.experiment in ("cgpgan", "penalty"):
        return CGPGAN((2,), optimizer=own, classifier_penalty=float(value), warmup=job.warmup)
    if job.experiment == "infogan":
        known = partial(Categorical, probabilities=TRUE)
        return CategoricalInfoGAN((2,), optimizer=own, categories=known)
    if job.experiment == "elastic":
        temperature, rate = (float(part.partition("=")[2]) for part in job.setting.split("-", 1))
        return CategoricalInfoGAN(
            (2,),
            num_categories=16,
            optimizer=own,
            categories=partial(GumbelSoftmax, temperature=temperature),
            categories_lr=rate * lr / 1e-4,
            warmup=job.warmup,
        )
    arguments: dict[str, Any] = {"classes": (4,), "probabilities": TRUE, "optimizer": own}
    if job.experiment == "mixing":
        mixed = job.setting.endswith("mixed")
        arguments["discriminator"] = BatchStdDiscriminator
        arguments["mixing"] = (
            partial(MixedBatches, rise=job.iterations // 2) if mixed else PureBatches
        )
    if name.startswith("cagan"):
        return CAGAN((2,), **arguments)
    weight = float(value.partition("-")[0])
    return ACGAN(
        (2,),
        classification_real=weight,
        classification_fake=0.0,
        classification=weight,
        **arguments,
    )


def train(job: Job, lr: float) -> None:
    """Train, and save generated points with their categories."""
    seed_everything(job.seed, verbose=False)
    own = job.experiment in ("boundary", "mixing")
    weights = (0.4, 0.3, 0.2, 0.1) if job.experiment == "mixing" else TRUE
    data = Gaussians(weights=weights, batch_size=32 if own else 16)
    data.setup()
    model, average = model_of(job, 10 * lr if own else lr), EMA(decay=0.999, every=10)
    start = time.perf_counter()
    Trainer(
        accelerator="cpu",
        max_steps=job.iterations,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=[average],
    ).fit(model, data.train_dataloader())
    seconds = time.perf_counter() - start
    average.apply(model)
    assert model.categories is not None
    n, random = 10_000, torch.Generator().manual_seed(1)
    z = model.prior.sample(n, random)
    c = model.categories.sample(n, random).detach()  # soft for Elastic InfoGAN, as in training
    points = model.decode(z, c)
    result = {
        "job": asdict(job) | {"lr": lr, "seconds": seconds},
        "points": points,
        "category": c.argmax(1),
        "p": model.categories.probabilities,
    }
    job.path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(result, job.path)
    print(json.dumps(asdict(job) | measure(job.experiment, result)), flush=True)


# Measures


def log_posteriors(x: Tensor, weights: tuple[float, ...] = TRUE) -> Tensor:
    """Log posterior of each true cluster, (n, 4), up to a constant of each point."""
    data = Gaussians()
    squares = torch.cdist(x.double(), torch.tensor(data.centres).double()).square()
    return torch.tensor(weights).double().log() - squares / (2 * data.std**2)


def to_boundary(x: Tensor) -> Tensor:
    """Distance of points to the nearest boundary between true clusters, (n,)."""
    data = Gaussians()
    logs = log_posteriors(x)
    best, own = logs.max(1)
    centres = torch.tensor(data.centres).double()
    slopes = torch.cdist(centres, centres) / data.std**2
    distance = (best[:, None] - logs) / slopes[own]
    distance[torch.arange(len(x)), own] = math.inf
    return distance.min(1).values


def measure(experiment: str, result: dict[str, object]) -> dict[str, float | int | bool | str]:
    """The measures of a finished job."""
    x, c, p = (result[name] for name in ("points", "category", "p"))
    assert isinstance(x, Tensor)
    assert isinstance(c, Tensor)
    assert isinstance(p, Tensor)
    cluster = log_posteriors(x).argmax(1)
    used = [k for k in range(len(p)) if p[k] >= 0.01 and (c == k).any()]
    # the cluster of each used category, and the share of its points in that cluster
    where = {k: int(cluster[c == k].mode().values) for k in used}
    share = {k: float((cluster[c == k] == where[k]).double().mean()) for k in used}
    right = len(used) == 4 and len(set(where.values())) == 4 and min(share.values()) > 0.9
    error = max(abs(float(p[k]) - TRUE[where[k]]) for k in used)
    centres = torch.tensor(Gaussians().centres).float()
    means = torch.stack([x[c == k].mean(0) for k in used])
    shown: dict[str, float | int | bool | str] = {
        "categories": len(used),
        "p": " ".join(f"{float(p[k]):.4f}" for k in used),
        "clusters": " ".join(str(where[k]) for k in used),
        "lowest_share": round(min(share.values()), 4),
        "all_assigned": right,
        "p_error": round(error, 4) if right else "",
        "near_boundary": round(float((to_boundary(x) < 0.2).double().mean()), 4),
    }
    if experiment in ("boundary", "mixing"):
        shown["mean_to_centre"] = round(float((means - centres).norm(dim=1).mean()), 4)
    return shown


# Commands


def select(args: argparse.Namespace) -> list[Job]:
    """The requested jobs that are not finished."""
    found = [
        job
        for job in jobs(args.iterations, args.warmup)
        if "all" in args.experiments or job.experiment in args.experiments
    ]
    part, whole = (int(number) for number in args.share.split("/"))
    return [job for job in found[part::whole] if not job.path.exists()]


def run(args: argparse.Namespace) -> None:
    """Train the unfinished jobs."""
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for job in select(args):
        train(job, args.lr)


def show(args: argparse.Namespace) -> None:
    """List the unfinished jobs."""
    for job in select(args):
        print(job.path)


def identity(result: dict[str, Any]) -> tuple[str, str, int]:
    """The job of a result, whatever its length."""
    job = result["job"]
    return job["experiment"], job["setting"], job["seed"]


def draw(args: argparse.Namespace) -> None:
    """A picture of each experiment and a table of all, from the finished jobs."""
    out = Path(args.folder)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    panels: dict[str, list[tuple[str, Tensor, Tensor]]] = {}
    trained = [torch.load(path, weights_only=True) for path in sorted(FOLDER.glob("*.pt"))]
    # the longest run of a job that was trained with several lengths
    trained.sort(key=lambda result: result["job"]["iterations"])
    found = list({identity(result): result for result in trained}.values())
    order = [(job.experiment, job.setting, job.seed) for job in jobs(0, 0)]
    found.sort(key=lambda result: order.index(identity(result)))
    for result in found:
        experiment, setting, seed = identity(result)
        shown = measure(experiment, result)
        rows.append({**result["job"], "seconds": round(result["job"]["seconds"]), **shown})
        title = f"{setting} seed {seed}"
        panels.setdefault(experiment, []).append((title, result["points"], result["category"]))
    for experiment, drawn in panels.items():
        clusters(drawn, out / f"{experiment}.png", columns=3 if experiment == "elastic" else 4)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (out / "gaussians.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    data = Gaussians(train=100_000)
    data.setup()
    assert isinstance(data.train_set, Points)
    real = data.train_set.points
    print(f"data within 0.2 of a boundary: {(to_boundary(real) < 0.2).double().mean():.4f}")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    actions: dict[str, Callable[[argparse.Namespace], None]] = {"train": run, "list": show}
    for name, action in actions.items():
        command = commands.add_parser(name)
        command.set_defaults(action=action)
        command.add_argument("experiments", nargs="*", default=["all"])
        command.add_argument("--iterations", type=int, default=PUBLISHED)
        command.add_argument("--warmup", type=int, default=60_000)
        command.add_argument("--lr", type=float, default=1e-4, help="of the adversarial family")
        command.add_argument("--share", default="0/1", help="i/n: every n-th job, from the i-th on")
    command = commands.add_parser("draw")
    command.set_defaults(action=draw)
    command.add_argument("folder")
    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
