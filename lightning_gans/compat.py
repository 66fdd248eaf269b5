"""Every private name of Lightning, jsonargparse and torch that this package uses.

A comment on each names what breaks without it. If one is missing or has changed, importing this
module fails with a message of one line, so that no check is skipped silently.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import logging
import operator
import os
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import queues
from typing import Any, Union, get_args, get_origin

import jsonargparse
import torch
from jsonargparse import _typehints, _util
from lightning.fabric.loggers import tensorboard as fabric_tensorboard
from lightning.fabric.utilities import rank_zero as rank_zero_fabric
from lightning.fabric.utilities import seed as fabric_seed
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

# without them a resumed run could not continue with the right iteration
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.trainer import call
from lightning.pytorch.utilities import rank_zero as rank_zero_pytorch
from torch import Tensor, distributions
from torch.nn.modules.batchnorm import _BatchNorm

# without it the size of an allocation could not be checked first: a checkpoint that declares a
# network of a terabyte would be built
from torch.utils._python_dispatch import TorchDispatchMode

# without it the names of its attributes could not be checked
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

# without it batch norm of one, two and three dimensions would have to be listed
BatchNorm = _BatchNorm

# without it a config's class path could not be stopped before its module runs
_IMPORT_OBJECT = "import_object"
# without it a value for an argument that is a module would be imported
_IMPORT_MODULE = "import_module"
# without it the value of an option would be opened as the path of a config
_OPENS_PATHS = "_enable_path"


# without them the step of every player would count as an iteration
_STEP_HOOKS = ("_on_before_step", "_on_after_step")
# without it the rows of the log of a resumed run would be at other iterations
_LOGGED = "_batches_that_stepped"
# without them an epoch that was cut short would count as complete
_EPOCHS, _COUNTS = "epoch_progress", ("ready", "started", "processed", "completed")
# without it an evaluation by the clock could not be told from one by iterations
_EVALUATES_BY_CLOCK = "_val_check_time_interval"

# without it the curves of a resumed run would go back in TensorBoard
_WRITER_ARGUMENTS = "_kwargs"
# without it the message on a worker that died could not tell how
_WORKERS = "_workers"
# without it an error of the data would be followed by a wait of ten seconds
_END_WORKERS = "_shutdown_workers"
# without it a worker that died between two epochs would be a page of text
_KEPT = "_iterator"
# without it training would wait forever for a batch for which there is no shared memory
_UNSENT = "_on_queue_feeder_error"
# without it all that was logged last would be read again after each iteration, and another log of
# the same names would take longer
_LOG = "_results"
# without it each note of the hook that runs would be checked as a new weight of the model would be
RUNNING_HOOK = "_current_fx_name"
# without it each step of an optimiser would load NVIDIA's library on a machine that has none
_GPU_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"
# without it averages would be updated one tensor after the other, which takes two and a half times
# as long where tensors are small
foreach_lerp = torch._foreach_lerp_
# without it the weights of a compiled network would have other names than those of the same network
_COMPILED = "_orig_mod."
# without them a hook on a layer would not run where several layers are computed at once
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# without it each gradient penalty would also compute the gradients by all weights, in vain
_WILL_EXECUTE = "_will_engine_execute_node"


# Lightning sets them on a Trainer and declares them nowhere: without these names a type checker
# would have to be silenced wherever they are read
_CALLBACKS, _LOG_INTERVAL, _IS_TRIAL = "callbacks", "log_every_n_steps", "fast_dev_run"
# without it a process that joins another's run could not be told the run's folder
_ROOT_DIR = "_default_root_dir"
# without it WANDB_RESUME would be ignored, and a run's id in wandb could only come from its config
_WANDB_ARGUMENTS = "_wandb_init"


def _verify() -> None:
    """Check that the private names work as this package expects.

    Raises:
        ImportError: with the package that has changed.
    """
    hooks = inspect.getsource(LightningOptimizer.__init__)
    if not all(f"self.{name} = do_nothing_closure" in hooks for name in _STEP_HOOKS):
        raise ImportError(
            "this version of lightning counts optimiser steps in a way that lightning_gans does "
            "not support; install a version that pyproject.toml allows"
        )
    places = inspect.getsource(Trainer), inspect.getsource(WandbLogger)
    if f"self.{_ROOT_DIR}" not in places[0] or f"self.{_WANDB_ARGUMENTS}" not in places[1]:
        raise ImportError(
            "this version of lightning keeps a run's folder and wandb's arguments in places that "
            "lightning_gans does not know; install a version that pyproject.toml allows"
        )
    loops = inspect.getsource(_FitLoop) + inspect.getsource(_TrainingEpochLoop)
    if not all(
        name in loops for name in (_LOGGED, _EVALUATES_BY_CLOCK, _EPOCHS, "reset_restart_stage")
    ):
        raise ImportError(
            "this version of lightning resumes training in a way that lightning_gans does not "
            "support; install a version that pyproject.toml allows"
        )
    if f"**self.{_WRITER_ARGUMENTS}" not in inspect.getsource(fabric_tensorboard):
        raise ImportError(
            "this version of lightning writes for TensorBoard in a way that lightning_gans does "
            "not support; install a version that pyproject.toml allows"
        )
    if f"self.{_LOG} = " not in inspect.getsource(_TrainingEpochLoop) or not hasattr(Trainer, _LOG):
        raise ImportError(
            "this version of lightning keeps what is logged in a place that lightning_gans does "
            "not know; install a version that pyproject.toml allows"
        )
    if f"pl_module.{RUNNING_HOOK} = hook_name" not in inspect.getsource(call):
        raise ImportError(
            "this version of lightning calls hooks in a way that lightning_gans does not support; "
            "install a version that pyproject.toml allows"
        )
    loader = inspect.getsource(_MultiProcessingDataLoaderIter)
    if not hasattr(queues.Queue, _UNSENT) or not all(
        name in loader for name in (f"self.{_WORKERS}", f"def {_END_WORKERS}(self)")
    ):
        raise ImportError(
            "this version of Python or torch loads data in processes in a way that lightning_gans "
            "does not support; install a version that pyproject.toml allows"
        )
    hooks_known = all(name in vars(torch.nn.Module()) for name in _HOOKS)
    if not hasattr(torch._C, _WILL_EXECUTE) or not hooks_known:
        raise ImportError(
            "this version of torch computes gradients in a way that lightning_gans does not "
            "support; install a version that pyproject.toml allows"
        )
    imports = getattr(_util, _IMPORT_OBJECT, None)
    known = (
        inspect.isfunction(imports)
        and list(inspect.signature(imports).parameters) == ["name", "check_path"]
        and getattr(_typehints, _IMPORT_OBJECT, None) is imports
        and getattr(_typehints, _IMPORT_MODULE, None) is importlib.import_module
        and f"self.{_OPENS_PATHS} = " in inspect.getsource(_typehints.ActionTypeHint.__init__)
        and f"self.{_OPENS_PATHS} and" in inspect.getsource(_typehints.ActionTypeHint._check_type)
    )
    if not known:
        version = getattr(jsonargparse, "__version__", "unknown")
        raise ImportError(
            f"jsonargparse {version} imports classes in a way that lightning_gans cannot check; "
            "install a version that pyproject.toml allows"
        )


_verify()


def _ask_once(name: str) -> None:
    """Let jsonargparse ask a function of a type once: it asks for each word of a command line."""
    original = getattr(_typehints, name, None)
    if not inspect.isfunction(original):
        return
    answers: dict[type, Any] = {}

    @functools.wraps(original)
    def remembered(value: Any, *others: Any) -> Any:
        if not isinstance(value, type):  # what is no type may change
            return original(value, *others)
        if value not in answers:
            answers[value] = original(value, *others)
        return answers[value]

    _replace(original, remembered)


def _look_up_few_options() -> None:
    """Let jsonargparse look for an option among those of its name, not among all hundred."""
    module = sys.modules.get("jsonargparse._subcommands")
    original = getattr(module, "find_action_and_subcommand", None)
    commands = getattr(module, "ActionSubCommands", None)
    if not inspect.isfunction(original) or not inspect.isclass(commands):
        return
    source = inspect.getsource(original)
    # it must look at nothing else of a parser
    if source.count("parser.") != source.count("parser._actions"):
        return

    @functools.wraps(original)
    def find(parser: Any, dest: str, exclude: Any = None) -> Any:
        flag = f"--{dest}"
        named = [
            action
            for action in parser._actions
            if action.dest == dest or flag in action.option_strings or isinstance(action, commands)
        ]
        return original(types.SimpleNamespace(_actions=named), dest, exclude)

    _replace(original, find)


def _split_dotted_keys_alone() -> None:
    """Let jsonargparse look up a key without dots, as most are, without splitting it."""
    original = getattr(jsonargparse.Namespace, "_parse_key", None)
    if not inspect.isfunction(original):
        return
    # those that it does not change; a config may have any
    plain: set[str] = set()

    @functools.wraps(original)
    def parse(self: jsonargparse.Namespace, key: Any) -> Any:
        if type(key) is str and key in plain:
            return key, self, ""
        found = original(self, key)
        if found[0] == key and found[2] == "" and len(plain) < 10_000:
            plain.add(key)
        return found

    setattr(jsonargparse.Namespace, original.__name__, parse)


def _replace(original: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Replace a function of jsonargparse in all of its modules."""
    for name, module in list(sys.modules.items()):
        if name.startswith("jsonargparse") and vars(module).get(original.__name__) is original:
            setattr(module, original.__name__, new)


# without these a command line is read in a third more time, and nothing else changes: a version of
# jsonargparse that has other names is left as it is
_ask_once("get_import_path")
_ask_once("get_protocol_call_return_type")
_look_up_few_options()
_split_dotted_keys_alone()


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """The callbacks of a Trainer, in the order of their calls: the list itself, not a copy."""
    found: list[Callback] = getattr(trainer, _CALLBACKS)
    return found


def log_interval(trainer: Trainer) -> int:
    """After how many iterations each a Trainer passes values on to its loggers; 0 for never."""
    found: int = getattr(trainer, _LOG_INTERVAL)
    return found


def is_trial(trainer: Trainer) -> bool:
    """Whether a Trainer only tries whether everything runs, with a few batches."""
    return bool(getattr(trainer, _IS_TRIAL))


def uncounted(optimizer: LightningOptimizer) -> None:
    """Keep the next step of an optimiser from counting as a training step.

    Lightning sets both hooks again before each ``training_step``.
    """
    for name in _STEP_HOOKS:
        setattr(optimizer, name, do_nothing_closure)


def step_without_hooks(optimizer: LightningOptimizer) -> None:
    """As the optimiser's own ``step``, which counts, but without asking callbacks for hooks."""
    before, after = (getattr(optimizer, name) for name in _STEP_HOOKS)
    before()
    optimizer.optimizer.step()
    after()


def read_log_no_more(trainer: Trainer) -> None:
    """Let Lightning forget what was logged for an iteration, which it has passed on.

    It would read and pass on the same values after each iteration until the next log.
    """
    for logged in getattr(trainer, _LOG).values():
        if not logged.meta.on_epoch:
            logged.reset()


def log_again(model: LightningModule, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Log numbers under names that the running hook has logged before, in less time.

    ``log`` checks the same arguments again, and moves all that is kept of a name to its device.

    Args:
        model: whose hook runs; ``log`` must have been called in it before, for any other name, as
            the first call in an epoch drops what was logged in the last one.
        values: numbers by name.

    Returns:
        Those that must be logged by ``log``: nothing has their names, or is on their device.
    """
    kept, hook = getattr(model.trainer, _LOG), getattr(model, RUNNING_HOOK)
    new = {}
    for name, value in values.items():
        logged = kept.get(f"{hook}.{name}")
        if logged is None or logged.value.device != value.device:
            new[name] = value
        else:
            logged.forward(value, 1)
            logged.has_reset = False
    return new


def ask_for_gpus_once() -> None:
    """Where there is no GPU, let torch remember it.

    Lightning sets a variable for the sake of processes that are forked later, with which torch
    looks for a GPU anew in each step of Adam, for a tenth of a millisecond.
    """
    if not torch.cuda.is_available():
        os.environ.pop(_GPU_CHECK, None)


def plain_name(name: str) -> str:
    """The name of a weight, whether or not a network that holds it is compiled."""
    return name.replace(_COMPILED, "")


def continue_after(trainer: Trainer, iterations: int) -> None:
    """Let training continue after a number of iterations, as if it had not been interrupted.

    To be called when training starts. Lightning saves counts of events instead, of which several
    follow each other between two iterations. With those, a resumed run is an iteration ahead if it
    was stopped before an iteration that had been counted already.

    Args:
        trainer: whose number of batches in an epoch is known.
        iterations: made so far.
    """
    fit, loop = trainer.fit_loop, trainer.fit_loop.epoch_loop
    per_epoch, current = trainer.num_training_batches, vars(loop.batch_progress.current)
    if per_epoch != float("inf"):
        epoch, seen = divmod(iterations, max(1, int(per_epoch)))
        for epochs in (fit.epoch_progress.total, fit.epoch_progress.current):
            _set(epochs, epoch)
    else:
        seen = current["processed"]
    _set(loop.batch_progress.total, iterations)
    _set(loop.batch_progress.current, seen)
    loop.batch_progress.is_last_batch = False
    # a loop that restarts keeps its position, and counts one more iteration as logged
    loop.restarting = seen > 0
    loop.val_loop.restarting = False
    setattr(loop, _LOGGED, iterations - (seen > 0))
    for restarted in (fit, loop, loop.val_loop):
        restarted.reset_restart_stage()


def count_epochs(loops: dict[str, Any], epoch: int) -> None:
    """Let the saved state of the loops count the epochs that are complete.

    Lightning counts one that ``max_steps`` has cut short as complete, and would not continue it.

    Args:
        loops: a checkpoint's.
        epoch: the number of complete epochs.
    """
    progress = loops["fit_loop"].get(_EPOCHS, {})
    for counts in progress.values():
        counts.update(dict.fromkeys(_COUNTS, epoch))


def _set(counts: Any, value: int) -> None:
    for name in _COUNTS:
        setattr(counts, name, value)


def evaluates_after(trainer: Trainer, iterations: int) -> bool:
    """Whether Lightning evaluates after this iteration.

    Evaluations by the clock are never due again.

    Args:
        trainer: whose number of batches in an epoch is known.
        iterations: made so far, including this one.
    """
    every_epochs, interval = trainer.check_val_every_n_epoch, trainer.val_check_batch
    by_clock = getattr(trainer, _EVALUATES_BY_CLOCK, None) is not None
    if iterations < 1 or not trainer.enable_validation or by_clock or interval is None:
        return False
    epoch, before = divmod(iterations - 1, trainer.num_training_batches)
    if every_epochs is not None and (epoch + 1) % every_epochs:
        return False
    if interval == float("inf"):
        return before + 1 == trainer.num_training_batches
    return (iterations if every_epochs is None else before + 1) % interval == 0


def hide_from(logger: TensorBoardLogger, step: int) -> None:
    """Let TensorBoard hide what earlier processes of this run have logged from this step on.

    To be called before the logger is first used.
    """
    getattr(logger, _WRITER_ARGUMENTS)["purge_step"] = step


def evaluate_now(trainer: Trainer) -> None:
    """Evaluate between two iterations of training, as Lightning does when an evaluation is due."""
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True


def ended_workers(batches: object) -> list[int]:
    """The exit statuses of the workers of a loader's iterator that have ended.

    Negative ones are signals.
    """
    workers = getattr(batches, _WORKERS, [])
    return [worker.exitcode for worker in workers if worker.exitcode is not None]


def end_workers(loader: object, batches: object) -> None:
    """End the workers of a loader's iterator now; the loader's next one has others.

    Otherwise the iterator's destructor does. After an error that is the garbage collector's work,
    since the error's traceback and the iterator refer to each other; by then the queues that tell
    workers to end may be gone, and it waits ten seconds.
    """
    if kept_batches(loader) is batches:
        setattr(loader, _KEPT, None)
    end = getattr(batches, _END_WORKERS, None)
    if end is not None:
        end()


def kept_batches(loader: object) -> object:
    """The iterator of a loader whose workers live from one epoch to the next; None if none is."""
    return getattr(loader, _KEPT, None)


def on_unsent_batch(call: Callable[[Exception, object], None]) -> None:
    """In a worker: what happens if a batch cannot be sent to the training process."""
    setattr(queues.Queue, _UNSENT, staticmethod(call))


def check_input_dim(layer: BatchNorm, x: Tensor) -> None:
    """Check that the input of a batch norm layer has the right number of dimensions.

    Raises:
        ValueError: if it does not.
    """
    layer._check_input_dim(x)  # type: ignore[no-untyped-call]  # torch ships it without types


def unchecked(distribution: distributions.Distribution) -> None:
    """Let a distribution accept values outside of its support, such as codes during a descent."""
    distribution._validate_args = False


def set_root_dir(trainer: Trainer, folder: str) -> None:
    """Change a Trainer's ``default_root_dir``, which can only be set when it is built."""
    setattr(trainer, _ROOT_DIR, folder)


def wandb_arguments(logger: WandbLogger) -> dict[str, Any]:
    """The arguments with which a logger will call ``wandb.init``, to be changed before it does."""
    found: dict[str, Any] = getattr(logger, _WANDB_ARGUMENTS)
    return found


def wandb_specification(view: Any) -> str:
    """What wandb-workspaces would send of a workspace or a report, as JSON.

    Without its private method a view could not be written to a file: the package's own classes
    save one in wandb or not at all.
    """
    text: str = view._to_model().model_dump_json(by_alias=True, exclude_none=True, indent=1)
    return text


def option_names(parser: jsonargparse.ArgumentParser) -> list[str]:
    """The dotted names of all options of a parser; needed for "did you mean" suggestions."""
    return [action.dest for action in parser._actions]


def keep_arguments(cli: LightningCLI, command: str, *groups: str) -> None:
    """Give a command line the arguments of what it is about to build, as plain data.

    Without it Lightning would write and read the whole config, of which it uses these groups: a
    quarter of the time between the start of a short run and its first iteration.
    """
    given = cli.config[command]
    chosen = {group: given[group] for group in groups if group in given}
    # jsonargparse's constructor has no types
    config = jsonargparse.Namespace({command: jsonargparse.Namespace(chosen)})  # type: ignore[no-untyped-call]
    plain = cli.parser.dump(
        config, skip_link_targets=False, skip_unset=False, skip_validation=True, format="json"
    )
    cli.config_dump = json.loads(plain)[command]


def whole_numbers_first(parser: jsonargparse.ArgumentParser) -> None:
    """Let options that take whole numbers or fractions read ``1`` as a whole number.

    Python gives equal unions the order of the first one; without this, ``limit_val_batches=1``
    would be 1.0, which is all batches, as another annotation has the fraction first.
    """
    for action in parser._actions:
        hint = vars(action).get("_typehint")
        parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
        if int in parts and float in parts and bool not in parts:
            others = [part for part in parts if part is not int]
            action._typehint = functools.reduce(operator.or_, [int, *others])  # type: ignore[attr-defined]


# messages of other packages that tell a user of this one nothing; each is meant for other code
CHATTER = (
    # the hook is the model's on purpose: data modules do not know of it
    r".*overridden `(on_before_batch_transfer|transfer_batch_to_device)` in `LightningModule`",
    # the model's own moves batches as Lightning does
    r".*overridden `transfer_batch_to_device` in both",
    # the sampler finds its position from the number of iterations, which Lightning cannot know
    r".*your dataloader is not resumable",
    # Lightning's own use of torch
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",
    # the interval counts iterations of the run, however short an epoch is
    r".*is smaller than the logging interval Trainer\(",
    # data are in memory or in a cache, where workers are slower (docs/training.md)
    r".*does not have many workers which may be a bottleneck",
)
# what a run tells in its first lines or at its end, or does not use
QUIET = re.compile(
    r"💡 Tip: |[TGH]PU available: |(\[rank: \d+\] )?Seed set to \d+$|"
    r"`Trainer\.\w+` stopped: `max_\w+=.*` reached|Time limit reached\. Elapsed time is |"
    r"(Restoring states from|Restored all states from|Loaded model weights from) the checkpoint"
)


def silence_chatter() -> None:
    """Leave out advertisements and warnings about the code of other packages, each by its text."""
    for message in CHATTER:
        warnings.filterwarnings("ignore", message)
    for logger in (rank_zero_pytorch.__name__, rank_zero_fabric.__name__, fabric_seed.__name__):
        found = logging.getLogger(logger)
        if no_tip not in found.filters:
            found.addFilter(no_tip)


def no_tip(record: logging.LogRecord) -> bool:
    """Whether a record of Lightning's log is news, and no advertisement."""
    return QUIET.match(record.getMessage()) is None


@contextmanager
def no_subconfigs() -> Iterator[None]:
    """Let jsonargparse open no path that is the value of an option.

    Otherwise ``model.checkpoint=FILE`` would first be read as a config, which can name any class.
    """

    def keep(self: _typehints.ActionTypeHint, value: bool) -> None:
        vars(self)[_OPENS_PATHS] = value

    # a property has precedence over what the instances hold
    never = property(lambda self: False, keep)
    before = vars(_typehints.ActionTypeHint).get(_OPENS_PATHS)
    try:
        setattr(_typehints.ActionTypeHint, _OPENS_PATHS, never)
        yield
    finally:
        if before is None:
            delattr(_typehints.ActionTypeHint, _OPENS_PATHS)
        else:  # this block is within another
            setattr(_typehints.ActionTypeHint, _OPENS_PATHS, before)


@contextmanager
def guarded_imports(check: Callable[[str], object]) -> Iterator[list[Exception]]:
    """Check every import path in a value before jsonargparse imports it, and open no config paths.

    Import paths that come from code, such as those of annotations, are not checked.

    Args:
        check: raises an ImportError or ValueError for an import path that is not allowed.

    Yields:
        The errors so far, which jsonargparse wraps in long messages of its own.
    """
    refused: list[Exception] = []
    original = _util.import_object

    def check_name(name: object) -> None:
        try:
            check(str(name))
        # only noted, because jsonargparse hides it; importing a trusted module may raise anything
        except Exception as error:
            refused.append(error)
            raise

    def guarded(name: str, check_path: bool = True) -> Any:
        # jsonargparse itself refuses a string that is not an import path
        if check_path and isinstance(name, str) and "." in name:
            check_name(name)
        return original(name, check_path)

    def guarded_module(name: str, package: str | None = None) -> Any:
        if name not in sys.modules:
            check_name(name)
        return importlib.import_module(name, package)

    places = [
        (module, _IMPORT_OBJECT, guarded)
        for name, module in list(sys.modules.items())
        if name.startswith("jsonargparse") and vars(module).get(_IMPORT_OBJECT) is original
    ]
    changes: list[tuple[Any, str, Any]] = [
        *places,
        (_typehints, _IMPORT_MODULE, guarded_module),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        with no_subconfigs():
            yield refused
    finally:
        for module, name, value in before:
            setattr(module, name, value)


class AllocationLimitExceeded(MemoryError):
    """An operation would exceed the limit on tensors."""


class AllocationLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's has no types
    """Limits the number of tensor elements that the block allocates, and the number of its calls.

    Args:
        elements: in all tensors.
        calls: of operators.

    Raises:
        AllocationLimitExceeded: before the allocation or call that exceeds a limit.
    """

    def __init__(self, elements: int, calls: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's has no types
        self.elements, self.calls = elements, calls

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.calls -= 1
        size = args[0] if args else None
        if isinstance(size, (list, tuple)) and all(type(n) is int for n in size):
            self._spend(size)
        elif func.overloadpacket in _BY_LENGTH:
            self._spend([abs(int(n)) for n in args[:1] if isinstance(n, (int, float))])
        if self.calls < 0:
            raise AllocationLimitExceeded("more operations than its weights require")
        return func(*args, **(kwargs or {}))

    def _spend(self, size: list[int] | tuple[int, ...]) -> None:
        count = 1
        for n in size:
            count *= n
        self.elements -= count
        if self.elements < 0:
            raise AllocationLimitExceeded(
                f"a tensor of shape {tuple(size)} is larger than its weights require"
            )


_BY_LENGTH = (torch.ops.aten.arange, torch.ops.aten.eye, torch.ops.aten.randperm)


def has_hooks(module: torch.nn.Module) -> bool:
    """Whether somebody looks at what a module is given or returns, or changes it."""
    state = module.__dict__
    return any(state[name] for name in _HOOKS)


def gradients_needed(ctx: Any, count: int) -> list[bool]:
    """Of which tensors that a function was given the backward pass that runs needs the gradient.

    ``ctx.needs_input_grad`` says only whether any pass could need it.

    Args:
        ctx: of the ``torch.autograd.Function`` that runs.
        count: so many of its first arguments, which are tensors; only the last one may be None.
    """
    nodes = ctx.next_functions
    needed = enumerate(ctx.needs_input_grad[:count])
    return [could and _will_execute(nodes[i][0]) for i, could in needed]


def _will_execute(node: Any) -> bool:
    try:
        return bool(getattr(torch._C, _WILL_EXECUTE)(node))
    except RuntimeError:  # a leaf whose gradient is the result
        return True
