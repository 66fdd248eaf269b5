"""Runs without figures, of which drawing takes longer than a short training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure


class Figures:
    """Whether matplotlib draws figures; otherwise files are empty, and images in memory white."""

    drawn = False

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """While ``drawn`` is false."""
        save: Callable[..., None] = Figure.savefig

        def chosen(figure: Figure, target: Any, **options: Any) -> None:
            if not self.drawn:
                if isinstance(target, str | Path):
                    Path(target).touch()
                    return
                figure.clear()
                figure.set_layout_engine("none")
            save(figure, target, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Figure, "savefig", chosen)
            yield
