"""The published experiments at their real size: what they cost, and that they train.

On a stand-in device, and with real values in two iterations of small batches.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.cli import main
from lightning_gans.reproduce.items import find_item
from tests.support.experiments import (
    FILES,
    NAMES,
    OF,
    PAGE,
    cost_line,
    cost_of,
    number,
    settings_of,
    table,
)
from tests.support.idx import write_digits


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 "), (999, "999 "), (999.7, "1 k"), (1_234_567, "1.23 M"), (1e15, "1 P")],
)
def test_numbers_have_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert number(value) == text


def test_every_experiment_says_what_it_costs_and_is_in_the_table() -> None:
    for name in NAMES:
        assert re.fullmatch(
            r"# cost: [\d.]+ [kM] parameters, [\d.]+ [MGT]FLOP an iteration, "
            r"[\d.]+ [TPE]FLOP in all",
            cost_line(name),
        ), name
    assert table() in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_at_its_real_size_costs_what_its_file_says(name: str) -> None:
    """Networks, images and batches of the published size, on a device without values."""
    assert cost_of(name).line() == cost_line(name)


def test_the_operations_of_a_known_network_are_counted() -> None:
    """Of fully connected layers: (2·512 + 3·512²) multiplications with their additions a row."""
    cost = cost_of("cagan_gaussians")
    sizes = [(256 + 4, 512), (512, 512), (512, 512), (512, 512), (512, 2)]
    generator = sum(a * b for a, b in sizes)
    sizes = [(2, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 4)]
    discriminator = sum(a * b for a, b in sizes)
    biases = (4 * 512 + 2) + (5 * 512 + 4)
    assert cost.parameters == generator + discriminator + biases
    # forward passes of both turns alone: G twice, D of x and y, then of y
    assert cost.flop > 2 * 32 * (2 * generator + 3 * discriminator)
    # with gradients at most four times as much for each pass, and penalties twice that
    assert cost.flop < 2 * 32 * (8 * generator + 24 * discriminator)


def write_data(root: Path, name: str) -> list[str]:
    """A few images of the size and in the layout of an experiment's data; options for them."""
    given = settings_of(name)["data"]
    kind = given["class_path"].rpartition(".")[2]
    numbers = np.random.default_rng(0)
    if kind == "Gaussians":
        return ["data.train=64", "data.validation=8"]
    if kind == "MNIST":
        write_digits(root, "MNIST", 0, train=64)
        return [f"data.root={root}"]
    if kind == "CelebA":
        folder = root / "img_align_celeba"
        folder.mkdir(parents=True)
        attributes = given["init_args"].get("attributes", ["Bangs", "Male", "Smiling"])
        rows = []
        for place in [*range(1, 13), *range(182_638, 182_642)]:
            pixels = numbers.integers(0, 256, (218, 178, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{place:06}.jpg")
            signs = " ".join(numbers.choice(["1", "-1"], len(attributes)))
            rows.append(f"{place:06}.jpg {signs}")
        text = "\n".join([str(len(rows)), " ".join(attributes), *rows]) + "\n"
        (root / "list_attr_celeba.txt").write_text(text)
        return [f"data.root={root}", "data.cache=0"]
    side = given["init_args"]["resolution"]
    root.mkdir(parents=True)
    for place in range(16):
        pixels = numbers.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{place:02}.png")
    validation = [] if given["init_args"]["validation"] == 0 else ["data.validation=4"]
    return [f"data.root={root}", "data.cache=0", *validation]


SMALL = [
    *("trainer.accelerator=cpu", "trainer.max_steps=2", "trainer.limit_val_batches=1"),
    *("trainer.num_sanity_val_steps=0", "trainer.val_check_interval=2", "pictures.samples=2"),
    *("trainer.enable_progress_bar=false", "pictures.dimensions=1", "logger=csv"),
]


@pytest.mark.slow
@pytest.mark.large
@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_makes_two_iterations_on_stand_in_images_of_its_size(
    name: str, tmp_path: Path
) -> None:
    """At full width: a batch of the critic's five parts, or of two images."""
    options = write_data(tmp_path / "data", name)
    steps = settings_of(name)["model"]["init_args"].get("critic_steps", 1)
    options += [f"data.batch_size={10 if steps > 1 else 2}", *SMALL]
    if "features" in settings_of(name).get("evaluation", {}):
        # also of measurements that need Inception's weights
        options += ["evaluation.features=null", "evaluation.measurements=[]"]
    if name in OF:
        main([f"experiment={OF[name]}", *options])
        (source,) = (tmp_path / "runs").glob("*/*/*/checkpoints/last-step=2.ckpt")
        options.append(f"model.checkpoint={source}")
    main([f"experiment={name}", *options])
    rows = [*(tmp_path / "runs").glob("*/*/*/metrics.csv")]
    assert rows
    for saved in (tmp_path / "runs").glob("*/*/*/checkpoints/last-step=2.ckpt"):
        weights = torch.load(saved, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("item", "training", "words"),
    [
        ("thesis-figure-8", "acgan_1", "acgan_gaussians"),
        ("thesis-figure-11", "acgan_pure", "acgan_gaussians_pure"),
        ("thesis-figure-11", "acgan_mixed", "acgan_gaussians_mixed"),
        ("thesis-figure-11", "cagan_pure", "cagan_gaussians_pure"),
        ("thesis-figure-11", "cagan_mixed", "mixed_gaussians"),
        ("thesis-figure-38", "continuous", "gan_gaussians"),
        ("thesis-figure-38", "categorical", "gan_categories_gaussians"),
        ("thesis-figure-39", "infogan", "infogan_gaussians"),
        ("thesis-figure-40", "t01_slow", "elastic_infogan_gaussians"),
        (
            *("thesis-figure-40", "t1_fast"),
            "elastic_infogan_gaussians model.categories.temperature=1 model.categories_lr=0.001",
        ),
    ],
)
def test_an_experiment_is_what_a_figure_of_the_thesis_trains(
    item: str, training: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    merged = []
    typed = find_item(item).train_words(training, "paper", {"root": "data", "seed": "0"})
    for command in (f"experiment={words}".split(), typed):
        with pytest.raises(SystemExit) as caught:
            main([*command, "--print_config"])
        assert not caught.value.code
        merged.append(capsys.readouterr().out)
    assert merged[0] == merged[1]


def test_every_file_is_an_experiment_or_the_demonstration() -> None:
    assert {*FILES} == {*NAMES, "demo"}
