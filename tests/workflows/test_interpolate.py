"""``interpolate`` from the command line to its strips and films."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lightning_gans
from lightning_gans.errors import UsageError
from lightning_gans.models import CAGAN, GAN, Autoencoder, Classifies, Reconstructs
from lightning_gans.models.base.capabilities import Encoding
from lightning_gans.priors import Categorical, Normal
from lightning_gans.runs.tensor_files import read_tensors
from lightning_gans.workflows import interpolate as interpolating
from lightning_gans.workflows.generate import generate
from lightning_gans.workflows.interpolate import End, between, find_end, interpolate, strip
from lightning_gans.workflows.picture_table import draw_table
from lightning_gans.workflows.seeds import Latents
from tests.support.films import frames_of, information
from tests.support.models import tiny_dlsgan
from tests.support.pictures import draw
from tests.support.rounds import (
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
)
from tests.support.saved_models import refusal, save, spread, status_of
from tests.support.training import points

TINY = {"generator": TinyGenerator, "discriminator": TinyDiscriminator}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A DLSGAN of images of 4 × 4."""
    return save(spread(tiny_dlsgan()), tmp_path / "run")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw(tmp_path / "photos", 2, 4)


def test_a_path_leads_from_the_code_of_one_image_to_that_of_another(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run), f"a={photos / '00.png'}", f"b={photos / '01.png'}", "steps=5", "out=path"]
    assert status_of(["interpolate", *words]) == 0
    said = capsys.readouterr().out
    assert "5 images from 00.png to 01.png: interpolation.png and latents.safetensors in" in said
    model = lightning_gans.load(run)
    assert isinstance(model, Reconstructs)
    pixels = [np.asarray(Image.open(photos / f"0{i}.png")).astype(np.float32) for i in (0, 1)]
    x = torch.from_numpy(np.stack(pixels))[:, None] / 127.5 - 1
    first, last = model.encode(x[:1])[0], model.encode(x[1:])[0]
    found, notes = read_tensors(Path("path/latents.safetensors"))
    expected = torch.stack([first + (last - first) * mu for mu in (0, 0.25, 0.5, 0.75, 1)])
    torch.testing.assert_close(found["latents"], expected)
    assert (notes["a"], notes["b"]) == ("00.png", "01.png")
    # the image, the path and the other image, each enlarged to 96 pixels
    strip = np.asarray(Image.open("path/interpolation.png").convert("L")).astype(np.float32)
    images = [x[0], *model.decode(expected), x[1]]
    assert strip.shape[1] == 16 + 7 * 100 - 4
    for column, image in enumerate(images):
        left, top = 8 + column * 100 + 12, 8 + 15 + 12
        shown = torch.from_numpy(strip[top : top + 96 : 24, left : left + 96 : 24]) / 127.5 - 1
        torch.testing.assert_close(shown, image[0], rtol=0, atol=2 / 127.5)


def test_a_seed_is_the_image_that_generate_draws(run: Path) -> None:
    drawn = generate(str(run), n=13, seed=4, out="drawn").latents
    path = interpolate(str(run), "4:12", "4", steps=3, out="path").latents
    assert drawn is not None
    assert path is not None
    torch.testing.assert_close(path.z[0], drawn.z[12])
    torch.testing.assert_close(path.z[2], drawn.z[0])
    torch.testing.assert_close(path.z[1], (drawn.z[0] + drawn.z[12]) / 2)


def test_a_seed_and_its_number_are_no_time_of_day(run: Path) -> None:
    # as YAML reads 4:12, minutes and seconds
    assert status_of(["interpolate", str(run), "a=4:12", "b=010", "steps=2", "out=path"]) == 0
    notes = read_tensors(Path("path/latents.safetensors"))[1]
    assert (notes["a"], notes["b"]) == ("seed 4:12", "seed 10")


def test_a_great_circle_keeps_the_norm_between_those_of_its_ends(run: Path) -> None:
    round_, straight = (
        interpolate(str(run), "0", "3", steps=9, path=kind, out=kind).latents
        for kind in ("slerp", "linear")
    )
    assert round_ is not None
    assert straight is not None
    for end in (0, -1):
        torch.testing.assert_close(round_.z[end], straight.z[end])
    norms = round_.z.norm(dim=1)
    assert norms.min() >= norms[[0, -1]].min() * (1 - 1e-5)
    assert straight.z.norm(dim=1).min() < norms.min() * 0.95


def test_the_great_circle_is_around_the_mean_of_the_prior() -> None:
    prior = Normal(2, mean=10.0)
    ends = [
        End(name, Latents(torch.tensor([z])))
        for name, z in (("a", (11.0, 10.0)), ("b", (10.0, 11.0)))
    ]
    found = between(prior, ends, 3, "slerp").z
    middle = 10 + 0.5**0.5
    assert found.flatten().tolist() == pytest.approx([11, 10, middle, middle, 10, 11])


def test_a_circle_passes_the_direction_of_b_and_ends_where_it_began() -> None:
    prior = Normal(2, mean=10.0)
    first, last = torch.split(torch.eye(2), 1)
    ends = [
        End("a", Latents(torch.tensor([[12.0, 10.0]]), first)),
        End("b", Latents(torch.tensor([[10.0, 11.0]]), last)),
    ]
    found = between(prior, ends, 5, "circle")
    expected = [[12, 10], [10, 12], [8, 10], [10, 8], [12, 10]]
    torch.testing.assert_close(found.z, torch.tensor(expected).float())
    assert found.c is not None
    # all of b's condition halfway round
    assert found.c[:, 1].tolist() == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-6)


def test_a_film_of_a_circle_shows_each_image_once(run: Path) -> None:
    # with ping_pong, which is the default, and without
    for kind, frames in (("circle", 5), ("slerp", 10)):
        interpolate(str(run), "0", "3", steps=6, path=kind, format="gif", out=kind)  # type: ignore[arg-type]  # one of two
        with Image.open(f"{kind}/interpolation.gif") as film:
            assert getattr(film, "n_frames", 1) == frames


def test_headings_tell_how_far_along_the_path_an_image_is(monkeypatch: pytest.MonkeyPatch) -> None:
    headings: list[str] = []

    def drawn(images: torch.Tensor, texts: list[str]) -> Image.Image:
        headings.extend(texts)
        return draw_table(images, texts)

    monkeypatch.setattr(interpolating, "draw_table", drawn)
    seed = End("seed 1", Latents(torch.zeros(1, 3)))
    file = End("x.png", Latents(torch.zeros(1, 3)), torch.zeros(1, 1, 8, 8))
    strip(torch.zeros(5, 1, 8, 8), [seed, file])
    assert headings == ["0", "0.25", "0.5", "0.75", "1", "b: x.png"]


def test_a_long_strip_has_rows_below_each_other_whatever_the_names_of_its_ends() -> None:
    images = torch.rand(20, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x = torch.zeros(1, 1, 32, 32)
    ends = [End(name, Latents(torch.zeros(1, 3)), x) for name in ("two\nlines.png", "b.png")]
    picture = strip(images, ends)
    first = draw_table(torch.cat([x, images[:15]])[None], ["a: two\nlines.png", *[""] * 15])
    second = draw_table(torch.cat([images[15:], x])[None], [*[""] * 5, "b: b.png"])
    assert picture.size == (first.width, first.height + second.height)
    shown = picture.crop((0, first.height, second.width, picture.height))
    # all but the headings
    below = (0, 8 + 15, second.width, second.height)
    assert shown.crop(below).tobytes() == second.crop(below).tobytes()


def test_a_condition_changes_along_the_path(tmp_path: Path) -> None:
    model = CAGAN(SHAPE, (4,), 3, TinyConditionalGenerator, TinyDiscriminator)
    run = save(spread(model), tmp_path / "cagan")
    drawn = generate(str(run), n=8, out="drawn").latents
    assert drawn is not None
    assert drawn.c is not None
    classes = drawn.c.argmax(1).tolist()
    other = next(i for i, k in enumerate(classes) if k != classes[0])
    path = interpolate(str(run), "0:0", f"0:{other}", steps=3, out="path").latents
    assert path is not None
    assert path.c is not None
    torch.testing.assert_close(path.c[1], (drawn.c[0] + drawn.c[other]) / 2)
    fixed = interpolate(str(run), "0:0", f"0:{other}", steps=3, category="2", out="fixed").latents
    assert fixed is not None
    assert fixed.c is not None
    assert (fixed.c == torch.tensor([0.0, 0, 1, 0])).all()


class ConditionalAutoencoder(Reconstructs):
    """A class-conditional model of one's own that encodes: the code is the mean of each row."""

    def __init__(self) -> None:
        super().__init__()
        self.image_shape, self.prior, self.categories = SHAPE, Normal(4), Categorical((3,))
        self.generator = TinyConditionalGenerator(4, SHAPE, (3,))

    def encoding(self, x: torch.Tensor) -> Encoding:
        return Encoding(x.mean(3).flatten(1), x.flatten(1))


class ConditionalClassifier(ConditionalAutoencoder, Classifies):
    """As the autoencoder, and it sees the last class in every image."""

    classes = (3,)

    def class_logits(self, x: torch.Tensor) -> torch.Tensor:
        return torch.arange(3.0).expand(len(x), 3)


def test_an_image_file_has_the_class_that_is_named_or_that_the_model_sees(
    run: Path, photos: Path
) -> None:
    file, checkpoint = photos / "00.png", run / "checkpoints" / "last-step=1.ckpt"
    named = find_end(file, checkpoint, ConditionalAutoencoder(), [1])
    seen = find_end(file, checkpoint, ConditionalClassifier(), None)
    assert named.latents.c is not None
    assert seen.latents.c is not None
    assert (named.latents.c.tolist(), seen.latents.c.tolist()) == ([[0, 1, 0]], [[0, 0, 1]])
    path = between(Normal(4), [named, seen], 3, "linear")
    assert path.c is not None
    assert path.c[1].tolist() == [0, 0.5, 0.5]
    assert named.x is not None
    torch.testing.assert_close(path.z[1], named.x.mean(3).flatten())


def test_an_image_file_of_unknown_class_is_one_line(run: Path, photos: Path) -> None:
    checkpoint = run / "checkpoints" / "last-step=1.ckpt"
    with pytest.raises(UsageError, match="needs the class of an image; add category=NAME or"):
        find_end(photos / "00.png", checkpoint, ConditionalAutoencoder(), None)


def test_an_animation_has_more_images_than_a_strip_unless_told_otherwise(run: Path) -> None:
    words = ["interpolate", str(run), "a=0", "b=1", "path=slerp"]
    assert status_of([*words, "out=strip"]) == 0
    assert status_of([*words, "format=gif", "ping_pong=false", "out=gif"]) == 0
    for folder, count in (("strip", 8), ("gif", 48)):
        found, notes = read_tensors(Path(folder, "latents.safetensors"))
        assert len(found["latents"]) == count
        assert notes["path"] == "slerp"
    assert len(frames_of(Path("gif/interpolation.gif"))) == 48


@pytest.mark.parametrize(("ping_pong", "count"), [(True, 10), (False, 6)])
def test_a_gif_goes_back_unless_it_is_not_to(run: Path, ping_pong: bool, count: int) -> None:
    words = ["a=0", "b=1", "steps=6", "format=gif", "fps=20", f"ping_pong={str(ping_pong).lower()}"]
    assert status_of(["interpolate", str(run), *words, "out=gif"]) == 0
    frames = frames_of(Path("gif/interpolation.gif"))
    assert (len(frames), frames[0].shape) == (count, (96, 96, 3))
    assert information(Path("gif/interpolation.gif")) == (0, 50)


def test_without_ffmpeg_the_line_says_how_to_install_it(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "imageio_ffmpeg", None)
    status, said = refusal(["interpolate", str(run), "a=0", "b=1", "format=mp4"], capsys)
    assert status == 1
    assert "format=mp4 needs imageio-ffmpeg; install it with pip install" in said
    assert not Path("runs").exists()


def test_a_film_has_every_image(run: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    words = [str(run), "a=0", "b=1", "steps=6", "format=mp4", "fps=10", "out=film"]
    assert status_of(["interpolate", *words]) == 0
    assert {path.name for path in Path("film").iterdir()} == {
        "interpolation.mp4",
        "latents.safetensors",
        "config.yaml",
    }
    reader = ffmpeg.read_frames("film/interpolation.mp4")
    meta = next(reader)
    frames = list(reader)
    assert (meta["size"], meta["fps"], len(frames)) == ((96, 96), 10, 10)
    model = lightning_gans.load(run)
    z = read_tensors(Path("film/latents.safetensors"))[0]["latents"]
    expected = model.decode(z)[5, 0].repeat_interleave(24, 0).repeat_interleave(24, 1)
    shown = np.frombuffer(frames[5], np.uint8).reshape(96, 96, 3)[..., 1] / 127.5 - 1
    assert np.abs(shown - expected.numpy()).mean() < 0.1, "colours survive the compression"


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["a=0", "b=nowhere.png"], 2, "b=nowhere.png: nowhere.png does not exist"),
        (["a=0"], 2, "no b is named"),
        (["a=0", "b=5000000000"], 2, "b=5000000000: expected a seed from 0 to 4,294,967,295"),
        (["a=0", "b=1", "steps=1"], 2, "steps: expected whole number from 2 to 1,000"),
        (["a=0", "b=1", "category=0"], 2, "DLSGAN is not class-conditional"),
        (["a=0", "b=1", "path=round"], 2, "expected one of linear, slerp, circle"),
        (["a=0", "b=text.png"], 1, "text.png cannot be read: cannot identify image file"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_no_folder(
    run: Path, words: list[str], status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.png").write_text("no image")
    found = refusal(["interpolate", str(run), *words, "out=new"], capsys)
    assert found[0] == status
    assert text in found[1]
    assert not Path("new").exists()


def test_models_that_cannot_are_told_so(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {
        "gan": GAN(SHAPE, 3, **TINY),  # type: ignore[arg-type]  # by name
        "cagan": CAGAN(SHAPE, (4,), 3, TinyConditionalGenerator, TinyDiscriminator),
        "autoencoder": Autoencoder(SHAPE, 3, **TINY),  # type: ignore[arg-type]  # by name
        "points": points(),
    }
    runs = {name: save(model, tmp_path / name) for name, model in made.items()}
    file = photos / "00.png"
    for name, ends, text in (
        ("gan", ("0", str(file)), "a GAN has no encoder of latents; give seeds"),
        ("cagan", (str(file), "0"), "a CAGAN has no encoder of latents; give seeds"),
        ("autoencoder", ("0", str(file)), "seed 0: an Autoencoder does not generate; give files"),
        ("points", ("0", "1"), "this model makes points"),
    ):
        words = ["interpolate", str(runs[name]), f"a={ends[0]}", f"b={ends[1]}"]
        status, said = refusal(words, capsys)
        assert (status, text in said) == (1, True), said
