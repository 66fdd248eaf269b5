"""Whatever a model's settings and weights, its checkpoint gives them back."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import lightning_gans
from lightning_gans.callbacks import Checkpoint
from lightning_gans.losses import Hinge, LeastSquares, NonSaturating
from lightning_gans.models import DLSGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.priors import DynamicScale, FixedScale, Normal, Uniform
from tests.support.training import data, trainer

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
