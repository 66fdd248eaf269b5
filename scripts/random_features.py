"""Makes the weights of the random network whose features need no download.

    python -m scripts.random_features --out lightning_gans/metrics/weights/random.safetensors

Filters are drawn orthogonal from a seed. Made images (leaves of random colours that cover each
other, and noise whose power falls with frequency, as in photographs) then set what random filters
leave open: each channel is shifted and scaled to mean 0 and variance 1 before its rectifier, and
each feature to mean 0 and variance 1. A file of provenance is written beside the weights.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lightning_gans.metrics.random_network import DEPTHS, RandomNetwork

SEED = 0
IMAGES, SIDE = 1024, 64


def leaves(rng: np.random.Generator, side: int) -> np.ndarray:
    """An image (3, side, side) in [0, 1] of discs and boxes in front of each other."""
    image = np.empty((3, side, side))
    image[:] = rng.random((3, 1, 1))
    rows, columns = np.mgrid[:side, :side]
    for _ in range(rng.integers(1, 40)):
        # many small ones, few large: sizes with a power law look the same at any scale
        radius = side / 2 * rng.uniform(0.05, 1) ** 2
        y, x = rng.uniform(0, side, 2)
        if rng.random() < 0.5:
            inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        else:
            inside = (abs(rows - y) < radius) & (abs(columns - x) < radius * rng.uniform(0.3, 1))
        image[:, inside] = rng.random((3, 1)) + rng.uniform(0, 0.1) * rng.normal(size=inside.sum())
    return np.clip(image, 0, 1)


def noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """An image (3, side, side) in [0, 1] whose amplitudes fall with a random power of frequency."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) + 1 / side
    spectrum = np.fft.rfft2(rng.normal(size=(3, side, side))) / frequency ** rng.uniform(0.5, 2)
    image = np.fft.irfft2(spectrum, (side, side))
    # channels of photographs are alike
    image = image + rng.uniform(0, 3) * image[:1]
    image = (image - image.mean()) / image.std()
    found: np.ndarray = np.clip(rng.uniform(0.2, 0.8) + rng.uniform(0.05, 0.3) * image, 0, 1)
    return found


def images(rng: np.random.Generator) -> Tensor:
    """(IMAGES, 3, SIDE, SIDE) in [-1, 1]; a fifth of them grey."""
    made = np.stack([(leaves if i % 2 else noise)(rng, SIDE) for i in range(IMAGES)])
    made[::5] = made[::5].mean(1, keepdims=True)
    return torch.tensor(made * 2 - 1, dtype=torch.float32)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Rows of norm 1 that are orthogonal, (rows, columns); rows ≤ columns."""
    q, r = np.linalg.qr(rng.normal(size=(columns, rows)))
    found: np.ndarray = (q * np.sign(np.diag(r))).T
    return found


@torch.no_grad()
def make(seed: int) -> RandomNetwork:
    """The network with its weights."""
    rng = np.random.default_rng(seed)
    network = RandomNetwork()
    x = images(rng)
    seen = x
    for depth in range(DEPTHS):
        convolution = network.convolutions[depth]
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        out, *inputs = convolution.weight.shape
        drawn = orthogonal(rng, out, int(np.prod(inputs)))
        convolution.weight.copy_(torch.tensor(drawn).reshape(convolution.weight.shape))
        convolution.bias.zero_()
        before = convolution(seen)
        mean, std = before.mean((0, 2, 3)), before.std((0, 2, 3))
        convolution.weight.div_(std[:, None, None, None])
        convolution.bias.copy_(-mean / std)
        seen = network.next_depth(convolution(seen))
    features = network(x)
    network.mean.copy_(features.mean(0))
    network.std.copy_(features.std(0))
    return network


def main() -> None:
    """Make the weights and write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="weights to write (.safetensors)")
    out: Path = parser.parse_args().out
    safetensors.torch.save_file(make(SEED).state_dict(), out)
    content = out.read_bytes()
    lines = {
        "weights": out.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "data": f"{IMAGES:,} made images of {SIDE}x{SIDE} pixels, for shifts and scales only",
        "script": "scripts/random_features.py",
        "command": f"python -m scripts.random_features --out {out.name}",
        "seed": SEED,
        "versions": f"python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {np.__version__}, safetensors {safetensors.__version__}",
    }
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    out.with_suffix(".txt").write_text(text)


if __name__ == "__main__":
    main()
