"""What wandb and TensorBoard show of a run besides its scalars and pictures."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image
from torch import Tensor

from lightning_gans.callbacks.checkpoint import Requeued
from lightning_gans.callbacks.pictures import Pictures, as_evaluated
from lightning_gans.callbacks.signals import StoppedBySignal
from lightning_gans.compat import callbacks_of
from lightning_gans.metrics import PSNR, to_uint8
from lightning_gans.models import Decodes, Encodes, Generates, Model, Reconstructs
from lightning_gans.models.base.alternating import NonFiniteLoss
from lightning_gans.models.base.capabilities import ScoresOOD
from lightning_gans.plots import spectrum
from lightning_gans.priors import DynamicScale, Traced
from lightning_gans.ranges import checked
from lightning_gans.rng import stream
from lightning_gans.runs.folder import checkpoints, step_of

# the longest tag that wandb accepts
LONGEST_TAG = 64


class Dashboard(Callback):
    """What wandb and TensorBoard show of a run besides its scalars and pictures.

    Of models with a traced variance v (thesis, Eq. 31), at each evaluation: histograms of v and of
    the scale s, and both in descending order, as ``images/spectrum``.

    In wandb, besides: at the end a table of images with their scores (``tables/ood``) and one of
    tests whether codes could be draws of the prior (``tables/goodness_of_fit``), if the model
    encodes images; and alerts when a loss is non-finite, or a signal has stopped the run.

    The other arguments say how the run is called in wandb. Where one is None, it is what the
    logger's file, or wandb's environment variable, says; otherwise it is the one that follows from
    the run.

    Args:
        project: that the run is in, in wandb; by default lightning_gans.
        name: of the run in wandb; by default its model, its data and its folder.
        group: name of the runs that it belongs to in wandb; by default its model and its data.
        job_type: what the run does, in wandb; by default the command, such as train.
        tags: words to filter runs by in wandb, such as baseline,long.
        notes: what is to be known of the run, in wandb.
        checkpoints: whether wandb gets the last and the best checkpoint once training has ended.

    Raises:
        ValueError: for a tag that is empty, or longer than 64 characters.
    """

    @checked
    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: list[str] | str | None = None,
        notes: str | None = None,
        checkpoints: bool = False,
    ) -> None:
        self.project, self.name, self.group, self.job_type = project, name, group, job_type
        words = tags.split(",") if isinstance(tags, str) else tags or []
        self.tags = [word.strip() for word in words]
        self.notes, self.checkpoints = notes, checkpoints
        for tag in self.tags:
            if not 0 < len(tag) <= LONGEST_TAG:
                raise ValueError(
                    f"tags: expected words of 1 to {LONGEST_TAG} characters, got {tag!r:.80}"
                )

    @property
    def labels(self) -> dict[str, Any]:
        """What was given of how the run is called, as arguments of ``wandb.init``."""
        names = ("project", "name", "group", "job_type", "tags", "notes")
        return {name: value for name in names if (value := getattr(self, name))}

    # Evaluations

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show v and s."""
        if not trainer.is_global_zero or not isinstance(pl_module, Decodes):
            return
        assert isinstance(pl_module, Model)
        prior, shown = pl_module.prior, shown_in(trainer)
        if not shown or not isinstance(prior, Traced):
            return
        found = {"latent/v": prior.v.detach().cpu()}
        if isinstance(prior, DynamicScale):
            found["latent/s"] = prior.scale().detach().cpu()
        # a diverged run has no histogram
        found = {name: values for name, values in found.items() if bool(values.isfinite().all())}
        if found:
            picture = spectrum({name.rpartition("/")[2]: values for name, values in found.items()})
            for logger in shown:
                show_spectrum(logger, found, picture, pl_module.iterations)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As after a validation."""
        self.on_validation_epoch_end(trainer, pl_module)

    # The end

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Tell wandb, which can send a message, of a non-finite loss and of a preemption."""
        told = alert_of(exception, trainer.global_step)
        wandb = sys.modules.get("wandb")
        # to ask a logger for its run would start one
        if told is None or wandb is None or wandb.run is None:
            return
        title, text, level = told
        for logger in wandb_of(trainer):
            logger.experiment.alert(title=title, text=text, level=level)
            # wandb would give a run of a sweep to another agent, while its own job resumes it
            if isinstance(exception, Requeued) and not os.environ.get("WANDB_SWEEP_ID"):
                logger.experiment.mark_preempting()

    def conclude(self, trainer: Trainer, model: LightningModule, trained: bool) -> None:
        """Add tables, and the checkpoints of a training if they are asked for, to wandb.

        Args:
            trainer: whose evaluation is over.
            model: with the weights of training.
            trained: whether it was trained, rather than only evaluated.
        """
        assert isinstance(model, Model)
        loggers = wandb_of(trainer)
        if not loggers:
            return
        tables = tables_of(trainer, model)
        for logger in loggers:
            for name, (columns, rows) in tables.items():
                logger.log_table(f"tables/{name}", columns, rows, step=model.iterations)
            if trained and self.checkpoints:
                add_checkpoints(logger, Path(trainer.default_root_dir))


def wandb_of(trainer: Trainer) -> list[WandbLogger]:
    """The loggers of wandb in the process that logs."""
    if not trainer.is_global_zero:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]


def shown_in(trainer: Trainer) -> list[WandbLogger | TensorBoardLogger]:
    """The loggers that show histograms and pictures."""
    kinds = (WandbLogger, TensorBoardLogger)
    return [logger for logger in trainer.loggers if isinstance(logger, kinds)]


def show_spectrum(
    logger: WandbLogger | TensorBoardLogger,
    found: Mapping[str, Tensor],
    picture: Tensor,
    step: int,
) -> None:
    """Log v and s, each (dim,): histograms, and the picture of both in descending order."""
    if isinstance(logger, TensorBoardLogger):
        for name, values in found.items():
            logger.experiment.add_histogram(name, values, step)
        logger.experiment.add_image("images/spectrum", picture, step)
        return
    import wandb  # noqa: PLC0415  (takes a third of a second)

    ordered = [values.sort(descending=True).values.tolist() for values in found.values()]
    chart = wandb.plot.line_series(
        xs=list(range(1, len(ordered[0]) + 1)),
        ys=ordered,
        keys=[name.rpartition("/")[2] for name in found],
        title="latent elements, in descending order",
        xname="rank",
    )
    shown = {name: wandb.Histogram(values.tolist()) for name, values in found.items()}
    image = wandb.Image(as_image(picture))
    # in one call, so that all have one step of wandb's own
    panels: dict[str, Any] = {**shown, "latent/spectrum": chart, "images/spectrum": image}
    logger.log_metrics(panels, step)


def alert_of(exception: BaseException, step: int) -> tuple[str, str, str] | None:
    """The title, text and level of an alert; None if the exception is none to wake people for."""
    if isinstance(exception, NonFiniteLoss):
        return "non-finite loss", str(exception), "ERROR"
    if isinstance(exception, Requeued):
        text = f"its job is back in the queue, and resumes it after iteration {step}"
        return "preempted", text, "WARN"
    # somebody who has pressed Ctrl-C knows
    if isinstance(exception, StoppedBySignal) and exception.number != signal.SIGINT:
        return "preempted", f"{exception.number.name} stopped it after iteration {step}", "WARN"
    return None


def add_checkpoints(logger: WandbLogger, run: Path) -> None:
    """Add the newest last and the newest best checkpoint of a run to wandb."""
    import wandb  # noqa: PLC0415  (takes a third of a second)

    found = logger.experiment
    for kind in ("last", "best"):
        for path in checkpoints(run, kind)[-1:]:
            artifact = wandb.Artifact(
                f"checkpoint-{found.id}", "model", metadata={"iterations": step_of(path)}
            )
            # the file of a run that is synchronised later may have been replaced by then
            artifact.add_file(str(path), policy="mutable" if found.offline else "immutable")
            found.log_artifact(artifact, aliases=[kind, f"step-{step_of(path)}"])


Rows = list[list[Any]]


@torch.no_grad()
def tables_of(trainer: Trainer, model: Model) -> dict[str, tuple[list[str], Rows]]:
    """By name, the columns and rows of tables of a model that encodes images; {} of others."""
    pictures = [c for c in callbacks_of(trainer) if isinstance(c, Pictures)]
    real = pictures[0].real if pictures else None
    if real is None or not isinstance(model, Encodes) or len(model.image_shape) != 3:
        return {}
    with as_evaluated(trainer, model):
        random = stream("tables", device=model.device)
        count = min(pictures[0].columns, len(real))
        images = {"validation": real.to(model.device)}
        if isinstance(model, Generates):
            images["sample"] = model.generate(len(real), random)
        noise = torch.rand(count, *model.image_shape, generator=random, device=model.device)
        images["noise"] = 2 * noise - 1
        images = {kind: x.clamp(-1, 1) for kind, x in images.items()}
        codes = {kind: model.encode(x) for kind, x in images.items()}
        shown = [
            row
            for kind, x in images.items()
            for row in scored(kind, x[:count], codes[kind][:count], model)
        ]
        columns = ["images", "image"]
        if isinstance(model, Reconstructs):
            columns += ["reconstruction", "psnr"]
        if scores_ood(model):
            columns.append("ood score")
        tables = {"ood": (columns, shown)} if len(columns) > 2 else {}
        if isinstance(model, Decodes):
            fits = list(fitted(codes, model))
            if fits:
                tables["goodness_of_fit"] = (FIT, fits)
    return tables


def scores_ood(model: Model) -> bool:
    """Whether a model scores images by the variance of normal codes."""
    return (
        isinstance(model, ScoresOOD) and isinstance(model.prior, Traced) and model.prior.is_normal
    )


def scored(kind: str, x: Tensor, codes: Tensor, model: Model) -> Iterator[list[Any]]:
    """A row for each image: reconstruction and score, where the model has them.

    Args:
        kind: what the images are.
        x: images, (n, *image_shape), in [-1, 1].
        codes: of the images, (n, latent_dim).
        model: that encoded them.
    """
    import wandb  # noqa: PLC0415  (takes a third of a second)

    parts: list[Sequence[Any]] = [[wandb.Image(as_image(image)) for image in to_uint8(x).cpu()]]
    if isinstance(model, Reconstructs):
        made = model.decode(codes)
        parts.append([wandb.Image(as_image(image)) for image in to_uint8(made).cpu()])
        parts.append([psnr(*pair) for pair in zip(x, made, strict=True)])
    if scores_ood(model):
        assert isinstance(model.prior, Traced)
        # what ood_score(x) is
        parts.append(model.prior.negative_log_likelihood(codes).tolist())
    for row in zip(*parts, strict=True):
        yield [kind, *row]


def psnr(image: Tensor, reconstruction: Tensor) -> float:
    """The PSNR of one image, (*image_shape), in dB."""
    metric = PSNR().to(image.device)
    metric.update(image[None], reconstruction[None])
    return float(metric.compute())


FIT = [
    *("images", "codes", "verdict", "Kolmogorov-Smirnov p", "Anderson-Darling p"),
    *("Cramér-von Mises p", "indices rejected", "mean", "variance"),
]


def fitted(encoded: Mapping[str, Tensor], model: Decodes) -> Iterator[list[Any]]:
    """For each kind of images, the tests whether their codes could be draws of the prior."""
    # of scipy.stats, which takes half a second
    from lightning_gans.inversion.goodness import LEAST, goodness_of_fit  # noqa: PLC0415  (scipy)

    for kind, codes in encoded.items():
        if codes.numel() < LEAST or not bool(codes.isfinite().all()):
            continue
        found = goodness_of_fit(codes, model.prior)
        tests = (found.pvalue, found.anderson_darling.pvalue, found.cramer_von_mises.pvalue)
        rejected = found.per_index.rejected
        yield [kind, found.n, found.verdict, *tests, rejected, found.mean, found.variance]


def as_image(picture: Tensor) -> Image.Image:
    """A picture, uint8 (channels, height, width), with one channel or three."""
    pixels = picture.expand(3, -1, -1) if len(picture) == 1 else picture
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
