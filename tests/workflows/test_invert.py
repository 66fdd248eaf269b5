"""``invert.py`` from the first word to its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

import lightning_gans
from lightning_gans.cli import CONFIGS, main
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.workflow import Request, parse_request, parser_arguments, workflows
from lightning_gans.data import Folder
from lightning_gans.data.tensors import TensorImages
from lightning_gans.errors import UsageError
from lightning_gans.inversion import LogisticCutoff, Recovery, Scaled, Wasserstein, recover
from lightning_gans.inversion.inverter import ImageParts, Inverter, PartsMissing, gather, part_name
from lightning_gans.metrics import to_uint8
from lightning_gans.models import ACGAN, CGPGAN
from lightning_gans.runs.parts import Parts
from lightning_gans.workflows.conditions import conditions
from lightning_gans.workflows.invert import invert as invert_images
from tests.support.processes import free_port

ROOT = CONFIGS.parent


def invert(argv: list[str]) -> None:
    """The command line of ``invert.py``."""
    main(argv, "invert")


def parse(argv: list[str]) -> list[str]:
    """What jsonargparse is given of a command line."""
    parameters = workflows()["invert"].parameters
    request: Request = parse_request(argv, parameters, Groups([CONFIGS]))
    return list(parser_arguments(request, parameters))


def draw(folder: Path, count: int, side: int = 16) -> Path:
    """Random grey images, half of them in each of two folders."""
    pixels = torch.randint(0, 256, (count, side, side), generator=torch.Generator().manual_seed(0))
    for index, image in enumerate(pixels.to(torch.uint8).numpy()):
        place = folder / ("even", "odd")[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:02}.png")
    return folder


def train(model: str, folder: Path, *words: str) -> Path:
    """A run of one iteration."""
    main(
        [
            f"model={model}",
            "data=folder",
            f"data.root={folder / 'pictures'}",
            "data.resolution=16",
            "data.channels=1",
            "data.batch_size=8",
            "evaluation.features=null",
            "trainer.accelerator=cpu",
            "trainer.enable_progress_bar=false",
            "trainer.max_steps=1",
            *words,
        ]
    )
    (run,) = (Path("runs") / model / "folder").iterdir()
    return run.resolve()


SMALL = ("model.latent_dim=6", "model.generator.channels=2", "model.discriminator.channels=2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a trained DLSGAN, GAN and Classifier."""
    folder = tmp_path_factory.mktemp("inversion")
    draw(folder / "pictures", 24)
    before = Path.cwd()
    os.chdir(folder)
    try:
        train("dlsgan", folder, *SMALL)
        train("gan", folder, *SMALL, "model.prior=lightning_gans.priors.Uniform")
        train("classifier", folder, "model.discriminator.channels=2")
    finally:
        os.chdir(before)
        os.environ.pop("LIGHTNING_GANS_RUN", None)
    return folder


def run_of(place: Path, model: str) -> Path:
    (run,) = (place / "runs" / model / "folder").iterdir()
    return run


def words(place: Path, model: str = "dlsgan") -> list[str]:
    return [f"ckpt={run_of(place, model)}", "accelerator=cpu", "steps=3", "restarts=2"]


def only(model: str) -> Path:
    (run,) = (Path("runs") / model).glob("*/*")
    return run


def test_an_inversion_leaves_what_recover_gives(place: Path, tmp_path: Path) -> None:
    invert(
        [
            *words(place),
            f"images={place / 'pictures'}",
            "n=5",
            "codes_at_once=4",
            "regularizer=wasserstein",
            "regularizer.weight=0.3",
            "constraint=logistic_cutoff",
            "constraint.midpoint=1.5",
            "constraint.steepness=3",
            "seed=4",
        ]
    )
    run = only("dlsgan")
    assert run.name.endswith("_invert")
    assert run.parent.name == "pictures"
    names = {
        "config.yaml",
        "images.txt",
        "losses.png",
        "measures.json",
        "norms.png",
        "prior.png",
    }
    names |= {"reconstructions.png", "recovery.safetensors", "report.md"}
    assert {path.name for path in run.iterdir()} == names
    found = Recovery.load(run / "recovery.safetensors")

    model = lightning_gans.load(run_of(place, "dlsgan"))
    data = Folder(str(place / "pictures"), 16, channels=1, validation=0)
    data.setup("predict")
    x = torch.stack([data.validation_set[i][0] for i in range(5)])
    expected = recover(
        Scaled(model.generator, model.prior.scale()),
        x,
        model.prior,
        Wasserstein(),
        0.3,
        LogisticCutoff(3.0, 1.5),
        steps=3,
        restarts=2,
        codes_at_once=4,
        seed=4,
    )
    assert torch.equal(found.codes, expected.codes)
    assert torch.equal(found.trace, expected.trace)

    content = json.loads((run / "measures.json").read_text(encoding="utf-8"))
    own = content["encoder"]
    for reported, y in ((content, found.images), (own, model.reconstruct(x))):
        errors = (y.clamp(-1, 1) - x).square().flatten(1).mean(1)
        assert reported["psnr"] == pytest.approx(float((10 * (4 / errors).log10()).mean()))
        assert 0 < abs(reported["ssim"]) < 1
        assert reported["lpips"] is None
        assert reported["seconds_per_image"] > 0
    assert own["mean"] == pytest.approx(float(model.encode(x).mean()))
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "| encoder " in text
    assert "LPIPS is not measured: it needs grey or RGB images of 31 pixels" in text
    order = "the images, what the encoder makes of them, what was recovered"
    assert f"rows of reconstructions.png: {order}" in text
    pixels = np.asarray(Image.open(run / "reconstructions.png")).astype(int)[..., 0]
    # five columns of three images of 16 pixels, enlarged to 64, between edges of 2
    assert pixels.shape == (2 + 3 * 64 + 2, 2 + 5 * (64 + 2))
    for row, shown in enumerate((x, model.reconstruct(x), found.images)):
        for column, expected_tile in enumerate(to_uint8(shown)[:, 0].int().numpy()):
            top, left = 2 + 64 * row, 2 + 66 * column
            tile = pixels[top : top + 64 : 4, left : left + 64 : 4]
            assert np.abs(tile - expected_tile).max() <= 1, (row, column)
    torch.testing.assert_close(model.decode(found.codes), found.images.clamp(-1, 1))
    measures = json.loads((run / "measures.json").read_text())
    assert measures["n"] == 5
    l1 = (found.images - x).abs().flatten(1).sum(1).mean().item()
    assert measures["l1"] == pytest.approx(l1, rel=1e-5)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["weight"] == 0.3
    assert config["regularizer"]["class_path"] == "lightning_gans.inversion.Wasserstein"


@pytest.mark.slow
def test_the_result_does_not_depend_on_how_many_processes(place: Path, tmp_path: Path) -> None:
    request = [
        *words(place),
        f"images={place / 'pictures'}",
        "n=7",
        "codes_at_once=4",
        "regularizer=wasserstein",
        "weight=typical",
    ]
    codes = {}
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, str(ROOT / "invert.py"), *request, f"devices={devices}"],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        (run,) = (folder / "runs" / "dlsgan" / "pictures").iterdir()
        recovery = Recovery.load(run / "recovery.safetensors")
        assert recovery.indices.tolist() == list(range(7))
        codes[devices] = recovery.codes
    assert torch.equal(codes[1], codes[2])


@pytest.mark.slow
def test_two_nodes_agree_on_a_folder_and_share_the_images(place: Path, tmp_path: Path) -> None:
    port = free_port()
    request = [*words(place), f"images={place / 'pictures'}", "n=6", "codes_at_once=4"]
    nodes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "invert.py"), *request, "num_nodes=2"],
            cwd=tmp_path,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "NODE_RANK": str(rank),
                "LOCAL_RANK": "0",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for node in nodes:
        _, said = node.communicate(timeout=200)
        assert node.returncode == 0, said[-2000:]
    (run,) = (tmp_path / "runs" / "dlsgan" / "pictures").iterdir()
    found = Recovery.load(run / "recovery.safetensors")
    assert found.indices.tolist() == list(range(6))
    invert(request)
    (alone,) = (r for r in run.parent.iterdir() if r != run)
    assert torch.equal(found.codes, Recovery.load(alone / "recovery.safetensors").codes)


def test_more_processes_than_parts(place: Path) -> None:
    invert([*words(place), f"images={place / 'pictures'}", "n=2", "devices=2"])
    assert len(Recovery.load(only("dlsgan") / "recovery.safetensors")) == 2


def test_parts_that_another_process_wrote_elsewhere_are_missed(tmp_path: Path) -> None:
    images = TensorImages(torch.zeros(4, 1, 2, 2).byte(), torch.zeros(4).long())
    in_parts = ImageParts(images, range(4), 2)
    parts = Parts(tmp_path, {})
    x, y, positions, first, _ = in_parts[0]
    assert (first, positions.tolist()) == (0, [0, 1])
    tensors = {"target": x, "label": y, "position": positions}
    parts.put(part_name(0), tensors, {"reasons": "{}"})
    with pytest.raises(PartsMissing, match=r"1 of 2 parts are not in .*000000002"):
        gather(parts, in_parts)
    parts.put(part_name(2), {**tensors, "position": positions + 2}, {"reasons": "{}"})
    found = gather(parts, in_parts)
    assert (found.recovery, found.diverged, found.reasons) == (None, [0, 1, 2, 3], {})


def test_all_that_is_asked_moves_with_the_inverter(place: Path) -> None:
    """A device without numbers shows what stays behind, where there is no second one."""
    model = lightning_gans.load(run_of(place, "gan"))
    inverter = Inverter(
        Scaled(model.generator, model.prior.scale()),
        model.prior,
        partial(recover),
        lambda folder: Parts(folder or Path(), {}),
        None,
        model,
    ).to("meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert inverter.prior.device.type == "meta"


class Brittle(Scaled):
    """NaN where the first element of the latent is above a bound."""

    bound = 0.0

    def forward(self, z: Tensor, *conditions: Tensor) -> Tensor:
        images = super().forward(z, *conditions)
        return torch.where((z[:, 0] > self.bound)[:, None, None, None], torch.nan, images)


def test_what_was_finished_is_saved_when_images_are_lost(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightning_gans.workflows.invert.Scaled", Brittle)
    with pytest.raises(SystemExit) as caught:
        invert([*words(place), f"images={place / 'pictures'}", "lr=1e-6", "n=10"])
    assert caught.value.code == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: all restarts of image ")
    saved = Recovery.load(only("dlsgan") / "recovery.safetensors")
    # of two restarts, about a quarter of the images loses both
    assert 4 <= len(saved) < 10
    assert saved.losses.isfinite().all()
    assert (saved.codes[:, 0] <= 0).all()
    lost = sorted(set(range(10)) - set(saved.indices.tolist()))
    assert f"of image {', '.join(map(str, lost))} reached" in line
    names = (only("dlsgan") / "images.txt").read_text().splitlines()
    assert names[0] == f"0\t{place / 'pictures' / 'even' / '00.png'}"
    assert len(names) == 10


def test_accuracy_conditions_probes_and_the_models_own_parts(place: Path) -> None:
    data = ["data=folder", f"data.root={place / 'pictures'}", "data.resolution=16"]
    data += ["data.channels=1", "data.validation=0"]
    invert([*words(place), *data, "n=4", f"classifier={run_of(place, 'classifier')}"])
    run = only("dlsgan")
    found = Recovery.load(run / "recovery.safetensors")
    judge = lightning_gans.load(run_of(place, "classifier"))
    labels = torch.tensor([0, 0, 0, 0])  # by name, the first twelve are of the class "even"
    share = (judge.classify(found.images.clamp(-1, 1)) == labels).float().mean().item()
    assert json.loads((run / "measures.json").read_text())["accuracy"] == pytest.approx(share)

    invert([*words(place, "gan"), *data, "n=2", "regularizer=fool_discriminator", "weight=1"])
    model = lightning_gans.load(run_of(place, "gan"))
    found = Recovery.load(only("gan") / "recovery.safetensors")
    with torch.no_grad():
        score = model.discriminator(found.images).score
    # the loss the GAN was trained with, on the scores of the recovered images
    penalty = torch.nn.functional.softplus(-score).flatten()
    torch.testing.assert_close(found.losses - found.reconstruction, penalty, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "words_of_error", "status"),
    [
        (["ckpt=nowhere", "images=."], "no checkpoint at nowhere", 1),
        (["images=PICTURES"], "no ckpt is named", 2),
        (["ckpt=DLSGAN"], "no images are named", 2),
        (["ckpt=DLSGAN", "data=mnist5k", "images=PICTURES"], "both named", 2),
        (["ckpt=CLASSIFIER", "images=PICTURES"], "a Classifier, which has no generator", 1),
        (["ckpt=DLSGAN", "data=mnist5k"], "expected images of shape (1, 16, 16)", 1),
        (
            ["ckpt=DLSGAN", "images=PICTURES", "more"],
            "expected key=value or --key=value, got 'more'",
            2,
        ),
        (["ckpt=DLSGAN", "images="], "images= has no value", 2),
        (["ckpt=DLSGAN", "images= "], "images= names no folder", 2),
        (["ckpt=DLSGAN", "images=nowhere"], "images=nowhere: nowhere does not exist", 2),
        (["ckpt=DLSGAN", "images=EMPTY"], "no images (.png", 1),
        (["ckpt=DLSGAN", "images=PICTURES", "out=FILE"], "could not be written: File exists", 1),
        (["ckpt=DLSGAN", "config=nope.yaml"], "there is no config file nope.yaml", 2),
        (
            ["ckpt=DLSGAN", "images=PICTURES", "n=0"],
            "n: expected whole number ≥ 1 or null, got 0",
            2,
        ),
        (["ckpt=DLSGAN", "images=PICTURES", "restart=4"], "did you mean 'restarts'", 2),
        (
            ["ckpt=DLSGAN", "images=PICTURES", "steps=few"],
            "steps: expected whole number ≥ 1, got few",
            2,
        ),
        (["ckpt=DLSGAN", "images=PICTURES", "steps=0"], "expected whole number ≥ 1, got 0", 2),
        (["ckpt=DLSGAN", "images=PICTURES", "start=noise"], "one of prior, zeros, encoder", 2),
        (["ckpt=GAN", "images=PICTURES", "start=encoder"], "GAN has no encoder", 2),
        (["ckpt=DLSGAN", "images=PICTURES", "category=1"], "DLSGAN is not class-conditional", 2),
        (["ckpt=DLSGAN", "images=PICTURES", "classifier=digits"], "classifier=digits", 2),
        (["ckpt=DLSGAN", "images=PICTURES", "probe=shift"], "expected noise, or shifted", 2),
        (["ckpt=GAN", "images=PICTURES", "regularizer=z_score_square"], "this one is Uniform", 1),
        (["ckpt=DLSGAN", "images=PICTURES", "regularizer=wassertein"], "mean 'wasserstein'", 2),
        (
            ["ckpt=DLSGAN", "images=PICTURES", "loss=l3"],
            "there are feature_distance, huber",
            2,
        ),
        (
            ["ckpt=DLSGAN", "images=PICTURES", "restarts=0"],
            "restarts: expected whole number ≥ 1",
            2,
        ),
        (
            ["ckpt=DLSGAN", "images=PICTURES", "betas=[1.5,0.9]"],
            "betas: expected list of 2 numbers",
            2,
        ),
        (["ckpt=DLSGAN", "images=PICTURES", "accelerator=gpu"], "No supported gpu", 1),
        (["ckpt=DLSGAN", "images=PICTURES", "accelerator=foo"], "accelerator=foo", 1),
        (["ckpt=DLSGAN", "images=PICTURES", "accelerator=tpu"], "accelerator=tpu", 1),
        (
            ["ckpt=DLSGAN", "images=.", "out=elsewhere/../mine"],
            "and their pictures among the images of .;",
            2,
        ),
        (["ckpt=DLSGAN", "images=."], "the results would be in runs, and", 2),
        (["ckpt=DLSGAN", "images=PICTURES", "weight=typical"], "give regularizer=Wasserstein", 1),
        (["ckpt=DLSGAN", "images=PICTURES", "weight=typisch"], "weight", 2),
    ],
)
def test_a_mistake_is_one_line(
    given: list[str],
    words_of_error: str,
    status: int,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("dlsgan", "gan", "classifier"):
        given = [w.replace(f"ckpt={name.upper()}", f"ckpt={run_of(place, name)}") for w in given]
    Path("EMPTY").mkdir()
    Path("FILE").touch()
    given = [w.replace("PICTURES", str(place / "pictures")) for w in given]
    with pytest.raises(SystemExit) as caught:
        invert(given)
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert caught.value.code == status, line
    assert line.startswith("error: ")
    assert words_of_error in line
    assert not Path("runs").exists()


def test_parts_are_named_in_any_order_and_spelling() -> None:
    words = ["regularizer.draws=100", "--regularizer", "energy", "regularizer.weight=2", "ckpt=x"]
    assert parse(words) == [
        "--regularizer=lightning_gans.inversion.Energy",
        "--weight=2",
        "--ckpt=x",
        "--regularizer.draws=100",
    ]
    for name in ("FoolDiscriminator", "fool_discriminator"):
        assert parse([f"regularizer={name}", "loss=l2"]) == [
            "--regularizer=fool_discriminator",
            "--loss=lightning_gans.inversion.L2",
        ]
    preset = f"--config={CONFIGS / 'inversion' / 'egan.yaml'}"
    assert parse(["lr=1", "inversion=egan", "regularizer=none"]) == [
        preset,
        "--lr=1",
        "--regularizer=null",
    ]
    # a word alone, and both names of a checkpoint
    assert parse(["RUN"]) == parse(["ckpt_path=RUN"]) == parse(["--ckpt", "RUN"]) == ["--ckpt=RUN"]


def test_one_image_of_few_latents_is_inverted_though_it_is_too_little_for_a_test(
    place: Path,
) -> None:
    found = invert_images(
        str(run_of(place, "dlsgan")),
        images=str(place / "pictures"),
        n=1,
        out="one",
        steps=3,
        restarts=2,
        accelerator="cpu",
    )
    assert found.exit_status == 0
    assert "not tested: that needs at least 8 elements, got 6; invert more images" in found.text
    assert found.text.splitlines()[-1] == "report, latents and pictures: one"
    measures = json.loads(Path("one/measures.json").read_text(encoding="utf-8"))
    assert (measures["n"], measures["pvalue"], measures["verdict"]) == (1, None, "not tested")
    code = Recovery.load("one/recovery.safetensors").codes.double().numpy()
    assert (measures["mean"], measures["variance"]) == pytest.approx((code.mean(), code.var()))
    assert not Path("one/parts").exists()


def test_from_python_it_is_the_same_function(place: Path) -> None:
    done = invert_images(
        str(run_of(place, "dlsgan")), images=str(place / "pictures"), n=2, steps=3, restarts=2
    )
    invert([*words(place), f"images={place / 'pictures'}", "n=2"])
    (typed,) = (run for run in Path("runs/dlsgan").glob("*/*") if run != done.folder)
    assert done.recovery is not None
    again = Recovery.load(typed / "recovery.safetensors")
    assert torch.equal(done.recovery.codes, again.codes)
    assert str(done).startswith(f"# {done.folder}")
    assert "KS" in str(done)


@pytest.mark.parametrize("name", sorted(p.stem for p in (CONFIGS / "inversion").glob("*.yaml")))
def test_the_papers_settings_run(name: str, place: Path) -> None:
    images = f"images={place / 'pictures'}"
    invert([*words(place), f"inversion={name}", images, "n=2", "steps=2", "restarts=1"])
    assert len(Recovery.load(only("dlsgan") / "recovery.safetensors")) == 2


def test_conditions_come_from_what_is_given_or_read_or_labelled() -> None:
    acgan, x = ACGAN((2,), (3,), latent_dim=4), torch.zeros(2, 2)
    y = torch.tensor([2, 0])
    told = conditions(acgan, 1, ())
    assert told is not None
    assert told(x, y).tolist() == [[0, 1, 0]] * 2
    by_label = conditions(acgan, None, (3,))
    assert by_label is not None
    assert by_label(x, y).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(UsageError, match="use category=NAME or NUMBER"):
        conditions(acgan, None, (4,))
    acgan.class_names = (("disc", "square", "star"),)
    assert conditions(acgan, None, (3,), (("disc", "square", "star"),)) is not None
    # as many folders, but others: their numbers mean nothing to the model
    with pytest.raises(UsageError, match="of these images are disc, moon, star, those of the mod"):
        conditions(acgan, None, (3,), (("disc", "moon", "star"),))
    model = CGPGAN((2,), num_categories=3, latent_dim=4).eval()
    read = conditions(model, None, ())
    assert read is not None
    x = torch.randn(5, 2)
    assert torch.equal(read(x, y).argmax(1), model.cluster(x).flatten())
