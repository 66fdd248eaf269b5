"""AnoDLSGAN at its published width and length (thesis, section 4.3), evaluated on MNIST-C's files.

Several methods train side by side. On a GPU each iteration is one CUDA graph: the same kernels,
launched together.

    python scripts/published_ood.py --method dlsgan,infogan,msegan --data data --out results

``--data`` holds ``MNIST/raw`` and ``FashionMNIST/raw`` with the idx files, and
``mnist_c/NAME/test_images.npy``; or the bare pixels, compressed, as ``mnist_train.xz``,
``mnist_test.xz``, ``fashion_test.xz`` and ``mnist_c/NAME.xz``. The networks of the thesis are
``PlainGenerator`` and ``PlainDiscriminator``.

With ``--resume --seconds 500`` each call trains for so long, and goes on where the one before it in
the same ``--out`` has stopped; the last one evaluates.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_gans.metrics import PSNR, DigitFeatures, FrechetDistance, to_uint8
from lightning_gans.models import DLSGAN, InfoGAN
from lightning_gans.models.base.alternating import Minimize
from lightning_gans.networks import PlainDiscriminator, PlainGenerator
from lightning_gans.networks.layers import Blur
from lightning_gans.ood import auroc, scorer
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import DynamicScale, FixedScale
from lightning_gans.rng import stream

SHAPE = (1, 32, 32)
SIDE = 28
WARM_UP = 11  # iterations before the graph is captured
NEAR = 0.1  # the weight of the OOD image in a near one
CORRUPTIONS = (
    "shot_noise",
    "impulse_noise",
    "glass_blur",
    "motion_blur",
    "stripe",
    "fog",
    "spatter",
    "dotted_line",
    "zigzag",
    "canny_edges",
)

# the options that a resumed run must share with its beginning
SETTINGS = (
    *("precision", "blur", "layout", "channels", "batch", "iterations", "epoch", "train", "seed"),
)

Pixels = npt.NDArray[np.uint8]


# Data


def read_pixels(data: Path, name: str) -> Pixels:
    """Images (n, 28, 28) of one file, in either format that the module's docstring describes."""
    compressed = data / f"{name}.xz"
    if compressed.is_file():
        pixels = np.frombuffer(lzma.decompress(compressed.read_bytes()), np.uint8)
    elif name.startswith("mnist_c/"):
        pixels = np.load(data / name / "test_images.npy")
    else:
        folder = "FashionMNIST" if name.startswith("fashion") else "MNIST"
        part = "train" if name.endswith("train") else "t10k"
        file = data / folder / "raw" / f"{part}-images-idx3-ubyte"
        pixels = np.frombuffer(file.read_bytes(), np.uint8, offset=16)
    return pixels.reshape(-1, SIDE, SIDE)


def images(data: Path, name: str, device: str, most: int | None = None) -> Tensor:
    """Images (n, 1, 32, 32) as bytes, with two black pixels on each side."""
    pixels = torch.from_numpy(read_pixels(data, name)[:most].copy()).to(device)
    return pad(pixels[:, None], (2, 2, 2, 2))


def normalize(pixels: Tensor) -> Tensor:
    """Bytes to float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


# Networks


class MatrixBlur(nn.Module):
    """``Blur`` as a matrix product along each axis, which is fast on a GPU.

    Args:
        sides: of its feature maps.
    """

    def __init__(self, sides: tuple[int, ...] = (4, 8, 16, 32)) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        for side in sides:
            down = torch.zeros(side // 2, side)
            for row in range(side // 2):
                for k, tap in enumerate(taps):
                    if 0 <= 2 * row + k - 1 < side:
                        down[row, 2 * row + k - 1] = tap
            self.register_buffer(f"down_{side}", down, persistent=False)

    def down(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W), even H and W, to (N, C, H / 2, W / 2)."""
        return self._both(self.get_buffer(f"down_{x.shape[-1]}"), x)

    def up(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W) to (N, C, 2H, 2W)."""
        # the kernel of ``Blur.up`` is scaled by 4, which is 2 along each axis
        return self._both(2 * self.get_buffer(f"down_{2 * x.shape[-1]}").T, x)

    @staticmethod
    def _both(matrix: Tensor, x: Tensor) -> Tensor:
        """Apply a matrix along both axes; channels are last in memory."""
        n, c, h, w = x.shape
        lines = x.permute(0, 2, 3, 1).reshape(n, h, w * c)
        rows = matrix @ lines
        lines = rows.reshape(n * len(matrix), w, c)
        columns = matrix @ lines
        return columns.reshape(n, len(matrix), len(matrix), c).permute(0, 3, 1, 2)


def replace_blurs(network: nn.Module) -> None:
    """Replace each ``Blur`` by a ``MatrixBlur``."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Blur):
                setattr(module, name, MatrixBlur())


def build(method: str, channels: int, device: str, latent_dim: int = 256) -> DLSGAN | InfoGAN:
    """A model with the thesis's networks and settings; ``channels`` sets their width."""
    common: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": latent_dim,
        "generator": partial(PlainGenerator, channels=channels, max_channels=8 * channels),
        "discriminator": partial(PlainDiscriminator, channels=channels, max_channels=8 * channels),
        "optimizer": partial(AdamW, lr=1e-3, weight_decay=0.0, epoch_decay=0.95),
        "r1": 0.1,
        "prior": partial(DynamicScale if method == "dlsgan" else FixedScale, start=1.0),
    }
    kind = InfoGAN if method == "infogan" else DLSGAN
    model: DLSGAN | InfoGAN = kind(**common)  # type: ignore[arg-type]  # by name
    return model.to(device)


# Training


class Loop:
    """Trains a model without a Trainer; no iteration waits for the GPU, or it is a CUDA graph.

    Args:
        model: of two players; its ``training_step`` is used unchanged.
        draw: returns a batch of real images.
        random: the generator that latents are drawn from.
        bf16: whether autocast runs the networks in bfloat16; else they run in float32.
    """

    def __init__(
        self,
        model: DLSGAN | InfoGAN,
        draw: Callable[[], Tensor],
        random: torch.Generator,
        bf16: bool = False,
    ) -> None:
        self.model, self.draw, self.bf16 = model, draw, bf16
        model.random = random
        self.device = next(model.parameters()).device
        self.lr = torch.tensor(1e-3, device=self.device)
        self.parameters = {
            player: [p for group in model.parameter_groups(player) for p in group["params"]]
            for player in model.players
        }
        self.optimizers = {
            player: AdamW(own, lr=1e-3, weight_decay=0.0) for player, own in self.parameters.items()
        }
        if self.device.type == "cuda":
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group.update(capturable=True, lr=self.lr)
        self.terms: dict[str, Tensor] = {}
        model.turn = self.turn  # type: ignore[method-assign]
        self.graph: torch.cuda.CUDAGraph | None = None

    @contextmanager
    def turn(self, player: str) -> Iterator[Minimize]:
        """The model's own turn without logging and checks."""

        def minimize(**terms: Tensor) -> None:
            self.optimizers[player].zero_grad()
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            self.optimizers[player].step()
            self.terms |= {f"{player}/{name}": term.detach() for name, term in terms.items()}

        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        for parameter in self.parameters[player]:
            parameter.requires_grad_(True)
        yield minimize

    def set_rate(self, lr: float) -> None:
        """Set both players' learning rate."""
        self.lr.fill_(lr)
        if self.device.type != "cuda":
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group["lr"] = lr

    def step(self) -> None:
        """One iteration."""
        if self.graph is not None:
            self.graph.replay()
            return
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            x = self.draw()
            self.model.training_step((x, x.new_zeros(len(x))), 0)

    @property
    def v(self) -> Tensor:
        """The traced second moment of the codes, (latent_dim,)."""
        return self.model.get_buffer("prior.v")

    def capture(self) -> None:
        """Capture the iteration as a CUDA graph, in the current stream.

        This must not be the default stream, and a few iterations must have run in it before.
        """
        graph = torch.cuda.CUDAGraph()
        assert self.model.random is not None
        graph.register_generator_state(self.model.random)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            self.step()
        self.graph = graph


class Order:
    """Batches of images in the device's memory, in a new order each epoch.

    Args:
        pixels: all images, as bytes.
        batch_size: images per batch.
        seed: of the order.
    """

    def __init__(self, pixels: Tensor, batch_size: int, seed: int) -> None:
        self.pixels, self.batch_size = pixels, batch_size
        self.random = stream("order", seed, device=pixels.device)
        self.chosen = torch.arange(batch_size, device=pixels.device)
        self.epoch = len(pixels) // batch_size
        self.order = torch.empty(0)

    def draw(self) -> Tensor:
        """The images of the current batch."""
        return normalize(self.pixels[self.chosen])

    def advance(self, iteration: int) -> None:
        """Go to the batch of an iteration; call with 0, 1, 2, ... in turn."""
        position = iteration % self.epoch
        if position == 0:
            device = self.pixels.device
            self.order = torch.randperm(len(self.pixels), generator=self.random, device=device)
        first = position * self.batch_size
        self.chosen.copy_(self.order[first : first + self.batch_size])


# Evaluation


class Sets:
    """ID images and sets of OOD images, near and far.

    Args:
        data: the folder of the files.
        device: that holds the images.
        most: the maximum number of images per set; None for all.
    """

    def __init__(self, data: Path, device: str, most: int | None = None) -> None:
        self.normal = images(data, "mnist_test", device, most)
        self.far = {n: images(data, f"mnist_c/{n}", device, most) for n in CORRUPTIONS}
        self.far["fashion_mnist"] = images(data, "fashion_test", device, most)

    def scores(
        self, score: Callable[[Tensor], Mapping[str, Tensor]], n: int, batch: int = 500
    ) -> dict[str, dict[str, Tensor]]:
        """Scores of the first n images of all sets, by "kind/set" and then by score."""
        found: dict[str, list[Mapping[str, Tensor]]] = {}
        for first in range(0, n, batch):
            part = slice(first, min(first + batch, n))
            x = normalize(self.normal[part])
            found.setdefault("id", []).append(score(x))
            for name, pixels in self.far.items():
                y = normalize(pixels[part])
                found.setdefault(f"near/{name}", []).append(score(NEAR * y + (1 - NEAR) * x))
                found.setdefault(f"far/{name}", []).append(score(y))
        return {
            place: {name: torch.cat([p[name].cpu() for p in parts]) for name in parts[0]}
            for place, parts in found.items()
        }


def aurocs(scores: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, float]]:
    """AUROC in % by score and then by "kind/set"; "near" and "far" are means over the sets."""
    found: dict[str, dict[str, float]] = {}
    for name, normal in scores["id"].items():
        cells = {
            place: 100 * auroc(normal, ood[name]) for place, ood in scores.items() if place != "id"
        }
        for kind in ("near", "far"):
            values = [value for place, value in cells.items() if place.startswith(kind)]
            cells[kind] = sum(values) / len(values)
        found[name] = cells
    return found


@torch.no_grad()
def quality(model: DLSGAN | InfoGAN, sets: Sets, n: int) -> dict[str, float]:
    """FID on digit features, PSNR of reconstructions, L_enc, entropy of the latents, mean z²/v."""
    device = str(sets.normal.device)
    features = DigitFeatures()
    features.prepare(device)
    fid, psnr = FrechetDistance(features.num_features).to(device), PSNR().to(device)
    random, s = stream("measure", 0, device=device), model.prior.scale()
    errors, squares = [], []
    for first in range(0, n, 500):
        x = normalize(sets.normal[first : min(first + 500, n)])
        z = model.prior.sample(len(x), random)
        y = model.generator(z * s).clamp(-1, 1)
        errors.append((s * (z - model.encoding(y).code)).square().mean(1))
        code = model.encoding(x).code
        squares.append((code.square() / model.get_buffer("prior.v")).mean(1))
        fid.update(features(to_uint8(x)), real=True)
        fid.update(features(to_uint8(y)), real=False)
        psnr.update(x, model.generator(code * s).clamp(-1, 1))
    entropy = (s * math.sqrt(2 * math.pi * math.e)).log().sum()
    return {
        "fid/digits": float(fid.compute()),
        "psnr/real": float(psnr.compute()),
        "latent/loss": float(torch.cat(errors).mean()),
        "latent/entropy": float(entropy),
        "z²/v of test digits": float(torch.cat(squares).mean()),
    }


class WithoutTF32:
    """Within the block, float32 products do not use TF32."""

    def __enter__(self) -> None:
        self.before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        set_tf32(False)

    def __exit__(self, *error: object) -> None:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = self.before


def set_tf32(allowed: bool) -> None:
    """Allow TF32 in float32 products on a GPU, or not."""
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


# The run


class Run:
    """One method: its training, and its results in files.

    Args:
        method: dlsgan, infogan or msegan.
        options: from the command line.
    """

    def __init__(self, method: str, options: argparse.Namespace) -> None:
        self.method, self.options = method, options
        self.start = time.perf_counter()
        self.cuda = options.device.startswith("cuda")
        self.stream = torch.cuda.Stream() if self.cuda else None  # type: ignore[no-untyped-call]
        torch.manual_seed(options.seed)
        set_tf32(options.precision != "float32")
        torch.backends.cudnn.benchmark = True
        model = build(method, options.channels, options.device)
        if options.blur == "matrix":
            replace_blurs(model)
            model.to(options.device)
        if options.layout == "last":
            model.to(memory_format=torch.channels_last)
        pixels = images(Path(options.data), "mnist_train", options.device, options.train)
        self.order = Order(pixels, options.batch, options.seed)
        random = stream("training", options.seed, device=options.device)
        self.loop = Loop(model, self.order.draw, random, options.precision == "bf16")
        self.iterations, self.made, self.trained, self.stopped = 0, 0, 0.0, False
        if options.resume and self.state.is_file():
            self.restore()
        if self.cuda:
            torch.cuda.synchronize()

    @property
    def state(self) -> Path:
        """The file from which the run resumes."""
        return Path(self.options.out, f"{self.method}-state.pt")

    @property
    def settings(self) -> dict[str, object]:
        """What determines the run."""
        return {name: getattr(self.options, name) for name in SETTINGS}

    def save(self) -> None:
        """Save all that the run needs to go on exactly."""
        if self.cuda:
            torch.cuda.synchronize()
        assert self.loop.model.random is not None
        state = {
            "settings": self.settings,
            "iterations": self.iterations,
            "trained": self.trained,
            "stopped": self.stopped,
            "model": self.loop.model.state_dict(),
            "optimizers": {p: o.state_dict()["state"] for p, o in self.loop.optimizers.items()},
            "random": self.loop.model.random.get_state(),
            "order": self.order.order,
            "order's random": self.order.random.get_state(),
        }
        new = self.state.with_suffix(".new")
        torch.save(state, new)
        new.replace(self.state)

    def restore(self) -> None:
        """Continue the run that is saved.

        Raises:
            SystemExit: if it has other settings.
        """
        state = torch.load(self.state, map_location=self.options.device, weights_only=True)
        if state["settings"] != self.settings:
            different = [n for n in SETTINGS if state["settings"].get(n) != self.settings[n]]
            raise SystemExit(
                f"{self.state} is of a run with another --{different[0]}: expected "
                f"{state['settings'].get(different[0])}, got {self.settings[different[0]]}; "
                "give the same options, or another --out"
            )
        self.loop.model.load_state_dict(state["model"])
        for player, optimizer in self.loop.optimizers.items():
            # the groups stay those of the loop, which sets their rate
            kept = optimizer.state_dict() | {"state": state["optimizers"][player]}
            optimizer.load_state_dict(kept)
            if self.cuda:
                for group in optimizer.param_groups:
                    group.update(lr=self.loop.lr)
        assert self.loop.model.random is not None
        self.loop.model.random.set_state(state["random"].cpu())
        self.order.random.set_state(state["order's random"].cpu())
        self.order.order = state["order"]
        self.iterations, self.trained = state["iterations"], state["trained"]
        self.stopped = state["stopped"]
        self.set_rate()

    def set_rate(self) -> None:
        """Set the rate of the epoch that the next iteration belongs to."""
        self.loop.set_rate(1e-3 * 0.95 ** (self.iterations // self.options.epoch))

    def write(self, **values: object) -> None:
        """Append a line to the method's results."""
        values["seconds"] = round(time.perf_counter() - self.start, 2)
        with Path(self.options.out, f"{self.method}.jsonl").open("a", encoding="utf-8") as lines:
            print(json.dumps(values), file=lines)

    def advance(self) -> None:
        """Run the next iteration; on a GPU in its own stream, concurrently with other runs."""
        if self.stopped:
            return
        with torch.cuda.stream(self.stream):
            if self.iterations % self.options.epoch == 0:
                self.set_rate()
            self.order.advance(self.iterations)
            self.loop.step()
            self.iterations, self.made = self.iterations + 1, self.made + 1
            if self.made == WARM_UP and self.options.graph and self.cuda:
                self.loop.capture()  # only records the iteration
            if self.iterations % self.options.log == 0:
                self.log()

    def log(self) -> None:
        """Write the losses; stop if one is not finite."""
        keys, v = list(self.loop.terms), self.loop.v
        values = torch.stack([self.loop.terms[key].float() for key in keys]).tolist()
        spread = {"v mean": float(v.mean()), "v > 0.3": int((v > 0.3).sum())}
        named = dict(zip(keys, values, strict=True))
        self.write(event="log", iteration=self.iterations, **named, **spread)
        self.stopped = not all(map(math.isfinite, values))

    def evaluate(self, sets: Sets) -> None:
        """Write the AUROC of the NLL so far, for the first 2,000 images of each set."""
        with torch.cuda.stream(self.stream), WithoutTF32():
            n = min(len(sets.normal), 2000)
            found = aurocs(sets.scores(scorer(self.loop.model, ("nll",)), n))
            self.write(event="evaluation", iteration=self.iterations, nll=found["nll"])

    def finish(self, sets: Sets, seconds: float) -> None:
        """Write the results, and save the scores and the encoder."""
        out, model, n = Path(self.options.out), self.loop.model.eval(), len(sets.normal)
        names = ["nll", "typicality", "reconstruction"]
        if self.method == "infogan":
            names.append("nll_own")
        result: dict[str, object] = {"iterations": self.iterations, "train": seconds}
        with torch.cuda.stream(self.stream), WithoutTF32():
            scores = sets.scores(scorer(model, names), n)
            result["auroc"] = aurocs(scores)
            self.write(event="auroc", **result)
            result |= quality(model, sets, n)
        if self.cuda:
            result["device"] = torch.cuda.get_device_name()
            result["peak MiB"] = torch.cuda.max_memory_allocated() / 2**20
        self.write(event="result", **result)
        v, s = (t.detach().cpu().numpy() for t in (self.loop.v, model.prior.scale()))
        flat = {f"{p}/{k}": t.numpy() for p, each in scores.items() for k, t in each.items()}
        np.savez_compressed(out / f"{self.method}.npz", v=v, s=s, **flat)  # type: ignore[arg-type]
        weights = {name: value.half() for name, value in model.discriminator.state_dict().items()}
        torch.save(weights, out / f"{self.method}-encoder.pt")


def train(runs: list[Run], sets: Sets, options: argparse.Namespace) -> float:
    """Advance all runs in turn; return the seconds taken, including evaluations."""
    start = time.perf_counter()
    for iteration in range(runs[0].iterations + 1, options.iterations + 1):
        for run in runs:
            run.advance()
        if iteration % options.evaluate == 0 and iteration < options.iterations:
            for run in runs:
                run.evaluate(sets)
                if options.resume:
                    run.save()
        if iteration % options.log == 0 and time.perf_counter() - start > options.seconds:
            break
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(argv: list[str] | None = None) -> None:
    """Train and evaluate, during training and at the end; write results as they come."""
    options = parser().parse_args(argv)
    Path(options.out).mkdir(parents=True, exist_ok=True)
    runs = [Run(method, options) for method in options.method.split(",")]
    sets = Sets(Path(options.data), options.device, options.images)
    for run in runs:
        run.write(event="ready", settings=vars(options))
    seconds = train(runs, sets, options)
    for run in runs:
        run.trained += seconds
        if options.resume:
            run.save()
        complete = run.iterations == options.iterations or run.stopped
        if complete or not options.resume:
            run.finish(sets, run.trained)


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument(
        "--method", default="dlsgan", help="of dlsgan, infogan, msegan; separated by commas"
    )
    made.add_argument("--data", default="data")
    made.add_argument("--out", default="published_ood")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--precision", choices=["float32", "tf32", "bf16"], default="tf32")
    made.add_argument("--blur", choices=["channels", "matrix"], default="matrix")
    made.add_argument("--layout", choices=["first", "last"], default="last")
    made.add_argument("--graph", action=argparse.BooleanOptionalAction, default=True)
    made.add_argument("--channels", type=int, default=128, help="of the networks; published: 128")
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--iterations", type=int, default=56250)
    made.add_argument("--epoch", type=int, default=1875, help="iterations of one rate")
    made.add_argument("--seconds", type=float, default=math.inf, help="after which to stop")
    made.add_argument(
        "--resume", action="store_true", help="save the run, and go on with one that is saved"
    )
    made.add_argument("--log", type=int, default=250, help="iterations between logged losses")
    made.add_argument("--evaluate", type=int, default=5625, help="iterations between evaluations")
    made.add_argument("--train", type=int, help="images to train on; by default all")
    made.add_argument("--images", type=int, help="images per set; by default all")
    made.add_argument("--seed", type=int, default=0)
    return made


if __name__ == "__main__":
    main()
