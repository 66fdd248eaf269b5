"""An untrusted file runs no code, writes and deletes nothing, and gives an error of one line."""

from __future__ import annotations

import copy
import os
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import lightning_gans
from lightning_gans.callbacks import Checkpoint
from lightning_gans.cli import main
from lightning_gans.data.images import open_image
from lightning_gans.errors import UserError
from lightning_gans.models import DLSGAN
from lightning_gans.models.base.constructor_spec import constructor_spec
from lightning_gans.priors import Categorical
from lightning_gans.runs.checkpoint_format import KEY, stamp
from lightning_gans.runs.checkpoints import UnreadableCheckpoint, read
from lightning_gans.runs.folder import newest
from lightning_gans.runs.metrics_csv import read_rows
from lightning_gans.safe_yaml import UnreadableConfig, read_mapping
from lightning_gans.trust import Untrusted, current_trust, split_trust, trusting
from tests.support.training import data, points, trainer

EVIL = """
from pathlib import Path
from lightning_gans.networks import MLPGenerator
from lightning_gans.models import GAN
from lightning_gans.data import Gaussians
Path({marker!r}).write_text("imported")
class Net(MLPGenerator): pass
class Model(GAN): pass
class Data(Gaussians): pass
def make(*args, **kwargs): Path({marker!r}).write_text("called")
"""
MINE = """
from subprocess import Popen
from lightning_gans.networks import MLPGenerator
class Net(MLPGenerator):
    pass
"""
QUIET = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that appears once ``untrusted_module`` is imported, or its function called."""
    modules, marker = tmp_path / "modules", tmp_path / "marker"
    modules.mkdir()
    (modules / "untrusted_module.py").write_text(EVIL.format(marker=str(marker)))
    (modules / "trusted_module.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(modules))
    before = current_trust()
    yield marker
    for name in ("untrusted_module", "trusted_module"):
        sys.modules.pop(name, None)
    assert current_trust() == before


def content() -> dict[str, Any]:
    """A checkpoint as version 0.1.0 wrote it."""
    model = points(DLSGAN)
    hyper, _ = constructor_spec(model)
    return {
        "state_dict": model.state_dict(),
        "hyper_parameters": copy.deepcopy(hyper),
        "not_saved": [],
        "callbacks": {"EMA": {"average": {n: p.detach() for n, p in model.named_parameters()}}},
        "global_step": 3,
    }


def written(checkpoint: object, folder: Path) -> Path:
    path = folder / "file.ckpt"
    torch.save(checkpoint, path)
    return path


def one_line(error: BaseException, path: Path) -> None:
    assert "\n" not in str(error)
    assert str(path) in str(error)


def spec(path: str, /, **arguments: object) -> dict[str, object]:
    return {"class_path": path, "init_args": arguments}


ENCODER = "lightning_gans.models.Encoder"
HOSTILE: dict[str, dict[str, object]] = {
    "the model": {"_class_path": "untrusted_module.Model"},
    "a plain text": {"generator": "untrusted_module.make"},
    "a network": {"generator": spec("untrusted_module.Net", width=8)},
    "what is nested": {
        "prior": spec("lightning_gans.priors.DynamicScale", base="untrusted_module.P")
    },
    "deeper": {
        "prior": spec("lightning_gans.priors.DynamicScale", base=spec("untrusted_module.Net"))
    },
    "dict_kwargs": {
        "prior": {
            "class_path": "lightning_gans.priors.DynamicScale",
            "dict_kwargs": {"base": "untrusted_module.make"},
        }
    },
    "an instantiator and all": {
        "_instantiator": "untrusted_module.make",
        "_class_path": "untrusted_module.make",
    },
    "the system": {"optimizer": "os.system"},
    "a process": {"loss": spec("subprocess.Popen", args=["touch", "marker"])},
    "exec": {"loss": spec("builtins.exec")},
    "what a module of ours imports": {"loss": "lightning_gans.data.images.os.system"},
    "what a module of torch imports": {"optimizer": "torch.optim.optimizer.functools.partial"},
    "no optimiser of torch": {"optimizer": "torch.optim.swa_utils.AveragedModel"},
    "a network of torch": {"generator": spec("torch.nn.Sequential")},
    "a download": {"generator": "torch.hub.load_state_dict_from_url"},
    "a model as a network": {"generator": spec(ENCODER, checkpoint="marker")},
    "a function of ours": {
        "generator": spec("lightning_gans.models.base.load.load", path="marker")
    },
    "an extractor as a network": {"generator": "lightning_gans.metrics.InceptionFeatures"},
    "a prior as a loss": {"loss": "lightning_gans.priors.Normal"},
    "data as the model": {"_class_path": "lightning_gans.data.Folder"},
    "an entry point": {"generator": "lightning_gans.ood.__main__.main"},
    "an object of a tuple": {"image_shape": [spec("untrusted_module.Net")]},
    "an object of a number": {"latent_dim": spec("untrusted_module.Net")},
    "no path": {"generator": "untrusted_module.Net()\n"},
    "a path that climbs": {"generator": "..untrusted_module.Net"},
    "another model's file": {"_class_path": ENCODER, "checkpoint": "other.ckpt"},
    "itself within": {
        "_class_path": ENCODER,
        "checkpoint": {"_class_path": "untrusted_module.Model"},
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_checkpoint_imports_and_calls_nothing(name: str, marker: Path, tmp_path: Path) -> None:
    saved = content()
    saved["hyper_parameters"] |= HOSTILE[name]
    if saved["hyper_parameters"]["_class_path"] == ENCODER:
        keep = ("_class_path", "_instantiator", "checkpoint")
        kept = {key: saved["hyper_parameters"][key] for key in keep}
        saved["hyper_parameters"] = {**kept, "image_shape": [2]}
    path = written(saved, tmp_path)
    with pytest.raises(UserError) as caught:
        lightning_gans.load(path)
    one_line(caught.value, path)
    assert not marker.exists()
    assert "untrusted_module" not in sys.modules


def test_an_instantiator_is_ignored(marker: Path, tmp_path: Path) -> None:
    saved = content()
    saved["hyper_parameters"]["_instantiator"] = "untrusted_module.make"
    lightning_gans.load(written(saved, tmp_path))
    assert not marker.exists()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_runs_nothing(marker: Path, tmp_path: Path) -> None:
    path = written({**content(), "extra": Touch(marker)}, tmp_path)
    with pytest.raises(UnreadableCheckpoint) as caught:
        lightning_gans.load(path)
    one_line(caught.value, path)
    assert not marker.exists()


def test_a_user_class_needs_its_module_to_be_trusted(marker: Path, tmp_path: Path) -> None:
    saved = content()
    saved["hyper_parameters"]["generator"] = spec("trusted_module.Net", width=8, depth=1)
    path = written(saved, tmp_path)
    with pytest.raises(Untrusted, match=r"add trust=trusted_module$") as caught:
        lightning_gans.load(path)
    one_line(caught.value, path)
    assert "trusted_module" not in sys.modules
    for trust in ("trusted_module", ["other.module", "trusted_module"], "other, trusted_module"):
        model = lightning_gans.load(path, trust=trust)
        assert type(model.generator).__module__ == "trusted_module"
    # trust in a module does not extend to what it imports
    saved["hyper_parameters"]["generator"] = "trusted_module.Popen"
    with pytest.raises(Untrusted, match="defined in another module, subprocess"):
        lightning_gans.load(written(saved, tmp_path), trust="trusted_module")
    with pytest.raises(UserError, match="expected the name of a module"):
        lightning_gans.load(path, trust="my module")


def test_trust_covers_submodules_and_nothing_else() -> None:
    with trusting("my.module") as trust:
        assert trust.covers("my.module.part.Net")
        assert trust.covers("my.module.Net")
        assert not trust.covers("my.modules.Net")
        assert not trust.covers("my.Net")
    argv = ["a=1", "trust=x", "--trust", "y,z", "--trust=v.w", "b=2"]
    assert split_trust(argv) == (["a=1", "b=2"], ("x", "y", "z", "v.w"))


def test_arguments_of_load_replace_untrusted_ones(tmp_path: Path) -> None:
    from lightning_gans.networks import MLPGenerator

    saved = content()
    saved["hyper_parameters"]["generator"] = "untrusted_module.make"
    path = written(saved, tmp_path)
    model = lightning_gans.load(path, generator=partial(MLPGenerator, width=8, depth=1))
    assert isinstance(model.generator, MLPGenerator)


# Content


def first(saved: dict[str, Any]) -> str:
    return str(next(name for name in saved["state_dict"] if name.startswith("generator")))


def replace(saved: dict[str, Any], make: Callable[[torch.Tensor], Any]) -> None:
    name = first(saved)
    saved["state_dict"][name] = make(saved["state_dict"][name])
    saved["callbacks"] = {}


def quantised(x: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)


MALFORMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list as hyper_parameters": lambda s: s.update(hyper_parameters=[1, 2]),
    "a tensor as hyper_parameters": lambda s: s.update(hyper_parameters=torch.ones(2)),
    "a text as hyper_parameters": lambda s: s.update(hyper_parameters="_class_path"),
    "a tensor within": lambda s: s["hyper_parameters"].update(latent_dim=torch.ones(1)),
    "a number as a key": lambda s: s["hyper_parameters"].update({3: 4}),
    "not_saved is a number": lambda s: s.update(not_saved=3),
    "no state": lambda s: s.pop("state_dict"),
    "a list as state": lambda s: s.update(state_dict=[torch.ones(2)]),
    "a text as a weight": lambda s: replace(s, lambda x: "1"),
    "a missing weight": lambda s: s["state_dict"].pop(first(s)),
    "a weight too many": lambda s: s["state_dict"].update(more=torch.ones(1)),
    "NaN": lambda s: replace(s, lambda x: x * torch.nan),
    "infinite": lambda s: replace(s, lambda x: x + torch.inf),
    "whole numbers": lambda s: replace(s, lambda x: x.long()),
    "complex numbers": lambda s: replace(s, lambda x: x + 0j),
    "another shape": lambda s: replace(s, lambda x: x[..., :1]),
    "sparse": lambda s: replace(s, lambda x: x.to_sparse()),
    "quantised": lambda s: replace(s, quantised),
    "without content": lambda s: replace(s, lambda x: x.to("meta")),
    "expanded": lambda s: replace(s, lambda x: torch.zeros(1).expand(x.shape)),
    "expanded to a terabyte": lambda s: replace(s, lambda x: torch.zeros(1).expand(10**12)),
    "a negative variance": lambda s: s["state_dict"].update({"prior.v": -torch.ones(3)}),
    "no variance": lambda s: s["state_dict"].update({"prior.v": torch.zeros(3)}),
    "NaN as variance": lambda s: s["state_dict"].update({"prior.v": torch.ones(3) * torch.nan}),
    "an average that is NaN": lambda s: s["callbacks"]["EMA"]["average"].update(
        {first(s): s["state_dict"][first(s)] * torch.nan}
    ),
    "averages of another kind": lambda s: s["callbacks"]["EMA"].update(average=[1]),
    "averages of another model": lambda s: s["callbacks"]["EMA"]["average"].update(x=torch.ones(1)),
    "callbacks as a list": lambda s: s.update(callbacks=[1]),
    "a callback's state as a list": lambda s: s["callbacks"].update(Checkpoint=[1]),
    "a path among its files": lambda s: s["callbacks"].update(
        Checkpoint={"best": None, "written": {"last": ["/etc/passwd"]}}
    ),
    "a best that is text": lambda s: s["callbacks"].update(Checkpoint={"best": "x", "written": {}}),
    "a negative step": lambda s: s.update(global_step=-1),
    "a step that is text": lambda s: s.update(global_step="3"),
    "optimisers as a number": lambda s: s.update(optimizer_states=7),
    "streams as text": lambda s: s.update(random="x"),
    "a stream of floats": lambda s: s.update(random=[{"device": "cpu", "own": torch.ones(3)}]),
    "a width of a terabyte": lambda s: s["hyper_parameters"].update(
        generator=spec("lightning_gans.networks.MLPGenerator", width=10**7, depth=3)
    ),
    "a million layers": lambda s: s["hyper_parameters"].update(
        generator=spec("lightning_gans.networks.MLPGenerator", width=512, depth=10**6)
    ),
    "a number of a thousand digits": lambda s: s["hyper_parameters"].update(latent_dim=10**999),
    "a text as a number": lambda s: s["hyper_parameters"].update(latent_dim="3"),
    "a negative size": lambda s: s["hyper_parameters"].update(latent_dim=-3),
    "an unknown argument": lambda s: s["hyper_parameters"].update(colour="blue"),
    "an unknown class": lambda s: s["hyper_parameters"].update(
        _class_path="lightning_gans.models.X"
    ),
    "an abstract class": lambda s: s["hyper_parameters"].update(
        _class_path="lightning_gans.models.base.model.Model"
    ),
    "a newer format": lambda s: s.update({KEY: {"format": 99, "sha256": ""}}),
    "a format that is none": lambda s: s.update({KEY: {"format": "1"}}),
    "a stamp that is none": lambda s: s.update({KEY: 5}),
    "a wrong checksum": lambda s: s.update({KEY: {"format": 1, "sha256": "0" * 64}}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_content_is_one_line(name: str, tmp_path: Path) -> None:
    saved = content()
    MALFORMED[name](saved)
    path = written(saved, tmp_path)
    with pytest.raises(UnreadableCheckpoint) as caught:
        lightning_gans.load(path)
    one_line(caught.value, path)
    assert len(str(caught.value)) < 600


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def laughs(levels: int) -> list[Any]:
    value: list[Any] = [0]
    for _ in range(levels):
        value = [value] * 10
    return value


@pytest.mark.parametrize("make", [partial(nested, 300), partial(laughs, 30)])
def test_nested_and_repeated_values_are_one_line(make: Callable[[], Any], tmp_path: Path) -> None:
    saved = content()
    saved["hyper_parameters"]["image_shape"] = make()
    path = written(saved, tmp_path)
    with pytest.raises(UnreadableCheckpoint) as caught:
        lightning_gans.load(path)
    one_line(caught.value, path)


def test_one_flipped_bit_of_a_file_is_found(tmp_path: Path) -> None:
    path = written(content(), tmp_path)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        part = max(file.infolist(), key=lambda part: part.file_size)
    raw[part.header_offset + 200] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UnreadableCheckpoint, match="checksum") as caught:
        lightning_gans.load(path)
    one_line(caught.value, path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_one_line(share: float, tmp_path: Path) -> None:
    path = written(content(), tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(UnreadableCheckpoint) as caught:
        read(path)
    one_line(caught.value, path)


def test_a_compressed_file_is_not_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"0" * 10_000_000)
    with pytest.raises(UnreadableCheckpoint, match="compressed parts"):
        read(path)


def test_a_checkpoint_has_a_format_version_and_detects_a_changed_weight(tmp_path: Path) -> None:
    trainer(tmp_path, Checkpoint(), max_steps=2).fit(points(), data())
    path = tmp_path / "checkpoints" / "last-step=2.ckpt"
    saved = torch.load(path, weights_only=True)
    assert saved[KEY]["format"] == 1
    saved["state_dict"][first(saved)][0] += 1
    torch.save(saved, path)
    with pytest.raises(UnreadableCheckpoint, match="checksum of its weights is wrong"):
        lightning_gans.load(path)
    with pytest.raises(UnreadableCheckpoint, match="checksum of its weights is wrong"):
        trainer(tmp_path, Checkpoint(), max_steps=3).fit(points(), data(), ckpt_path=path)
    stamp(saved)
    torch.save(saved, path)
    lightning_gans.load(path)
    # as version 0.1.0 wrote it
    del saved[KEY]
    torch.save(saved, path)
    lightning_gans.load(path)


def test_probabilities_are_probabilities() -> None:
    from lightning_gans.models.base.weights import out_of_range

    prior = Categorical((3,))
    assert out_of_range(prior) is None
    prior.p[0] = -0.2
    assert "probabilities" in str(out_of_range(prior))


# Run folders


@pytest.mark.parametrize("path", ["untrusted_module.make", "os.system", "torch.hub.load"])
def test_jsonargparse_imports_nothing_that_is_not_allowed(path: str, marker: Path) -> None:
    """A string for an argument that is a callable is an import path."""
    from jsonargparse import ArgumentParser

    from lightning_gans.workflows.run_config import guarded

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--call", type=Callable[[int], int])
    with pytest.raises(Untrusted, match="trust="), guarded((), "config.yaml"):
        parser.parse_args([f"--call={path}"])
    assert not marker.exists()
    with guarded({"untrusted_module.make"}, "config.yaml"):
        parser.parse_args(["--call=untrusted_module.make"])
    assert marker.exists()


@pytest.mark.parametrize(
    "name", ["metrics.csv", "metrics.part", "config.yaml", "checkpoints/last-step=3.part", "images"]
)
def test_nothing_is_written_through_a_link(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes((run / "config.yaml").read_bytes())
    before = victim.read_bytes()
    link = run / name
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(victim)
    words = [f"ckpt_path={run}/checkpoints/last-step=2.ckpt", "trainer.max_steps=3"]
    assert "is a link that leads out" in error_line(words, capsys)
    assert victim.read_bytes() == before


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``runs`` in it, of one tiny run."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["model=gan", "data=gaussians", "data.train=64", "data.validation=32"]
    words += ["model.generator.width=4", "model.discriminator.width=4", "trainer.max_steps=2"]
    before = Path.cwd()
    os.chdir(folder)
    try:
        main([*words, *QUIET, "trainer.val_check_interval=2", "trainer.num_sanity_val_steps=0"])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """The run, in the test's own folder."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    (found,) = (tmp_path / "runs" / "gan" / "gaussians").iterdir()
    return found


def change_config(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    change(config)
    (run / "config.yaml").write_text(yaml.safe_dump(config))


def error_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of error with which a command ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["ood", *argv] if argv[0] == "score" else argv)
    assert end.value.code in (1, 2)
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    return line


WANDB = "lightning.pytorch.loggers.WandbLogger"
OWN_WANDB = "lightning_gans.runs.wandb_logger.WandbLogger"
TENSORBOARD = "lightning.pytorch.loggers.TensorBoardLogger"
CONFIGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "model": lambda c: c["model"].update(class_path="untrusted_module.Model"),
    "network": lambda c: c["model"]["init_args"].update(generator=spec("untrusted_module.Net")),
    "text": lambda c: c["model"]["init_args"].update(generator="untrusted_module.make"),
    "system": lambda c: c["model"]["init_args"].update(loss="os.system"),
    "base": lambda c: c["model"]["init_args"].update(
        prior=spec("lightning_gans.priors.FixedScale", base="untrusted_module.make")
    ),
    "kind": lambda c: c["model"]["init_args"].update(generator=spec(ENCODER, checkpoint="x")),
    "data": lambda c: c["data"].update(class_path="untrusted_module.Data"),
    "callback": lambda c: c["trainer"].update(callbacks=[spec("untrusted_module.make")]),
    "callback text": lambda c: c["trainer"].update(callbacks=["untrusted_module.make"]),
    "one callback": lambda c: c["trainer"].update(callbacks="untrusted_module.make"),
    "logger": lambda c: c["trainer"].update(logger=[spec("untrusted_module.make")]),
    "foreign logger": lambda c: c["trainer"].update(
        logger=spec("lightning.pytorch.loggers.MLFlowLogger")
    ),
    "plugin": lambda c: c["trainer"].update(plugins=[spec("untrusted_module.make")]),
    "profiler": lambda c: c["trainer"].update(profiler="untrusted_module.make"),
    "strategy": lambda c: c["trainer"].update(strategy=spec("untrusted_module.make")),
    "features": lambda c: c["evaluation"].update(features="untrusted_module.make"),
    "measurements": lambda c: c["evaluation"].update(measurements=["untrusted_module.make"]),
    "a measurement": lambda c: c["evaluation"].update(measurements=[spec("untrusted_module.make")]),
    "wandb settings": lambda c: c["trainer"].update(
        logger=[{"class_path": WANDB, "dict_kwargs": {"settings": {"_executable": "x"}}}]
    ),
    "wandb id": lambda c: c["trainer"].update(logger=[spec(WANDB, id="../../../x")]),
    "wandb upload": lambda c: c["trainer"].update(logger=[spec(WANDB, log_model="all")]),
    "upload by this package": lambda c: c["trainer"].update(
        logger=[spec(OWN_WANDB, log_model="all")]
    ),
    "tensorboard path": lambda c: c["trainer"].update(
        logger=[spec(TENSORBOARD, save_dir="x", name="../../x")]
    ),
    "another config": lambda c: c.update(config="other.yaml"),
    "a file as the model": lambda c: c.update(model="other.yaml"),
    "a file as a network": lambda c: c["model"]["init_args"].update(generator="evil.yaml"),
    "an instantiator": lambda c: c["model"].update(_instantiator="untrusted_module.make"),
    "more loggers": lambda c: c["trainer"].update(
        {"logger+": [spec(TENSORBOARD, save_dir="x", name="../../x")]}
    ),
    "more callbacks": lambda c: c["trainer"].update(
        {"callbacks+": [spec("lightning_gans.callbacks.Evaluation", cache="x")]}
    ),
    "more measurements": lambda c: c["evaluation"].update(
        {"measurements+": [spec("untrusted_module.make")]}
    ),
    "a dotted logger": lambda c: c["trainer"].update(
        {"logger": None, "logger.class_path": TENSORBOARD, "logger.init_args.name": "../../x"}
    ),
    "a dotted argument": lambda c: c["trainer"].update(
        logger=[{"class_path": TENSORBOARD, "init_args.name": "../../x"}]
    ),
    "a dotted folder": lambda c: c["trainer"].update({"default_root_dir.x": "x"}),
    "a dotted network": lambda c: c["model"].update(
        {"init_args.generator.class_path": "untrusted_module.Net"}
    ),
    "dotted features": lambda c: c["evaluation"].update(
        {"features.class_path": "lightning_gans.metrics.InceptionFeatures"}
    ),
    "a stock profiler": lambda c: c["trainer"].update(
        profiler=spec("lightning.pytorch.profilers.SimpleProfiler", dirpath="x", filename="x")
    ),
    "a profiler by its short name": lambda c: c["trainer"].update(profiler="SimpleProfiler"),
    "a stock callback": lambda c: c["trainer"].update(
        callbacks=[spec("lightning.pytorch.callbacks.ModelCheckpoint", dirpath="x")]
    ),
    "a callback of functions": lambda c: c["trainer"].update(
        callbacks=[
            spec("lightning.pytorch.callbacks.LambdaCallback", setup="untrusted_module.make")
        ]
    ),
    "a logger's folder": lambda c: c["trainer"].update(
        logger=[{"class_path": TENSORBOARD, "dict_kwargs": {"log_dir": "x"}}]
    ),
    "a negative seed": lambda c: c.update(seed_everything=-5),
    "a seed that is too large": lambda c: c.update(seed_everything=10**17),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_runs_config_imports_nothing(
    name: str, marker: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(run, CONFIGS[name])
    evil = {"class_path": "untrusted_module.Net"}
    Path("evil.yaml").write_text(yaml.safe_dump(evil))
    Path("other.yaml").write_text(
        yaml.safe_dump({"model": {"class_path": "untrusted_module.Model"}})
    )
    line = error_line(
        [f"ckpt_path={run}/checkpoints/last-step=2.ckpt", "trainer.max_steps=3"], capsys
    )
    assert "config.yaml" in line
    assert not marker.exists()
    assert "untrusted_module" not in sys.modules


@pytest.mark.parametrize("optimizer", ["untrusted_module.make", spec("untrusted_module.make")])
def test_an_option_does_not_trust_the_class_that_a_config_names(
    optimizer: object, marker: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a class of its own, an option of the discriminator's optimizer takes the other's."""
    change_config(run, lambda c: c["model"]["init_args"].update(optimizer=optimizer))
    words = [f"ckpt_path={run}/checkpoints/last-step=2.ckpt", "discriminator_optimizer.lr=0.1"]
    assert "trust=untrusted_module" in error_line(words, capsys)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text", ["class_path: untrusted_module.Model\n", "class_path: untrusted_module.make\n"]
)
@pytest.mark.parametrize("option", ["model.checkpoint", "model.generator"])
def test_the_value_of_an_option_is_not_opened_as_a_config(
    option: str, text: str, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file.ckpt").write_text(text)
    model = "encoder" if option == "model.checkpoint" else "gan"
    assert "file" in error_line([f"model={model}", "data=gaussians", f"{option}=file.ckpt"], capsys)
    assert not marker.exists()
    assert "untrusted_module" not in sys.modules


def test_paths_and_downloads_of_nested_classes_are_left_out(run: Path) -> None:
    from lightning_gans.workflows.run_config import vetted_config

    features = spec("lightning_gans.metrics.InceptionFeatures", weights="x")
    evaluation = spec("lightning_gans.callbacks.Evaluation", cache="x", features=features)
    change_config(run, lambda c: c["trainer"].update(callbacks=[evaluation]))
    (kept,) = vetted_config(run / "config.yaml")["trainer"]["callbacks"]
    assert "cache" not in kept["init_args"]
    assert kept["init_args"]["features"]["init_args"] == {}


@pytest.mark.parametrize("words", [["test"], ["validate"], ["predict"], ["score"]])
def test_every_command_checks_a_runs_config(
    words: list[str], marker: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(run, CONFIGS["data"])
    file = f"{run}/checkpoints/last-step=2.ckpt"
    Path("pictures").mkdir()
    Image.new("L", (8, 8)).save("pictures/one.png")
    typed = [f"ckpt={file}", "images=pictures"] if words == ["score"] else [f"ckpt_path={file}"]
    assert "trust=untrusted_module" in error_line([*words, *typed], capsys)
    assert not marker.exists()


def test_the_config_of_the_last_run_is_checked(
    marker: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_config(run, CONFIGS["network"])
    line = error_line(["model=gan", "data=gaussians", "ckpt_path=last"], capsys)
    assert "add trust=untrusted_module" in line
    assert not marker.exists()


def test_the_command_line_trusts_a_module(
    marker: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = spec("trusted_module.Net", width=4)
    change_config(run, lambda c: c["model"]["init_args"].update(generator=mine))
    file = f"ckpt_path={run}/checkpoints/last-step=2.ckpt"
    assert "trust=trusted_module" in error_line(["test", file], capsys)
    main(["test", file, "trust=trusted_module"])
    assert "trusted_module" in sys.modules
    main(["test", file, "--trust", "other,trusted_module"])
    # a typed class is trusted
    main(["test", file, "model.generator=trusted_module.Net", "model.generator.width=4"])


def test_weights_only_cannot_be_switched_off(
    marker: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run / "checkpoints" / "last-step=2.ckpt"
    saved = torch.load(file, weights_only=True)
    torch.save({**saved, "extra": Touch(marker)}, file)
    change_config(run, lambda c: c.update(weights_only=False))
    for words in (["fit"], ["test"], ["test", "weights_only=false"]):
        error_line([*words, f"ckpt_path={file}"], capsys)
        assert not marker.exists()


def averages_of(saved: dict[str, Any]) -> list[dict[str, Any]]:
    return list(saved["optimizer_states"][0]["state"].values())


def group_of(saved: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = saved["optimizer_states"][0]["param_groups"][0]
    return found


RESUMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no loops": lambda s: s.update(loops={}),
    "a loop that is a number": lambda s: s.update(loops={"fit_loop": 3}),
    "a count that is text": lambda s: s["loops"]["fit_loop"].update(epoch_progress={"x": "y"}),
    "no total": lambda s: s["loops"]["fit_loop"].update(epoch_progress={"x": 1}),
    "endless loops": lambda s: s["loops"].update(x={"x": laughs(30)}),
    "averages of another shape": lambda s: [
        v.update(exp_avg=torch.ones(3, 3, 3)) for v in averages_of(s)
    ],
    "averages of integers": lambda s: [v.update(exp_avg=v["step"].long()) for v in averages_of(s)],
    "averages that are NaN": lambda s: [
        v.update(exp_avg=v["exp_avg"] * torch.nan) for v in averages_of(s)
    ],
    "an average that is missing": lambda s: averages_of(s)[0].pop("exp_avg"),
    "endless averages": lambda s: averages_of(s)[0].update(exp_avg=laughs(30)),
    "a group that is text": lambda s: s["optimizer_states"][0].update(param_groups=["x"]),
    "a group without parameters": lambda s: group_of(s).pop("params"),
    "a rate that is text": lambda s: group_of(s).update(lr="x"),
    "one optimizer less": lambda s: s["optimizer_states"].pop(),
    "no optimizer": lambda s: s.pop("optimizer_states"),
    "a short random state": lambda s: s["random"][0].update(own=s["random"][0]["own"][:5]),
    "no random state": lambda s: s["random"][0].pop("own"),
    "a version that is none": lambda s: s.update({"pytorch-lightning_version": "x"}),
    "a missing average of a weight": lambda s: s["callbacks"]["EMA"]["average"].pop(first(s)),
    "a name of two lines": lambda s: s["state_dict"].update({"a\nb": torch.ones(1)}),
    "an endless name": lambda s: s["state_dict"].update({"a" * 10_000: torch.ones(1)}),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_malformed_state_of_training_is_one_line(
    name: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run / "checkpoints" / "last-step=2.ckpt"
    saved = torch.load(file, weights_only=True)
    RESUMED[name](saved)
    stamp(saved)
    torch.save(saved, file)
    line = error_line([f"ckpt_path={file}", "trainer.max_steps=3"], capsys)
    assert "checkpoint" in line
    assert len(line) < 600


@pytest.mark.parametrize(
    "content", [b"\x00\xff\xfe", b"step,a\n0," + b"9" * 200_000, b"step,a\n0,x\n"]
)
def test_a_record_that_is_no_csv_is_kept_and_in_no_runs_way(content: bytes, run: Path) -> None:
    (run / "metrics.csv").write_bytes(content)
    with pytest.warns(UserWarning, match=r"metrics\.csv: damaged; 0 rows of it are used"):
        main([f"ckpt_path={run}/checkpoints/last-step=2.ckpt", "trainer.max_steps=3"])
    assert (run / "metrics.damaged.csv").read_bytes() == content
    assert (run / "checkpoints" / "last-step=3.ckpt").is_file()
    assert [row["step"] for row in read_rows(run / "metrics.csv")[1]] == ["3"]


@pytest.mark.parametrize("name", ["last-step=x.ckpt", "last-step=.ckpt", "last-step=9.ckpt"])
def test_other_names_and_pipes_are_no_checkpoints(name: str, run: Path) -> None:
    os.mkfifo(run / "checkpoints" / name)
    assert newest(run) == run / "checkpoints" / "last-step=2.ckpt"


def test_a_link_to_itself_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "loop").symlink_to("loop")
    words = [f"ckpt_path={run}/checkpoints/last-step=2.ckpt", "trainer.max_steps=3"]
    assert "neither a file nor a folder" in error_line(words, capsys)


def test_a_pipe_in_a_run_does_not_block(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "metrics.csv").unlink()
    os.mkfifo(run / "metrics.csv")
    words = [f"ckpt_path={run}/checkpoints/last-step=2.ckpt", "trainer.max_steps=3"]
    assert "neither a file nor a folder" in error_line(words, capsys)


def test_no_other_file_is_deleted_when_a_run_resumes(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file = run / "checkpoints" / "last-step=2.ckpt"
    saved = torch.load(file, weights_only=True)
    for name in (str(victim), "../../../../../victim", "last-step=1.ckpt/../../x"):
        for kind in ("last", "other"):
            key = next(key for key in saved["callbacks"] if key.startswith("Checkpoint"))
            saved["callbacks"][key]["written"] = {kind: [name] * 3}
            torch.save(saved, file)
            assert "last-step=2.ckpt" in error_line(
                [f"ckpt_path={file}", "trainer.max_steps=3"], capsys
            )
    callback = Checkpoint()
    callback.load_state_dict({"best": None, "written": {"last": [str(victim), "last-step=2.ckpt"]}})
    assert callback.written == {"last": ["last-step=2.ckpt"]}
    assert victim.read_text() == "precious"


def test_a_config_cannot_set_where_a_run_writes(run: Path, tmp_path: Path) -> None:
    from lightning_gans.workflows.run_config import vetted_config

    def change(config: dict[str, Any]) -> None:
        config["evaluation"]["cache"] = str(tmp_path / "victim")
        config["evaluation"]["measurements"] = [
            spec(
                "lightning_gans.callbacks.measurements.SampleQuality",
                cache=str(tmp_path / "victim"),
            )
        ]
        config["trainer"]["default_root_dir"] = str(tmp_path / "victim")
        config["ckpt_path"] = "other.ckpt"
        config["data"] = spec("lightning_gans.data.MNIST", root="x", download=True)

    change_config(run, change)
    config = vetted_config(run / "config.yaml")
    assert not {"cache", "measurements"} & config["evaluation"].keys()
    assert "default_root_dir" not in config["trainer"]
    assert "ckpt_path" not in config
    assert config["data"]["init_args"] == {"root": "x"}


def test_the_loggers_of_this_project_need_no_trust(run: Path) -> None:
    from lightning_gans.workflows.run_config import vetted_config

    loggers = [
        spec("lightning_gans.runs.metrics_csv.MetricsCSV", save_dir="runs"),
        spec(TENSORBOARD, save_dir="runs", name="tensorboard", version=""),
        spec(WANDB, project="lightning_gans", id="a1b2"),
        spec(OWN_WANDB, project="lightning_gans", id="a1b2"),
    ]

    def change(config: dict[str, Any]) -> None:
        config["trainer"]["logger"] = loggers
        config["model"]["init_args"]["optimizer"] = spec("torch.optim.Adam", lr=0.1)

    change_config(run, change)
    assert vetted_config(run / "config.yaml")["trainer"]["logger"] == loggers


YAML: dict[str, bytes] = {
    "binary": bytes(range(256)),
    "not UTF-8": "model: é".encode("latin-1"),
    "too large": b"a: 1\n" + b"#" * 2_000_000,
    "aliases": b"a: &a [1]\n" + b"".join(b"b%d: [*a, *a]\n" % i for i in range(9)),
    "nested": b"a: " + b"[" * 2000,
    "closed": b"a: " + b"[" * 20_000 + b"]" * 20_000,
    "duplicate": b"a: 1\na: 2\n",
    "numbers as keys": b"1: 2\n",
    "lists as keys": b"? [1, 2]\n: 3\n",
    "an object": b"a: !!python/object/apply:os.system ['touch marker']\n",
    "a list": b"- 1\n",
    "a date": b"a: !!timestamp 2000-13-45\n",
    "half": b"a: {b: ",
}


@pytest.mark.parametrize("name", YAML)
def test_an_invalid_config_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(YAML[name])
    with pytest.raises(UnreadableConfig) as caught:
        read_mapping(path)
    one_line(caught.value, path)


@pytest.mark.parametrize("name", ["binary", "nested", "aliases", "an object", "a list"])
def test_a_command_reports_an_invalid_run_config(
    name: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").write_bytes(YAML[name])
    assert "config.yaml" in error_line([f"ckpt_path={run}/checkpoints/last-step=2.ckpt"], capsys)


def test_an_image_that_would_start_a_program_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(OSError, match="cannot identify image file"):
        open_image(path)
