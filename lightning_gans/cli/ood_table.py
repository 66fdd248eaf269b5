"""Compares models: ``python -m lightning_gans.ood table ckpt=RUN data=mnist_ood``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_gans.cli import CONFIGS
from lightning_gans.cli.one_run import one_run
from lightning_gans.cli.ood_table_parts import learn, open_data, open_models, say
from lightning_gans.cli.ood_table_words import Words, parse, table_usage, understand_table
from lightning_gans.errors import UsageError
from lightning_gans.ood.benchmark import rows, score_sets
from lightning_gans.ood.resampling import coarse, exact
from lightning_gans.ood.table import Facts, draw, report, write_csv
from lightning_gans.runs.layout import CONFIG, new_run

TABLE, REPORT, PICTURE = "table.csv", "table.md", "auroc.png"
AREAS = {"exact": exact, "coarse": coarse}


def table(arguments: Sequence[str], configs: Path = CONFIGS) -> int:
    """Run a command line, the words after ``table``.

    Returns:
        The exit status, 0.

    Raises:
        UsageError: if the command line is wrong.
        UserError: for what cannot be done, in one line.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(table_usage(configs))
        return 0
    with one_run():
        _table(understand_table(arguments, configs))
    return 0


def _table(words: Words) -> None:
    maker, settings = parse(words)
    if settings.out is not None and (Path(settings.out) / TABLE).exists():
        raise UsageError(f"out={settings.out}: there is a {TABLE} already; choose another folder")
    folds = [None] if settings.folds is None else list(range(settings.folds))
    # all that can be wrong with names and files comes before the work
    models = {fold: open_models(words, settings, fold) for fold in folds}
    found = []
    missing: dict[str, str] = {}
    near = 0.0
    for fold in folds:
        scorers = models[fold]
        data = open_data(words, fold, scorers)
        near = data.near if settings.near is None else settings.near
        for name, why in data.missing.items():
            if name not in missing:
                say(f"without {name}: {why}")
        missing |= data.missing
        learn(scorers, data, settings.batch_size)
        if fold is not None:
            say(f"fold {fold}")
        found.append(score_sets(scorers, data, settings.n, near, settings.batch_size, say))
    say("intervals")
    results = rows(found, settings.bootstrap, settings.seed, AREAS[settings.auroc])
    folder = new_folder(settings.out, words.data.stem)
    named = dict(zip(found[0], words.checkpoints, strict=True))
    settled = maker.dump(settings, skip_unset=False)
    (folder / CONFIG).write_text("".join(f"# ckpt={p}\n" for p in named.values()) + settled)
    facts = Facts(words.data.stem, near, settings.auroc, settings.bootstrap, named, missing)
    text = report(facts, results, found)
    (folder / REPORT).write_text(text)
    write_csv(results, folder / TABLE)
    draw(results, folder / PICTURE)
    print(text)
    print(f"table, numbers and picture: {folder}")


def new_folder(out: str | None, data: str) -> Path:
    """The folder of the results: the one that was asked for, or a new one below runs."""
    if out is None:
        return new_run({"model": "ood", "data": data}, "table")
    Path(out).mkdir(parents=True, exist_ok=True)
    return Path(out)
