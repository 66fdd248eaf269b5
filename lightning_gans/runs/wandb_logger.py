"""Lightning's logger of wandb, which keeps the best value of each measure as its summary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import loggers
from lightning_utilities.core.rank_zero import rank_zero_only
from typing_extensions import override

from lightning_gans.runs.measures import Arrow, Point, best_of, described

AXIS = "trainer/global_step"
# where values are better, and what wandb calls the best of them
BEST: Mapping[Arrow, str] = {"↓": "min", "↑": "max"}


class WandbLogger(loggers.WandbLogger):
    """As Lightning's, and the summary of a measure is its best value: the lowest FID, for one.

    Which way is better is known of the measures of this package
    (:mod:`lightning_gans.runs.measures`); the summary of all others is their last value.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.defined: set[str] = set()
        # wandb looks for the best value in what this process logs
        self.earlier: dict[str, float] = {}

    def has_logged(self, curves: Mapping[str, Sequence[Point]]) -> None:
        """Note what the run logged before it was resumed, by name."""
        for name, points in curves.items():
            best = best_of(points, described(name)[0])
            if best is not None:
                self.earlier[name] = best.value

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values; the first of a measure comes after its definition.

        A pattern such as ``fid/*`` would not do: wandb takes any of those that fit a name, and
        Lightning has defined ``*``.
        """
        best = {name: BEST[arrow] for name in metrics if (arrow := described(name)[0])}
        for name in best.keys() - self.defined:
            self.experiment.define_metric(
                name, step_metric=AXIS, step_sync=True, summary=best[name]
            )
            self.defined.add(name)
        super().log_metrics(metrics, step)
        for name in best.keys() & self.earlier.keys():
            found, before = float(metrics[name]), self.earlier[name]
            if math.isfinite(found):
                self.earlier[name] = (min if best[name] == "min" else max)(found, before)
            # each time: wandb goes back to the last value after a summary that is set
            self.experiment.summary[name] = {best[name]: self.earlier[name]}
