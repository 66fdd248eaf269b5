"""Pictures of a run: samples, reconstructions and traversals, as files and in loggers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from lightning_utilities.core.rank_zero import rank_zero_warn
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.utils import make_grid

from lightning_gans.callbacks.compile import Compile
from lightning_gans.callbacks.ema import EMA
from lightning_gans.compat import callbacks_of
from lightning_gans.metrics import to_uint8
from lightning_gans.models import Clusters, Decodes, Edits, Encodes, Generates, Model, Reconstructs
from lightning_gans.models.base.model import Batch
from lightning_gans.plots import scatter
from lightning_gans.priors import Categories
from lightning_gans.ranges import PositiveInt, Range, SmallCount, checked
from lightning_gans.rng import stream
from lightning_gans.runs.atomic import Unwritable, replacing
from lightning_gans.runs.folder import PICTURES


class Pictures(Callback):
    """Draws what the model makes whenever Lightning validates or tests, with averaged weights.

    The pictures are files ``images/<name>-step=<iterations>.png`` in the run's folder, and image
    panels in wandb and TensorBoard:

    - ``samples``: generated from the same latents every time; for class-conditional models a row
      for each latent and a column for each category (thesis, Fig. 10 and 43);
    - ``reconstructions``: validation images, each above its reconstruction, if the model
      reconstructs;
    - ``traversals``: images while one element of a code moves from -2 to 2, for the elements with
      the largest scale, which are the most informative ones (thesis, Fig. 23-25). The code is that
      of the first validation image, or a sampled one if the model has no encoder.

    - ``edits``: the first validation image with less and more of an attribute, from -2 to 2
      standard deviations of its score, a row for each attribute, if the model edits and the data
      name their attributes;
    - ``categories``: validation images, each in the column of the category that the model finds for
      it, in the order of the columns of ``samples``, if the model clusters images.

    Samples and traversals need a model that generates; classifiers have no pictures.

    Until the first evaluation after the start is due, they are also drawn after ``first``
    iterations, twice, four times, ... as many: the numbers do not depend on the speed of a machine,
    so that a resumed run has the same pictures.

    Args:
        samples: number of samples, shown in rows of ``columns``.
        columns: images in a row of samples and of reconstructions.
        dimensions: number of elements to traverse, and of attributes to edit.
        steps: images in a traversal.
        first: iterations to the first pictures; None draws at evaluations only.

    Raises:
        ValueError: if a number is out of its range.
    """

    @checked
    def __init__(
        self,
        samples: Annotated[int, Range(1, 10_000)] = 80,
        columns: SmallCount = 16,
        dimensions: Annotated[int, Range(0, 1_000)] = 5,
        steps: SmallCount = 9,
        first: PositiveInt | None = 25,
    ) -> None:
        self.samples, self.columns = samples, columns
        self.dimensions, self.steps = dimensions, steps
        self.first = first
        self.real: Tensor | None = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Draw the first pictures, on the way to the first evaluation."""
        step = trainer.global_step
        if self.is_early(step) and not has_evaluated(trainer, step):
            self.draw_early(trainer, pl_module)

    def is_early(self, step: int) -> bool:
        """Whether a number of iterations is ``first`` times a power of two."""
        if self.first is None or step % self.first:
            return False
        times = step // self.first
        return times > 0 and times & (times - 1) == 0

    @torch.no_grad()
    def draw_early(self, trainer: Trainer, model: LightningModule) -> None:
        """Draw what an evaluation would, and leave the model as it was."""
        assert isinstance(model, Model)
        if not trainer.is_global_zero:
            return
        if self.real is None:
            self.real = self.first_images(trainer, model)
        if self.real is None:
            return
        with as_evaluated(trainer, model):
            for name, picture in self.draw(model, self.real).items():
                save(trainer, name, picture, model.iterations)

    def first_images(self, trainer: Trainer, model: Model) -> Tensor | None:
        """The first validation images, which a resumed run has not seen; None without any."""
        loader = trainer.val_dataloaders
        if not isinstance(loader, DataLoader) or not trainer.enable_validation:
            return None
        # the seed of a loader's workers is drawn from the global random numbers
        with torch.random.fork_rng(devices=[]):
            for index, batch in enumerate(loader):
                checked = model.on_before_batch_transfer(batch, 0)
                moved = model.transfer_batch_to_device(checked, model.device, 0)
                self.on_validation_batch_end(trainer, model, None, moved, index)
                if self.real is not None and len(self.real) >= self.wanted(model, moved):
                    break
        return self.real

    def wanted(self, model: LightningModule, batch: Batch) -> int:
        """How many validation images, or points, pictures show."""
        if len(batch[0].shape) < 4 or isinstance(model, Clusters):
            return self.samples
        return 2 * self.columns

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first validation images."""
        wanted = self.wanted(pl_module, batch)
        if batch_idx == 0:
            self.real = batch[0][:wanted]
        elif self.real is not None and len(self.real) < wanted:
            self.real = torch.cat([self.real, batch[0]])[:wanted]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, save and log the pictures."""
        assert isinstance(pl_module, Model)
        if trainer.is_global_zero and self.real is not None:
            for name, picture in self.draw(pl_module, self.real).items():
                save(trainer, name, picture, pl_module.iterations)

    def draw(self, model: Model, real: Tensor) -> dict[str, Tensor]:
        """The pictures by name, each uint8 (3, height, width).

        Args:
            model: in evaluation mode.
            real: validation images or points, at least one.
        """
        if isinstance(model, Generates) and model.categories is not None:
            return self.draw_categories(model, model.categories, real)
        pictures: dict[str, Tensor] = {}
        if len(model.image_shape) == 3 and isinstance(model, Reconstructs):
            columns = min(self.columns, len(real))
            pictures["reconstructions"] = grid(paired(real, model, columns), columns)
        if not isinstance(model, Generates):
            return pictures
        z = model.prior.sample(self.samples, stream("pictures", device=model.device))
        if len(model.image_shape) != 3:
            return {"samples": scatter(real, model.decode(z))}
        pictures["samples"] = grid(model.decode(z), self.columns)
        if self.dimensions:
            start = model.encode(real[:1])[0] if isinstance(model, Encodes) else z[0]
            pictures["traversals"] = grid(self.traverse(model, start), self.steps)
        if isinstance(model, Edits) and (edited := self.edited(model, real[:1])) is not None:
            pictures["edits"] = grid(edited, self.steps)
        return pictures

    def edited(self, model: Edits, x: Tensor) -> Tensor | None:
        """One image, (1, *image_shape), with less to more of an attribute; a row for each.

        None if the attributes have no names, as their number is not known then.
        """
        # a label of two classes is one attribute
        count = sum(1 if len(names) == 2 else len(names) for names in model.class_names or ())
        line = torch.linspace(-2, 2, self.steps, device=x.device, dtype=x.dtype)
        same = x.expand(self.steps, *x.shape[1:])
        rows = [model.edit(same, index, line) for index in range(min(count, self.dimensions))]
        return torch.cat(rows) if rows else None

    def draw_categories(
        self, model: Generates, categories: Categories, real: Tensor
    ) -> dict[str, Tensor]:
        """Samples of a class-conditional model: a row for each latent, a column for each category.

        The columns are the categories with a probability of at least 1 %, the most probable ones if
        there are too many; for several labels, they are conditions drawn from P(C).
        """
        random = stream("pictures", device=categories.probabilities.device)
        if len(model.image_shape) != 3:
            z = model.prior.sample(self.samples, random)
            c = categories.sample(self.samples, random)
            first = c[:, : categories.classes[0]].argmax(1)
            return {"samples": scatter(real, model.decode(z, c), first)}
        p = categories.probabilities
        most_probable = p.topk(min(self.columns, len(p))).indices
        # if there are very many categories, none may have 1 %
        used = most_probable[p[most_probable] >= min(0.01, float(p.max()))].sort().values
        if len(categories.classes) > 1:
            chosen = categories.sample(self.columns, random)
        else:
            chosen = categories.condition(used, len(used))
        rows = max(1, self.samples // self.columns)
        z = model.prior.sample(rows, random).repeat_interleave(len(chosen), 0)
        pictures = {"samples": grid(model.decode(z, chosen.repeat(rows, 1)), len(chosen))}
        if isinstance(model, Clusters) and len(categories.classes) == 1:
            found = in_columns(real, model.cluster(real), used, rows)
            pictures["categories"] = grid(found, len(used))
        return pictures

    def traverse(self, model: Decodes, z: Tensor) -> Tensor:
        """Images of z while one leading element moves from -2 to 2; a row for each element."""
        leading = model.prior.scale().argsort(descending=True)[: self.dimensions]
        line = torch.linspace(-2, 2, self.steps, device=z.device, dtype=z.dtype)
        latents = z.repeat(len(leading), self.steps, 1)
        for row, element in enumerate(leading.tolist()):
            latents[row, :, element] = line
        return model.decode(latents.flatten(0, 1))

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


@contextmanager
def as_evaluated(trainer: Trainer, model: Model) -> Iterator[None]:
    """The model as an evaluation has it: with averaged weights, not training, not compiled."""
    training = [module for module in model.modules() if module.training]
    with ExitStack() as stack:
        for callback in callbacks_of(trainer):
            if isinstance(callback, EMA):
                stack.enter_context(callback.averaged(model))
            elif isinstance(callback, Compile):
                stack.enter_context(callback.plainly(model))
        try:
            model.eval()
            yield
        finally:
            for module in training:
                module.training = True


def has_evaluated(trainer: Trainer, step: int) -> bool:
    """Whether an evaluation after the start is due after this iteration, or was before.

    One by the clock, or without a fixed interval, counts as never due.
    """
    interval = trainer.val_check_batch
    if trainer.check_val_every_n_epoch is not None or interval == float("inf"):
        batches = trainer.num_training_batches
        epochs = (trainer.check_val_every_n_epoch or 1) - 1
        interval = epochs * batches + (batches if interval is None else min(interval, batches))
    return interval is not None and step >= interval


def paired(x: Tensor, model: Reconstructs, columns: int) -> Tensor:
    """Rows of images, each above the row of their reconstructions; an incomplete row is dropped."""
    x = x[: len(x) // columns * columns]
    rows = torch.stack([x, model.reconstruct(x)]).view(2, -1, columns, *x.shape[1:])
    return rows.transpose(0, 1).flatten(0, 2)


def in_columns(x: Tensor, category: Tensor, shown: Tensor, rows: int) -> Tensor:
    """The first images of each category, from the top of its column; other cells are black.

    Args:
        x: images, (n, *image_shape).
        category: of each, (n,).
        shown: the categories that have a column, in order.
        rows: the most images of a category.

    Returns:
        Row by row, (rows·columns, *image_shape), with as many rows as the fullest column.
    """
    columns = [x[category == one][:rows] for one in shown.tolist()]
    height = max(1, *(len(column) for column in columns))
    cells = x.new_full((height, len(columns), *x.shape[1:]), -1.0)
    for index, column in enumerate(columns):
        cells[: len(column), index] = column
    return cells.flatten(0, 1)


def grid(x: Tensor, columns: int) -> Tensor:
    """Images in [-1, 1] as one picture, uint8 (3, height, width)."""
    picture: Tensor = make_grid(to_uint8(x), nrow=columns, padding=2)
    return picture.cpu()


def save(trainer: Trainer, name: str, picture: Tensor, step: int) -> None:
    """Write a picture into the run's folder, and log it where a logger shows pictures.

    In training, a picture that cannot be written is only a warning.

    Raises:
        Unwritable: outside of training, if the operating system does not let the file be written.
    """
    path = Path(trainer.default_root_dir) / PICTURES / f"{name}-step={step}.png"
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    try:
        with replacing(path) as temporary:
            image.save(temporary, format="PNG")
    except Unwritable as error:
        if trainer.state.fn != TrainerFn.FITTING:
            raise
        rank_zero_warn(f"{error}; training goes on without it")
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(f"images/{name}", [image], step=step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"images/{name}", picture, step)
