"""Measures a model on the validation or test set, with its averaged weights."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_gans.callbacks.fixed_draws import FixedDraws
from lightning_gans.callbacks.measurements import (
    STANDARD,
    EvaluationBatch,
    Measurement,
    SampleCount,
    SampleQuality,
)
from lightning_gans.compat import evaluate_now, evaluates_after
from lightning_gans.data import DataModule
from lightning_gans.data.sampling import Share
from lightning_gans.distributed.collectives import all_gather_object, any_rank
from lightning_gans.metrics import FeatureExtractor
from lightning_gans.models import Generates, Model
from lightning_gans.models.base.model import Batch
from lightning_gans.ranges import PositiveInt, checked
from lightning_gans.runs.checkpoint_format import EVALUATION
from lightning_gans.runs.folder import FOLDER
from lightning_gans.runs.metrics_csv import FILE, last_evaluation
from lightning_gans.runs.resume import drop_results_after


class Evaluation(Callback):
    """Takes all measurements that apply to the model, with one fake for each real image.

    It runs whenever Lightning validates or tests: before the first iteration, every
    ``trainer.val_check_interval`` iterations, and in ``train.py validate`` and ``test``. The fakes
    are the same in every evaluation, whatever the number of processes, and drawing them does not
    change training's random numbers.

    A run that was stopped before it had measured what was due does so when it resumes; then it
    first drops the rows of ``metrics.csv``, the pictures and the best checkpoints that are of later
    iterations than its own checkpoint.

    It logs ``evaluation/samples`` and:

    - for models that generate, with ``features``: ``fid/<features>``, ``kid/<features>``,
      ``precision/<features>``, ``recall/<features>``, ``density/<features>``,
      ``coverage/<features>``;
    - for models that reconstruct: ``psnr/real``, ``ssim/real`` (validation images against their
      reconstructions) and, if they generate, ``psnr/fake``, ``ssim/fake``, ``latent/loss`` (L_enc)
      and ``latent/entropy`` (of z∘s, in nats);
    - with a dynamic scale: ``latent/active`` (dimensions in use);
    - for class-conditional models: ``categories/entropy`` (of P(C), in nats) and
      ``categories/used`` (those of at least 1 %);
    - for models that cluster labelled data: ``cluster/purity``;
    - for models that classify: ``accuracy``.

    Args:
        features: the extractor for FID, KID, precision, recall, density and coverage; None leaves
            them out.
        k: which nearest neighbour gives the radius for precision and recall.
        required: whether training is refused, before its first iteration, if the extractor's
            weights are missing; if not, the rest is measured and a warning is given.
        cache: folder that stores features of real images for all runs; None is ``lightning_gans``
            in the user's cache folder. Only evaluations of the whole validation set use it.
        block: images whose features are compared with as many others at a time by KID, precision,
            recall, density and coverage; bounds their memory.
        measurements: further ones, taken after those above.

    Raises:
        ValueError: if ``block`` is less than 1.
    """

    @checked
    def __init__(
        self,
        features: FeatureExtractor | None = None,
        k: PositiveInt = 3,
        required: bool = True,
        cache: str | None = None,
        block: PositiveInt = 2048,
        measurements: Sequence[Measurement] = (),
    ) -> None:
        self.quality = SampleQuality(features, k, required, cache, block)
        self.measurements: list[Measurement] = [
            SampleCount(),
            self.quality,
            *(measurement() for measurement in STANDARD),
            *measurements,
        ]
        self.active: list[Measurement] = []  # those of the evaluation in progress
        self.draws: FixedDraws | None = None
        self.seen = range(0)  # indices of the images that this process has measured
        self.restored = False  # whether a checkpoint has told when it was
        self.resumed = False  # whether the evaluation before the first iteration may be due
        self.measured_at: int | None = None  # iterations at the last complete evaluation

    def applicable(self, trainer: Trainer, model: Model) -> list[Measurement]:
        """The measurements that can be taken of a model.

        Raises:
            UserError: if one was asked for and cannot be taken.
        """
        data = data_of(trainer)
        return [each for each in self.measurements if each.applies_to(model, data)]

    def start(self, trainer: Trainer, model: Model) -> None:
        """Begin an evaluation, with the first image and the first latent."""
        # each process gets every world_size-th image from the data module
        self.seen = range(trainer.global_rank, trainer.global_rank, trainer.world_size)
        self.draws = None
        if isinstance(model, Generates):
            self.draws = FixedDraws(model.prior, model.categories, model.device)
        data, complete = data_of(trainer), is_complete(trainer)
        self.active = self.applicable(trainer, model)
        for measurement in self.active:
            measurement.start(model, data, complete)

    @torch.no_grad()
    def measure(self, model: Model, x: Tensor, labels: Tensor) -> None:
        """Take in real images x, (n, *image_shape), with their labels, and as many fakes."""
        first, step = self.seen.stop, self.seen.step
        indices = range(first, first + len(x) * step, step)
        self.seen = range(self.seen.start, indices.stop, step)
        batch = EvaluationBatch(model, x, labels, indices, self.draws)
        for measurement in self.active:
            measurement.update(batch)

    def results(self) -> dict[str, Tensor]:
        """Everything that was measured, by the names under which it is logged.

        Raises:
            ValueError: if two measurements use one name.
        """
        values: dict[str, Tensor] = {}
        for measurement in self.active:
            found = measurement.results()
            if twice := sorted(values.keys() & found.keys()):
                raise ValueError(
                    f"{type(measurement).__name__} and another measurement both report {twice[0]}"
                )
            values.update(found)
        return {name: value.float() for name, value in values.items()}

    def finish(self, trainer: Trainer, model: Model) -> None:
        """Compute and log the results."""
        values = self.results()
        model.log_dict({**values, "step": torch.tensor(float(model.iterations))})
        if trainer.sanity_checking and trainer.global_step == 0:
            # Lightning logs nothing before training, but later values are compared with step 0
            for logger in trainer.loggers:
                logger.log_metrics({name: float(value) for name, value in values.items()}, step=0)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out before the first evaluation if the data do not fill a batch.

        Raises:
            ValueError: if they do not.
        """
        data = data_of(trainer)
        # the loader of the training examples is made only after that evaluation
        if stage == "fit" and data is not None:
            data.check_fills_batch()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find out before the first iteration if a measurement cannot be taken."""
        assert isinstance(pl_module, Model)
        self.applicable(trainer, pl_module)
        if trainer.ckpt_path:
            # it would be another evaluation of the same weights
            trainer.num_sanity_val_steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop what a resumed run has made after its checkpoint, and is about to make again."""
        self.resumed = bool(trainer.ckpt_path)
        self.drop_later_results(trainer)

    def drop_later_results(self, trainer: Trainer) -> None:
        """Drop what was made after the checkpoint of a run that resumes in its own folder."""
        run, ckpt = Path(trainer.default_root_dir), trainer.ckpt_path
        if not ckpt or Path(ckpt).resolve().parent != (run / FOLDER).resolve():
            return
        if not self.restored:
            # a checkpoint of an earlier version does not tell
            found = last_evaluation(run / FILE, trainer.global_step)
            self.measured_at, self.restored = all_gather_object(found)[0], True
        if trainer.is_global_zero:
            drop_results_after(run, trainer.global_step, self.measured_at)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the evaluation at which the run was stopped."""
        resumed, self.resumed = self.resumed, False
        step = trainer.global_step
        if resumed and self.measured_at != step and evaluates_after(trainer, step):
            evaluate_now(trainer)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Model)
        self.start(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(pl_module, Model)
        self.measure(pl_module, *batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Model)
        self.finish(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the evaluation is complete: its row is in the log."""
        assert isinstance(pl_module, Model)
        self.measured_at = pl_module.iterations

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_validation_epoch_start(trainer, pl_module)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_validation_epoch_end(trainer, pl_module)

    @property
    def state_key(self) -> str:
        """The checkpoint's key of the state; the same in a subclass."""
        return EVALUATION

    def state_dict(self) -> dict[str, Any]:
        """The iterations at the last complete evaluation, and the features that were chosen."""
        return {"measured_at": self.measured_at, "features": self.quality.choice}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.measured_at, self.restored = state_dict["measured_at"], True
        self.quality.keep(state_dict.get("features"))


def data_of(trainer: Trainer) -> DataModule | None:
    """The trainer's data module; None if it was given loaders, or another kind of data module."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, DataModule) else None


def is_complete(trainer: Trainer) -> bool:
    """Whether the processes see the whole validation set between them; all must call this."""
    data = data_of(trainer)
    if data is None:
        return False
    count = len(cast(Sized, data.validation_set))
    share = len(Share(count, trainer.global_rank, trainer.world_size))
    batches = trainer.num_val_batches
    if trainer.sanity_checking:
        batches = trainer.num_sanity_val_batches
    elif trainer.testing:
        batches = trainer.num_test_batches
    measured = sum(batches) * data.batch_size >= share
    # agreed on, because shares may differ by one image
    return not any_rank(not measured, trainer.strategy.root_device)
