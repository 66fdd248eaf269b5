"""Runs without figures in files, of which drawing takes longer than a short training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure


class Figures:
    """Whether matplotlib draws figures in files; otherwise they are empty files.

    Figures that become images in memory are always drawn.
    """

    drawn = False

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """While ``drawn`` is false."""
        save: Callable[..., None] = Figure.savefig

        def chosen(figure: Figure, target: Any, **options: Any) -> None:
            if isinstance(target, str | Path) and not self.drawn:
                Path(target).touch()
            else:
                save(figure, target, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Figure, "savefig", chosen)
            yield
