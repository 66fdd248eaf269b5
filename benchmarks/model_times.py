"""Time per iteration of every model compared with ``gan``, on the same networks and data.

The models take turns, block by block, in one process, and each block's ratio is to the ``gan``
block of the same round, so that a drift of the machine's speed affects both.

    python -m benchmarks.model_times --rounds 6
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.measuring import Figure, Quiet, table, write_figures
from lightning_gans.data import MNIST5k
from lightning_gans.models import (
    ACGAN,
    AEDLSGAN,
    CAGAN,
    CGPGAN,
    DLSGAN,
    GAN,
    PVDGAN,
    VAEGAN,
    Autoencoder,
    CategoricalInfoGAN,
    Classifier,
    Encoder,
    InfoGAN,
    Model,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import FixedScale

WARM = 3  # iterations of each block that are not timed


class Clock(Callback):
    """Times the iterations of a block, without the first few."""

    def __init__(self) -> None:
        self.started = self.seconds = 0.0
        self.count = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if trainer.global_step == WARM:
            self.started = now
        self.seconds, self.count = now - self.started, trainer.global_step - WARM


def block(model: Model, data: MNIST5k, iterations: int) -> float:
    """Milliseconds per iteration in a block."""
    clock = Clock()
    Trainer(
        accelerator="cpu",
        max_steps=iterations + WARM,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    ).fit(model, data.train_dataloader())
    return 1000 * clock.seconds / clock.count


def models(latent_dim: int) -> dict[str, Model]:
    """One model of each kind, on the standard networks, with r1 or r2 if the method has it."""
    shape, classes = (1, 32, 32), (10,)
    own = partial(AdamW, lr=1e-4)
    game: dict[str, Any] = {"latent_dim": latent_dim, "optimizer": own, "r1": 0.1}
    gan = GAN(shape, **game)
    both = {**game, "r2": 0.1}
    return {
        "gan": gan,
        "dlsgan": DLSGAN(shape, **game),
        "msegan": DLSGAN(shape, prior=FixedScale, **game),
        "infogan": InfoGAN(shape, **game),
        "aedlsgan": AEDLSGAN(shape, classes, **game),
        "pvdgan": PVDGAN(shape, **game),
        "vaegan": VAEGAN(shape, **game),
        "cagan (r1, r2)": CAGAN(shape, classes, **both),
        "acgan (r1, r2)": ACGAN(shape, classes, **both),
        "infogan_categorical (r2)": CategoricalInfoGAN(
            shape, latent_dim, 10, optimizer=own, r2=0.1
        ),
        "cgpgan (r2)": CGPGAN(shape, latent_dim, 32, optimizer=own, r2=0.1),
        "encoder": Encoder(gan, shape, optimizer=own),
        "autoencoder": Autoencoder(shape, latent_dim, optimizer=own),
        "classifier": Classifier(shape, classes, optimizer=own),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=25, help="in a block")
    parser.add_argument("--latent-dim", type=int, default=64)
    parser.add_argument("--only", help="gan and these, separated by commas")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", help="file to write the figures to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    quiet, figures = Quiet(), list[Figure]()
    data = MNIST5k()
    data.setup("fit")
    times: dict[str, list[float]] = {}
    made = models(args.latent_dim)
    if args.only:
        made = {name: made[name] for name in ("gan", *args.only.split(","))}
    for shift in range(args.rounds + 1):
        # each round has another order, so that no model always runs at the same position
        turn = shift % len(made)
        for name in [*made][turn:] + [*made][:turn]:
            times.setdefault(name, []).append(block(made[name], data, args.iterations))
    print(f"\nthreads {torch.get_num_threads()}, {args.rounds} rounds of {args.iterations}\n")
    rows = []
    for name in made:
        # the first round warms all up
        found = times[name][1:]
        relative = [a / b for a, b in zip(found, times["gan"][1:], strict=True)]
        figures += [
            Figure.of("iteration", "ms", found, model=name, threads=args.threads),
            Figure.of("over gan", "", relative, model=name, threads=args.threads),
        ]
        rows.append([name, *figures[-2:]])
    print(table(["model", "ms an iteration", "relative to gan"], rows))
    if args.json:
        write_figures(args.json, figures, quiet)


if __name__ == "__main__":
    main()
