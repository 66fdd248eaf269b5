"""Egan et al.'s table of resampling criteria at a small scale: known codes of a soft-label DCGAN.

    python scripts/resampling_table.py run RUN        RUN: a folder of model=dcgan_soft
    python scripts/resampling_table.py draw docs/experiments/resampling.md

50 known codes, one restart, 2,000 steps (the paper: 100 and 20,000), the same initial codes and the
same draws for each criterion. Each finished criterion is a file in runs/resampling.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import lightning_gans
from lightning_gans.inversion import L2, Recovery, Scaled, recover
from lightning_gans.inversion.known_codes import compare, errors, markdown, published_criteria
from lightning_gans.rng import stream

FOLDER = Path("runs/resampling")
CODES = 50


def run(folder: str, steps: int, lr: float, index: int, count: int) -> None:
    """Recover the known codes under each unfinished criterion."""
    model = lightning_gans.load(folder)
    generator = Scaled(model.generator, model.prior.scale())
    truth = model.prior.sample(CODES, stream("known codes", 0))
    with torch.no_grad():
        x = generator(truth)
    for name, constraint in list(published_criteria().items())[index::count]:
        path = FOLDER / f"{name}.safetensors"
        if path.exists():
            continue
        recovery = recover(
            generator,
            x,
            model.prior,
            constraint=constraint,
            steps=steps,
            restarts=1,
            lr=lr,
            loss=L2(),
        )
        recovery.save(path)
        error = errors(recovery.codes, truth)
        print(
            f"{name}: error {error.mean():.4f}, loss {recovery.losses.mean():.5f}, "
            f"{recovery.seconds:.0f} s",
            flush=True,
        )


def draw(model: str, path: Path) -> None:
    """One Markdown table of all finished criteria."""
    truth = lightning_gans.load(model).prior.sample(CODES, stream("known codes", 0))
    found = {
        name: errors(Recovery.load(FOLDER / f"{name}.safetensors").codes, truth)
        for name in published_criteria()
        if (FOLDER / f"{name}.safetensors").exists()
    }
    path.write_text(markdown(compare(found, "disabled")) + "\n", encoding="utf-8")
    print(path)


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("run", "draw"))
    parser.add_argument("model", help="a run's folder")
    parser.add_argument("file", nargs="?", type=Path, help="to draw into")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--share", default="0/1", help="I/N: criteria I, I + N, ...")
    given = parser.parse_args()
    index, count = map(int, given.share.split("/"))
    if given.command == "run":
        run(given.model, given.steps, given.lr, index, count)
    else:
        draw(given.model, given.file)


if __name__ == "__main__":
    main()
