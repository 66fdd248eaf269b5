"""Tables of images with labels, and animations of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.errors import InputError
from lightning_gans.metrics import to_uint8
from lightning_gans.workflows.animation import write_gif
from lightning_gans.workflows.picture_table import MARK, draw_table, fitted, font, grid, text_width
from tests.support.films import frames_of, information


def random_images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_every_image_is_enlarged_by_a_whole_factor_and_labelled() -> None:
    images = random_images(2, 3, 3, 32, 32)
    picture = draw_table(images, ["a", "b", "c"], ["one", "a longer\nlabel"], marked=(1,))
    pixels = np.asarray(picture).astype(int)
    left = picture.width - 8 - 3 * 100 + 4
    for row in range(2):
        for column in range(3):
            x, y = left + column * 100, 8 + 15 + row * 100
            shown = pixels[y : y + 96, x : x + 96][1::3, 1::3]
            expected = to_uint8(images[row, column]).permute(1, 2, 0).numpy()
            assert np.array_equal(shown, expected)
            frame = "#{:02x}{:02x}{:02x}".format(*pixels[y + 40, x - 2])
            assert (frame == MARK) == (column == 1)
    dark = (pixels.max(2) < 100)[:, : left - 4]
    assert dark[8 + 15 : 123].any(), "the label of the first row"
    assert not dark[:, -2:].any(), "no label reaches into an image"


def test_grey_images_and_labels_that_do_not_fit() -> None:
    picture = draw_table(random_images(1, 1, 1, 96, 96), ["a name that is wider than its image"])
    assert picture.size == (96 + 16, 96 + 16 + 15)
    cut = fitted("a name that is wider than its image", 96)
    assert cut.endswith("…")
    assert text_width(cut) <= 96
    assert fitted("ω\nwide", 3) == "\n"


def test_names_of_files_are_drawn_as_they_can_be_read() -> None:
    images = random_images(1, 1, 1, 96, 96)
    found, expected = (
        draw_table(images, [f"{mark}\nx"], [f"a {mark} b"])
        for mark in ("\x1b\u202e", r"\x1b\u202e")
    )
    assert found.size == expected.size, "a label has the room that it needs"
    assert found.tobytes() == expected.tobytes()


def test_letters_beyond_latin_are_drawn() -> None:
    boxes = {font().getmask(letter).getbbox() and bytes(font().getmask(letter)) for letter in "ωжé"}
    assert len(boxes) == 3, "each has a shape of its own"


def test_a_picture_that_is_too_large_or_of_other_channels_is_refused() -> None:
    with pytest.raises(InputError, match="ask for fewer images"):
        grid(torch.zeros(1, 1, 1, 1).expand(1, 1, 20_000, 20_000))
    with pytest.raises(InputError, match=r"grey or RGB images, these are of shape \(4, 8, 8\)"):
        grid(random_images(1, 4, 8, 8))


def test_a_grey_gif_loses_nothing(tmp_path: Path) -> None:
    frames = [Image.fromarray(to_uint8(x)[0].numpy()) for x in random_images(6, 1, 40, 40)]
    write_gif(tmp_path / "grey.gif", frames, 12, ping_pong=False)
    assert information(tmp_path / "grey.gif") == (0, 80), "for ever, in hundredths of a second"
    for shown, frame in zip(frames_of(tmp_path / "grey.gif"), frames, strict=True):
        assert np.array_equal(shown[..., 0], np.asarray(frame))


def test_colours_that_frames_share_do_not_flicker(tmp_path: Path) -> None:
    frames = []
    for number, x in enumerate(random_images(5, 3, 40, 40)):
        pixels = to_uint8(x).permute(1, 2, 0).numpy().copy()
        pixels[:20] = np.linspace(0, 255, 40, dtype=np.uint8)[None, :, None] * [1, 0, 0]
        pixels[:20, 0] = 10 * number  # so that frames differ
        frames.append(Image.fromarray(pixels.astype(np.uint8)))
    write_gif(tmp_path / "colour.gif", frames, 12, ping_pong=False)
    found = frames_of(tmp_path / "colour.gif")
    for seen, frame in zip(found, frames, strict=True):
        error = np.abs(seen.astype(int) - np.asarray(frame).astype(int)).mean()
        assert error < 20, "a wrong colour is off by 85 levels on average"
    shown = [frame[:20, 1:] for frame in found]
    assert len(shown) == 5
    assert all(np.array_equal(frame, shown[0]) for frame in shown), "the still half"
