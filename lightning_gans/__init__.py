"""GANs and their inversions on PyTorch Lightning.

Importing the package imports nothing heavy, so that a command line can be checked at once;
``load``, ``from_pretrained``, ``push_to_hub`` and the rooms (``models``, ``networks``, ``priors``,
...) are imported when first used.
"""

from __future__ import annotations

# the package is imported before a command can answer Ctrl-C: nothing else is imported here, not
# even typing, whose name type checkers know without it
TYPE_CHECKING = False
if TYPE_CHECKING:
    from lightning_gans.exports.hub import from_pretrained, push_to_hub
    from lightning_gans.models.base.load import load

__all__ = ["__version__", "from_pretrained", "load", "push_to_hub"]
__version__ = "0.2.0"


_rooms_found: set[str] = set()


def _rooms() -> set[str]:
    """The names of the modules and folders of the package.

    Sought once: jsonargparse asks the package for each name that it prints or reads, a thousand
    times in a short training.
    """
    if not _rooms_found:
        from pathlib import Path  # noqa: PLC0415  (see above)

        for path in Path(__file__).parent.iterdir():
            name = path.stem
            if path.suffix in ("", ".py") and not name.startswith("_") and name.isidentifier():
                _rooms_found.add(name)
    return _rooms_found


def __getattr__(name: str) -> object:
    if name == "load":
        from lightning_gans.models.base.load import load  # noqa: PLC0415  (torch takes seconds)

        return load
    from importlib import import_module  # noqa: PLC0415  (see above)

    if name in ("from_pretrained", "push_to_hub"):
        return getattr(import_module(f"{__name__}.exports.hub"), name)
    if name in _rooms():
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_rooms()})
