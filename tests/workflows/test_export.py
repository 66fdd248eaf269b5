"""``export`` from the command line to a folder that others use."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.errors import UserError
from lightning_gans.exports import programs
from lightning_gans.exports.examples import Preparation
from lightning_gans.exports.hub import push_to_hub
from lightning_gans.metrics import to_uint8
from lightning_gans.models import (
    DLSGAN,
    Model,
    Reconstructs,
)
from lightning_gans.ood import Scorer
from lightning_gans.ood.calibration import Calibration, Origin, checksum
from lightning_gans.runs.folder import calibration_file
from lightning_gans.trust import Untrusted
from lightning_gans.workflows import export as exporting
from lightning_gans.workflows.ood_score import ood_score
from tests.support.command_line import only, small
from tests.support.pictures import draw


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three iterations, and what was exported of it, in one folder."""
    folder = tmp_path_factory.mktemp("secret")
    draw(folder / "pictures", 60, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(small(folder / "pictures"))
        run = only(folder / "runs" / "dlsgan" / "folder")
        shutil.copytree(run, folder / "run")
        main(["export", "ckpt=run", "out=handed", "formats=safetensors,torch"])
    return folder


def images(n: int, model: Model) -> Tensor:
    """Random images."""
    generator = torch.Generator().manual_seed(n)
    return torch.rand(n, *model.image_shape, generator=generator) * 2 - 1


def test_a_colleague_loads_the_exported_folder_and_gets_the_same_images_and_codes(
    place: Path,
) -> None:
    own, handed = (
        lightning_gans.load(place / "run"),
        lightning_gans.from_pretrained(place / "handed"),
    )
    assert isinstance(own, DLSGAN)
    assert isinstance(handed, DLSGAN)
    z, x = own.prior.sample(5), images(5, own)
    assert torch.equal(own.decode(z), handed.decode(z))
    assert torch.equal(own.encode(x), handed.encode(x))
    assert handed.has_averages == own.has_averages
    assert torch.equal(handed.state_dict()["prior.v"], own.state_dict()["prior.v"])


def test_a_colleague_with_torch_alone_gets_the_same_images_and_codes(place: Path) -> None:
    model = lightning_gans.load(place / "run")
    assert isinstance(model, Reconstructs)
    z, x = model.prior.sample(5), images(5, model)
    generator = torch.export.load(place / "handed" / "generator.pt2").module()
    encoder = torch.export.load(place / "handed" / "encoder.pt2").module()
    assert torch.allclose(generator(z)[0], model.decode(z), atol=1e-5)
    assert torch.allclose(encoder(x)[0], model.encode(x), atol=1e-5)
    assert torch.allclose(generator(encoder(x)[0])[0], model.reconstruct(x), atol=1e-5)
    own = sum(p.numel() for p in model.parameters())
    assert (
        sum(
            p.numel()
            for p in torch.export.load(place / "handed" / "encoder.pt2").state_dict.values()
        )
        < own
    )


def test_the_printed_program_calls_the_same_images_ood(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    odd = draw(tmp_path / "odd", 24, 21, seed=7)
    blank = np.zeros((16, 16), np.uint8)
    for level in (0, 128, 255):
        Image.fromarray(blank + np.uint8(level)).save(odd / f"level{level:03}.png")
    main_file = place / "handed" / "example_torch.py"
    assert main_file.read_text() in (place / "handed" / "README.md").read_text()
    program = runpy.run_path(str(main_file))
    ood = json.loads((place / "handed" / "ood.json").read_text())
    for name in ood["held_out"]:
        # calibration and preparation come from the exported folder alone
        found = ood_score(
            "handed", str(odd), score=name, most_anomalous=0, out=str(tmp_path / name)
        )
        assert found.results is not None
        program["OOD"]["score"] = name
        program["ood_score"].__defaults__ = (name,)
        x = np.concatenate([program["prepare"](odd / file) for file in found.names])
        scores = program["ood_score"](x)
        assert np.allclose(scores, found.results.scores[name].numpy(), rtol=1e-4)
        p, is_ood = program["ood"](x)
        assert np.allclose(p, found.results.verdicts.pvalues.numpy())
        assert (is_ood == found.results.verdicts.is_ood.numpy()).all()
        assert ood["thresholds"][name] in ood["held_out"][name]


def test_the_program_run_in_its_folder_overwrites_nothing_and_names_its_pictures(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(place / "handed", tmp_path / "handed")
    odd = draw(tmp_path / "odd", 1, 21, seed=7)
    (file,) = odd.iterdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["example_torch.py", str(file)])
    # a link to nothing is a name that is taken as well
    Path("drawn_2.png").symlink_to(tmp_path / "elsewhere")
    handed: set[Path] = set()
    for end in ("", "_3"):
        before = {path: path.read_bytes() for path in folder.iterdir() if path.exists()}
        program = runpy.run_path("example_torch.py", run_name="__main__")
        assert {path: path.read_bytes() for path in before} == before
        made = {path for path in folder.iterdir() if path.exists()} - before.keys()
        pair = f"{file.stem}_pair{end and '_2'}.png"
        assert {path.name for path in made} == {f"drawn{end}.png", pair}
        printed = capsys.readouterr().out
        assert all(f"wrote {path}: " in printed for path in made)
        drawn = np.asarray(Image.open(folder / f"drawn{end}.png"))
        assert drawn.shape == (16, 8 * 16, 3)[: drawn.ndim]
        first = to_uint8(torch.from_numpy(program["generate"](8)))[0]
        assert np.array_equal(drawn.reshape(16, 8 * 16, -1)[:, :16].transpose(2, 0, 1), first)
        handed |= made
    assert len(handed) == 4
    assert not (tmp_path / "elsewhere").exists()


def test_the_card_tells_data_measurements_and_files_and_no_path_of_this_machine(
    place: Path,
) -> None:
    card = (place / "handed" / "README.md").read_text()
    for words in ("DLSGAN", "| `psnr/real` |", "↑", "Licence", "24 images were held out"):
        assert words in card
    assert {p.name for p in (place / "handed").iterdir()} >= {"samples.png", "reconstructions.png"}
    for file in (place / "handed").iterdir():
        assert str(place).encode() not in file.read_bytes(), file.name
        assert f"`{file.name}`" in card or file.name == "README.md"


def test_an_export_lies_beside_the_runs_of_the_same_data(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    run = only(tmp_path / "runs" / "dlsgan" / "folder")
    main(["export", f"ckpt={run}", "formats=safetensors"])
    main(["export", f"ckpt={place / 'run'}", "formats=safetensors"])
    made = [path.parent.name for path in sorted((tmp_path / "runs").rglob("*_export"))]
    assert made == ["exported", "folder"]


def test_what_a_person_chooses_is_in_the_folder(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    out = tmp_path / "out"
    words = ["false_alarms=0.25", "held_out=12", "licence=cc-by-4.0"]
    main(["export", "ckpt=run", f"out={out}", "formats= torch,safetensors, torch", *words])
    ood = json.loads((out / "ood.json").read_text())
    assert ood["false_alarms"] == 0.25
    for name, scores in ood["held_out"].items():
        assert len(scores) == 12
        # so many of 13 are above it that at most a quarter of such images is
        assert sum(score >= ood["thresholds"][name] for score in scores) in (3, 4)
    card = (out / "README.md").read_text()
    assert card.startswith('---\nlicense: "cc-by-4.0"\n')
    assert "Licence of the weights: cc-by-4.0." in card
    assert "- iterations: 3\n" in card
    assert "25 % of images like those of the training" in card
    config = json.loads((out / "config.json").read_text())
    assert config["iterations"] == 3
    assert config["formats"] == ["torch", "safetensors"]
    for name, apart in config["differences"].items():
        assert f"| `{name}` | " in card
        assert f"differs from the model by at most {apart:.1g} |" in card


def test_pictures_of_an_export_are_the_same_each_time_and_as_the_model_makes_them(
    place: Path, tmp_path: Path
) -> None:
    model = lightning_gans.load(place / "run")
    assert isinstance(model, DLSGAN)
    data, _ = exporting.held_out_data(str(place / "run"), None, None)
    assert data is not None
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        exporting.draw(model, data, tmp_path / name)
    for name in ("samples.png", "reconstructions.png"):
        first, second = ((tmp_path / place_ / name).read_bytes() for place_ in ("one", "two"))
        assert first == second
    pixels = np.asarray(Image.open(tmp_path / "one" / "reconstructions.png")).astype(int)
    # of 8 columns and 2 rows of 16 pixels between edges of 2, enlarged by a whole number
    factor = pixels.shape[1] // (8 * 18 + 2)
    assert pixels.shape == (factor * (2 * 18 + 2), factor * (8 * 18 + 2), 3)
    x = torch.stack([data.validation_set[i][0] for i in range(8)])
    shown = pixels[::factor, ::factor]
    for row, images_ in enumerate((x, model.reconstruct(x))):
        for column, image in enumerate(images_):
            top, left = 2 + 18 * row, 2 + 18 * column
            tile = shown[top : top + 16, left : left + 16].transpose(2, 0, 1)
            expected = to_uint8(image[None])[0].expand(3, -1, -1).numpy().astype(int)
            assert np.abs(tile - expected).max() <= 1, (row, column)


def test_if_onnx_cannot_be_written_nothing_of_it_is_left(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half_written(part: object, program: object, path: Path) -> float:
        path.write_bytes(b"half")
        raise UserError("an operation that ONNX has not")

    monkeypatch.chdir(place)
    monkeypatch.setattr(exporting, "choose_formats", lambda _: (exporting.FORMATS, ""))
    monkeypatch.setattr(exporting, "write_onnx", half_written)
    out = tmp_path / "out"
    main(["export", "ckpt=run", f"out={out}"])
    assert "without ONNX: an operation that ONNX has not" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names >= {"generator.pt2", "encoder.pt2", "example_torch.py", "model.safetensors"}
    assert not [name for name in names if "onnx" in name]
    assert "onnx" not in (out / "README.md").read_text().lower()


def test_names_of_classes_are_handed_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    with monkeypatch.context() as patch:
        patch.setattr(DLSGAN, "class_names", (("star", "disc"), ("red", "blue")))
        main(["export", "ckpt=run", f"out={tmp_path / 'out'}", "formats=safetensors"])
    handed = lightning_gans.from_pretrained(tmp_path / "out")
    assert handed.class_names == (("star", "disc"), ("red", "blue"))
    assert "star, disc" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_has_the_measurements_of_the_last_evaluation_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series = {"fid/x": ([10.0, 20.0], [5.0, 4.0]), "kid/x": ([10.0], [3.0])}
    log = SimpleNamespace(series=series, measured=list(series))
    monkeypatch.setattr(exporting, "run_config_of", lambda ckpt: Path("config.yaml"))
    monkeypatch.setattr(exporting, "read_log", lambda path: log)
    assert exporting.last_metrics("run") == {"fid/x": 4.0}


def test_a_folder_counts_as_exported_once_all_of_its_files_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, folder = tmp_path / "made", tmp_path / "folder"
    for place_ in (made, folder):
        place_.mkdir()
    for name in ("README.md", "config.json", "model.safetensors", "a.pt2"):
        (made / name).write_text("x")
    moved: list[str] = []
    monkeypatch.setattr(shutil, "move", lambda path, to: moved.append(path.name))
    exporting.publish(made, folder)
    assert (len(moved), moved[-1]) == (4, "config.json")


def test_a_calibration_carries_how_images_are_prepared_and_no_folders(tmp_path: Path) -> None:
    data = {"class_path": "lightning_gans.data.Folder", "init_args": {"root": "/secret"}}
    origin = Origin("abc", json.dumps(data), 7)
    calibration = Calibration({"nll": torch.arange(3.0)}, origin, {0.05: 1.5})
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    exporting.carry(calibration, Preparation((1, 2, 3, 4), 2), weights)
    found = Calibration.load(calibration_file(weights))
    assert json.loads(found.origin.data) == {
        "class_path": "lightning_gans.data.Folder",
        "init_args": {"crop": [1, 2, 3, 4]},
        "padding": 2,
    }
    assert (found.origin.checkpoint, found.origin.most) == (checksum(weights), 7)
    assert found.scores["nll"].tolist() == [0, 1, 2]
    assert exporting.preparation_of(None, found) == Preparation([1, 2, 3, 4], 2)  # type: ignore[arg-type]  # JSON has lists


@pytest.mark.parametrize("looks_across", [False, True])
def test_held_out_images_are_scored_one_by_one_where_a_network_looks_across_the_batch(
    looks_across: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "is_batch_independent", lambda self: not looks_across)
    monkeypatch.setattr(exporting, "calibrated", lambda *given: given[4].args)
    data: Any = SimpleNamespace(describe=lambda: "{}")
    found: Any
    found, _ = exporting.calibration_of(DLSGAN((2,), 3), Path("c"), data, True, None, 250, "")
    assert found[3] == (1 if looks_across else 250)


def test_an_export_beside_an_earlier_one_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as stopped:
        main(["export", "ckpt=run", "out=handed", "formats=safetensors"])
    assert stopped.value.code == 2
    assert "already has an exported model" in capsys.readouterr().err


def test_a_program_that_differs_from_the_network_is_not_kept(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(programs, "MOST", -1.0)
    with pytest.raises(SystemExit) as stopped:
        main(["export", "ckpt=run", "out=wrong", "formats=torch"])
    assert stopped.value.code == 1
    assert "generator.pt2 differs from the network" in capsys.readouterr().err
    assert not Path("wrong").exists()


def test_onnx_without_its_packages_is_one_line_with_what_to_install(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        main(["export", "ckpt=run", "out=more", "formats=onnx"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "pip install 'lightning_gans[export]'" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("damage", ["weights", "config", "class"])
def test_a_damaged_or_hostile_export_is_refused_in_one_line(
    place: Path, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(place / "handed", folder)
    if damage == "weights":
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-5] ^= 1
        (folder / "model.safetensors").write_bytes(content)
    else:
        config = json.loads((folder / "config.json").read_text())
        if damage == "class":
            config["model"]["generator"] = "antigravity.fly"
        text = json.dumps(config)
        (folder / "config.json").write_text(text if damage == "class" else text[:50])
    with pytest.raises(Untrusted if damage == "class" else UserError) as error:
        lightning_gans.from_pretrained(folder)
    assert "\n" not in str(error.value)
    assert "antigravity" not in sys.modules


class LocalHub(SimpleNamespace):
    """What this package calls of huggingface_hub, on a folder instead of the network."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.private = private
        (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    def snapshot_download(
        self, repo_id: str, *, revision: str | None, allow_patterns: list[str]
    ) -> str:
        self.revision = revision
        if not (self.root / repo_id).is_dir():
            raise OSError(f"404 Client Error.\nno repository {repo_id}")
        copy = self.root / "downloads"
        copy.mkdir()
        for pattern in allow_patterns:
            for file in (self.root / repo_id).glob(pattern):
                shutil.copy(file, copy)
        return str(copy)


def test_a_model_goes_to_the_hub_and_comes_back(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    hub: Any = LocalHub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    words = ["formats=safetensors", "hub=me/digits", "private=true"]
    main(["export", "ckpt=run", f"out={tmp_path / 'out'}", *words])
    assert "https://hub/me/digits/commit/1" in capsys.readouterr().out
    assert hub.private
    back = lightning_gans.from_pretrained("me/digits", revision="v2")
    assert hub.revision == "v2"
    assert (tmp_path / "downloads" / "model.ood.safetensors").is_file(), "what ood score needs"
    own = lightning_gans.load("run")
    assert isinstance(back, DLSGAN)
    assert isinstance(own, DLSGAN)
    z = own.prior.sample(3)
    assert torch.equal(back.decode(z), own.decode(z))
    with pytest.raises(UserError, match="could not be read from the hub: 404") as error:
        lightning_gans.from_pretrained("me/other")
    assert "\n" not in str(error.value)


def test_what_is_no_export_is_neither_read_from_the_hub_nor_written_to_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub: Any = LocalHub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    (tmp_path / "hub" / "me" / "texts").mkdir(parents=True)
    (tmp_path / "hub" / "me" / "texts" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"me/texts holds no model of lightning_gans"):
        lightning_gans.from_pretrained("me/texts")
    with pytest.raises(UserError, match=r"is not an exported folder"):
        push_to_hub(place / "run", "me/run")
    assert not (tmp_path / "hub" / "me" / "run").exists()
    for name in ("me/a..b", "me/../you", "/me", "me/", "a/b/c", "me/a b", "-me/a"):
        with pytest.raises(UserError, match=r"USER/NAME"):
            push_to_hub(place / "handed", name)


def test_a_local_folder_is_loaded_on_the_device_and_with_the_modules_that_are_trusted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "lightning_gans.exports.hub.load", lambda *words, **named: given.append((*words, named))
    )
    lightning_gans.from_pretrained(place / "handed", "cuda", trust="my.module")
    assert given == [(place / "handed", "cuda", {"trust": "my.module"})]


def test_the_hub_without_its_package_is_one_line_before_any_work(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SystemExit):
        main(["export", "ckpt=run", "out=hubless", "hub=me/digits"])
    assert "pip install 'lightning_gans[hub]'" in capsys.readouterr().err
    assert not Path("hubless").exists()
    with pytest.raises(UserError, match="does not exist; give an exported folder, or USER/NAME"):
        lightning_gans.from_pretrained("no/such/folder")


@pytest.mark.slow
@pytest.mark.skipif(bool(programs.onnx_missing()), reason="needs the extra [export]")
def test_onnx_runtime_alone_gives_the_same_images_codes_and_verdicts(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    main(["export", "ckpt=run", f"out={tmp_path / 'out'}", "formats=onnx,safetensors"])
    odd = draw(tmp_path / "odd", 12, 21, seed=7)
    script = """
import runpy, sys, json, numpy as np
from pathlib import Path
program = runpy.run_path(sys.argv[1] + "/example_onnx.py")
x = np.concatenate([program["prepare"](f) for f in sorted(Path(sys.argv[2]).glob("*.png"))])
p, is_ood = program["ood"](x)
assert not {"torch", "lightning_gans"} & set(sys.modules)
np.savez(sys.argv[3], x=x, code=program["encoder"](x)[0], y=program["reconstruct"](x), p=p)
"""
    results = tmp_path / "results.npz"
    words = [sys.executable, "-c", script, str(tmp_path / "out"), str(odd), str(results)]
    subprocess.run(words, check=True, cwd=tmp_path)
    found = np.load(results)
    model = lightning_gans.load("run")
    assert isinstance(model, Reconstructs)
    x = torch.from_numpy(found["x"])
    assert np.abs(found["code"] - model.encode(x).numpy()).max() < 1e-5
    assert np.abs(found["y"] - model.reconstruct(x).numpy()).max() < 1e-5
    expected = ood_score(str(tmp_path / "out"), str(odd), most_anomalous=0, out=str(tmp_path / "s"))
    assert expected.results is not None
    assert np.allclose(found["p"], expected.results.verdicts.pvalues.numpy())
    assert find_spec("onnxruntime") is not None
