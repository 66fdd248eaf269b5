"""What the page does with images and latents, whose they are, and what it refuses."""

from __future__ import annotations

import copy
import csv
import json
import math
import shutil
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, distributions

from lightning_gans.app import images
from lightning_gans.app.explored import Explored, Models, Verdict, check_images
from lightning_gans.app.images import Preparation, enlarged, picture, prepare
from lightning_gans.app.latents import (
    category_choices,
    draw,
    edited,
    encode,
    leading,
    positions,
    reach,
)
from lightning_gans.app.page import serve
from lightning_gans.app.samples import WHOLE
from lightning_gans.cli import main
from lightning_gans.data import Folder
from lightning_gans.data.images import LARGE, ImageFiles
from lightning_gans.errors import InputError, UserError
from lightning_gans.models import CAGAN, GAN, Classifier
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.ood.folder_images import prepared
from lightning_gans.priors import DynamicScale, Independent, Normal, Uniform
from lightning_gans.runs.exported import write_config
from tests.support.gradio_stub import (
    PageError,
    Widget,
    free_port,
    image_of,
    open_page,
    positions_of,
    put_in_place,
    typed,
    visit,
)
from tests.support.models import tiny_dlsgan
from tests.support.rounds import LATENT, SHAPE, TinyDiscriminator, TinyGenerator
from tests.support.saved_models import save


def saved(folder: Path, size: tuple[int, int] = (8, 8), name: str = "a.png") -> str:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return str(folder / name)


def test_pictures_and_images_are_each_others_inverse(tmp_path: Path) -> None:
    path = saved(tmp_path)
    x = prepare(path, (3, 8, 8), Preparation())
    assert x.shape == (1, 3, 8, 8)
    np.testing.assert_array_equal(picture(x), np.array(Image.open(path)))


def test_a_grey_model_gets_a_grey_image_of_its_size(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20), "white").save(tmp_path / "a.png")
    x = prepare(str(tmp_path / "a.png"), (1, 4, 4), Preparation())
    torch.testing.assert_close(x, torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize("crop", ["center", "none", (3, 0, 5, 2)])
def test_an_upload_is_prepared_as_in_training_and_scoring(crop: Any, tmp_path: Path) -> None:
    path = saved(tmp_path, (40, 20))
    data = Folder(str(tmp_path), 16, crop=crop, validation=0)
    data.setup()
    found = prepare(path, (3, 16, 16), Preparation(data.crop, data.padding))[0]
    assert isinstance(data.train_set, ImageFiles)
    assert torch.equal(found, data.train_set[0][0])
    assert torch.equal(found, prepared(tmp_path, ["a.png"], (3, 16, 16), data.describe())[0][0])


def test_a_digit_is_padded_as_in_training(tmp_path: Path) -> None:
    path = saved(tmp_path, (28, 28))
    x = prepare(path, (1, 32, 32), Preparation(padding=2))
    assert (x[0, 0, :2] == -1).all()
    assert (x[0, 0, 2:-2, 2:-2] != -1).any()


def test_an_upload_of_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (13_300, 13_300)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "PreparedImages", None)
    with pytest.raises(InputError, match=r"13,300 x 13,300 pixels; give one of at most 40 mega"):
        prepare(str(tmp_path / "a.png"), (3, 8, 8), Preparation())
    assert LARGE == 40_000_000


@pytest.mark.parametrize("name", ["empty.png", "cut.png", "text.svg", "gone.png"])
def test_an_upload_that_is_no_image_is_one_line(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, (40, 40))
    content = {"empty.png": b"", "cut.png": Path(path).read_bytes()[:900], "text.svg": b"<svg/>"}
    if name in content:
        (tmp_path / name).write_bytes(content[name])
    with pytest.raises(InputError, match=r"^this image cannot be read: ") as caught:
        prepare(str(tmp_path / name), (3, 8, 8), Preparation())
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("side", "shown"), [(32, 320), (64, 320), (256, 256), (512, 512)])
def test_small_images_are_shown_larger_with_their_own_pixels(side: int, shown: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found = enlarged(pixels)
    assert found.shape == (shown, shown, 3)
    factor = shown // side
    np.testing.assert_array_equal(found[::factor, ::factor], pixels)
    np.testing.assert_array_equal(found[factor - 1 :: factor, factor - 1 :: factor], pixels)


def test_sliders_edit_the_elements_of_the_largest_scale() -> None:
    model = tiny_dlsgan()
    assert isinstance(model.prior, DynamicScale)
    model.prior.v.copy_(torch.tensor([0.1, 0.9, 0.5]))
    assert leading(model) == [1, 2, 0]
    latent = [0.0] * LATENT
    expected = picture(model.decode(torch.tensor([[0.0, 2.0, -1.0]])))
    np.testing.assert_array_equal(edited(model, latent, (2.0, -1.0)), expected)
    assert latent == [0.0] * LATENT


def test_a_class_conditional_image_is_in_the_category_that_is_set() -> None:
    model = CAGAN(
        (1, 4, 4),
        (3, 2),
        latent_dim=LATENT,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
    )
    latent = draw(model)
    c = torch.tensor([[0.0, 0.0, 1.0, 0.0, 1.0]])
    values = tuple(p.value for p in positions(model, latent))
    expected = picture(model.decode(torch.tensor([latent]), c))
    np.testing.assert_array_equal(edited(model, latent, values, (2, 1)), expected)


def test_categories_are_chosen_by_their_names() -> None:
    model = CAGAN(
        (1, 4, 4),
        (3, 2),
        latent_dim=LATENT,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
    )
    numbers = [[("0", 0), ("1", 1), ("2", 2)], [("0", 0), ("1", 1)]]
    assert category_choices(model) == numbers
    model.class_names = (("disc", "red star", "3"), ("not hat", "hat"))
    assert category_choices(model) == [
        [("disc", 0), ("red star", 1), ("3", 2)],
        [("not hat", 0), ("hat", 1)],
    ]
    # names of something else
    model.class_names = (("a", "b", "c", "d"),)
    assert category_choices(model) == numbers
    assert category_choices(tiny_dlsgan()) == []


def model_with(prior: Any, dim: int = 4) -> GAN:
    return GAN(
        SHAPE, latent_dim=dim, generator=TinyGenerator, discriminator=TinyDiscriminator, prior=prior
    )


def test_every_draw_is_between_the_ends_of_its_sliders() -> None:
    laplace = distributions.Laplace(torch.tensor(0.0), torch.tensor(1.0))
    several = distributions.Normal(torch.tensor([0.0, 9.0, -9.0, 0.0]), torch.ones(4))
    parts: list[Any] = [
        Normal,
        Uniform,
        partial(Independent, distribution=laplace),
        partial(Independent, distribution=several),
    ]
    torch.manual_seed(0)
    for prior in parts:
        model = model_with(prior)
        low, high = (torch.tensor(end) for end in reach(model))
        drawn = model.prior.sample(20_000)
        # a share of 1e-6 is none of 20,000
        assert not ((drawn < low) | (drawn > high)).any()
        assert (high - low).max() < 100
    assert reach(model_with(Normal))[1][0] == pytest.approx(5.2, abs=0.2)


def test_an_image_that_is_coded_beyond_all_draws_is_not_clipped() -> None:
    model = model_with(Normal)
    latent = [0.0, 17.0, -40.0, 1.0]
    found = positions(model, latent)
    assert [p.value for p in found] == latent
    assert found[1].high == 17
    assert found[2].low == -40
    assert found[1].low == pytest.approx(-5.2, abs=0.2)


@pytest.fixture
def gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)


@pytest.mark.usefixtures("gradio")
def test_the_page_is_served_to_this_machine_alone() -> None:
    port = free_port()
    serve(Models({"a": lambda: Explored(tiny_dlsgan())}), port)
    assert Widget.launched["server_name"] == "127.0.0.1"
    assert Widget.launched["server_port"] == port
    assert Widget.launched["share"] is False


@pytest.mark.usefixtures("gradio")
def test_an_upload_of_one_browser_is_not_seen_by_another(tmp_path: Path) -> None:
    model = tiny_dlsgan()
    first = open_page(model)
    (a, picture_of_a), second = (first[0], image_of(first)), visit()
    before = copy.deepcopy(a)
    shown = Widget.events["upload"](saved(tmp_path), second[0], *typed(positions_of(second)))
    b, seen = shown[0], shown[-2]
    assert a.visitor != b.visitor
    x = prepare(saved(tmp_path), model.image_shape, Preparation())
    assert b.latent == encode(model, x)
    np.testing.assert_array_equal(seen, enlarged(picture(x)))
    assert a == before
    np.testing.assert_array_equal(
        Widget.events["show"](a, *typed([a.latent[i] for i in leading(model)])), picture_of_a
    )
    np.testing.assert_array_equal(
        Widget.events["show"](b, *typed([b.latent[i] for i in leading(model)])), image_of(shown)
    )
    assert (picture_of_a != image_of(shown)).any()
    # what was said of the upload is not of a sample, nor of an upload that is taken away
    assert Widget.events["upload"](None, b, *typed(positions_of(shown)))[-2:] == [None, ""]
    assert Widget.events["new"](b, *typed(positions_of(shown)))[-2:] == [None, ""]


@pytest.mark.usefixtures("gradio")
def test_an_upload_is_told_its_psnr_and_how_usual_it_is(tmp_path: Path) -> None:
    model = tiny_dlsgan()
    x = prepare(saved(tmp_path), model.image_shape, Preparation())
    made = model.reconstruct(x).clamp(-1, 1)
    expected = 10 * math.log10(4 / float((x - made).square().mean()))
    asked = []

    def judge(image: Tensor) -> Verdict:
        asked.append(image)
        return Verdict(0.125, "nll", 1999)

    session, *_ = open_page(model, judge=judge)
    text = Widget.events["upload"](saved(tmp_path), session, *typed([]))[-1]
    assert f"{expected:.1f} dB" in text
    assert "OOD p-value: 0.12, the share of 1,999 held-out images with a nll score" in text
    assert torch.equal(asked[0], x)
    session, *_ = open_page(model)
    text = Widget.events["upload"](saved(tmp_path), session, *typed([]))[-1]
    assert "No OOD p-value" in text


@pytest.mark.usefixtures("gradio")
def test_an_upload_for_a_model_without_encoder_is_shown_as_the_model_sees_it(
    tmp_path: Path,
) -> None:
    model = model_with(Normal)
    shown = open_page(model)
    after = Widget.events["upload"](saved(tmp_path), shown[0], *typed(positions_of(shown)))
    assert after[0] == shown[0]
    x = prepare(saved(tmp_path), model.image_shape, Preparation())
    np.testing.assert_array_equal(after[-2], enlarged(picture(x)))
    assert "no encoder" in after[-1]


@pytest.mark.usefixtures("gradio")
def test_reset_takes_the_elements_back_to_the_latent_of_the_page() -> None:
    model = tiny_dlsgan()
    shown = open_page(model)
    session, values = shown[0], positions_of(shown)
    assert values == pytest.approx([session.latent[i] for i in leading(model)], abs=1e-3)
    further = typed([value + 1 for value in values])
    moved = Widget.events["show"](session, *further)
    assert (moved != image_of(shown)).any()
    again = Widget.events["reset"](session, *further)
    assert again[0] == session
    assert positions_of(again) == values
    np.testing.assert_array_equal(image_of(again), image_of(shown))


@pytest.mark.usefixtures("gradio")
def test_a_path_leads_from_the_image_that_was_kept_to_the_one_that_is_shown() -> None:
    model = tiny_dlsgan()
    first = open_page(model)[0]
    moved = [value + 1 for value in (first.latent[i] for i in leading(model))]
    kept, image = Widget.events["keep"](first, *typed(moved))
    np.testing.assert_array_equal(image, Widget.events["show"](first, *typed(moved)))
    second = Widget.events["new"](kept, *typed(moved))[0]
    assert second.latent != kept.latent
    ends = typed([second.latent[i] for i in leading(model)])
    between = partial(Widget.events["between"], second)
    np.testing.assert_array_equal(between(0.0, *ends), image)
    np.testing.assert_array_equal(between(1.0, *ends), Widget.events["show"](second, *ends))
    z = 0.75 * torch.tensor([kept.start]) + 0.25 * torch.tensor([second.latent])
    expected = enlarged(picture(model.decode(z))).astype(int)
    assert abs(between(0.25, *ends).astype(int) - expected).max() <= 1
    with pytest.raises(PageError, match="keep an image as its start"):
        Widget.events["between"](first, 0.5, *ends)


@pytest.mark.usefixtures("gradio")
def test_the_grid_of_a_seed_has_the_samples_that_generate_draws(tmp_path: Path) -> None:
    from lightning_gans.workflows.app import SAMPLES, draws_of

    model = model_with(Normal)
    run = save(model, tmp_path / "run")
    session, *_ = open_page(model, draws=draws_of(model))
    sheet = partial(Widget.events["sheet"], session)
    cases: list[tuple[float, list[str]]] = [(WHOLE, []), (0.5, ["truncation=0.5"])]
    for truncation, words in cases:
        out = tmp_path / f"out{truncation}"
        main(
            ["generate", f"ckpt={run}", f"n={SAMPLES}", "seed=3", f"out={out}", *words, "columns=6"]
        )
        # which has white between the images, where the page has black
        expected = np.array(Image.open(out / "samples.png").convert("RGB"))
        found = sheet(3, truncation, *typed([]))
        assert found.shape == expected.shape
        inside = expected < 255
        np.testing.assert_array_equal(found[inside], expected[inside])
    assert (sheet(3, WHOLE, *typed([])) != sheet(4, WHOLE, *typed([]))).any()


@pytest.mark.usefixtures("gradio")
def test_a_page_that_was_left_for_hours_says_that_it_is_forgotten() -> None:
    open_page(tiny_dlsgan())
    with pytest.raises(PageError, match="reload"):
        Widget.events["show"](None, *typed([]))


def test_an_image_is_judged_as_ood_score_judges_it(tmp_path: Path) -> None:
    from lightning_gans.workflows import app as workflow
    from tests.support.pictures import draw as draw_pictures

    model = tiny_dlsgan()
    run = save(model, tmp_path / "runs" / "dlsgan" / "folder" / "now")
    side = model.image_shape[1]
    draw_pictures(tmp_path / "photos", 60, side)
    arguments = {
        "root": str(tmp_path / "photos"),
        "resolution": side,
        "channels": model.image_shape[0],
        "validation": 0.5,
    }
    section = {"class_path": "lightning_gans.data.Folder", "init_args": arguments}
    (run / "config.yaml").write_text(json.dumps({"data": section}), encoding="utf-8")
    judge = workflow.judge_of(model, str(run))
    assert judge is not None
    draw_pictures(tmp_path / "scans", 3, side, seed=1)
    main(["ood", "score", f"ckpt={run}", f"images={tmp_path / 'scans'}", f"out={tmp_path / 'out'}"])
    with (tmp_path / "out" / "scores.csv").open() as file:
        expected = {row["file"]: float(row["pvalue"]) for row in csv.DictReader(file)}
    for name, p in expected.items():
        x = prepare(str(tmp_path / "scans" / name), model.image_shape, Preparation())
        found = judge(x)
        assert found.held_out == 30
        assert found.pvalue == pytest.approx(p, abs=1e-6)
    assert workflow.judge_of(model_with(Normal), str(run)) is None, "it reads no images"
    shutil.rmtree(tmp_path / "photos")
    (run / "checkpoints" / "last-step=1.ood.safetensors").unlink()
    with pytest.warns(UserWarning, match="the page shows no OOD p-values: .*photos"):
        assert workflow.judge_of(model, str(run)) is None


@pytest.mark.usefixtures("gradio")
def test_what_is_wrong_with_an_upload_is_shown_in_the_page(tmp_path: Path) -> None:
    session, *_ = open_page(tiny_dlsgan())
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(PageError, match="this image cannot be read"):
        Widget.events["upload"](str(tmp_path / "a.png"), session, *typed([]))
    with pytest.raises(PageError, match="finite"):
        Widget.events["show"](session, *typed([float("nan")] * LATENT))


@pytest.mark.usefixtures("gradio")
def test_a_busy_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = f"port={port} is in use by another program; choose another, such as {port + 1}"
        with pytest.raises(UserError, match=words):
            serve(Models({"a": lambda: Explored(tiny_dlsgan())}), port)
        with pytest.raises(SystemExit) as caught:
            main(["app", "nowhere", f"port={port}"])
        assert caught.value.code == 1
        assert capsys.readouterr().err == f"error: {words}\n"


def test_a_model_knows_how_its_images_were_prepared(tmp_path: Path) -> None:
    from lightning_gans.workflows.app import preparation

    run = tmp_path / "runs" / "dlsgan" / "folder" / "now"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last-step=1.ckpt").touch()
    section = {"class_path": "lightning_gans.data.Folder"}
    arguments = {"root": "nowhere", "resolution": 16, "crop": [1, 2, 3, 4]}
    config = {"data": {**section, "init_args": arguments}}
    checkpoint = str(run / "checkpoints" / "last-step=1.ckpt")
    assert preparation(checkpoint) == Preparation()
    (run / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    assert preparation(checkpoint) == Preparation((1, 2, 3, 4), 0)
    (run / "config.yaml").write_text("data: {class_path: lightning_gans.data.MNIST5k}", "utf-8")
    assert preparation(checkpoint) == Preparation("center", 2)
    (run / "config.yaml").write_text("[", encoding="utf-8")
    with pytest.warns(UserWarning, match="images are not cropped as in training"):
        assert preparation(checkpoint) == Preparation()


def test_models_without_images_have_no_page() -> None:
    with pytest.raises(UserError, match="expected a model that generates images, got a Classifier"):
        check_images(Classifier((1, 16, 16), (3,)))
    with pytest.raises(UserError, match=r"expected a model of images, got one of points \(2,\)"):
        check_images(GAN((2,), latent_dim=2))


def test_without_gradio_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install --upgrade 'lightning_gans\[app\]'"):
        serve(Models({"a": lambda: Explored(tiny_dlsgan())}))


@pytest.mark.usefixtures("gradio")
def test_an_old_gradio_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["gradio"], "__version__", "6.9.1", raising=False)
    with pytest.raises(UserError, match=r"needs gradio 6\.31 or newer, and 6\.9\.1 is here"):
        serve(Models({"a": lambda: Explored(tiny_dlsgan())}))


def test_a_missing_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["app", "nowhere", f"port={free_port()}"])
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: no checkpoint at nowhere")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"crop": [1, 2, 3, 4], "padding": 0}, Preparation((1, 2, 3, 4), 0)),
        ({"crop": "none", "padding": 2}, Preparation("none", 2)),
        (None, Preparation()),
    ],
)
def test_an_exported_model_says_how_images_are_prepared(
    told: object, expected: Preparation, tmp_path: Path
) -> None:
    from lightning_gans.workflows.app import preparation

    (tmp_path / "model.safetensors").touch()
    write_config(tmp_path, {"preparation": told})
    assert preparation(str(tmp_path)) == expected
    refused: tuple[dict[str, object], ...] = (
        {"crop": [1, -2, 3, 4]},
        {"crop": "all"},
        {"crop": [[]]},
        {"padding": "2"},
    )
    for damaged in refused:
        write_config(tmp_path, {"preparation": damaged})
        with pytest.warns(UserWarning, match="expected a crop and a padding"):
            assert preparation(str(tmp_path)) == Preparation()
