"""Each item of the package can be built in each of its profiles, and a wrong one is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from lightning_gans.cli import CONFIGS
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.train import parse_command
from lightning_gans.errors import UsageError
from lightning_gans.reproduce.fingerprints import (
    NEUTRAL,
    class_paths,
    code_version,
    source_hash,
    training_hash,
)
from lightning_gans.reproduce.items import (
    DOCUMENTS,
    Item,
    all_items,
    find_item,
    item_files,
    read_item,
)
from lightning_gans.reproduce.pages import pages
from lightning_gans.reproduce.running import Run, imported
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.signatures import PACKAGE
from tests.support.idx import write_digits
from tests.support.reproductions import TINY, InProcess, status_of, write_item

ROOT = CONFIGS.parent
ITEMS = {file.stem.replace("_", "-"): file for file in (CONFIGS / "reproduce").glob("*.yaml")}
CASES = [
    (name, profile)
    for name, file in sorted(ITEMS.items())
    for profile in read_mapping(file)["profiles"]
]


def commands(item: Item, profile: str, runs: str) -> dict[str, list[str]]:
    """The words of all trainings of a profile."""
    folders = {"root": "data", "seed": "0", **{name: f"{runs}/{name}" for name in item.trainings}}
    return {t.name: item.train_words(t.name, profile, folders) for t in item.trainings_of(profile)}


@pytest.mark.parametrize(("name", "profile"), CASES)
def test_an_item_can_be_built_in_each_profile(name: str, profile: str) -> None:
    item = read_item(ITEMS[name])  # names, claims, published values and functions resolve
    assert item.values_of(profile)
    assert item.claims_of(profile) or item.pictures
    for words in commands(item, profile, "runs").values():
        # names, files, options and types are checked from the source
        parsed = parse_command("train", words, Groups([CONFIGS]))
        assert parsed.options
        # the seed is added, and a run that ends early would count as finished
        assert not [w for w in words if w.startswith(("seed_everything", "trainer.max_time"))]
    for measure in item.measures_of(profile):
        if measure.function:
            assert callable(imported(measure.function))
    for picture in item.pictures:
        assert callable(imported(picture.function))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "profile"), CASES)
def test_the_config_of_each_training_is_valid(
    name: str, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    item = read_item(ITEMS[name])
    for words in commands(item, profile, "runs").values():
        assert status_of(["train", *words, "--print_config"]) == 0, words
        assert yaml.safe_load(capsys.readouterr().out)["model"]["class_path"]


def test_items_are_of_documents_of_the_bibliography() -> None:
    text = (ROOT / "docs" / "bibliography.md").read_text()
    assert set(DOCUMENTS.values()) <= set(re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE))


def test_items_are_listed_in_the_order_of_the_documents() -> None:
    names = list(all_items())
    assert set(names) == set(ITEMS)
    firsts = [name.partition("-")[0] for name in names]
    assert list(dict.fromkeys(firsts)) == [d for d in DOCUMENTS if d in firsts]


@pytest.mark.parametrize("typed", ["thesis-figure-42", "thesis_figure_42", "Thesis-Figure-42"])
def test_an_item_is_found_as_people_type_it(typed: str) -> None:
    assert find_item(typed).id == "thesis-figure-42"


@pytest.mark.parametrize("typed", ["thesis-figur-42", "figure-42", "../../etc/passwd", ""])
def test_a_wrong_name_gets_one_line_with_similar_ones(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_item(typed)
    line = str(caught.value)
    assert "\n" not in line
    assert "reproduce list" in line
    assert ("did you mean" in line) == ("figur" in typed)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: A", "titel: A", "unknown key 'titel' (did you mean 'title'?)"),
        ("document: thesis", "document: Egan 2018", "a file of this name is of 'thesis'"),
        ("    minutes: 0.1\n", "", "profiles.cpu has no minutes"),
        ("iterations: 8", "iterations: many", "iterations: expected a whole number, got 'many'"),
        ("  cpu:", "  gpu:", "profiles are cpu, paper"),
        ("max_steps={iterations}", "max_steps={iteration}", "(did you mean 'iterations'?)"),
        ("of: [cgpgan]\n    arg", "of: [cgpgam]\n    arg", "no training cgpgam (did you mean 'cgp"),
        ("clusters.assignment", "clusters.asignment", "there is no function"),
        (
            "lightning_gans.reproduce.clusters.draw",
            "os.system",
            "no measure or picture of lightning_gans.",
        ),
        ('{points: "{points}"}', "{pints: 3}", "has no argument pints (did you mean 'points'?)"),
        ('{points: "{points}"}', "{points: -3}", "points of lightning_gans.reproduce.clusters"),
        ('{points: "{points}"}', '{points: "{pints}"}', "{pints} (did you mean 'points'?)"),
        ("{cgpgan.categories: 4}", "{cgpgan.categorys: 4}", "published.cgpgan.categorys (did you"),
        (
            "{cgpgan.categories: 4}",
            "{cgpgan.categories: four}",
            "expected a number, or a list of the runs' numbers, got 'four'",
        ),
        ("gan.latent.loss >", "gan.latent.los >", "there is no value 'gan.latent.los'"),
        ("exact: true", "exact: maybe", "expected true or false"),
        ("evaluation: [gan]", "command: rm -rf {gan}", "'rm -rf {gan}' is none of ood table"),
        ("gan: model=dlsgan", "gan: model=encoder model.checkpoint={gan}", "name each other"),
        ("claims:", "claim:", "unknown key 'claim'"),
        ("seeds: 2", "seeds: 1000000000000", "profiles.cpu.seeds: expected 1 to 1000"),
        ("minutes: 0.1", "minutes: .inf", "minutes: expected a number above 0, got inf"),
        ("minutes: 0.1", "minutes: .nan", "minutes: expected a number above 0, got nan"),
        ("{points: 200}", "{points: 200, iterations: 3}", "values.iterations: {iterations} stands"),
        ("exact: true", "exact: true\n    profiles: []", "profiles: expected some of cpu"),
        (
            "gan: model=dlsgan model.latent_dim=8",
            'gan: "model=dlsgan\\0 model.latent_dim=8"',
            "trainings.gan.words: 'model=dlsgan\\x00 model.latent_dim=8' has what is no letter",
        ),
        ("about: Only", 'about: "\\ud800"\nclaims_: Only', "unknown key 'claims_'"),
        ("about: Only a test.", 'about: "a\\uDFFF"', "about: 'a\\udfff' has what is no letter"),
        ("[latent.loss]", "['a.{1..9999999}']", "stands for more than 10,000 names"),
        ("[latent.loss]", "['a.{1..99999999999}']", "is no name"),
        ("[latent.loss]", f"['a{'{a,b}' * 26}']", "stands for more than 10,000 names"),
        ("gan.latent.loss >", "é0 >", "names are of the letters a to z"),
        ("gan.latent.loss >", "\uff3f0 >", "names are of the letters a to z"),
        ("evaluation: [gan]", "command: evaluatefoo ckpt={gan}", "is none of ood table, evaluate"),
        ("evaluation: [gan]", "command: evaluate real=a fake=b", "expected ckpt={NAME}"),
        ("evaluation: [gan]", 'command: "evaluate ckpt={gan} \'x"', "cannot be split into words"),
        (
            "evaluation: [gan]",
            "command: evaluate ckpt={gan} seed=3",
            "'seed' (did you mean",
        ),
        ("evaluation: [gan]", "command: evaluate ckpt={gan} trust=os", "no option 'trust'"),
        ("seeds: 2", "seeds: 2\n    trainings: {gan: 'a={cgpgan} b={gan}'}", "name each other"),
        (
            "published:",
            "  - {name: points, function: lightning_gans.reproduce.clusters.draw, of: [cgpgan], "
            "text: a}\npublished:",
            "points is drawn twice in profile cpu",
        ),
        (
            "values: {points: 200}",
            "values: {points: many}",
            "expected whole number ≥ 1, got 'many' from '{points}'",
        ),
        ("of: [cgpgan]\n    text", "arguments: {points: '{zzz}'}\n    text", "{zzz} stands for"),
        ("of: [cgpgan]\n    text", "text", "draw needs the argument runs"),
        (
            "    exact: true",
            "    exact: true\n    profiles: [paper]",
            "none of those of the item: cpu",
        ),
        (
            "cgpgan: model=cgpgan model.warmup=2",
            "cgpgan: {words: model=cgpgan, profiles: [paper]}",
            "paper is none of those of the item: cpu",
        ),
        ("categories >= 0", f"categories >= 1{'0' * 400}", "a number of it is too large"),
        ("categories >= 0", f"categories >= 0{' + 1' * 450}", "1354 parts; expected at most 400"),
        ("categories >= 0", f"categories >= {'-' * 1500}1", "is no predicate"),
    ],
)
def test_a_wrong_item_is_refused_in_one_line(old: str, new: str, said: str) -> None:
    assert old in TINY
    name = write_item(TINY.replace(old, new))
    with pytest.raises(UsageError) as caught:
        find_item(name)
    line = str(caught.value)
    assert said in line
    assert "thesis_figure_900.yaml" in line
    assert "\n" not in line


def test_a_persons_own_item_comes_before_that_of_the_package() -> None:
    write_item(TINY.replace("Figure 900", "Figure 42"), "thesis_figure_42")
    assert find_item("thesis-figure-42").title == "A few iterations on four clusters"
    assert item_files()["thesis-figure-42"] == Path("configs/reproduce/thesis_figure_42.yaml")


def test_an_own_file_is_found_however_its_name_is_written() -> None:
    file = Path("configs", "reproduce", f"{write_item(name='thesis_figure_900')}.yaml")
    Path("configs", "reproduce", "thesis_figure_900.yaml").rename(file.with_name("Thesis_1.yml"))
    assert next(iter(all_items())) == "thesis-1"
    assert find_item("thesis-1").title == "A few iterations on four clusters"


@pytest.mark.parametrize("name", ["thesis figure 1", "thesis_figure_é", "thesis_" + "1" * 80])
def test_the_name_of_a_file_is_an_id(name: str) -> None:
    write_item(name=name)
    with pytest.raises(UsageError, match="the file's name is an ID: at most 80 letters"):
        all_items()


def test_two_files_of_one_item_are_refused() -> None:
    file = Path("configs", "reproduce", "thesis_figure_900.yaml")
    write_item()
    file.with_name("thesis-figure-900.yml").write_text(TINY)
    with pytest.raises(UsageError, match=r"thesis-figure-900.yml and .* are one item; rename one"):
        item_files()


def test_a_title_is_one_cell_of_a_table() -> None:
    title = json.dumps("A title\nof | two lines")
    name = write_item(TINY.replace("A few iterations on four clusters", title))
    row = f"| [{name}](thesis.md#{name}) | A title of \\| two lines | not run |"
    assert row in pages({name: find_item(name)}, {})["index.md"]


CONFIG = {
    "seed_everything": 0,
    "trainer": {"max_steps": 5, "logger": [1], "default_root_dir": "a"},
    "model": {"class_path": "lightning_gans.models.GAN", "init_args": {"latent_dim": 3}},
    "data": {"class_path": "lightning_gans.data.MNIST", "init_args": {"root": "a", "fold": 1}},
    "pictures": {"samples": 1},
}


def changed(*path: str, value: object) -> dict[str, object]:
    """The config with one value changed."""
    config: dict[str, object] = yaml.safe_load(yaml.safe_dump(CONFIG))
    section = config
    for key in path[:-1]:
        section = section[key]  # type: ignore[assignment]  # sections are mappings
    section[path[-1]] = value
    return config


def test_a_training_is_the_same_if_its_numbers_are() -> None:
    same = training_hash(CONFIG, 0, "a")
    for path, value in (
        (("trainer", "logger"), None),
        (("trainer", "default_root_dir"), "b"),
        (("pictures", "samples"), 9),
        (("seed_everything",), 5),  # the seed is an argument
    ):
        assert training_hash(changed(*path, value=value), 0, "a") == same, path
    # the folder of data sets is elsewhere
    assert training_hash(changed("data", "init_args", "root", value="/b/c"), 0, "/b/c") == same
    others = {
        training_hash(CONFIG, 1, "a"),
        training_hash(changed("trainer", "max_steps", value=6), 0, "a"),
        training_hash(changed("model", "init_args", "latent_dim", value=4), 0, "a"),
        training_hash(changed("data", "init_args", "fold", value=2), 0, "a"),
        training_hash(changed("model", "class_path", value="lightning_gans.models.DLSGAN"), 0, "a"),
        # other sets in it
        training_hash(changed("data", "init_args", "root", value="a/faces"), 0, "a"),
        training_hash(changed("data", "init_args", "root", value="a/cats"), 0, "a"),
    }
    assert len(others | {same}) == 8


def test_a_persons_own_network_decides_the_numbers() -> None:
    config = changed("model", "init_args", "generator", value="mynets.small.Generator")
    lacking = training_hash(config, 0, "a")
    Path("mynets").mkdir()
    file = Path("mynets", "small.py")
    file.write_text("class Generator: ...\n")
    first = training_hash(config, 0, "a")
    file.write_text("class Generator: pass\n")
    assert len({lacking, first, training_hash(config, 0, "a")}) == 3


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("lightning_gans.reproduce.running.imported", "no measure or picture of"),
        ("lightning_gans.reproduce.items.all_items", "no measure or picture of"),
        ("lightning_gans.reproduce.criteria.draw", "draws a picture"),
        ("os.system", "no measure or picture of"),
    ],
)
def test_an_item_calls_measures_alone(entry: str, told: str) -> None:
    name = write_item(TINY.replace("lightning_gans.reproduce.clusters.assignment", entry))
    with pytest.raises(UsageError, match=told):
        find_item(name)


@pytest.mark.parametrize("name", ["/../../escaped", "a/b", "..", "a\nb", "", "a" * 81])
def test_a_picture_has_a_name_that_leads_nowhere_else(name: str) -> None:
    item = write_item(TINY.replace("  - name: points\n", f"  - name: {json.dumps(name)}\n"))
    with pytest.raises(UsageError, match=r"pictures.name: expected at most 80 letters"):
        find_item(item)


def test_words_with_an_open_quote_are_refused() -> None:
    item = find_item(write_item(TINY.replace("latent_dim=8", "latent_dim='8")))
    with pytest.raises(UsageError, match=r"cannot be split into words: No closing quotation"):
        item.train_words("gan", "cpu", {"root": "data", "seed": "0"})


def test_rooms_that_change_no_number_are_rooms() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir()}
    assert set(NEUTRAL) <= rooms


def test_code_that_decides_numbers_is_part_of_a_trainings_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [*class_paths(CONFIG)]
    before = code_version(paths)
    for module, decides in (
        ("lightning_gans.models.gan", True),
        ("lightning_gans.losses", True),
        ("lightning_gans.networks.convolution", True),  # its default network
        ("lightning_gans.data.mnist", True),
        ("lightning_gans.models.dlsgan", False),
        ("lightning_gans.data.celeba", False),
        ("lightning_gans.runs.folder", False),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                "lightning_gans.reproduce.fingerprints.source_hash",
                lambda name, module=module: "x" if name == module else source_hash(name),
            )
            assert (code_version(paths) != before) is decides, module


def in_two_iterations(item: Item) -> Item:
    """The item with a cpu profile of seconds."""
    profile = item.profiles["cpu"]
    brief = (
        "trainer.limit_val_batches=2 pictures.samples=10 pictures.dimensions=1 data.batch_size=8 "
        "trainer.accelerator=cpu trainer.enable_progress_bar=false trainer.max_steps=2"
    )
    words = {
        t.name: f"{profile.trainings.get(t.name, '')} {brief}" for t in item.trainings_of("cpu")
    }
    small = {"channels": 2, "images": 20, "points": 20, "n": 10, "codes": 4, "steps": 5}
    values = {key: small.get(key, value) for key, value in profile.values.items()}
    changed = dataclasses.replace(profile, iterations=2, trainings=words, values=values)
    return dataclasses.replace(item, profiles={"cpu": changed})


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({name for name, profile in CASES if profile == "cpu"}))
def test_an_item_goes_the_whole_way_in_two_iterations(name: str, tmp_path: Path) -> None:
    write_digits(tmp_path / "data", "MNIST", 0, train=64, test=120)
    write_digits(tmp_path / "data", "FashionMNIST", 1, train=64, test=120)
    item = in_two_iterations(read_item(ITEMS[name]))
    run = Run(item, "cpu", "data", Path("results"), InProcess(), print)
    results = run.all_seeds(1)
    assert set(results.values) == set(item.values_of("cpu"))
    assert all(Path("results/images", picture).is_file() for picture in results.pictures)
    assert len(results.pictures) == len([p for p in item.pictures if "cpu" in p.profiles])
    assert pages({name: item}, {(name, "cpu"): results})
