"""Lightning's command line, with this project's callbacks, run folders and report."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
import wandb
import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
    SaveConfigCallback,
)
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_gans.callbacks import EMA, Checkpoint, Evaluation, Pictures
from lightning_gans.callbacks.predictions import Predictions
from lightning_gans.cli.errors import in_own_code, one_line, refusals
from lightning_gans.cli.train import Command
from lightning_gans.compat import no_subconfigs, option_names
from lightning_gans.data import DataModule
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.errors import UsageError, UserError
from lightning_gans.models import Model
from lightning_gans.models.base.model import check_precision
from lightning_gans.models.base.weights import check_resumable, check_weights
from lightning_gans.runs.checkpoints import UnreadableCheckpoint, read
from lightning_gans.runs.folder import newest, step_of
from lightning_gans.runs.layout import CONFIG, VARIABLE, announce_run, new_run
from lightning_gans.runs.links import check_links
from lightning_gans.runs.metrics_csv import FILE, drop_rows_after
from lightning_gans.runs.report import report
from lightning_gans.safe_yaml import read_mapping, subsection
from lightning_gans.text import printable_lines
from lightning_gans.workflows.run_config import as_json, guarded, typed_strings, vetted_config


class SaveConfig(SaveConfigCallback):
    """Writes the resolved config to the run's folder and to wandb."""

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        super().__init__(parser, config, save_to_log_dir=False, **kwargs)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the config; a resumed run overwrites it."""
        path = Path(trainer.default_root_dir) / CONFIG
        path.parent.mkdir(parents=True, exist_ok=True)
        # the checkpoint that the run resumes from will soon be deleted
        config = self.config.clone()
        config.ckpt_path = None
        # nulls are written: an omitted key would mean the default when the file is read
        text = self.parser.dump(config, skip_link_targets=True, skip_unset=False)
        path.write_text(text, encoding="utf-8")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.config.update(yaml.safe_load(text), allow_val_change=True)


class CLI(LightningCLI):
    """Runs one command.

    Args:
        command: the parsed command line.
    """

    def __init__(self, command: Command) -> None:
        self.command = command
        self.typed: set[str] = set()  # all strings that the user typed
        # abbreviated options are errors
        kwargs: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
        super().__init__(
            Model,
            DataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_kwargs={**kwargs, **dict.fromkeys(self.subcommands(), kwargs)},
            args=[command.subcommand, *command.options],
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks, in the order of their calls; link arguments of the model to data."""
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_lightning_class_args(Pictures, "pictures")
        parser.add_lightning_class_args(Checkpoint, "checkpoint")
        for name in ("image_shape", "classes"):
            parser.link_arguments(
                "data",
                f"model.init_args.{name}",
                compute_fn=attrgetter(name),
                apply_on="instantiate",
            )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the options; an error becomes one line.

        Raises:
            UsageError: for an unknown option or a value of the wrong type.
        """
        assert isinstance(args, Sequence)
        try:
            self.config = self.parse_guarded(parser, [str(arg) for arg in args])
        except argparse.ArgumentError as error:
            sub = self._subcommand_parsers[self.command.subcommand]
            raise in_own_code(error) or one_line(str(error), option_names(sub)) from error

    def parse_guarded(self, parser: LightningArgumentParser, args: list[str]) -> Namespace:
        """Parse the options; the config of a resumed run is checked first, as it is untrusted."""
        file = self.command.run_config
        if file is None:
            with no_subconfigs():
                return parser.parse_args(args)
        # a class that the run's config names is not trusted because an option was derived from it
        others = (f"--config={file}", *self.command.derived)
        self.typed = typed_strings(arg for arg in args if arg not in others)
        safe = f"--config={as_json(vetted_config(file, self.typed))}"
        with guarded(self.typed, str(file)):
            return parser.parse_args([safe if arg == f"--config={file}" else arg for arg in args])

    def _parse_ckpt_path(self) -> None:
        """Keep the config: the command line takes precedence over a checkpoint."""

    def before_instantiate_classes(self) -> None:
        """Check the Trainer's settings, and set the run's folder wherever it is needed."""
        config = self.config[self.command.subcommand]
        trainer = config.trainer
        if config.get("weights_only") is False:
            raise UsageError("weights_only=false: checkpoints are only ever read as data")
        config.weights_only = True
        if trainer.strategy == "auto" and is_multi_process(trainer.devices, trainer.num_nodes):
            # Lightning's DDP would wait for the gradients of the other players
            trainer.strategy = GANDDP.strategy_name
        if trainer.gradient_clip_val:
            raise UsageError(
                "trainer.gradient_clip_val does not work with manual optimisation; use "
                f"optimizer.max_norm={trainer.gradient_clip_val}"
            )
        if trainer.accumulate_grad_batches not in (None, 1):
            raise UsageError(
                "trainer.accumulate_grad_batches is not supported: each player's gradients depend "
                "on the other player's last step; split the batch over processes with "
                f"trainer.devices={trainer.accumulate_grad_batches}, or choose a smaller "
                "data.batch_size"
            )
        if str(config.trainer.precision).startswith("16"):
            # without this, Lightning would use another precision on a device without float16
            check_precision(config.trainer.precision)
        run = self.resumed_run(config.ckpt_path)
        if run is None:
            run = new_run(self.command.names, self.command.subcommand)
        else:
            check_links(run)
        config.trainer.default_root_dir = str(announce_run(run))
        loggers = config.trainer.logger
        for logger in loggers if isinstance(loggers, list) else [loggers]:
            arguments = getattr(logger, "init_args", None)
            if arguments is None or "save_dir" not in arguments:
                continue
            arguments.save_dir = str(run)
            if str(logger.class_path).endswith("WandbLogger"):
                # a resumed run stays one run in wandb (Lightning #13524)
                arguments.id = arguments.id or wandb_id(run) or secrets.token_hex(4)

    def resumed_run(self, ckpt_path: str | None) -> Path | None:
        """The folder of a run whose newest checkpoint training resumes from; otherwise None."""
        if not ckpt_path or self.command.subcommand != "fit":
            return None
        run = Path(ckpt_path).parent.parent
        return run if newest(run) == Path(ckpt_path) else None

    def check_checkpoint(self) -> None:
        """Check that a checkpoint is valid and fits the model, before anything is changed."""
        ckpt_path = self.config[self.command.subcommand].ckpt_path
        if ckpt_path:
            path = Path(ckpt_path)
            content = read(path)
            check_weights(self.model, content["state_dict"], path)
            check_resumable(self.model, content, path)

    before_validate = before_test = before_predict = check_checkpoint

    def before_fit(self) -> None:
        """Check the checkpoint, then drop the rows of the metrics that were written after it."""
        self.check_checkpoint()
        ckpt_path = self.config[self.command.subcommand].ckpt_path
        if ckpt_path:
            path = Path(ckpt_path)
            if self.resumed_run(ckpt_path) and self.trainer.is_global_zero:
                drop_rows_after(Path(self.trainer.default_root_dir) / FILE, step_of(path))

    def instantiate_classes(self) -> None:
        """Build model, data and callbacks; an error becomes one line.

        Raises:
            UsageError: with the message of the constructor.
        """
        file = self.command.run_config
        with refusals(), guarded(self.typed, str(file)) if file else contextlib.nullcontext():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the callback that writes predictions."""
        trainer = super().instantiate_trainer(**kwargs)
        if self.command.subcommand == "predict":
            trainer.callbacks.append(Predictions())  # type: ignore[attr-defined]
        return trainer

    def after_fit(self) -> None:
        """Evaluate the last iteration unless that was done; then write and print the report."""
        measured = next(c for c in self.trainer.callbacks if isinstance(c, Evaluation)).measured_at  # type: ignore[attr-defined]
        if measured != self.trainer.global_step:
            self.trainer.validate(self.model, self.datamodule, verbose=False, weights_only=True)
        if self.trainer.is_global_zero:
            print(printable_lines(report(Path(self.trainer.default_root_dir))))


def wandb_id(run: Path) -> str | None:
    """The id of a run in wandb, from its config; None if it has none."""
    path = run / CONFIG
    config = read_mapping(path) if path.is_file() else {}
    loggers = subsection(config, "trainer").get("logger") or []
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        found = subsection(logger, "init_args").get("id") if isinstance(logger, dict) else None
        # the id becomes part of a folder's name
        if found and re.fullmatch(r"[A-Za-z0-9_-]{1,128}", str(found)):
            return str(found)
    return None


def is_multi_process(devices: int | str | list[int], num_nodes: int) -> bool:
    """Whether a Trainer's ``devices`` and ``num_nodes`` mean more than one process."""
    if devices in ("auto", -1, "-1"):
        return num_nodes > 1 or torch.cuda.device_count() > 1
    if isinstance(devices, str):
        if not re.fullmatch(r"-?[0-9]+(,[0-9]*)*", devices):
            raise UsageError(
                f"trainer.devices={devices}: expected auto, a number of processes, or the devices "
                "such as 0,1"
            )
        devices = [int(d) for d in devices.split(",") if d] if "," in devices else int(devices)
    return num_nodes * (len(devices) if isinstance(devices, list) else devices) > 1


def while_restoring(error: BaseException) -> bool:
    """Whether Lightning raised an error while it restored the state of training."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).stem == "checkpoint_connector" for frame in frames)


def run(command: Command) -> None:
    """Run a command; SIGTERM ends it with the status that shells give a terminated program."""
    already_set = os.environ.get(VARIABLE)
    # the sampler finds its position from the number of iterations, which Lightning cannot know
    warnings.filterwarnings("ignore", ".*your dataloader is not resumable")
    try:
        CLI(command)
    except (MisconfigurationException, wandb.errors.Error) as error:
        raise UserError(" ".join(str(error).split())) from error
    # Lightning and torch raise anything on a damaged state; all other errors are raised again
    except Exception as error:
        if isinstance(error, UserError) or not while_restoring(error):
            raise
        (option,) = (s for s in command.options if s.startswith("--ckpt_path="))
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnreadableCheckpoint(
            f"{option.partition('=')[2]}: its state of training cannot be restored: {reason:.300}"
        ) from error
    except SIGTERMException:
        print("stopped by SIGTERM; ckpt_path=last resumes from here", file=sys.stderr)
        sys.exit(128 + signal.SIGTERM)
    finally:
        if wandb.run is not None:
            # Lightning leaves the run open, and the next one in this process would write to it
            wandb.finish()
        folder = os.environ.get(VARIABLE)
        if folder and not already_set:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()  # only if it is empty
