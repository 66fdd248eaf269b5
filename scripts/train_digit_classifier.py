"""Train the digit classifier whose features the metrics use, and record its origin.

python scripts/train_digit_classifier.py --root ROOT --out digits.safetensors

ROOT is a folder in the layout of torchvision (ROOT/MNIST/raw/train-images-idx3-ubyte, ...). It
is trained on the 60,000 training images and evaluated on the 10,000 test images. The same seed on
the same machine and versions gives the same weights. (The shipped weights are from an earlier
version of this script, with the same settings and another order of images.)
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import math
import platform
import sys
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
import torchvision
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from lightning_gans.data import MNIST
from lightning_gans.data.tensors import Batch
from lightning_gans.metrics import Accuracy
from lightning_gans.models import Classifier
from lightning_gans.networks import DigitBackbone

MAX_BYTES = 1_000_000


class DistortedMNIST(MNIST):
    """MNIST whose training images get a new distortion each time."""

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Distort training images, with random numbers from torch's global generator."""
        x, y = batch
        return (distort(x) if self.trainer is not None and self.trainer.training else x), y


class OneCycle(Callback):
    """One cycle of the learning rate and the first momentum, with a step per iteration."""

    schedule: OneCycleLR

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Set the rates of this iteration; the model sets its own before an epoch."""
        if trainer.global_step:
            self.schedule.step()
            return
        (optimizer,) = trainer.optimizers
        steps = int(trainer.estimated_stepping_batches)
        self.schedule = OneCycleLR(optimizer, optimizer.param_groups[0]["lr"], total_steps=steps)


def distort(x: Tensor) -> Tensor:
    """Turn each image by up to 12 degrees, scale it by 0.9 to 1.1, shift it by up to 2 pixels."""
    angle, zoom, dx, dy = torch.rand(4, len(x)).mul(2).sub(1)
    angle, zoom = angle * math.radians(12), 1 + zoom * 0.1
    shift = 2 * 2 / x.shape[-1]  # in units of half the image
    rows = [
        torch.stack([zoom * angle.cos(), -zoom * angle.sin(), shift * dx], dim=1),
        torch.stack([zoom * angle.sin(), zoom * angle.cos(), shift * dy], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    # black is 0 here, so that pixels from outside the image are black
    return functional.grid_sample(x + 1, grid, align_corners=False) - 1


def train(data: MNIST, epochs: int, lr: float) -> Classifier:
    """A classifier trained on the cross-entropy with Adam and one cycle of the rate."""
    classifier = Classifier(
        data.image_shape,
        data.classes,
        num_features=128,
        discriminator=DigitBackbone,
        optimizer=partial(Adam, lr=lr),
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[OneCycle()],
    )
    trainer.fit(classifier, data)
    return classifier.eval()


def accuracy(classifier: Classifier, data: MNIST) -> float:
    """Share of the validation images whose largest logit is at their label."""
    data.setup("validate")
    metric = Accuracy()
    for x, y in data.val_dataloader():
        metric.update(classifier.classify(x), y)
    return metric.compute().item()


def provenance(args: argparse.Namespace, weights: bytes, test_accuracy: float) -> str:
    """The origin of the weights and how to reproduce them, as ``key: value`` lines."""
    lines = {
        "weights": args.out.name,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "bytes": len(weights),
        "data": "MNIST (LeCun, Cortes, Burges): 60,000 training images, padded from 28x28 to 32x32",
        "script": "scripts/train_digit_classifier.py",
        "command": (
            "python scripts/train_digit_classifier.py --root ROOT --out digits.safetensors"
            f" --epochs {args.epochs} --batch-size {args.batch_size} --lr {args.lr}"
            f" --seed {args.seed}"
        ),
        "seed": args.seed,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "versions": (
            f"python {platform.python_version()}, torch {torch.__version__},"
            f" torchvision {torchvision.__version__}, safetensors {safetensors.__version__}"
        ),
        "storage": "float16",
        "test accuracy": f"{test_accuracy:.4f} on the 10,000 test images, with the stored weights",
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def main() -> int:
    """Train, store, read back, measure; 1 if the result is too large or too inaccurate."""
    parser = argparse.ArgumentParser(description="Train the digit classifier of the metrics.")
    parser.add_argument("--root", type=Path, required=True, help="folder that holds MNIST/raw")
    parser.add_argument("--out", type=Path, required=True, help="weights to write (.safetensors)")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accuracy", type=float, default=0.992, help="least that is accepted")
    args = parser.parse_args()

    torch.set_num_threads(1)  # one thread sums in one order
    seed_everything(args.seed)
    data = DistortedMNIST(str(args.root), batch_size=args.batch_size)
    classifier = train(data, args.epochs, args.lr)

    stored = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in classifier.state_dict().items()
    }
    weights = safetensors.torch.save(stored)
    classifier.load_state_dict(safetensors.torch.load(weights))
    reached = accuracy(classifier, data)
    print(f"test accuracy {reached:.4f}, {len(weights)} bytes")
    if reached < args.accuracy or len(weights) > MAX_BYTES:
        print(f"not written: wanted {args.accuracy} and at most {MAX_BYTES} bytes", file=sys.stderr)
        return 1
    args.out.write_bytes(weights)
    args.out.with_suffix(".txt").write_text(provenance(args, weights, reached), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
