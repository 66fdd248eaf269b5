"""``generate`` from the command line to its folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.errors import UsageError
from lightning_gans.metrics import to_uint8
from lightning_gans.models import CAGAN, DLSGAN, GAN, Autoencoder
from lightning_gans.priors import Uniform
from lightning_gans.runs.tensor_files import read_tensors
from lightning_gans.workflows import generate as generating
from lightning_gans.workflows.generate import generate
from lightning_gans.workflows.seeds import BATCH, Latents, parse_category
from tests.support.models import tiny_dlsgan
from tests.support.rounds import (
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
)
from tests.support.saved_models import refusal, save, spread, status_of
from tests.support.training import points

TINY = {"generator": TinyGenerator, "discriminator": TinyDiscriminator}
CONDITIONAL = {"generator": TinyConditionalGenerator, "discriminator": TinyDiscriminator}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A DLSGAN of images of 4 × 4."""
    return save(spread(tiny_dlsgan()), tmp_path / "run")


@pytest.fixture
def conditional(tmp_path: Path) -> Path:
    """A CAGAN of two labels, of 2 and 3 classes."""
    model = CAGAN(SHAPE, (2, 3), 4, **CONDITIONAL)  # type: ignore[arg-type]  # by name
    return save(spread(model), tmp_path / "conditional")


def pixels(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "images").iterdir())]


def latents(folder: Path) -> Tensor:
    return read_tensors(folder / "latents.safetensors")[0]["latents"]


def test_image_i_of_a_seed_is_the_same_however_many_are_drawn(run: Path) -> None:
    few, many, other = Path("few"), Path("many"), Path("other")
    for folder, n, seed in ((few, 3, 7), (many, 37, 7), (other, 3, 8)):
        words = [f"ckpt={run}", f"n={n}", f"seed={seed}", "format=files", f"out={folder}"]
        assert status_of(["generate", *words]) == 0
    assert len(pixels(many)) == 37
    assert pixels(few) == pixels(many)[:3]
    assert torch.equal(latents(few), latents(many)[:3])
    assert len(set(pixels(many))) > 30, "images of a seed differ"
    assert not (latents(few) == latents(other)).any(), "seeds share no image"
    assert not (latents(many)[1:] == latents(many)[:-1]).any()


def test_arrays_are_the_images_of_their_latents(run: Path) -> None:
    found = generate(str(run), n=19, seed=3, format="npz", out="arrays")
    with np.load("arrays/samples.npz") as file:
        assert set(file) == {"images", "latents", "seed"}
        images, z, seed = file["images"], file["latents"], file["seed"]
    assert images.dtype == np.uint8
    assert images.shape == (19, 4, 4, 1)
    assert seed == 3
    assert found.latents is not None
    assert np.array_equal(z, found.latents.z.numpy())
    model = lightning_gans.load(run)
    expected = to_uint8(model.decode(torch.from_numpy(z))).permute(0, 2, 3, 1).numpy()
    assert np.abs(images.astype(int) - expected.astype(int)).max() <= 1
    assert {path.name for path in Path("arrays").iterdir()} == {"samples.npz"}


def test_a_grid_has_the_images_in_rows(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["generate", str(run), "n=5", "columns=3", "out=grid"]) == 0
    assert "5 images of seed 0: samples.png and latents.safetensors in grid" in (
        capsys.readouterr().out
    )
    sheet = np.asarray(Image.open("grid/samples.png").convert("L"))
    assert sheet.shape == (2 * 4 + 3 * 2, 3 * 4 + 4 * 2)
    expected = to_uint8(lightning_gans.load(run).decode(latents(Path("grid"))))[4, 0].numpy()
    tile = sheet[2 + 6 : 2 + 6 + 4, 2 + 6 : 2 + 6 + 4]  # the second of the second row
    assert np.abs(tile.astype(int) - expected.astype(int)).max() <= 1
    (place,) = {path.parent for path in Path("grid").iterdir()}
    assert {path.name for path in place.iterdir()} == {
        "samples.png",
        "latents.safetensors",
        "config.yaml",
    }


def test_a_category_is_that_of_every_image_and_leaves_the_latents(conditional: Path) -> None:
    chosen = generate(str(conditional), n=40, category="1,2", out="chosen").latents
    free = generate(str(conditional), n=40, out="free").latents
    assert chosen is not None
    assert free is not None
    assert chosen.c is not None
    assert free.c is not None
    assert (chosen.c == torch.tensor([0.0, 1, 0, 0, 1])).all()
    assert torch.equal(chosen.z, free.z)
    counts = free.c.sum(0)
    assert counts[:2].sum() == counts[2:].sum() == 40
    assert counts.min() > 4, "drawn from P(C), which is uniform"
    kept, _ = read_tensors(Path("free/latents.safetensors"))
    assert torch.equal(kept["conditions"], free.c)


def test_what_was_asked_for_is_noted_beside_the_latents(run: Path) -> None:
    generate(str(run), n=2, seed=5, truncation=1.5, out="noted")
    _, notes = read_tensors(Path("noted/latents.safetensors"))
    assert (notes["command"], notes["seed"], notes["truncation"]) == ("generate", "5", "1.5")
    assert Path(notes["checkpoint"]).samefile(run / "checkpoints" / "last-step=1.ckpt")


def test_arrays_of_a_class_conditional_model_have_its_conditions(conditional: Path) -> None:
    found = generate(str(conditional), n=9, seed=4, format="npz", out="arrays").latents
    assert found is not None
    assert found.c is not None
    with np.load("arrays/samples.npz") as file:
        assert set(file) == {"images", "latents", "conditions", "seed"}
        assert np.array_equal(file["conditions"], found.c.numpy())
        assert file["seed"] == 4


def test_another_seed_draws_other_categories(conditional: Path) -> None:
    first, second = (
        generate(str(conditional), n=40, seed=seed, out=f"seed{seed}").latents for seed in (0, 1)
    )
    assert first is not None
    assert second is not None
    assert first.c is not None
    assert second.c is not None
    assert 5 < (first.c != second.c).any(1).sum() < 40


def test_images_are_computed_in_batches_of_one_size_whose_last_bits_are_alike(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    decode = DLSGAN.decode

    def counted(self: DLSGAN, z: Tensor, c: Tensor | None = None) -> Tensor:
        sizes.append(len(z))
        return decode(self, z, c)

    monkeypatch.setattr(DLSGAN, "decode", counted)
    generate(str(run), n=1, out="one")
    generate(str(run), n=37, out="more")
    assert sizes == [BATCH] * 4


def test_a_model_that_has_diverged_makes_no_images(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DLSGAN, "decode", lambda *_: torch.full((BATCH, 1, 4, 4), torch.nan))
    status, said = refusal(["generate", str(run), "out=new"], capsys)
    assert (status, "not finite" in said) == (1, True)
    assert not Path("new").exists()


def test_files_of_many_images_are_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    n = 10_002
    monkeypatch.setattr(generating, "decoded", lambda model, latents: [torch.zeros(n, 1, 1, 1)])
    monkeypatch.setattr(generating, "as_picture", lambda x: x)
    monkeypatch.setattr(generating, "write_picture", lambda path, picture: names.append(path.name))
    generating.write_files(tmp_path, tiny_dlsgan(), Latents(torch.zeros(n, 3)))
    assert names == sorted(names)
    assert (len({*names}), names[-1]) == (n, "10001.png")


def test_points_are_coloured_by_the_category_of_the_first_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def drawn(real: Tensor | None, fake: Tensor, labels: Tensor) -> Tensor:
        seen.append(labels)
        return torch.zeros(3, 8, 8, dtype=torch.uint8)

    monkeypatch.setattr(generating, "scatter", drawn)
    run = save(CAGAN((2,), (3, 2), 8), tmp_path / "points")
    for category in (0, 2):
        generate(str(run), n=4, category=f"{category},1", out=f"of{category}")
    assert [labels.tolist() for labels in seen] == [[0] * 4, [2] * 4]


def test_truncated_images_keep_the_typical_elements_of_their_latents(run: Path) -> None:
    plain = generate(str(run), n=50, out="plain").latents
    near = generate(str(run), n=50, truncation=0.5, out="near").latents
    assert plain is not None
    assert near is not None
    assert near.z.abs().max() <= 0.5
    within = plain.z.abs() <= 0.5
    assert torch.equal(near.z[within], plain.z[within])


@pytest.mark.figures
def test_points_are_numbers_and_a_scatter_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save(points(GAN), tmp_path / "points")
    assert status_of(["generate", str(run), "n=300", "out=plot"]) == 0
    with np.load("plot/samples.npz") as file:
        assert file["points"].shape == (300, 2)
    colours = Image.open("plot/samples.png").convert("RGB").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 10
    status, said = refusal(["generate", str(run), "format=files"], capsys)
    assert (status, "makes points" in said) == (2, True)


def test_a_new_folder_is_beside_other_results_of_the_run(tmp_path: Path) -> None:
    run = save(spread(tiny_dlsgan()), tmp_path / "runs" / "mine" / "faces" / "then")
    for _ in range(2):
        main(["generate", str(run), "n=1", "format=npz"])
    found = sorted(path.name for path in Path("runs/mine/faces").iterdir() if path != run)
    assert len([name for name in found if "_generate" in name]) == 2


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["category=1"], 2, "category=1: DLSGAN is not class-conditional; leave it out"),
        (["format=files", "columns=3"], 2, "columns=3 is for format=grid"),
        (["truncation=0"], 2, "truncation: expected number > 0"),
        (["n=0"], 2, "n: expected whole number ≥ 1"),
        (["format=gif"], 2, "expected one of grid, files, npz"),
        (["device=gpus"], 2, "device=gpus: expected auto, cpu or cuda"),
        (["n=60", "columns=60"], 1, "ask for fewer images"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_no_folder(
    run: Path,
    words: list[str],
    status: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # so many latents that a grid of them is too large would take a minute
    monkeypatch.setattr("lightning_gans.workflows.picture_table.MAX_PIXELS", 900)
    found = refusal(["generate", str(run), *words, "out=new"], capsys)
    assert found[0] == status
    assert text in found[1]
    assert not Path("new").exists()


@pytest.mark.parametrize("category", ["0", "0,3", "0,1,2", "2,0", "-1,0", "star,0", "1.0,1"])
def test_a_category_that_does_not_exist_is_one_line(
    conditional: Path, category: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = refusal(["generate", str(conditional), f"category={category}"], capsys)
    assert status == 2
    assert "category=" in said
    assert ": expected" in said
    assert not Path("runs").exists()


def test_a_category_is_called_by_its_name(tmp_path: Path) -> None:
    one = CAGAN(SHAPE, (3,), 4, **CONDITIONAL)  # type: ignore[arg-type]  # by name
    one.class_names = (("circle, filled", "star", "1"),)
    found = [parse_category(one, word) for word in ("circle, filled", " star", "1", "0", "2")]
    assert found == [[0], [1], [2], [0], [2]], "a class that is called 1 is meant by 1"
    two = CAGAN(SHAPE, (2, 3), 4, **CONDITIONAL)  # type: ignore[arg-type]  # by name
    two.class_names = (("no", "yes"), ("red", "green", "blue"))
    assert parse_category(two, "yes,blue") == [1, 2]
    assert parse_category(two, "0,green") == [0, 1]
    # capital letters count only between names that differ by nothing else
    assert parse_category(two, "YES,Blue") == [1, 2]
    two.class_names = (("Yes", "yes"), ("red", "green", "été"))
    assert parse_category(two, "yes,e\u0301te\u0301") == [1, 2]
    with pytest.raises(UsageError, match="or one of Yes, yes, got YES"):
        parse_category(two, "YES,red")
    two.class_names = (("no", "yes"), ("red", "green", "blue"))
    with pytest.raises(UsageError, match=r"one of red, .* got bleu \(did you mean 'blue'\?\)"):
        parse_category(two, "no,bleu")
    with pytest.raises(UsageError, match="from 0 to 2, or one of red, green, blue, got rde"):
        parse_category(two, "no,rde")
    two.class_names = (("of", "other", "classes"),)
    with pytest.raises(UsageError, match="expected a number from 0 to 1, got of"):
        parse_category(two, "of,0")


def test_results_are_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["generate", str(run), "n=2", "out=there"]
    assert status_of(words) == 0
    before = Path("there/samples.png").read_bytes()
    status, said = refusal([*words, "seed=5"], capsys)
    assert (status, "already has a latents.safetensors" in said) == (2, True)
    assert Path("there/samples.png").read_bytes() == before
    arrays = ["generate", str(run), "n=2", "format=npz", "out=arrays"]
    assert status_of(arrays) == 0
    status, said = refusal([*arrays, "seed=5"], capsys)
    assert (status, "already has a samples.npz" in said) == (2, True)


def test_models_that_cannot_are_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    autoencoder = Autoencoder(SHAPE, 3, **TINY)  # type: ignore[arg-type]  # by name
    run = save(autoencoder, tmp_path / "autoencoder")
    status, said = refusal(["generate", str(run)], capsys)
    assert status == 1
    assert f"{run} holds an Autoencoder, which does not generate images" in said
    uniform = GAN(SHAPE, 3, prior=partial(Uniform), **TINY)  # type: ignore[arg-type]  # by name
    run = save(spread(uniform), tmp_path / "uniform")
    status, said = refusal(["generate", str(run), "truncation=1"], capsys)
    assert status == 1
    assert "truncation is defined for normal latents, and this model's are from a Uniform" in said
    assert not Path("runs").exists()
