"""The images that the documentation trains on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import example_images

# area of each kind in units of radius²: of the polygon by the shoelace formula
AREAS = {"circle": np.pi, "square": 2 * 1.1**2, "triangle": 1.299 * 1.15**2, "star": 1.9046}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.png")}


def test_the_same_options_make_the_same_images_and_another_seed_makes_others(
    tmp_path: Path,
) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        folder = str(tmp_path / name)
        example_images.main(["shapes", folder, "--images", "20", "--size", "16", "--seed", seed])
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert first == again
    assert not set(first.values()) & set(other.values())
    assert len(first) == 20
    assert {name.partition("/")[0] for name in first} <= set(example_images.KINDS)


def test_a_shape_has_the_area_of_its_kind() -> None:
    rng = np.random.default_rng(3)
    found: dict[str, list[float]] = {kind: [] for kind in AREAS}
    for _ in range(40):
        kind, image = example_images.draw_shape(rng)
        pixels = np.asarray(image)
        centre = pixels[100:156, 100:156].reshape(-1, 3)
        colour = np.median(centre, axis=0)
        inside = (pixels == colour).all(axis=-1)
        found[kind].append(inside.sum() / 70**2)
    # radii are uniform from 50 to 90
    for kind, areas in found.items():
        assert areas, kind
        unit = np.array(areas) / AREAS[kind]
        assert (unit > 0.97 * (50 / 70) ** 2).all(), (kind, unit)
        assert (unit < 1.03 * (90 / 70) ** 2).all(), (kind, unit)


def test_patches_are_squares_of_the_photographs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (300, 500, 3), dtype=np.uint8)
    patch = np.asarray(example_images.cut_patch([photo], rng))
    side = patch.shape[0]
    assert patch.shape == (side, side, 3)
    assert 128 <= side <= 150
    places = np.lib.stride_tricks.sliding_window_view(photo, (side, side, 3))[:, :, 0]
    assert (places[..., 0, 0, :] == patch[0, 0]).all(-1).any()
    matches = [
        (y, x)
        for y, x in zip(*np.nonzero((places[..., 0, 0, :] == patch[0, 0]).all(-1)), strict=True)
        if (places[y, x] == patch).all()
    ]
    assert len(matches) == 1


def test_a_folder_that_exists_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    with pytest.raises(SystemExit) as stopped:
        example_images.main(["shapes", str(tmp_path), "--images", "1"])
    assert stopped.value.code == 2
    assert f"{tmp_path} exists: name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
