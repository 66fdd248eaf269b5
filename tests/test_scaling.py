"""Settings that follow from the size of the images, and who may set them instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.train import Command, parse_command
from lightning_gans.scaling import penalty_weight

FOLDER = ["model=dlsgan", "data=folder"]


def parsed(*argv: str) -> Command:
    return parse_command("train", argv, Groups())


def penalties(*argv: str) -> list[str]:
    """The options of a command line that set a gradient penalty."""
    return [o for o in parsed(*argv).options if o.partition("=")[0].endswith((".r1", ".r2"))]


@pytest.mark.parametrize(
    ("image_shape", "weight"),
    [
        ((1, 32, 32), 0.1),
        ((3, 32, 32), 0.3),
        ((3, 64, 64), 1.2),
        ((1, 64, 64), 0.4),
        ((3, 128, 128), 4.8),
        ((3, 256, 256), 19.2),
        ((1, 16, 16), 0.025),
    ],
)
def test_the_penalty_grows_with_the_number_of_values(
    image_shape: tuple[int, ...], weight: float
) -> None:
    assert penalty_weight(0.1, image_shape) == weight


def test_a_person_with_larger_images_types_nothing_more() -> None:
    assert penalties(*FOLDER) == ["--model.r1=1.2"]  # 64x64 in colour is the default
    assert penalties(*FOLDER, "data.resolution=128", "data.channels=1") == ["--model.r1=1.6"]
    assert penalties("model=cagan", "data=celeba", "data.resolution=64") == [
        "--model.r1=1.2",
        "--model.r2=1.2",
    ]
    (note,) = parsed(*FOLDER).notes
    assert note.startswith("model.r1=1.2 for images of this size")


def test_images_of_the_size_of_the_config_and_points_are_left_alone() -> None:
    assert penalties("model=dlsgan") == []
    assert penalties(*FOLDER, "data.resolution=32", "data.channels=1") == []
    assert penalties("model=gan", "data=gaussians") == []
    assert penalties("model=wgan_gp", "data=folder") == []  # its r1 is 0


def test_what_a_person_or_an_experiment_sets_is_left_alone() -> None:
    assert penalties(*FOLDER, "model.r1=3") == ["--model.r1=3"]
    assert penalties(*FOLDER, "--model.init_args.r1=3") == ["--model.init_args.r1=3"]
    assert penalties("experiment=dlsgan_ffhq") == []


def test_a_config_file_may_set_the_size(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "data:\n  class_path: lightning_gans.data.Folder\n"
        "  init_args: {root: photos, resolution: 128}\n"
    )
    assert penalties("model=dlsgan", f"--config={own}") == ["--model.r1=4.8"]
    assert penalties("model=dlsgan", f"--config={own}", "data.resolution=32") == ["--model.r1=0.3"]
