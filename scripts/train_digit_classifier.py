"""Train the digit classifier whose features the metrics use, and write down where it came from.

python scripts/train_digit_classifier.py --root ROOT --out digits.safetensors

ROOT is a folder as torchvision keeps it (ROOT/MNIST/raw/train-images-idx3-ubyte, ...). The
60,000 training images train, the 10,000 test images only measure. The same seed on the same
machine and versions gives the same weights.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import math
import platform
import sys
from pathlib import Path

import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.metrics.digits import DigitClassifier
from lightning_gans.metrics.quantize import from_uint8

MAX_BYTES = 1_000_000


def read(root: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 32, 32) in [-1, 1], padded with black, and labels (N,)."""
    mnist = torchvision.datasets.MNIST(root, train=train, download=False)
    return from_uint8(functional.pad(mnist.data.unsqueeze(1), (2, 2, 2, 2))), mnist.targets


def distort(x: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image by up to 12 degrees, scale it by 0.9 to 1.1, shift it by up to 2 pixels."""
    angle, zoom, dx, dy = torch.rand(4, len(x), generator=generator).mul(2).sub(1)
    angle, zoom = angle * math.radians(12), 1 + zoom * 0.1
    shift = 2 * 2 / x.shape[-1]  # in units of half the image
    rows = [
        torch.stack([zoom * angle.cos(), -zoom * angle.sin(), shift * dx], dim=1),
        torch.stack([zoom * angle.sin(), zoom * angle.cos(), shift * dy], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    # sampled about black being 0, so that what comes in from outside the image is black
    return functional.grid_sample(x + 1, grid, align_corners=False) - 1


@torch.no_grad()
def accuracy(classifier: DigitClassifier, x: Tensor, y: Tensor) -> float:
    """Share of images whose largest logit is at their label."""
    classifier.eval()
    guesses = torch.cat([classifier(part).argmax(1) for part in torch.split(x, 1000)])
    return (guesses == y).double().mean().item()


def train(classifier: DigitClassifier, x: Tensor, y: Tensor, args: argparse.Namespace) -> None:
    """Minimise the cross-entropy with Adam under one cycle of the learning rate."""
    generator = torch.Generator().manual_seed(args.seed)
    optimizer = torch.optim.Adam(classifier.parameters(), lr=args.lr)
    steps = args.epochs * math.ceil(len(x) / args.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=steps)
    for epoch in range(args.epochs):
        classifier.train()
        total = 0.0
        for batch in torch.split(torch.randperm(len(x), generator=generator), args.batch_size):
            loss = nn.functional.cross_entropy(classifier(distort(x[batch], generator)), y[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch + 1}/{args.epochs}: loss {total / len(x):.4f}", flush=True)


def provenance(args: argparse.Namespace, weights: bytes, test_accuracy: float) -> str:
    """What the weights are and how to make them again, as ``key: value`` lines."""
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
        "date": datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
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
    torch.manual_seed(args.seed)
    classifier = DigitClassifier()
    train(classifier, *read(args.root, train=True), args)

    stored = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in classifier.state_dict().items()
    }
    weights = safetensors.torch.save(stored)
    classifier.load_state_dict(safetensors.torch.load(weights))
    reached = accuracy(classifier, *read(args.root, train=False))
    print(f"test accuracy {reached:.4f}, {len(weights)} bytes")
    if reached < args.accuracy or len(weights) > MAX_BYTES:
        print(f"not written: wanted {args.accuracy} and at most {MAX_BYTES} bytes", file=sys.stderr)
        return 1
    args.out.write_bytes(weights)
    args.out.with_suffix(".txt").write_text(provenance(args, weights, reached))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
