"""Pictures of a run: samples, reconstructions and traversals, as files and in loggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from lightning_gans.metrics import to_uint8
from lightning_gans.models.base.capabilities import Decodes, Encodes, Generates, Reconstructs
from lightning_gans.models.base.model import Batch, Model
from lightning_gans.plots import scatter
from lightning_gans.priors import Categories
from lightning_gans.rng import stream

FOLDER = "images"


class Pictures(Callback):
    """Draws what the model makes whenever Lightning validates or tests, with averaged weights.

    Files ``images/<name>-step=<iterations>.png`` in the run's folder, and the same as image panels
    in wandb and TensorBoard:

    - ``samples``: decoded from the same latents every time; of class-conditional models a row for
      each latent and a column for each category (thesis, Fig. 10 and 43);
    - ``reconstructions``: held-out images, each above its reconstruction, if there is an encoder;
    - ``traversals``: the first held-out image's code (without an encoder, a drawn one) while one
      element goes from -2 to 2, for the elements with the largest scale, which are the most
      informative ones (thesis, Fig. 23-25).

    Samples and traversals are of models that generate; classifiers leave no pictures.

    Args:
        samples: number of samples, drawn in rows of ``columns``.
        columns: images in a row of samples and of reconstructions.
        dimensions: number of elements to traverse.
        steps: images in a traversal.
    """

    def __init__(
        self, samples: int = 80, columns: int = 16, dimensions: int = 5, steps: int = 9
    ) -> None:
        if min(samples, columns, steps) < 1 or dimensions < 0:
            raise ValueError(
                "expected at least one sample, column and step, and dimensions >= 0, got "
                f"samples={samples}, columns={columns}, steps={steps}, dimensions={dimensions}"
            )
        self.samples, self.columns = samples, columns
        self.dimensions, self.steps = dimensions, steps
        self.held_out: Tensor | None = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first held-out images."""
        wanted = self.samples if len(batch[0].shape) < 4 else 2 * self.columns
        if batch_idx == 0:
            self.held_out = batch[0][:wanted]
        elif self.held_out is not None and len(self.held_out) < wanted:
            self.held_out = torch.cat([self.held_out, batch[0]])[:wanted]

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        assert isinstance(pl_module, Model)
        if trainer.is_global_zero and self.held_out is not None:
            for name, picture in self.draw(pl_module, self.held_out).items():
                save(trainer, name, picture, pl_module.iterations)

    def draw(self, model: Model, held_out: Tensor) -> dict[str, Tensor]:
        """The pictures by name, each uint8 (3, height, width)."""
        if isinstance(model, Generates) and model.categories is not None:
            return self.draw_categories(model, model.categories, held_out)
        pictures: dict[str, Tensor] = {}
        if len(model.image_shape) == 3 and isinstance(model, Reconstructs):
            columns = min(self.columns, len(held_out))
            pictures["reconstructions"] = grid(pairs(held_out, model, columns), columns)
        if not isinstance(model, Generates):
            return pictures
        z = model.prior.sample(self.samples, stream("pictures", device=model.device))
        if len(model.image_shape) != 3:
            return {"samples": scatter(held_out, model.decode(z))}
        pictures["samples"] = grid(model.decode(z), self.columns)
        if self.dimensions:
            start = model.encode(held_out[:1])[0] if isinstance(model, Encodes) else z[0]
            pictures["traversals"] = grid(self.traverse(model, start), self.steps)
        return pictures

    def draw_categories(
        self, model: Generates, categories: Categories, held_out: Tensor
    ) -> dict[str, Tensor]:
        """Samples of a class-conditional model: a row for each latent, a column a category.

        The columns are the categories of at least 1 %, the likeliest if there is no room for all;
        of several labels, conditions drawn from P(C).
        """
        random = stream("pictures", device=categories.probabilities.device)
        if len(model.image_shape) != 3:
            z = model.prior.sample(self.samples, random)
            c = categories.sample(self.samples, random)
            first = c[:, : categories.classes[0]].argmax(1)
            return {"samples": scatter(held_out, model.decode(z, c), first)}
        p = categories.probabilities
        likeliest = p.topk(min(self.columns, len(p))).indices
        # those of at least 1 %; of very many categories none may be
        used = likeliest[p[likeliest] >= min(0.01, float(p.max()))].sort().values
        if len(categories.classes) > 1:
            chosen = categories.sample(self.columns, random)
        else:
            chosen = categories.condition(used, len(used))
        rows = max(1, self.samples // self.columns)
        z = model.prior.sample(rows, random).repeat_interleave(len(chosen), 0)
        return {"samples": grid(model.decode(z, chosen.repeat(rows, 1)), len(chosen))}

    def traverse(self, model: Decodes, z: Tensor) -> Tensor:
        """Images of z while each of the leading elements goes from -2 to 2, row by row."""
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


def pairs(x: Tensor, model: Reconstructs, columns: int) -> Tensor:
    """Whole rows of images, each followed by the row of their reconstructions."""
    x = x[: len(x) // columns * columns]
    rows = torch.stack([x, model.reconstruct(x)]).view(2, -1, columns, *x.shape[1:])
    return rows.transpose(0, 1).flatten(0, 2)


def grid(x: Tensor, columns: int) -> Tensor:
    """Images in [-1, 1] as one picture, uint8 (3, height, width)."""
    picture: Tensor = make_grid(to_uint8(x), nrow=columns, padding=2)
    return picture.cpu()


def save(trainer: Trainer, name: str, picture: Tensor, step: int) -> None:
    """Write a picture into the run's folder, and hand it to the loggers that show pictures."""
    folder = Path(trainer.default_root_dir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    image.save(folder / f"{name}-step={step}.png")
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(f"images/{name}", [image], step=step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(f"images/{name}", picture, step)
