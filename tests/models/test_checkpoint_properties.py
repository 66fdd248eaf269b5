"""Whatever a model's settings and weights, its checkpoint gives them back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

import lightning_gans
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.losses import Hinge, LeastSquares, NonSaturating
from lightning_gans.models import DLSGAN
from lightning_gans.models.base.rng_state import restore_rng, rng_state
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.priors import DynamicScale, FixedScale, Normal, Uniform
from lightning_gans.runs.checkpoint_format import averages, content_error
from lightning_gans.runs.checkpoints import UnreadableCheckpoint, averaged, read
from tests.support.training import data, points, trainer

SETTINGS = {
    "latent_dim": st.integers(1, 5),
    "r1": st.floats(0, 2),
    "latent": st.floats(0, 2),
    "loss": st.sampled_from([NonSaturating, Hinge, LeastSquares]),
    "penalty_interval": st.integers(1, 3),
    "prior": st.builds(
        lambda kind, base, decay: partial(kind, base=base, decay=decay),
        st.sampled_from([DynamicScale, FixedScale]),
        st.sampled_from([Normal, Uniform]),
        st.floats(0, 0.99),
    ),
    "generator": st.builds(
        lambda width, depth: partial(MLPGenerator, width=width, depth=depth),
        st.integers(1, 6),
        st.integers(1, 3),
    ),
}


@settings(max_examples=8, phases=[Phase.generate])  # an example is a training
@given(st.fixed_dictionaries(SETTINGS), st.integers(0, 99))
def test_a_checkpoint_gives_back_the_model(
    tmp_path: Path, options: dict[str, object], seed: int
) -> None:
    torch.manual_seed(seed)
    discriminator = partial(MLPDiscriminator, width=4, depth=1)
    model = DLSGAN((2,), discriminator=discriminator, **options)  # type: ignore[arg-type]
    folder = tmp_path / str(len(list(tmp_path.iterdir())))  # each example's own
    runner = trainer(folder, Checkpoint(), max_steps=1, logger=False, limit_val_batches=0)
    runner.fit(model, data())
    path = folder / "checkpoints" / "last-step=1.ckpt"
    loaded = lightning_gans.load(path)
    assert isinstance(loaded, DLSGAN)
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert type(loaded.prior) is type(model.prior)
    z = torch.linspace(-1, 1, 3 * model.prior.dim).reshape(3, -1)
    model.eval()
    assert torch.equal(loaded.decode(z), model.decode(z))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A checkpoint with averaged weights, as a file and as its content."""
    folder = tmp_path_factory.mktemp("run")
    runner = trainer(
        folder, EMA(0.9, warmup=None), Checkpoint(), max_steps=3, logger=False, limit_val_batches=0
    )
    runner.fit(points(), data())
    file = folder / "checkpoints" / "last-step=3.ckpt"
    return file, read(file)


def parts(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """What nested values hold, with the place of each."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from parts(part, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from parts(part, f"{place}.{index}")
    else:
        yield place, value


def alike(first: object, second: object) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    return type(first) is type(second) and bool(first == second)


def test_what_is_changed_below_is_read_as_it_was_saved(saved: tuple[Path, dict[str, Any]]) -> None:
    file, content = saved
    assert content_error(content) is None
    assert len(averages(content)) == len(list(points().parameters()))
    differ = [
        not torch.equal(v, content["state_dict"][name]) for name, v in averages(content).items()
    ]
    assert any(differ)
    found = dict(parts(read(file)))
    assert found.keys() == dict(parts(content)).keys()
    assert all(alike(value, found[place]) for place, value in parts(content))


@settings(max_examples=50)
@given(st.data())
def test_one_changed_bit_of_a_weight_or_an_average_is_noticed(
    saved: tuple[Path, dict[str, Any]], data: st.DataObject
) -> None:
    content = copy.deepcopy(saved[1])
    tensors = data.draw(st.sampled_from([content["state_dict"], averages(content)]))
    value = tensors[data.draw(st.sampled_from(sorted(tensors)))]
    raw = value.view(-1).view(torch.uint8)
    place = data.draw(st.integers(0, raw.numel() - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    assert "checksum" in (content_error(content) or "")


@given(st.data())
def test_weights_that_are_renamed_exchanged_or_left_out_are_noticed(
    saved: tuple[Path, dict[str, Any]], data: st.DataObject
) -> None:
    content = copy.deepcopy(saved[1])
    tensors = data.draw(st.sampled_from([content["state_dict"], averages(content)]))
    name, other = data.draw(st.permutations(sorted(tensors)))[:2]
    change = data.draw(st.sampled_from(["renamed", "left out", "exchanged", "cast", "reshaped"]))
    value = tensors.pop(name)
    if change == "renamed":
        tensors[f"{name}x"] = value
    elif change == "exchanged":
        if torch.equal(value, tensors[other]):
            return
        tensors[name], tensors[other] = tensors[other], value
    elif change == "cast":
        tensors[name] = value.double()
    elif change == "reshaped":
        tensors[name] = value[None]
    assert "checksum" in (content_error(content) or "")


@settings(max_examples=50)
@given(st.data())
def test_one_changed_bit_of_a_file_is_noticed_or_changes_nothing(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path, data: st.DataObject
) -> None:
    file, content = saved
    raw = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    damaged = tmp_path / "last-step=3.ckpt"
    damaged.write_bytes(raw)
    try:
        found = dict(parts(read(damaged)))
    except UnreadableCheckpoint:
        return
    # a date or a padding byte
    assert found.keys() == dict(parts(content)).keys()
    assert all(alike(value, found[where]) for where, value in parts(content))


@settings(max_examples=50)
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_that_ends_early_is_refused(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path, share: float
) -> None:
    raw = saved[0].read_bytes()
    damaged = tmp_path / "last-step=3.ckpt"
    damaged.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(UnreadableCheckpoint):
        read(damaged)


@settings(max_examples=8, phases=[Phase.generate])  # an example is a training
@given(st.floats(0, 0.99), st.integers(1, 3), st.none() | st.floats(0.05, 1), st.integers(0, 99))
def test_a_checkpoint_gives_back_the_averages(
    tmp_path: Path, decay: float, every: int, warmup: float | None, seed: int
) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    ema, model = EMA(decay, every, warmup), points(seed=seed)
    runner = trainer(folder, ema, Checkpoint(), max_steps=3, logger=False, limit_val_batches=0)
    runner.fit(model, data())
    file = folder / "checkpoints" / "last-step=3.ckpt"
    found = averages(read(file))
    assert found.keys() == ema.average.keys()
    assert all(torch.equal(found[name], value) for name, value in ema.average.items())
    loaded, expected = lightning_gans.load(file).state_dict(), averaged(read(file))
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())


@given(st.integers(0, 2**32), st.integers(0, 50), st.integers(0, 50))
def test_random_numbers_go_on_where_they_were(seed: int, own: int, everyones: int) -> None:
    random = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed + 1)
    torch.randn(own, generator=random)
    torch.rand(everyones)
    saved = {"global_step": 3, "random": copy.deepcopy(rng_state(random))}
    expected = torch.randn(5, generator=random), torch.rand(5)
    torch.rand(7)
    restored = restore_rng(saved, torch.device("cpu"), rank=0, processes=1)
    assert torch.equal(torch.randn(5, generator=restored), expected[0])
    assert torch.equal(torch.rand(5), expected[1])
