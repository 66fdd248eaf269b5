"""``edit`` from the command line to its strips."""

from __future__ import annotations

import csv
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import lightning_gans
from lightning_gans.errors import UsageError
from lightning_gans.models import AEDLSGAN, DLSGAN, GAN, Autoencoder, Reconstructs
from lightning_gans.priors import DynamicScale, Independent, Normal, Traced
from lightning_gans.runs.tensor_files import read_tensors
from lightning_gans.workflows.edit import (
    AttributeMoves,
    ElementMoves,
    edit,
    parse_elements,
    shares,
)
from tests.support.films import frames_of, information
from tests.support.models import tiny_dlsgan
from tests.support.pictures import draw
from tests.support.rounds import SHAPE, TinyDiscriminator, TinyGenerator
from tests.support.saved_models import refusal, save, spread, status_of

TINY = {"generator": TinyGenerator, "discriminator": TinyDiscriminator}
# of a table of images of 4 × 4: an image and the gap to the next one
SIDE, STEP = 96, 100


def reconstructing(path: Path) -> Reconstructs:
    model = lightning_gans.load(path)
    assert isinstance(model, Reconstructs)
    return model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A DLSGAN of images of 4 × 4, whose second element has the most information."""
    model = tiny_dlsgan(prior=partial(DynamicScale, base=partial(Normal, std=2.0)))
    spread(model)
    assert isinstance(model.prior, Traced)
    model.prior.v = torch.tensor([1.0, 6.0, 3.0])
    return save(model, tmp_path / "run")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw(tmp_path / "photos", 3, 4)


@pytest.fixture
def attributes(tmp_path: Path) -> Path:
    """An AEDLSGAN of two binary attributes."""
    model = AEDLSGAN(SHAPE, (2, 2), 3, **TINY)  # type: ignore[arg-type]  # by name
    return save(spread(model), tmp_path / "attributes")


def model_input(file: Path) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(file)).astype(np.float32))[None, None] / 127.5 - 1


def image_in(picture: Path, row: int, column: int) -> Tensor:
    """An image in a strip with labels, in [-1, 1]: of its last columns, counted from the end."""
    pixels = np.asarray(Image.open(picture).convert("L")).astype(np.float32)
    right, bottom = pixels.shape[1] - 8 - 48, pixels.shape[0] - 8 - 48
    rows = (pixels.shape[0] - 8 - 8 - 15 + 4) // STEP
    y, x = bottom - (rows - 1 - row) * STEP, right + (column + 1) * STEP
    block = pixels[y - 36 : y + 60 : 24, x - 36 : x + 60 : 24]
    return torch.from_numpy(block) / 127.5 - 1


def same_picture(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected.reshape(found.shape), rtol=0, atol=2 / 127.5)


def test_one_element_moves_in_a_row_of_the_strip(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run), f"image={photos / '01.png'}", "elements=2,0", "from=-1", "to=2", "steps=4"]
    assert status_of(["edit", *words, "out=strip"]) == 0
    assert "elements 2, 0, each from \u22121 to +2 standard" in capsys.readouterr().out
    model, x = reconstructing(run), model_input(photos / "01.png")
    code = model.encode(x)
    kept, notes = read_tensors(Path("strip/01.safetensors"))
    torch.testing.assert_close(kept["code"], code[0])
    assert kept["values"].tolist() == [-1, 0, 1, 2]
    assert notes["file"] == str(photos / "01.png")
    for row, element in enumerate((2, 0)):
        latents = kept[f"element {element}"]
        for step, value in enumerate((-1, 0, 1, 2)):
            expected = code[0].clone()
            expected[element] = 2.0 * value  # the prior's standard deviation is 2
            torch.testing.assert_close(latents[step], expected)
            shown = image_in(Path("strip/01.png"), row, step - 4)
            same_picture(shown, model.decode(expected[None])[0])
        same_picture(image_in(Path("strip/01.png"), row, -5), model.reconstruct(x)[0])
        same_picture(image_in(Path("strip/01.png"), row, -6), x[0])


def test_the_elements_with_the_most_information_come_first(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        status_of(["edit", str(run), f"image={photos / '00.png'}", "elements=informative:2"]) == 0
    )
    said = capsys.readouterr().out
    assert "the 2 most informative elements, each from \u22123 to +3 standard deviations" in said
    assert "its share of the variance v that the encoder recovers from samples" in said
    (folder,) = (Path("runs/dlsgan/00")).iterdir()
    kept, _ = read_tensors(folder / "00.safetensors")
    assert [name for name in kept if name.startswith("element")] == ["element 1", "element 2"]
    model, code = reconstructing(run), kept["code"][None]
    rows = ElementMoves(model, "informative:3", torch.zeros(1)).rows(torch.zeros(1, *SHAPE), code)
    assert [row.label.split("\n")[:2] for row in rows] == [
        ["element 1", "60.0 %"],
        ["element 2", "30.0 %"],
        ["element 0", "10.0 %"],
    ]
    now = rows[0].label.split("now ")[1].replace("\u2212", "-")
    assert float(now) == pytest.approx(float(code[0, 1]) / 2, abs=0.006)


def test_elements_move_around_the_mean_of_the_prior() -> None:
    model = spread(tiny_dlsgan(prior=partial(Normal, mean=1.0, std=2.0))).eval()
    assert isinstance(model, Reconstructs)
    code = torch.tensor([[0.5, 3.0, -2.0]])
    moves = ElementMoves(model, "1", torch.tensor([-1.0, 0.5]))
    (row,) = moves.rows(torch.zeros(1, *SHAPE), code)
    assert row.latents is not None
    assert row.latents.tolist() == [[0.5, -1.0, -2.0], [0.5, 2.0, -2.0]]
    assert row.label.endswith("\nnow +1"), "3 is one deviation above the mean"


class Weighted(nn.Module):
    """Pixels that depend on one element each, the more the later it is."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        weights = torch.tensor([0.01, 0.02, 0.04])
        return torch.cat([z * weights, torch.zeros(len(z), 13)], 1).view(-1, *SHAPE) + self.anchor


def test_without_a_traced_variance_the_change_of_the_image_counts() -> None:
    model = Autoencoder(SHAPE, 3, Weighted, TinyDiscriminator)
    found = shares(model.eval(), torch.tensor([[0.5, -1.0, 2.0]]), 1.0)
    assert found.tolist() == pytest.approx([1 / 21, 4 / 21, 16 / 21], abs=1e-5)
    # moved by a standard deviation of 5, the last one reaches the end of the range
    torch.nn.init.constant_(next(model.generator.parameters()), 0.9)
    found = shares(model, torch.zeros(1, 3), 5.0)
    assert found.tolist() == pytest.approx([1 / 9, 4 / 9, 4 / 9], abs=1e-5)
    torch.nn.init.constant_(next(model.generator.parameters()), 5.0)  # all pixels are clipped
    assert shares(model, torch.zeros(1, 3), 1.0).tolist() == pytest.approx([1 / 3] * 3)


def test_an_attribute_is_edited_by_the_model(attributes: Path, photos: Path) -> None:
    model, x = lightning_gans.load(attributes), model_input(photos / "02.png")
    words = [str(attributes), f"image={photos / '02.png'}", "attribute=1"]
    assert status_of(["edit", *words, "steps=3", "out=strip"]) == 0
    for step, strength in enumerate((-3.0, 0.0, 3.0)):
        shown = image_in(Path("strip/02.png"), 0, step - 3)
        same_picture(shown, model.edit(x, 1, strength)[0])
    assert status_of(["edit", *words, "strength=1.5", "keep_others=false", "out=one"]) == 0
    same_picture(image_in(Path("one/02.png"), 0, -1), model.edit(x, 1, 1.5, False)[0])
    same_picture(image_in(Path("one/02.png"), 0, -3), x[0])
    assert read_tensors(Path("one/02.safetensors"))[0]["values"].tolist() == [1.5]
    published = [*words, "strength=0.9", "keep_others=false", "unit=sqrt_dim", "out=published"]
    assert status_of(["edit", *published]) == 0
    edited = model.edit(x, 1, 0.9, False, "sqrt_dim")[0]
    assert (edited - model.edit(x, 1, 0.9, False)[0]).abs().max() > 0.02
    same_picture(image_in(Path("published/02.png"), 0, -1), edited)
    assert isinstance(model, AEDLSGAN)
    rows = AttributeMoves(model, "0", torch.tensor([1.0]), True, "std").rows(x, model.encode(x))
    torch.testing.assert_close(rows[0].images, model.edit(x, 0, 1.0))


def test_an_attribute_is_called_by_its_name(attributes: Path) -> None:
    model = lightning_gans.load(attributes)
    assert isinstance(model, AEDLSGAN)
    model.class_names = (("no hat", "hat"), ("no smile", "smile"))
    strengths = torch.tensor([1.0])
    x = torch.zeros(1, *SHAPE)
    for typed, name, number in (("smile", "smile", 1), ("0", "hat", 0)):
        moves = AttributeMoves(model, typed, strengths, True, "std")
        (row,) = moves.rows(x, model.encode(x))
        assert (row.label, moves.summary.startswith(name)) == (name, True)
        torch.testing.assert_close(row.images, model.edit(x, number, 1.0))
    with pytest.raises(UsageError, match="from 0 to 1, or one of hat, smile, got beard"):
        AttributeMoves(model, "beard", strengths, True, "std")
    model.class_names = (("red", "green", "blue"), ("no", "yes"))
    assert model.attribute_names == ["red", "green", "blue", "yes"]


def test_a_gif_goes_there_and_back(run: Path, photos: Path) -> None:
    words = [str(run), f"image={photos / '00.png'}", "steps=5", "format=gif", "fps=10", "out=gif"]
    assert status_of(["edit", *words]) == 0
    assert information(Path("gif/00.gif")) == (0, 100)
    frames = [frame.tobytes() for frame in frames_of(Path("gif/00.gif"))]
    assert len(frames) == 8
    assert frames[1:4] == frames[:4:-1], "the way back has the same images"
    assert len(set(frames)) == 5


def test_a_gif_shows_each_element_as_it_moves(run: Path, photos: Path) -> None:
    words = [str(run), f"image={photos / '00.png'}", "elements=2,0", "from=-1", "to=2", "steps=3"]
    assert status_of(["edit", *words, "format=gif", "out=gif"]) == 0
    model = reconstructing(run)
    kept, _ = read_tensors(Path("gif/00.safetensors"))
    for step, frame in enumerate(frames_of(Path("gif/00.gif"))[:3]):
        for column, element in enumerate((2, 0)):
            right = frame.shape[1] - 8 - 48 - (1 - column) * STEP
            bottom = frame.shape[0] - 8 - 48
            shown = frame[bottom - 36 : bottom + 60 : 24, right - 36 : right + 60 : 24, 0]
            expected = model.decode(kept[f"element {element}"][step][None])[0]
            same_picture(torch.from_numpy(shown.astype(np.float32)) / 127.5 - 1, expected)


def test_a_folder_has_a_strip_for_each_readable_image(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "sub").mkdir()
    (photos / "sub" / "00.png").write_bytes((photos / "00.png").read_bytes())
    (photos / "no.png").write_text("no image")
    assert status_of(["edit", str(run), f"images={photos}", "steps=2", "out=all"]) == 3
    said = capsys.readouterr().out
    assert "4 images edited, with latents: all" in said
    assert "1 image could not be read: no.png (cannot identify image file" in said
    with Path("all/edits.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["00.png", "01.png", "02.png", "no.png", "sub/00.png"]
    assert [row["result"] for row in rows] == [
        "0000_00.png",
        "0001_01.png",
        "0002_02.png",
        "",
        "0004_00.png",
    ]
    assert "cannot identify" in rows[3]["reason"]
    written = {path.name for path in Path("all").iterdir()}
    named = {row[key] for row in rows for key in ("result", "latents")} - {""}
    assert written == named | {"edits.csv", "config.yaml"}
    first, last = (read_tensors(Path("all", rows[i]["latents"]))[0]["code"] for i in (0, 4))
    assert torch.equal(first, last)
    words = ["edit", str(run), f"images={photos}", "steps=2", "format=gif", "out=gifs"]
    assert status_of(words) == 3
    with Path("gifs/edits.csv").open(encoding="utf-8") as file:
        results = [row["result"] for row in csv.DictReader(file)]
    assert results[:1] + results[3:] == ["0000_00.gif", "", "0004_00.gif"]
    assert {name for name in results if name} == {path.name for path in Path("gifs").glob("*.gif")}


def test_files_of_any_name_have_strips(run: Path, photos: Path) -> None:
    names = [b"two\nlines.png", b"bytes \xff.png", b"x" * 240 + b".png", "\u03c9".encode() * 100]
    folder = Path("named")
    folder.mkdir()
    for name in names:
        ending = b"" if name.endswith(b".png") else b".png"
        shutil.copy(photos / "00.png", folder / os.fsdecode(name + ending))
    for path in sorted(folder.iterdir()):
        assert status_of(["edit", str(run), f"image={path}", "steps=2"]) == 0
    assert status_of(["edit", str(run), f"images={folder}", "steps=2", "out=all"]) == 0
    found = sorted(path.name for path in Path("all").glob("*.png"))
    assert [name[:10] for name in found] == [
        "0000_bytes",
        "0001_two_l",
        "0002_xxxxx",
        "0003_\u03c9\u03c9\u03c9\u03c9\u03c9",
    ]
    assert len(list(Path("runs").rglob("*.safetensors"))) == 4


def test_images_are_cropped_and_padded_as_in_training(run: Path, photos: Path) -> None:
    (run / "config.yaml").write_text(
        "data:\n  class_path: lightning_gans.data.Folder\n"
        f"  init_args: {{root: {photos}, resolution: 4, channels: 1, crop: [0, 0, 4, 2]}}\n"
    )
    wide = np.zeros((6, 8), dtype=np.uint8)
    wide[:4, :4] = np.asarray(Image.open(photos / "00.png"))
    Image.fromarray(wide).save("wide.png")
    # what is cropped off is what was added
    cropped = edit(str(run), image="wide.png", out="cropped")
    assert cropped.codes is not None
    expected = reconstructing(run).encode(model_input(photos / "00.png"))
    torch.testing.assert_close(cropped.codes, expected)


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["elements=3"], 2, "elements=3: expected different numbers from 0 to 2"),
        (["elements=0,0"], 2, "elements=0,0: expected different numbers"),
        (["elements=informative"], 2, "or informative:COUNT with a count from 1 to 3"),
        (["elements=informative:4"], 2, "a count from 1 to 3"),
        (["elements=-1"], 2, "expected different numbers"),
        (["from=1", "to=1"], 2, "expected from below to, got from=1 to=1"),
        (["from=a"], 2, "low: expected number, got a"),
        (["strength=1"], 2, "strength=1 needs attribute=NAME as well"),
        (["unit=sqrt_dim"], 2, "unit=sqrt_dim is of attributes, and needs attribute=NAME as well"),
        (["attribute=0", "unit=cm"], 2, "unit"),
        (["attribute=0", "elements=1"], 2, "elements and attribute are both named"),
        (["attribute=0"], 1, "a DLSGAN edits no attributes, as an AEDLSGAN does"),
        (["images=photos"], 2, "image and images are both named"),
        (["image=nowhere.png"], 2, "image=nowhere.png: nowhere.png does not exist"),
        (["image=photos"], 2, "photos is a folder"),
        (["image=text.png"], 1, "text.png (cannot identify image file)"),
        (["fps=99"], 2, "fps: expected number from 0.1 to 50"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_no_folder(
    run: Path,
    photos: Path,
    words: list[str],
    status: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("text.png").write_text("no image")
    given = [] if words[0].startswith("image=") else [f"image={photos / '00.png'}"]
    found = refusal(["edit", str(run), *given, *words, "out=new"], capsys)
    assert found[0] == status
    assert text in found[1]
    assert not Path("new").exists()


def test_an_attribute_that_does_not_exist_is_one_line(
    attributes: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["edit", str(attributes), f"image={photos / '00.png'}", "out=new"]
    for typed in ("2", "-1", "Smiling"):
        _, said = refusal([*words, f"attribute={typed}"], capsys)
        assert "expected an attribute from 0 to 1" in said or "expected a number from 0" in said
        assert not Path("new").exists()


def test_a_model_that_does_not_reconstruct_is_told_so(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save(GAN(SHAPE, 3, **TINY), tmp_path / "gan")  # type: ignore[arg-type]  # by name
    status, said = refusal(["edit", str(run), f"image={photos / '00.png'}"], capsys)
    assert status == 1
    assert f"{run} holds a GAN, which has no encoder" in said


def test_a_prior_without_a_deviation_is_refused(photos: Path) -> None:
    cauchy = torch.distributions.Cauchy(0.0, 1.0)
    model = DLSGAN(SHAPE, 3, prior=partial(Independent, distribution=cauchy), **TINY)  # type: ignore[arg-type]
    with pytest.raises(lightning_gans.errors.UserError, match="standard deviations"):
        ElementMoves(model, "0", torch.zeros(1))


def test_elements_are_read_as_they_are_typed() -> None:
    assert parse_elements(" 1 , 0", 3) == ([1, 0], 0)
    assert parse_elements("informative:3", 3) == ([], 3)
