"""The values in what trainings, commands and functions leave."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_gans.errors import InputError, UserError
from lightning_gans.reproduce.names import as_name
from lightning_gans.runs.metrics_csv import FILE
from lightning_gans.runs.report import read as read_log


def last_evaluation(run: Path) -> dict[str, float]:
    """The values of the last evaluation of a run, by names with dots."""
    log = read_log(run / FILE)
    if not log.measured:
        raise UserError(
            f"{run / FILE} has no evaluation; move {run} away, and the same command trains it again"
        )
    return {as_name(name): log.series[name][1][-1] for name in log.measured}


def ood_values(table: Path, trainings: Sequence[str]) -> dict[str, float]:
    """The AUROC in % of a table of ``ood table``: ``<training>.<score>.<near or far>.<set>``.

    Args:
        table: the CSV file.
        trainings: its models, in the order in which they were named.
    """
    values: dict[str, float] = {}
    rows = rows_of(table)
    models = list(dict.fromkeys(row["model"] for row in rows))
    if len(models) != len(trainings):
        raise InputError(f"{table} has {len(models)} models; expected {len(trainings)}")
    names = dict(zip(models, trainings, strict=True))
    for row in rows:
        name = ".".join((names[row["model"]], as_name(row["score"]), row["kind"], row["set"]))
        values[name] = 100 * float(row["auroc"])
    return values


def rows_of(table: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none if it is not there."""
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def evaluate_values(file: Path, training: str) -> dict[str, float]:
    """The measures of ``evaluate``: ``<training>.<measure>``."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {
        f"{training}.{as_name(name)}": math.nan if m["value"] is None else float(m["value"])
        for name, m in content["measures"].items()
    }


def numbers(result: object, function: str) -> dict[str, float]:
    """The values that a measure has returned.

    Raises:
        UserError: if it returned anything but numbers by name.
    """
    if not isinstance(result, Mapping):
        raise UserError(
            f"{function} is no measure: expected numbers by name, got {type(result).__name__}"
        )
    try:
        return {str(name): float(value) for name, value in result.items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"{function} is no measure: expected numbers by name; {error}") from None
