"""Lightning's command line, with this project's callbacks, run folders and report."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch import callbacks as stock
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
    SaveConfigCallback,
)
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only

from lightning_gans.callbacks import EMA, Checkpoint, Compile, Dashboard, Evaluation, Pictures
from lightning_gans.callbacks.pace import Pace
from lightning_gans.callbacks.predictions import Predictions
from lightning_gans.callbacks.progress import Progress
from lightning_gans.callbacks.signals import StoppedBySignal, stops_at_once
from lightning_gans.cli.errors import in_own_code, one_line, refusals
from lightning_gans.cli.train import Command
from lightning_gans.compat import (
    AllocationLimit,
    callbacks_of,
    hide_from,
    is_trial,
    keep_arguments,
    no_subconfigs,
    option_names,
    set_root_dir,
    silence_chatter,
    wandb_arguments,
    whole_numbers_first,
)
from lightning_gans.data import DataModule
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.errors import UsageError, UserError
from lightning_gans.models import Decodes, Encodes, Generates, Model
from lightning_gans.models.base.model import check_precision
from lightning_gans.models.base.weights import check_resumable, check_weights
from lightning_gans.ranges import Threads
from lightning_gans.runs import wandb_run
from lightning_gans.runs.atomic import set_aside, write_text
from lightning_gans.runs.checkpoints import UnreadableCheckpoint, check_parts, read
from lightning_gans.runs.claim import (
    discard_unused,
    hold,
    is_follower,
    read_record,
    this_training,
)
from lightning_gans.runs.damaged import clear_way
from lightning_gans.runs.folder import checkpoints, newest
from lightning_gans.runs.layout import (
    CONFIG,
    VARIABLE,
    announce_run,
    expected_run,
    new_run,
    start,
)
from lightning_gans.runs.links import check_links
from lightning_gans.runs.measures import Point, described, number, points_of
from lightning_gans.runs.metrics_csv import FILE
from lightning_gans.runs.report import read as read_log
from lightning_gans.runs.report import table
from lightning_gans.runs.report_files import report
from lightning_gans.runs.settings import settings
from lightning_gans.runs.wandb_logger import WandbLogger as BestWandbLogger
from lightning_gans.safe_yaml import UnreadableConfig, read_mapping
from lightning_gans.text import printable, printable_lines
from lightning_gans.workflows.run_config import as_json, guarded, typed_strings, vetted_config


class SaveConfig(SaveConfigCallback):
    """Writes the resolved config to the run's folder and to wandb.

    Args:
        parser: of the command.
        config: that it has parsed.
        names: of the model and the data, as they are typed.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        config: Namespace,
        names: Mapping[str, str],
        **kwargs: Any,
    ) -> None:
        super().__init__(parser, config, save_to_log_dir=False, **kwargs)
        self.names = names

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the config; a resumed run overwrites it."""
        run = Path(trainer.default_root_dir)
        # the checkpoint that the run resumes from will soon be deleted
        config = self.config.clone()
        config.ckpt_path = None
        for logger in logger_configs(config):
            if is_wandb(logger):  # whoever repeats the run starts another one in wandb
                logger.init_args.id = logger.init_args.version = None
        # nulls are written: an omitted key would mean the default when the file is read
        text = self.parser.dump(
            config,
            skip_link_targets=True,
            skip_unset=False,
            skip_validation=True,  # it is that of a run that was built from it
        )
        keep_damaged_config(run)
        write_text(run / CONFIG, text)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                import wandb  # noqa: PLC0415  (takes a third of a second)

                found = logger.experiment
                content = yaml.safe_load(text)
                short = short_config(content, self.names)
                found.config.update({**short, "config": content}, allow_val_change=True)
                if isinstance(found, wandb.Run) and found.settings.mode != "disabled":
                    names = {"id": found.id, "project": found.project, "entity": found.entity}
                    wandb_run.write(run, **names)


def short_config(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The options of a run by the names that are typed, to group and compare runs by in wandb.

    Those that are not set, and those of the Trainer that have their default, are left out.
    """
    found = {
        name: setting.value
        for name, setting in settings(config).items()
        if setting.value is not None
        and not name.startswith("wandb.")
        and not (name.startswith("trainer.") and setting.is_default)
    }
    return {**found, **names}


def keep_damaged_config(run: Path) -> None:
    """Rename a ``config.yaml`` that is not a config, before the run writes its own."""
    try:
        if (run / CONFIG).is_file():
            read_mapping(run / CONFIG)
    except UnreadableConfig as error:
        set_aside(run / CONFIG, str(error).removeprefix(f"{run / CONFIG} "))


class JoinFirstProcess(Callback):
    """Tells all processes of a run which folder the first one has made for it.

    Args:
        ckpt_path: from which this process resumes.
    """

    def __init__(self, ckpt_path: str | None) -> None:
        self.ckpt_path = ckpt_path

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take over the folder of the first process.

        Raises:
            UserError: if this process found another checkpoint than the first one.
        """
        mine = (trainer.default_root_dir, self.ckpt_path)
        folder, ckpt_path = trainer.strategy.broadcast(mine)
        if ckpt_path != self.ckpt_path:
            raise UserError(
                f"this process resumes from {self.ckpt_path}, the first one from {ckpt_path}: give "
                "ckpt_path=FILE, or a folder that all machines see alike"
            )
        set_root_dir(trainer, folder)


class CLI(LightningCLI):
    """Runs one command.

    Args:
        command: the parsed command line.
        leftovers: closed when the command has ended.
    """

    def __init__(self, command: Command, leftovers: contextlib.ExitStack) -> None:
        self.command, self.leftovers = command, leftovers
        self.typed: set[str] = set()  # all strings that the user typed
        self.wandb_projects: list[str | None] = []  # as typed for each logger
        self.verbose = False  # whether validate and test print their results
        self.resumed_at: int | None = None  # iterations of the checkpoint to resume from
        # abbreviated options are errors
        kwargs: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
        super().__init__(
            Model,
            DataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            save_config_kwargs={"names": command.names},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_kwargs={**kwargs, **dict.fromkeys(self.subcommands(), kwargs)},
            args=[command.subcommand, *command.options],
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # depends on the command
        """The command that is run: the parsers of the others take a quarter of a second."""
        name = self.command.subcommand
        return {name: super().subcommands()[name]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks, in the order of their calls; link arguments of the model to data."""
        parser.add_lightning_class_args(Compile, "compile")
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_lightning_class_args(Pictures, "pictures")
        parser.add_lightning_class_args(Checkpoint, "checkpoint")
        parser.add_lightning_class_args(Dashboard, "wandb")
        parser.add_argument(
            "--threads", type=Threads | None, default=None, help="as many as fit the machine"
        )
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
        for each in (parser, *self._subcommand_parsers.values()):
            whole_numbers_first(each)
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
        self.verbose = bool(config.get("verbose"))
        if self.verbose:  # the results are printed here, rounded
            config.verbose = False
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
        if not any(map(is_wandb, logger_configs(config))):
            for option in self.command.options:
                if option.startswith("--wandb."):
                    raise UsageError(
                        f"{option.removeprefix('--')} is for wandb, to which this run does not "
                        "log; add logger=wandb, or leave it out"
                    )
        self.choose_folder(config)

    def choose_folder(self, config: Namespace) -> None:
        """Make or take over the run's folder, and set it wherever it is needed."""
        trainer, names = config.trainer, self.command.names
        alone = not is_multi_process(trainer.devices, trainer.num_nodes)
        if alone:  # a task of a SLURM step, with a number of its own, may still train alone
            rank_zero_only.rank = 0  # type: ignore[attr-defined]  # set by Lightning
        self.training = this_training(self.command.fingerprint, alone, is_debug(config))
        run = self.resumed_run(config.ckpt_path)
        if run is not None:
            check_links(run)
        if not alone and is_follower():
            run = run or expected_run(names)
        elif trainer.fast_dev_run:
            # what it writes is never taken for work
            folder = tempfile.TemporaryDirectory(prefix="lightning_gans_debug_")
            run = Path(self.leftovers.enter_context(folder))
        elif run is None:
            fit = self.command.subcommand == "fit"
            run = new_run(names, self.command.subcommand, self.training if fit else None)
        else:
            hold(run)
            if str(newest(run)) != config.ckpt_path:
                raise UsageError(
                    f"{run} was trained further since {config.ckpt_path} was found; run the "
                    "command again"
                )
            clear_way(run)
        trainer.default_root_dir = str(announce_run(run, config.ckpt_path))
        self.set_loggers(config, run)

    def set_loggers(self, config: Namespace, run: Path) -> None:
        """Let the loggers write to the run's folder."""
        self.wandb_projects = []
        for logger in logger_configs(config):
            arguments = getattr(logger, "init_args", None)
            if arguments is None or "save_dir" not in arguments:
                continue
            if is_wandb(logger):
                if wandb_run.is_of_a_run(arguments.save_dir):
                    arguments.id = arguments.version = None
                self.wandb_projects.append(arguments.project)
                arguments.save_dir = wandb_run.directory(run)
            else:
                arguments.save_dir = str(run)

    def resumed_run(self, ckpt_path: str | None) -> Path | None:
        """The folder of a run whose newest checkpoint training resumes from; otherwise None."""
        config = self.config[self.command.subcommand]
        if not ckpt_path or self.command.subcommand != "fit" or config.trainer.fast_dev_run:
            return None
        run = Path(ckpt_path).parent.parent
        record = read_record(run)
        if is_debug(config) and not (record is not None and record.training.debug):
            return None  # work is not continued by a debug run
        return run if newest(run) == Path(ckpt_path) else None

    def check_checkpoint(self) -> None:
        """Check that a checkpoint is valid and fits the model, before anything is changed."""
        ckpt_path = self.config[self.command.subcommand].ckpt_path
        if ckpt_path:
            path = Path(ckpt_path)
            content = read(path)
            check_weights(self.model, content["state_dict"], path)
            check_resumable(self.model, content, path)
            if self.command.subcommand == "fit":
                check_parts(content, str(path))
            self.resumed_at = int(content.get("global_step", 0))

    before_validate = before_test = before_predict = check_checkpoint

    def before_fit(self) -> None:
        """Check the checkpoint; let TensorBoard show no scalars that were written after it."""
        self.check_checkpoint()
        ckpt_path = self.config[self.command.subcommand].ckpt_path
        run, resumed = Path(self.trainer.default_root_dir), self.resumed_run(ckpt_path)
        if resumed and self.trainer.is_global_zero:
            # whoever resumes it, it is still the run that its job would resume after a requeue
            record = read_record(run)
            start(run, self.training if record is None else record.training)
        if self.resumed_at is None:
            return
        for logger in self.trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                hide_from(logger, self.resumed_at + 1)
            elif isinstance(logger, BestWandbLogger) and resumed:
                logger.has_logged(logged_until(run, self.resumed_at))

    def instantiate_classes(self) -> None:
        """Build model, data and callbacks; an error becomes one line.

        Raises:
            UsageError: with the message of the constructor.
        """
        file = self.command.run_config
        # the networks of a typing error must not fill the memory before they are refused
        # (a weight takes 16 bytes: itself, its gradient and the two moments of the optimiser)
        limit = AllocationLimit(elements=memory() // 16, calls=sys.maxsize)
        safe = guarded(self.typed, str(file)) if file else contextlib.nullcontext()
        with refusals(), safe, limit:
            keep_arguments(self, self.command.subcommand, "model", "data")
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the Trainer; add the callback that writes predictions.

        Raises:
            UserError: with the Trainer's own message, if it refuses an option.
        """
        saves = self.config[self.command.subcommand].trainer.enable_checkpointing
        if saves is False:
            # Lightning would refuse the callback of this command line, which nobody has asked for
            kwargs["enable_checkpointing"] = True
        given = self.config_init[self.command.subcommand].trainer
        listed = given.callbacks if isinstance(given.callbacks, list) else [given.callbacks]
        if given.enable_progress_bar is not False and not any(
            isinstance(callback, stock.ProgressBar) for callback in listed
        ):
            self.trainer_defaults = {**self.trainer_defaults, "callbacks": Progress()}
        try:
            trainer = super().instantiate_trainer(**kwargs)
        # Lightning refuses options with errors of any kind, or by an assertion
        except Exception as error:
            if isinstance(error, (UserError, MisconfigurationException)):
                raise
            own = in_own_code(error)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise own or UserError(f"the Trainer refuses its options: {reason:.400}") from error
        if saves is False:
            kept = [c for c in callbacks_of(trainer) if not isinstance(c, Checkpoint)]
            if any(isinstance(callback, stock.Checkpoint) for callback in kept):
                raise UsageError(
                    "trainer.enable_checkpointing=false: trainer.callbacks names one that saves "
                    "checkpoints; leave out one of the two"
                )
            callbacks_of(trainer)[:] = kept
        ckpt_path = self.config[self.command.subcommand].ckpt_path
        resumed = self.resumed_run(ckpt_path)
        callbacks = callbacks_of(trainer)
        callbacks[:0] = [JoinFirstProcess(ckpt_path), Pace()]
        loggers = [found for found in trainer.loggers if isinstance(found, WandbLogger)]
        dashboard = next(found for found in callbacks if isinstance(found, Dashboard))
        for logger, project in zip(loggers, self.wandb_projects, strict=False):
            set_to = wandb_arguments(logger)
            typed = {**set_to, "project": project, **dashboard.labels}
            usual = self.usual_labels(Path(trainer.default_root_dir))
            set_to |= wandb_run.labels(resumed, typed, usual)
            set_to |= wandb_run.arguments(resumed, typed)
        if self.command.subcommand == "predict":
            callbacks.append(Predictions())
        return trainer

    def usual_labels(self, run: Path) -> dict[str, str]:
        """What a run is called in wandb where nobody says it."""
        family = "/".join(self.command.names[group] for group in ("model", "data"))
        command = self.command.subcommand
        job_type = "train" if command == "fit" else command
        return {"name": f"{family}/{run.name}", "group": family, "job_type": job_type}

    def conclude(self, trained: bool) -> None:
        """Add to a dashboard what is known at the end."""
        if not is_trial(self.trainer):
            dashboard = next(c for c in callbacks_of(self.trainer) if isinstance(c, Dashboard))
            dashboard.conclude(self.trainer, self.model, trained)

    def print_results(self) -> None:
        """Print what was measured, rounded as in a report."""
        if self.verbose and self.trainer.is_global_zero:
            metrics = {n: float(v) for n, v in self.trainer.callback_metrics.items() if n != "step"}
            print("\n".join(["| measure | value |", "|---|---:|"]))
            for name, value in sorted(metrics.items()):
                arrow = f" {better}" if (better := described(name)[0]) else ""
                print(f"| {printable(name)}{arrow} | {number(value)} |")
        self.conclude(trained=False)

    after_validate = after_test = print_results

    def after_fit(self) -> None:
        """Evaluate the last iteration unless that was done; then write and print the report."""
        trainer = self.trainer
        evaluation = next(c for c in callbacks_of(trainer) if isinstance(c, Evaluation))
        evaluation.drop_later_results(trainer)
        if evaluation.measured_at != trainer.global_step:
            trainer.validate(self.model, self.datamodule, verbose=False, weights_only=True)
        if is_trial(trainer):
            rank_zero_info("trainer.fast_dev_run: everything ran, and nothing is kept")
        elif trainer.is_global_zero:
            print(printable_lines(report(Path(trainer.default_root_dir))))
            for line in how_to_continue(trainer, self.resumed_at):
                print(line, file=sys.stderr)
            print(printable_lines("\n".join(what_next(trainer, self.model))), file=sys.stderr)
        # last: it may wait for a network
        self.conclude(trained=True)


def logged_until(run: Path, step: int) -> dict[str, list[Point]]:
    """The curves of a run's ``metrics.csv`` up to an iteration; {} if it has none."""
    found = {}
    with contextlib.suppress(UserError, OSError):
        for name, pairs in read_log(run / FILE).series.items():
            found[name] = [p for p in points_of(zip(*pairs, strict=True)) if p.step <= step]
    return found


def how_to_continue(trainer: Trainer, resumed_at: int | None) -> Iterator[str]:
    """Why a run has ended that might have gone on, and which option continues it."""
    iterations = trainer.global_step
    ended = resumed_at == iterations
    if 0 <= trainer.max_steps <= iterations:
        if ended:
            yield (
                f"the run had already ended after {iterations} iterations; a trainer.max_steps "
                f"above {iterations} continues it"
            )
    elif trainer.max_epochs not in (None, -1) and trainer.current_epoch >= (
        trainer.max_epochs or 0
    ):
        if ended:
            yield (
                f"the run had already ended after {trainer.max_epochs} epochs; a "
                f"trainer.max_epochs above {trainer.max_epochs} continues it"
            )
    elif is_out_of_time(trainer):
        yield (
            f"trainer.max_time has ended the run after {iterations} iterations; "
            f"{shlex.quote(f'ckpt={trainer.default_root_dir}')} resumes it for as long again"
        )


def is_out_of_time(trainer: Trainer) -> bool:
    """Whether ``trainer.max_time`` is over."""
    timers = [callback for callback in callbacks_of(trainer) if isinstance(callback, Timer)]
    return any((timer.time_remaining() or 1) <= 0 for timer in timers)


def what_next(trainer: Trainer, model: LightningModule) -> Iterator[str]:
    """Commands that go on from a run, each on a line that can be copied."""
    ckpt = shlex.quote(f"ckpt={trainer.default_root_dir}")
    image = len(model.image_shape) == 3 if isinstance(model, Model) else False
    yield "next:"
    if image and isinstance(model, Generates):
        yield f"  lightning-gans generate {ckpt}"
    if image and isinstance(model, Decodes):
        yield f"  lightning-gans invert {ckpt} images=FOLDER"
    if image and isinstance(model, Encodes) and isinstance(model, Decodes):
        yield f"  lightning-gans edit {ckpt} image=FILE"
    if is_out_of_time(trainer) and not 0 <= trainer.max_steps <= trainer.global_step:
        yield f"  lightning-gans train {ckpt}"
    elif trainer.max_steps > 0:
        yield f"  lightning-gans train {ckpt} trainer.max_steps={2 * trainer.max_steps}"
    else:
        yield f"  lightning-gans train {ckpt} trainer.max_steps={2 * trainer.global_step}"


def memory() -> int:
    """The bytes of main memory, or of the largest GPU if that has more."""
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else sys.maxsize
    sizes = [pages * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else pages]
    if torch.cuda.is_available():
        found = range(torch.cuda.device_count())
        sizes += [torch.cuda.get_device_properties(n).total_memory for n in found]
    return max(sizes)


def is_debug(config: Namespace) -> bool:
    """Whether a run trains on a few images again and again, which only tries the code."""
    return bool(config.trainer.overfit_batches)


def logger_configs(config: Namespace) -> list[Any]:
    """The loggers in a config, each a class path with arguments, or something else."""
    loggers = config.trainer.logger
    return loggers if isinstance(loggers, list) else [loggers]


def is_wandb(logger: Any) -> bool:
    """Whether a logger in a config is wandb's, with arguments."""
    path = str(getattr(logger, "class_path", ""))
    return path.endswith("WandbLogger") and getattr(logger, "init_args", None) is not None


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


def in_stock_callback(error: BaseException) -> bool:
    """Whether a callback of Lightning's raised an error, such as EarlyStopping without its metric.

    Its callbacks are added only by a user.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).parent == Path(stock.__file__).parent


def imported_wandb() -> Any:
    """The package wandb if a logger has imported it, which takes a third of a second; or None."""
    return sys.modules.get("wandb")


def in_wandb(error: BaseException) -> bool:
    """Whether wandb raised an error, such as the one for ``WANDB_MODE=ofline``."""
    wandb = imported_wandb()
    if wandb is None:
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).is_relative_to(Path(wandb.__file__).parent) for frame in frames)


def run(command: Command) -> None:
    """Run a command; a signal ends it with the status by which shells name the signal."""
    already_set = os.environ.get(VARIABLE)
    silence_chatter()  # again: a command may run after others have changed the filters
    leftovers = contextlib.ExitStack()
    ended = False
    try:
        with stops_at_once():
            CLI(command, leftovers)
        ended = True
    except MisconfigurationException as error:
        raise UserError(" ".join(str(error).split())) from error
    # Lightning and torch raise anything on a damaged state; all other errors are raised again
    except Exception as error:
        if in_stock_callback(error) and not isinstance(error, UserError):
            raise UserError(" ".join(f"trainer.callbacks: {error}".split())) from error
        wandb = imported_wandb()
        if wandb is not None and isinstance(error, wandb.errors.Error):
            raise UserError(" ".join(str(error).split())) from error
        if in_wandb(error) and not isinstance(error, UserError):
            raise UserError(" ".join(f"wandb: {error}".split())) from error
        if isinstance(error, UserError) or not while_restoring(error):
            raise
        (option,) = (s for s in command.options if s.startswith("--ckpt_path="))
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnreadableCheckpoint(
            f"{option.partition('=')[2]}: its state of training cannot be restored: {reason:.300}"
        ) from error
    except (SystemExit, KeyboardInterrupt) as stop:
        number = signal_of(stop)
        if number is None:
            raise
        with contextlib.suppress(OSError):  # the terminal may be gone
            folder = os.environ.get(VARIABLE)
            for line in measured_so_far(folder):
                print(line, file=sys.stderr)
            print(f"stopped by {number.name}{how_to_resume(folder)}", file=sys.stderr)
        sys.exit(128 + number)
    finally:
        wandb = imported_wandb()
        if wandb is not None and wandb.run is not None:
            # Lightning leaves the run open, and the next one in this process would write to it
            wandb.finish(exit_code=0 if ended else 1)
            # the next one reads the environment anew
            wandb.teardown()
        folder = os.environ.get(VARIABLE)
        if folder and not already_set and not is_follower():
            # a command that failed before it did anything may have written its settings
            discard_unused(Path(folder), *([] if ended else [CONFIG]))
        leftovers.close()


def signal_of(stop: BaseException) -> signal.Signals | None:
    """The signal that has ended a command; None if none has."""
    if isinstance(stop, StoppedBySignal):
        return stop.number
    # Lightning exits with status 1 on a Ctrl-C
    if isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt):
        return signal.SIGINT
    return signal.SIGTERM if isinstance(stop, SIGTERMException) else None


def how_to_resume(folder: str | None) -> str:
    """How a run that was stopped is resumed, to be appended to a line; "" if nothing was saved."""
    # the folder of a debug run, which has no record, is removed
    kept = folder and read_record(Path(folder)) is not None
    found = checkpoints(Path(folder), "last") if folder and kept else []
    command = f"lightning-gans train {shlex.quote(f'ckpt={folder}')}"
    return printable(f"; {command} resumes from {found[-1].name}") if found else ""


def measured_so_far(folder: str | None) -> list[str]:
    """The folder and the table of a run that was stopped; [] if nothing was saved.

    The curves are not drawn: whoever sends a signal may wait no longer than some seconds.
    """
    run = Path(folder) if folder else None
    if run is None or read_record(run) is None or not checkpoints(run, "last"):
        return []
    with contextlib.suppress(UserError, OSError):
        log = read_log(run / FILE)
        return ["", f"# {printable(run)}", "", *map(printable, table(log)), ""]
    return []
