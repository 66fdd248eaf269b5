"""The experiments at their real size on a stand-in device, where they take no time and no memory.

``python -m scripts.experiment_costs`` writes what they cost into their files.
"""

from __future__ import annotations

import inspect
import re
from functools import partial
from importlib import import_module
from itertools import takewhile
from typing import Any, NamedTuple, cast

import torch
import yaml
from torch.optim import SGD
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import flop_registry

from lightning_gans.cli import CONFIGS
from lightning_gans.data import DataModule, Folder
from lightning_gans.models import Model
from lightning_gans.models.base.building import Builder
from lightning_gans.trust import Trust
from tests.support.stand_in_gpu import DEVICE, trainer, watched

FILES = {file.stem: file for file in sorted((CONFIGS / "experiment").glob("*.yaml"))}
PAGE = CONFIGS.parent / "docs" / "experiments" / "published.md"
HEADING = (
    "| `experiment=` | what | parameters | an iteration | the whole |\n|---|---|---:|---:|---:|\n"
)
# the settings of a demonstration, of any model
NAMES = [name for name in FILES if name != "demo"]
# the run that an experiment inverts
OF = {"encoder_ffhq": "gan_ffhq"}


COST = "# cost: "


class Cost(NamedTuple):
    """What an experiment costs.

    Attributes:
        parameters: of all networks that are trained.
        flop: floating-point operations of an iteration, two for a product with its sum.
        iterations: of the whole training.
    """

    parameters: int
    flop: float
    iterations: int

    def line(self) -> str:
        """The comment of an experiment's file."""
        return (
            f"{COST}{number(self.parameters)} parameters, {number(self.flop)}FLOP an iteration, "
            f"{number(self.flop * self.iterations)}FLOP in all"
        )


def number(value: float) -> str:
    """A number with three digits and its prefix: ``1.25 T``."""
    for prefix in ("", "k", "M", "G", "T", "P", "E", "Z"):
        if value < 999.5:
            return f"{value:.3g} {prefix}"
        value /= 1000
    raise ValueError("that is more than anybody computes")


def comments(name: str) -> list[str]:
    """The comments at the top of an experiment's file."""
    rows = FILES[name].read_text(encoding="utf-8").splitlines()
    return [*takewhile(lambda row: row.startswith("#"), rows)]


def cost_line(name: str) -> str:
    """What an experiment's file says of its cost; nothing if it does not say."""
    return next((row for row in comments(name) if row.startswith(COST)), "")


def about(name: str) -> str:
    """What an experiment is, as its file says up to the first semicolon."""
    rows = [row.removeprefix("# ") for row in comments(name) if not row.startswith(COST)]
    return re.split(r";|\. |, with the|, on a", " ".join(rows))[0]


def settings_of(name: str) -> dict[str, Any]:
    """What an experiment's file says."""
    found: dict[str, Any] = yaml.safe_load(FILES[name].read_text(encoding="utf-8"))
    return found


def data_of(name: str) -> DataModule:
    """Its data, which need not be there."""
    given = settings_of(name)["data"]
    module, _, cls = given["class_path"].rpartition(".")
    made = getattr(import_module(module), cls)(**given.get("init_args", {}))
    assert isinstance(made, DataModule)
    return made


def model_of(name: str, **changes: object) -> Model:
    """Its model for images of their real size; the descent is plain."""
    given, data = settings_of(name)["model"], data_of(name)
    builder = Builder(name, Trust())
    cls = builder.class_of(given["class_path"], Model)
    known: dict[str, object] = {"image_shape": list(data.image_shape)}
    if "classes" in inspect.signature(cls).parameters:
        known["classes"] = list(data.classes)
    spec = {"_class_path": given["class_path"], **given["init_args"], **known}
    if name in OF:
        changes["checkpoint"] = model_of(OF[name])
    # the stand-in lacks the kernel of AdamW
    return builder.model(spec, {"optimizer": partial(SGD, lr=1e-4, foreach=False), **changes})


def table() -> str:
    """The table of experiments, from the comments at the top of their files."""
    rows = []
    for name in NAMES:
        costs = re.sub(" parameters| an iteration| in all", "", cost_line(name).removeprefix(COST))
        rows.append(f"| `{name}` | {about(name)} | {costs.replace(', ', ' | ')} |\n")
    return HEADING + "".join(rows)


class Same(Dataset[Any]):
    """Batches of one image, many times."""

    def __init__(self, data: DataModule, iterations: int) -> None:
        self.iterations = iterations
        self.x = torch.zeros(data.batch_size, *data.image_shape)
        # a folder's classes are known only once it is there; no experiment uses them
        labels = 1 if isinstance(data, Folder) else len(data.classes)
        shape = (data.batch_size,) if labels <= 1 else (data.batch_size, labels)
        self.y = torch.zeros(shape, dtype=torch.long)

    def __len__(self) -> int:
        return self.iterations

    def __getitem__(self, index: int) -> Any:
        return self.x, self.y


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
    """Counts floating-point operations; torch's own counter follows modules as well, which fails
    where a gradient is differentiated.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.count += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=found)
        return found


def cost_of(name: str, iterations: int = 2) -> Cost:
    """Make iterations at the real size of networks, images and batches, and count."""
    data, counter = data_of(name), Operations()
    batches = cast("Any", DataLoader(Same(data, iterations), batch_size=None))
    with watched():
        with torch.device(DEVICE):
            model = model_of(name)
        with counter:
            trainer(max_steps=iterations, enable_checkpointing=False).fit(model, batches)
    assert model.global_step == iterations
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    steps = settings_of(name)["trainer"]["max_steps"]
    return Cost(parameters, counter.count / iterations, steps)
