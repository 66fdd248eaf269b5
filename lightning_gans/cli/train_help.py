"""The help of ``train``, ``validate``, ``test`` and ``predict``, from the source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lightning_gans.cli.grammar import (
    BASE,
    DEFAULTS,
    GROUPS,
    SWITCHES,
    Groups,
    read_config,
    split_key_values,
)
from lightning_gans.cli.options import FIXED, help_of
from lightning_gans.safe_yaml import subsection
from lightning_gans.signatures import current_path

# the options of the Trainer that help lists
COMMON_TRAINER = (
    *("accelerator", "devices", "num_nodes", "precision", "max_steps", "max_epochs", "max_time"),
    *("val_check_interval", "limit_val_batches", "log_every_n_steps", "enable_progress_bar"),
    *("fast_dev_run", "deterministic", "profiler"),
)
# what the commands do that run a trained model
SUMMARIES = {
    "validate": "Evaluate a checkpoint on the validation images.",
    "test": "Evaluate a checkpoint on the test images.",
    "predict": "Write codes and reconstructions, or classes, of the validation images.",
}
# the sections that matter to them
EVALUATING = ("evaluation", "trainer")
EVALUATING_TRAINER = (
    *("accelerator", "devices", "num_nodes", "precision", "limit_val_batches"),
    *("limit_test_batches", "limit_predict_batches", "enable_progress_bar"),
)
TOP_LEVEL = "lightning_gans.cli.train.TopLevelOptions"


def usage(groups: Groups) -> str:
    """What ``train --help`` prints."""
    lines = [
        "lightning-gans train [group=name ...] [key=value ...] [options]",
        "(also validate, test, predict; python train.py is the same)",
        "",
        "  lightning-gans train model=dlsgan",
        "  lightning-gans train model=dlsgan data=mnist data.root=data trainer.max_steps=20000",
        "  lightning-gans train model=dlsgan ckpt_path=last        resume the newest run",
        "  lightning-gans test ckpt_path=runs/.../last-step=20000.ckpt",
        "",
        "groups (files in ./configs or in the package; or the path of a YAML file):",
    ]
    for group in GROUPS:
        default = f"  [{DEFAULTS[group]}]" if group in DEFAULTS else ""
        lines.append(f"  {group + '=':<12}{groups.listing(group)}{default}")
    lines += [
        "",
        "keys set single values: model.latent_dim=64 trainer.max_steps=2000 optimizer.lr=0.001",
        "  data.batch_size=64 ema.decay=0.999 checkpoint.every=500 seed_everything=1 threads=2",
        "trust=my.module lets a checkpoint or a run's config name classes of that module",
        "--print_config prints the merged config; train --help lists the common options, and with",
        "  model=NAME those of the model; fit --help lists every option",
    ]
    return "\n".join(lines)


def full_usage(groups: Groups, argv: Iterable[str], command: str = "train") -> str:
    """What the help of a command prints: its usage, and its options as the source has them.

    Args:
        groups: of config files.
        argv: the other arguments, which may name a model and data.
        command: one of ``COMMANDS``; all options are listed for ``fit``, otherwise the common ones.
    """
    every = command == "fit"
    usual = COMMON_TRAINER if command in ("train", "fit") else EVALUATING_TRAINER
    lines = [usage(groups)] if command in ("train", "fit") else usage_of_checkpoint(command)
    trainer = subsection(read_config(groups.find(BASE, DEFAULTS[BASE])), "trainer")
    names = {"data": DEFAULTS["data"]}
    for key, value in split_key_values(word for word in argv if word not in SWITCHES):
        if key.removeprefix("--") in ("model", "data") and value:
            names[key.removeprefix("--")] = value
    lines += ["", "options without a section:", *help_of("", TOP_LEVEL, every=every)]
    for group, name in sorted(names.items(), reverse=True):
        section = read_config(groups.find(group, name)).get(group)
        path = section.get("class_path") if isinstance(section, Mapping) else section
        if isinstance(path, str):
            set_to = subsection(section, "init_args")
            options = help_of(group, current_path(path), defaults=set_to, every=every)
            lines += ["", f"{group}={name}, {path}:", *options]
    sections = FIXED if command in ("train", "fit") else {n: FIXED[n] for n in EVALUATING}
    if command in ("train", "fit"):
        sections = {"optimizer": "lightning_gans.optimizers.AdamW", **sections}
    for prefix, path in sections.items():
        common, set_to = ((), {}) if prefix != "trainer" else (usual, trainer)
        options = help_of(prefix, path, () if every else common, set_to, every)
        lines += ["", f"{path.rpartition('.')[2]}:", *options]
    return "\n".join(lines)


def usage_of_checkpoint(command: str) -> list[str]:
    """The first lines of the help of a command that runs a trained model."""
    return [
        f"lightning-gans {command} ckpt=RUN [group=name ...] [key=value ...]",
        "",
        SUMMARIES[command],
        "",
        f"  lightning-gans {command} ckpt=runs/dlsgan/mnist5k/TIME",
        f"  lightning-gans {command} ckpt=last data.batch_size=64",
        "",
        "ckpt= is a run's folder, a checkpoint, or last or best, of the newest run. Its settings",
        "are those of the run; what you type stays. fit --help lists every option.",
    ]
