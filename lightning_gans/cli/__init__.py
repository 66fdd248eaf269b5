"""The command line: ``python train.py [fit|validate|test|predict] [group=name] [key=value] ...``.

Nothing outside this room knows of command lines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_gans.cli.words import DEFAULTS, GROUPS, listing, understand
from lightning_gans.errors import UsageError, UserError

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def main(arguments: Sequence[str] | None = None, configs: Path = CONFIGS) -> None:
    """Run a command line; a mistake of the user's ends in one line and no traceback.

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
    try:
        command = understand(words, configs)
        from lightning_gans.cli.lightning import run  # noqa: PLC0415  (takes seconds to import)

        run(command)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


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
        "--print_config prints the merged config; train.py fit --help lists all other options",
    ]
    return "\n".join(lines)
