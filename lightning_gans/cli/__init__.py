"""The command lines of ``train.py`` and ``invert.py``.

Nothing outside this room knows of command lines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning_gans.cli.inversion_words import understand_inversion
from lightning_gans.cli.words import DEFAULTS, GROUPS, listing, understand
from lightning_gans.errors import UsageError, UserError
from lightning_gans.trust import take, trusting

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def main(arguments: Sequence[str] | None = None, configs: Path = CONFIGS) -> None:
    """Run a command line of ``train.py``; a mistake ends in one line and no traceback.

    Args:
        arguments: as in ``sys.argv[1:]``, which is the default.
        configs: the folder of config files.

    Raises:
        SystemExit: with status 2 if the command line was wrong, 1 if something else was.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("-h", "--help"):
        print(usage(configs))
        return
    with one_line_errors(), trusted(words) as words:
        command = understand(words, configs)
        from lightning_gans.cli.lightning import run  # noqa: PLC0415  (takes seconds to import)

        run(command)


def invert(arguments: Sequence[str] | None = None, configs: Path = CONFIGS) -> None:
    """Run a command line of ``invert.py``, as :func:`main` does."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(inversion_usage(configs))
        return
    with one_line_errors(), trusted(words) as words:
        request = understand_inversion(words, configs)
        from lightning_gans.cli.inversion import run  # noqa: PLC0415  (takes seconds to import)

        run(request)


@contextmanager
def trusted(words: Sequence[str]) -> Iterator[list[str]]:
    """The words without ``trust=MODULE``; the modules are trusted meanwhile."""
    rest, modules = take(words)
    with trusting(modules):
        yield rest


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line for what the user can mend: status 2 for words, else 1."""
    try:
        yield
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def inversion_usage(configs: Path) -> str:
    """What ``invert.py --help`` prints."""
    return "\n".join(
        [
            "python invert.py ckpt=RUN data=NAME|images=FOLDER [key=value ...]",
            "",
            "  python invert.py ckpt=runs/lsgan/mnist/TIME data=mnist data.root=data n=100",
            "  python invert.py ckpt=RUN images=photos regularizer=wasserstein "
            "regularizer.weight=0.1",
            "  python invert.py ckpt=RUN data=mnist constraint=logistic_cutoff "
            "constraint.steepness=2 constraint.midpoint=2",
            "",
            f"  data=        {listing('data', configs)}",
            f"  inversion=   {listing('inversion', configs)}: settings of the papers",
            "  regularizer= wasserstein, energy, lukaszyk_karmowski, bhattacharyya,",
            "               bhattacharyya_normal, z_score_square, z_score_absolute,",
            "               fool_discriminator; regularizer.weight=0.1",
            "  constraint=  boundary_resampling, hard_cutoff, logistic_cutoff,",
            "               truncated_normal_cutoff, typical_ball",
            "  loss=        l1, l2, huber",
            "  n=100 steps=200 restarts=16 lr=0.01 start=prior|zeros|encoder patience= seed=0",
            "  classifier=digits|RUN   accuracy of the reconstructions",
            "  probe=noise|shifted:4,0 invert these instead of the images",
            "  category=0              of class-conditional models",
            "  devices=2 num_nodes=1   processes that share the images",
            "  trust=my.module         whose classes a checkpoint may name",
        ]
    )


def usage(configs: Path) -> str:
    """What ``--help`` prints."""
    lines = [
        "python train.py [fit|validate|test|predict] [group=name ...] [key=value ...] [options]",
        "",
        "  python train.py model=dlsgan",
        "  python train.py model=dlsgan data=mnist data.root=data trainer.max_steps=20000",
        "  python train.py model=dlsgan ckpt_path=last        go on with the newest run",
        "  python train.py test ckpt_path=runs/.../last-step=20000.ckpt",
        "",
        "groups (files in the folder configs; a path to a YAML file of your own will do too):",
    ]
    for group in GROUPS:
        default = f"  [{DEFAULTS[group]}]" if group in DEFAULTS else ""
        lines.append(f"  {group + '=':<12}{listing(group, configs)}{default}")
    lines += [
        "",
        "keys set single values: model.latent_dim=64 trainer.max_steps=2000 optimizer.lr=0.001",
        "  data.batch_size=64 ema.decay=0.999 checkpoint.every=500 seed_everything=1",
        "trust=my.module lets a checkpoint or a run's config name classes of your own module",
        "--print_config prints the merged config; train.py fit --help lists all other options",
    ]
    return "\n".join(lines)
