"""Settings that follow from the size of the images, and who may set them instead."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest
import yaml

from lightning_gans.cli import CONFIGS, main
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.train import Command, parse_command
from lightning_gans.networks import ConvDiscriminator, ConvGenerator
from lightning_gans.scaling import CHANNELS, channels_at, penalty_weight
from tests.support.pictures import draw

FOLDER = ["model=dlsgan", "data=folder"]
SKIP = [
    "--model.generator=lightning_gans.networks.SkipGenerator",
    "--model.generator.channels=16",
    "--model.generator.max_channels=256",
    "--model.optimizer.lr=0.003",
    "--model.discriminator_optimizer=lightning_gans.optimizers.AdamW",
    "--model.discriminator_optimizer.lr=0.0003",
    "--data.batch_size=8",
]
CONV_DISCRIMINATOR = "--model.discriminator=lightning_gans.networks.ConvDiscriminator"
SKIP_AT_128 = [
    SKIP[0],
    "--model.generator.channels=8",
    "--model.discriminator.channels=8",
    *SKIP[2:],
]
# a rate of one's own is that of both players
OWN_RATE = [option for option in SKIP if "optimizer" not in option]


def parsed(*argv: str) -> Command:
    return parse_command("train", argv, Groups())


def fitted(*argv: str) -> list[str]:
    """The options that follow from the size of the images."""
    return list(parsed(*argv).derived)


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
    assert fitted(*FOLDER) == ["--model.r1=1.2", *SKIP]  # 64x64 in colour is the default
    assert fitted(*FOLDER, "data.resolution=32") == ["--model.r1=0.3"]
    assert fitted("model=cagan", "data=celeba", "data.resolution=64") == [
        "--model.r1=1.2",
        "--model.r2=1.2",
        *SKIP[:-1],  # the batch is in the config of the data
    ]
    (note,) = parsed(*FOLDER).notes
    assert note == (
        "for images of this size model=dlsgan has r1=1.2, generator=SkipGenerator, "
        "generator.channels=16, optimizer.lr=0.003, discriminator_optimizer.lr=0.0003, "
        "data.batch_size=8; what you type yourself stays"
    )


@pytest.mark.parametrize(("side", "width"), [(16, 16), (32, 16), (64, 16), (128, 8), (256, 4)])
def test_a_doubling_of_the_side_adds_a_level_and_leaves_the_others(side: int, width: int) -> None:
    """The levels below 64 pixels are as wide in networks of any size."""
    assert channels_at(side) == width


@pytest.mark.parametrize("network", [ConvGenerator, ConvDiscriminator])
def test_the_width_that_need_not_be_set_is_the_default(network: type) -> None:
    assert signature(network).parameters["channels"].default == CHANNELS


def test_networks_of_large_images_are_thin_at_their_resolution() -> None:
    large = [*FOLDER, "data.resolution=128", "data.channels=1"]
    assert fitted(*large) == [CONV_DISCRIMINATOR, "--model.r1=1.6", *SKIP_AT_128]
    typed = fitted(*large, "model.discriminator.channels=32", "model.generator.channels=32")
    assert typed == [
        CONV_DISCRIMINATOR,
        "--model.r1=1.6",
        *(option for option in SKIP_AT_128 if ".channels=" not in option),
    ]
    own = "model.discriminator=lightning_gans.networks.SkipDiscriminator"
    assert fitted(*large, own) == ["--model.r1=1.6"]
    assert fitted("model=autoencoder", "data=folder", "data.resolution=256") == [
        "--model.generator=lightning_gans.networks.ConvGenerator",
        CONV_DISCRIMINATOR,
        "--model.generator.channels=4",
        "--model.discriminator.channels=4",
        "--model.optimizer.lr=0.0003",
    ]
    # it brings its networks
    assert fitted("model=cgpgan_codebook", "data=folder", "data.resolution=128") == [
        "--model.r2=4.8"
    ]


def test_a_generator_that_shares_its_optimizer_with_an_encoder_is_of_convolutions_too() -> None:
    assert fitted("model=vaegan", "data=folder") == [
        "--model.r1=1.2",
        "--model.regularization=0.01",
        "--model.optimizer.lr=0.0003",
        "--data.batch_size=8",
    ]
    own = fitted("model=vaegan", "data=folder", "model.regularization=1", "optimizer.lr=0.001")
    assert own == ["--model.r1=1.2", "--data.batch_size=8"]
    assert "--model.optimizer.lr=0.003" in fitted("model=pvdgan", "data=folder")


def test_a_discriminator_whose_features_are_compared_is_slower_from_128_pixels_on() -> None:
    vaegan = ["model=vaegan", "data=folder", "data.resolution=128"]
    own = ["--model.discriminator_optimizer=lightning_gans.optimizers.AdamW"]
    rates = ["--model.optimizer.lr=0.0003", *own, "--model.discriminator_optimizer.lr=0.0001"]
    assert fitted(*vaegan)[-4:] == [*rates, "--data.batch_size=8"]
    # a rate of one's own is that of both players, and one of the discriminator its own alone
    assert not set(rates) & set(fitted(*vaegan, "optimizer.lr=0.001"))
    typed = fitted(*vaegan, "discriminator_optimizer.lr=0.001")
    assert set(rates) & set(typed) == set(rates[:2])


def test_widths_are_those_of_the_networks_that_fit() -> None:
    narrow = "model.generator.channels=8", "model.discriminator.channels=8"
    conv = CONV_DISCRIMINATOR
    skip = [option for option in SKIP if option != "--model.generator.channels=16"]
    assert fitted(*FOLDER, *narrow) == [conv, "--model.r1=1.2", *skip]
    assert fitted(*FOLDER, *narrow, "data.resolution=32", "data.channels=1") == [
        "--model.generator=lightning_gans.networks.ConvGenerator",
        conv,
    ]


def test_the_prior_loss_is_small_from_colour_on() -> None:
    small = ["model=vaegan", "data=folder", "data.resolution=32"]
    assert fitted(*small) == ["--model.r1=0.3", "--model.regularization=0.01"]
    assert fitted(*small, "data.channels=1") == []
    assert fitted(*small, "model.regularization=1") == ["--model.r1=0.3"]


def test_an_autoencoder_has_the_rate_of_convolutions() -> None:
    assert fitted("model=autoencoder", "data=folder") == ["--model.optimizer.lr=0.0003"]
    assert fitted("model=autoencoder", "data=folder", "data.resolution=32") == []
    assert fitted("model=autoencoder", "data=folder", "optimizer.lr=0.001") == []
    assert fitted("experiment=autoencoder_celeba") == []


IMAGE_MODELS = [path.stem for path in sorted((CONFIGS / "model").glob("*.yaml"))]


@pytest.mark.slow
@pytest.mark.parametrize("model", [m for m in IMAGE_MODELS if m not in ("classifier", "encoder")])
def test_every_model_of_images_trains_at_64_pixels(model: str, tmp_path: Path) -> None:
    """A loss that is not finite ends a training with an error: VAEGAN's came in iteration 8."""
    for name in ("star", "circle"):
        draw(tmp_path / "photos" / name, 20, 64)
    words = ["data=folder", f"data.root={tmp_path / 'photos'}", "evaluation.features=null"]
    main([f"model={model}", *words, "trainer.max_steps=30", "trainer.limit_val_batches=0"])
    assert list(tmp_path.glob("runs/*/*/*/checkpoints/last-step=30.ckpt"))


def test_images_of_the_size_of_the_config_and_points_are_left_alone() -> None:
    assert fitted("model=dlsgan") == []
    assert fitted(*FOLDER, "data.resolution=32", "data.channels=1") == []
    assert fitted("model=gan", "data=gaussians") == []


def test_models_that_bring_their_networks_or_play_no_game_keep_them() -> None:
    assert fitted("model=wgan_gp", "data=folder") == []  # its r1 is 0
    assert fitted("model=cgpgan_codebook", "data=folder") == ["--model.r2=1.2"]
    for model in ("dcgan_soft", "classifier", "encoder"):
        assert fitted(f"model={model}", "data=folder") == []


def test_what_a_person_or_an_experiment_sets_is_left_alone() -> None:
    assert fitted(*FOLDER, "model.r1=3") == SKIP
    assert fitted(*FOLDER, "--model.init_args.r1=3") == SKIP
    assert fitted(*FOLDER, "optimizer.lr=0.01") == ["--model.r1=1.2", *OWN_RATE]
    assert fitted(*FOLDER, "data.batch_size=32") == ["--model.r1=1.2", *SKIP[:-1]]
    derived = fitted(*FOLDER, "model.discriminator_optimizer.lr=0.01")
    assert "--model.discriminator_optimizer.lr=0.0003" not in derived
    assert {"--model.r1=1.2", "--model.optimizer.lr=0.003"} < set(derived)
    conv = "--model.generator=lightning_gans.networks.ConvGenerator"
    assert fitted(*FOLDER, conv.removeprefix("--")) == ["--model.r1=1.2"]
    long = conv.replace("model.", "model.init_args.")
    assert fitted(*FOLDER, long) == ["--model.r1=1.2"]
    assert fitted(*FOLDER, "model.generator.hidden=128") == [conv, "--model.r1=1.2"]
    plain = "model.discriminator=lightning_gans.networks.PlainDiscriminator"
    assert fitted(*FOLDER, plain) == ["--model.r1=1.2"]
    assert fitted("experiment=dlsgan_ffhq") == []
    adam = "optimizer=lightning_gans.optimizers.AdamW"
    assert fitted(*FOLDER, adam) == ["--model.r1=1.2", *OWN_RATE]


def test_a_file_of_data_may_set_what_follows_from_their_size(tmp_path: Path) -> None:
    faces = tmp_path / "faces.yaml"
    arguments = "{root: faces, resolution: 64}"
    section = f"data:\n  class_path: lightning_gans.data.Folder\n  init_args: {arguments}\n"
    model = "model:\n  class_path: lightning_gans.models.DLSGAN\n  init_args:\n"
    faces.write_text(f"{section}{model}    r1: 7.0\n")
    assert fitted("model=dlsgan", f"data={faces}") == SKIP
    adam = "{class_path: lightning_gans.optimizers.AdamW, init_args: {lr: 0.01}}"
    faces.write_text(f"{section}{model}    optimizer: {adam}\n")
    assert fitted("model=dlsgan", f"data={faces}") == ["--model.r1=1.2", *OWN_RATE]


def test_of_two_sizes_the_last_counts_and_only_training_tells_of_it() -> None:
    words = (*FOLDER, "data.resolution=128", "data.init_args.resolution=32")
    assert fitted(*words) == ["--model.r1=0.3"]
    assert parse_command("validate", words, Groups()).derived == ("--model.r1=0.3",)
    assert not any("images of this size" in n for n in parse_command("test", words, Groups()).notes)


def test_a_config_file_may_set_the_size(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "data:\n  class_path: lightning_gans.data.Folder\n"
        "  init_args: {root: photos, resolution: 128}\n"
    )
    assert fitted("model=dlsgan", f"--config={own}") == [
        CONV_DISCRIMINATOR,
        "--model.r1=4.8",
        *SKIP_AT_128,
    ]
    assert fitted("model=dlsgan", f"--config={own}", "data.resolution=32") == ["--model.r1=0.3"]
    # data that are named apply after the file, and folder.yaml sets 64 pixels
    assert fitted(*FOLDER, f"--config={own}") == ["--model.r1=1.2", *SKIP]
    own.write_text(own.read_text() + "trainer:\n  devices: 3\n")
    assert parsed("model=dlsgan", f"--config={own}").processes == 3
    assert parsed("model=dlsgan", f"--config={own}", "trainer=cpu").processes == 1


def test_the_config_of_a_run_holds_the_settings_that_fit(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["data=folder", f"data.root={image_folder}", "evaluation.features=null"]
    main(["model=pvdgan", *words, "trainer.max_steps=1", "trainer.limit_val_batches=0"])
    (file,) = tmp_path.glob("runs/*/*/*/config.yaml")
    config = yaml.safe_load(file.read_text())
    assert config["data"]["init_args"]["batch_size"] == 8
    model = config["model"]["init_args"]
    assert model["r1"] == 1.2
    assert model["optimizer"]["init_args"]["lr"] == 0.003
    assert model["generator"]["class_path"].endswith(".SkipGenerator")
    assert model["generator"]["init_args"]["max_channels"] == 256
    (again,) = [parsed(f"ckpt={file.parent}")]
    assert again.derived == again.notes == ()  # a run that is resumed keeps what it has
