"""An item goes the whole way: trained, stopped, resumed, measured, kept, and reported."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lightning_gans.errors import Stopped, UserError
from lightning_gans.models import DLSGAN
from lightning_gans.reproduce import fingerprints, running
from lightning_gans.reproduce.commands import Subprocesses
from lightning_gans.reproduce.fingerprints import class_paths
from lightning_gans.reproduce.items import find_item
from lightning_gans.reproduce.pages import pages
from lightning_gans.reproduce.results import (
    Results,
    Setting,
    UnreadableResults,
    file_of_results,
    read_results,
    write_results,
)
from lightning_gans.reproduce.running import FOLDER, Run
from lightning_gans.reproduce.tables import numbers
from lightning_gans.runs.claim import LOCK, FolderInUse
from lightning_gans.trust import current_trust, trusting
from tests.support.reproductions import TINY, InProcess, write_item


def run_of(name: str, commands: InProcess, out: str = "results") -> Run:
    return Run(find_item(name), "cpu", "data", Path(out), commands, lambda line: None)


def trainings(commands: InProcess) -> list[list[str]]:
    return [words for words in commands.ran if words[0] == "train"]


class Interrupt:
    """Sends SIGTERM to this process in the given iteration of a DLSGAN, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.count, step = 0, DLSGAN.training_step

        def stopping(model: DLSGAN, batch: Any, batch_idx: int) -> Any:
            self.count += 1
            if self.count == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(model, batch, batch_idx)

        monkeypatch.setattr(DLSGAN, "training_step", stopping)


@pytest.mark.slow
@pytest.mark.figures
def test_an_item_that_was_stopped_ends_as_if_it_had_not_been(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = write_item()
    whole = InProcess()
    expected = run_of(name, whole, "whole").all_seeds(2)
    assert len(trainings(whole)) == 4
    FOLDER.rename("elsewhere")

    Interrupt(monkeypatch, at=5)
    stopped = InProcess()
    with pytest.raises(Stopped, match="the same command resumes"):
        run_of(name, stopped).all_seeds(2)
    assert read_results(Path("results"), name, "cpu") is None, "no seed is finished"
    resumed = InProcess()
    found = run_of(name, resumed).all_seeds(2)
    assert trainings(resumed)[0][1].startswith("ckpt=runs/reproduce/"), "it resumes"
    assert len(trainings(resumed)) == 4
    assert found == expected
    assert read_results(Path("results"), name, "cpu") == expected
    assert (Path("results") / "images" / f"{name}-cpu-points.png").stat().st_size > 1000

    # all of it once more: nothing is trained
    again = InProcess()
    assert run_of(name, again).all_seeds(2) == expected
    assert again.ran == []

    # a third seed later keeps the first two, and fewer seeds throw none away
    more = run_of(name, more_commands := InProcess()).all_seeds(3)
    assert len(trainings(more_commands)) == 2
    assert {n: v[:2] for n, v in more.values.items()} == dict(expected.values)
    assert run_of(name, InProcess()).all_seeds(1).values == more.values

    # the folder of data sets has changed: nothing is trained again, and a line says so
    Path("data").mkdir()
    Path("data", "more").touch()
    told: list[str] = []
    Run(find_item(name), "cpu", "data", Path("results"), InProcess(), told.append).all_seeds(1)
    assert sum("had other names or sizes then" in line for line in told) == 2
    Path("data", "more").unlink()
    told.clear()
    Run(find_item(name), "cpu", "data", Path("results"), InProcess(), told.append).all_seeds(1)
    assert not any("had other names" in line for line in told)

    # another item with the same training does not repeat it, however its words are written
    other = write_item(
        TINY.replace("  cgpgan: model=cgpgan model.warmup=2\n", "")
        .replace(
            "  gan: model=dlsgan model.latent_dim=8\n",
            "  mine: data=gaussians model=dlsgan --model.latent_dim=8\n",
        )
        .replace("evaluation: [gan]", "evaluation: [mine]")
        .replace("gan.latent.loss > cgpgan.entropy", "mine.latent.loss > 0")
        .partition("  - function")[0]
        + "claims: []\n",
        "thesis_figure_901",
    )
    shared = InProcess()
    run_of(other, shared).all_seeds(2)
    assert shared.ran == []

    # the report has all of it, from the files alone
    items = {name: find_item(name), other: find_item(other)}
    results = read_results(Path("results"), name, "cpu")
    assert results is not None
    texts = pages(items, {(name, "cpu"): results})
    assert "| cgpgan.categories |" in texts["thesis.md"]
    assert "| There are categories. | **holds** | true for 3 of 3 seeds" in texts["thesis.md"]
    assert (
        f"| [{other}](thesis.md#{other}) | A few iterations on four clusters | not run |"
        in (texts["index.md"])
    )


@pytest.mark.slow
def test_values_of_other_code_or_settings_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    short = TINY.replace("iterations: 8", "iterations: 2")
    name = write_item(short)
    run_of(name, InProcess()).all_seeds(2)
    write_item(short.replace("warmup=2", "warmup=1"))
    changed = InProcess()
    found = run_of(name, changed).all_seeds(1)
    assert len(trainings(changed)) == 1, "the GAN is trained already"
    assert found.seeds == (0,), "the second seed is of another training"
    monkeypatch.setattr(
        running, "training_hash", lambda config, seed, root: f"other-{seed}-{len(str(config))}"
    )
    other = InProcess()
    run_of(name, other).all_seeds(1)
    assert len(trainings(other)) == 2


@pytest.mark.slow
def test_values_that_were_measured_in_another_way_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = TINY.replace("iterations: 8", "iterations: 2")
    name = write_item(short)
    before = run_of(name, InProcess()).all_seeds(2)
    assert before.setting == Setting("one layer of 8", 2, "200 points")
    write_item(short.replace("{points: 200}", "{points: 300}"))
    again, told = InProcess(), list[str]()
    run = Run(find_item(name), "cpu", "data", Path("results"), again, told.append)
    assert run.all_seeds(1).seeds == (0,)
    assert again.ran == [], "the trainings are the same"
    file = file_of_results(Path("results"), name, "cpu")
    aside = file.with_name(f"{file.name}-earlier-1")
    assert (
        f"{name}: seeds 0, 1 were measured with other settings, code or data; they stay in "
        f"{aside}, and seeds=2 runs all of them again"
    ) in told
    assert json.loads(aside.read_text())["values"]["cgpgan.entropy"] == [
        *before.values["cgpgan.entropy"]
    ]
    after = run.all_seeds(2)
    assert len({*before.measured, *after.measured}) == 4
    assert run.all_seeds(1) == after
    monkeypatch.setattr(running, "code_version", lambda paths: "other")
    assert run_of(name, again).all_seeds(1).seeds == (0,)
    # the file of an earlier version does not say how its values were measured
    file = file_of_results(Path("results"), name, "cpu")
    run_of(name, again).all_seeds(2)
    content = json.loads(file.read_text())
    del content["measured"], content["setting"], content["sources"]
    file.write_text(json.dumps(content))
    assert run_of(name, again).all_seeds(1).seeds == (0,)


def test_measures_of_other_files_are_measured_again(tmp_path: Path) -> None:
    name = write_item(
        """
title: A table
source: {document: thesis, place: Figure 900}
trainings: {a: model=gan}
profiles: {cpu: {network: none, iterations: 1, samples: none, minutes: 1}}
measures:
  - command: ood table ckpt={a} data=mnist_ood data.root={root}
    names: [a.nll.near.fog]
  - function: lightning_gans.reproduce.latents.foreign
    arguments: {root: "{root}"}
    names: [foreign.fid]
claims: []
"""
    )
    root = tmp_path / "sets"
    (root / "mnist_c" / "fog").mkdir(parents=True)
    (root / "mnist_c" / "fog" / "test_images.npy").write_bytes(b"1")
    item = find_item(name)
    folders = {"a": Path("runs/a")}

    def of_root(where: Path) -> Run:  # which reads the folder once
        return Run(item, "cpu", str(where), Path("results"), InProcess(), lambda line: None)

    def places() -> list[Path]:
        run = of_root(root)
        command, function = item.measures
        return [
            run._command_folder(command, folders, 0),
            run._function_folder(function, None, 0),
        ]

    first = places()
    root.rename(tmp_path / "moved")
    moved = of_root(tmp_path / "moved")
    assert moved._command_folder(item.measures[0], folders, 0) == first[0]
    (tmp_path / "moved").rename(root)
    (root / "train-images-idx3-ubyte").write_bytes(b"")
    more = places()
    assert not set(more) & set(first)
    (root / "mnist_c" / "stripe").mkdir()
    assert not set(places()) & {*first, *more}
    # the config of the data, the person's own as well
    kept = places()
    config = Path("configs", "data", "mnist_ood.yaml")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("class_path: lightning_gans.ood.datasets.MNISTOOD\n")
    changed = places()
    assert changed[0] != kept[0]
    assert changed[1] == kept[1]


@pytest.mark.parametrize("module", ["ood.datasets.mnist", "ood.datasets.published", "data.mnist"])
def test_the_code_of_a_tables_images_decides_it(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def source_hash(name: str) -> str:
        found.append(name)
        return name

    monkeypatch.setattr(fingerprints, "source_hash", source_hash)
    config = running.data_config("mnist_ood")
    fingerprints.code_version(["lightning_gans.workflows.ood_table", *class_paths(config)])
    assert f"lightning_gans.{module}" in found


@pytest.mark.slow
@pytest.mark.figures
def test_pictures_stay_until_new_ones_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    before = run_of(name, InProcess()).all_seeds(1)
    assert before.pictures
    with monkeypatch.context() as context:

        def failing(self: Run, seed: int, folders: object) -> dict[str, float]:
            if seed == 1:
                raise UserError("the second seed fails")
            return before.of_seed(0)

        context.setattr(Run, "_seed", failing)
        with pytest.raises(UserError, match="second seed"):
            run_of(name, InProcess()).all_seeds(2)
    kept = read_results(Path("results"), name, "cpu")
    assert kept is not None
    assert kept.pictures == before.pictures


def test_a_training_that_fails_is_named_and_the_results_of_before_stay() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    run_of(name, InProcess()).all_seeds(1)
    file = file_of_results(Path("results"), name, "cpu")
    before = file.read_bytes()
    write_item(TINY.replace("iterations: 8", "iterations: 3"))

    class Failing(InProcess):
        def run(self, words: Sequence[str], folder: Path | None = None) -> int:
            return 1

    with pytest.raises(UserError, match=r"the training in runs/reproduce/\w+ ended with status 1"):
        run_of(name, Failing()).all_seeds(1)
    assert file.read_bytes() == before


def test_a_training_that_no_command_line_has_is_refused_before_any_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = write_item(TINY.replace("model.warmup=2", "model.warmpu=2"))
    commands = InProcess()
    with pytest.raises(UserError, match=r"its training '.*model.warmpu=2.*' is refused"):
        run_of(name, commands).all_seeds(1)
    assert commands.ran == []
    assert "did you mean 'model.warmup'" in capsys.readouterr().err


def test_more_iterations_begin_where_fewer_ended_and_give_the_same() -> None:
    text = TINY.replace("trainer.val_check_interval={iterations}", "trainer.val_check_interval=2")
    name = write_item(text.replace("iterations: 8", "iterations: 4"))
    run_of(name, InProcess()).all_seeds(1)
    write_item(text.replace("iterations: 8", "iterations: 6"))
    longer = InProcess()
    found = run_of(name, longer).all_seeds(1)
    for words in trainings(longer):
        assert words[1].startswith("ckpt=runs/reproduce/")
        assert words[2:] == ["trainer.max_steps=6"]

    FOLDER.rename("elsewhere")
    whole = InProcess()
    assert run_of(name, whole, "whole").all_seeds(1) == found
    assert not any("ckpt=" in word for words in trainings(whole) for word in words)


def test_a_folder_in_which_another_process_trains_is_left_alone() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    commands = InProcess()
    run_of(name, commands).all_seeds(1)
    folder = next(FOLDER.glob(f"*/{running.FINISHED}")).parent
    shutil.rmtree(folder / "checkpoints")
    (folder / running.FINISHED).unlink()
    code = (
        f"import filelock, time; lock = filelock.FileLock({str(folder / LOCK)!r}); lock.acquire(); "
        "print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            with pytest.raises(FolderInUse, match="is in use by"):
                run_of(name, InProcess()).all_seeds(1)
            assert not [*FOLDER.glob("*-unfinished-*")]
        finally:
            other.kill()
    run_of(name, InProcess()).all_seeds(1)
    assert (folder / running.FINISHED).is_file()


def test_a_finished_training_whose_last_checkpoint_is_damaged_is_made_again() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 4"))
    expected = run_of(name, InProcess()).all_seeds(1)
    (marker,) = [
        file for file in FOLDER.glob("*/finished.json") if "model=dlsgan" in file.read_text()
    ]
    (last,) = marker.parent.glob("checkpoints/last-*=4.ckpt")
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    commands, told = InProcess(), list[str]()
    run = Run(find_item(name), "cpu", "data", Path("results"), commands, told.append)
    with pytest.warns(UserWarning, match="is damaged"):
        assert run.all_seeds(1) == expected
    (words,) = trainings(commands)
    assert words == ["train", f"ckpt={marker.parent}", "trainer.max_steps=4"]
    assert f"{marker.parent} was trained, but its last checkpoint is damaged" in "".join(told)
    assert json.loads(marker.read_text())["words"][0] == "model=dlsgan"

    # whoever deletes checkpoints for their size keeps the values
    for checkpoint in marker.parent.glob("checkpoints/*"):
        checkpoint.unlink()
    again = InProcess()
    assert run_of(name, again).all_seeds(1) == expected
    assert again.ran == []


def test_files_that_can_be_made_again_are() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    expected = run_of(name, InProcess()).all_seeds(1)
    files = [
        *FOLDER.glob("configs/*.yaml"),
        *FOLDER.glob("measures/*/values.json"),
        *FOLDER.glob("*/finished.json"),
    ]
    assert len(files) == 5
    whole = {file: file.read_bytes() for file in files}
    for damage in (
        *(b"", b"{", b"[1, {", b"\xff\xfe", b'{"a": [1]}', b"{}", b"trainer: {}\n"),
        b'{"categories": true, "entropy": "7"}',
        b'{"categories": 1%s, "entropy": 1}' % (b"0" * 400),
        None,  # cut off at the end of a line
    ):
        for file in files:
            cut = b"".join(whole[file].splitlines(keepends=True)[:-1])
            file.write_bytes(cut if damage is None else damage)
        commands = InProcess()
        assert run_of(name, commands).all_seeds(1) == expected
        assert commands.ran == [], "no training is lost"


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (None, "expected numbers by name, got NoneType"),
        ([1.0], "expected numbers by name, got list"),
        ({"a": "many"}, "could not convert"),
        ({"a": None}, "NoneType"),
    ],
)
def test_a_measure_that_returns_no_numbers_is_named(result: object, told: str) -> None:
    with pytest.raises(UserError, match=r"own\.measure is no measure: expected n") as caught:
        numbers(result, "own.measure")
    assert told in str(caught.value)


@pytest.mark.parametrize("when", ["_seed", "_pictures"])
def test_seeds_that_another_process_writes_meanwhile_stay(when: str) -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    expected = run_of(name, InProcess(), "other").all_seeds(2)
    other = file_of_results(Path("other"), name, "cpu")

    class Meanwhile(Run):
        pass

    def meanwhile(run: Run, *arguments: Any) -> Any:
        found = getattr(Run, when)(run, *arguments)
        shutil.copy(other, file_of_results(run.results, name, "cpu"))
        return found

    setattr(Meanwhile, when, meanwhile)
    Path("results", "data").mkdir(parents=True)
    run = Meanwhile(find_item(name), "cpu", "data", Path("results"), InProcess(), lambda line: None)
    assert run.all_seeds(1).seeds == (0, 1)
    assert read_results(Path("results"), name, "cpu") == expected


def test_values_are_written_before_pictures_and_drawn_of_runs_that_are_there(
    tmp_path: Path,
) -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    before = run_of(name, InProcess()).all_seeds(2)
    (picture,) = before.pictures
    # the checkpoints of both seeds were deleted, and the values are needed elsewhere
    for checkpoint in FOLDER.glob("*/checkpoints/*"):
        checkpoint.unlink()
    told: list[str] = []
    elsewhere = Run(find_item(name), "cpu", "data", tmp_path, InProcess(), told.append)
    assert elsewhere.all_seeds(2).values == before.values
    assert f"{picture} is not drawn, as its runs have no checkpoints any more" in told
    assert run_of(name, InProcess()).all_seeds(2) == before, "the picture of before stays"

    class Undrawn(Run):
        def _pictures(self, *_: object) -> dict[str, str]:
            raise UserError("the disk is full")

    undrawn = Undrawn(find_item(name), "cpu", "data", Path("new"), InProcess(), told.append)
    with pytest.raises(UserError, match="disk is full"):
        undrawn.all_seeds(2)
    found = read_results(Path("new"), name, "cpu")
    assert found is not None
    assert found.values == before.values


def test_results_of_other_settings_stay_in_a_copy() -> None:
    short = TINY.replace("iterations: 8", "iterations: 2")
    name = write_item(short)
    run_of(name, InProcess()).all_seeds(1)
    file = file_of_results(Path("results"), name, "cpu")
    before = file.read_bytes()
    run_of(name, InProcess()).all_seeds(1)
    assert not [*file.parent.glob("*earlier*")]
    write_item(short.replace("{points: 200}", "{points: 300}"))
    run_of(name, InProcess()).all_seeds(1)
    assert file.with_name(f"{file.name}-earlier-1").read_bytes() == before


def test_a_run_that_has_lost_its_evaluations_is_named() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    run_of(name, InProcess()).all_seeds(1)
    for file in FOLDER.glob("*/metrics.csv"):
        file.unlink()
    with pytest.raises(UserError, match=r"metrics.csv has no evaluation; move runs/"):
        run_of(name, InProcess()).all_seeds(1)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("model.generator=evil.G", "evil.G, which is not part of lightning_gans"),
        ("model.generator.class_path=evil.G", "add trust=evil"),
        (
            "trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint",
            "add trust=lightning.pytorch.callbacks",
        ),
        ("trust=evil", "'trust=evil' is not an item's to give"),
        ("--trust=evil", "'--trust=evil' is not an item's to give"),
        ("--help", "trains nothing; its words are those of train alone"),
    ],
)
def test_the_words_of_an_item_import_nothing_that_is_not_trusted(
    word: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("evil.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    monkeypatch.syspath_prepend(Path.cwd())
    name = write_item(TINY.replace("latent_dim=8", f"latent_dim=8 '{word}'"))
    with pytest.raises(UserError, match=re.escape(told)):
        run_of(name, InProcess()).all_seeds(1)
    assert not Path("ran").exists()


def test_the_command_of_an_item_imports_nothing_that_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(Path.cwd())
    Path("evil.py").touch()
    Path("evil.F").touch()  # no config, whatever its name
    command = "command: evaluate ckpt={gan} features=evil.F"
    text = TINY.replace("evaluation: [gan]", command)
    name = write_item(text.replace("[latent.loss]", "[gan.latent.loss]"))
    commands = InProcess()
    with pytest.raises(UserError, match=r"in 'features=evil.F', names evil.F, which is not part"):
        run_of(name, commands).all_seeds(1)
    assert commands.ran == [], "nothing is trained before"


def test_a_merged_config_that_could_not_be_resumed_is_refused() -> None:
    Path("configs", "model").mkdir(parents=True)
    Path("configs", "model", "mine.yaml").write_text(
        "model: {class_path: torch.nn.Linear, init_args: {in_features: 1, out_features: 1}}\n"
    )

    def refusing(file: Path) -> None:
        raise UserError(f"{file.name} is refused")

    name = write_item()
    commands = InProcess()
    run = Run(find_item(name), "cpu", "data", Path("results"), commands, print, refusing)
    with pytest.raises(UserError, match=r"\w+.yaml is refused"):
        run.all_seeds(1)
    assert commands.ran == []


def test_names_of_files_need_not_be_text() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    Path("data").mkdir()
    Path(os.fsdecode(b"data/a\xff.png")).touch()
    run_of(name, InProcess()).all_seeds(1)
    assert run_of(name, again := InProcess()).all_seeds(1)
    assert again.ran == []


def test_copies_that_were_cut_off_are_removed() -> None:
    source, target = FOLDER / "source", FOLDER / "target"
    (source / "checkpoints").mkdir(parents=True)
    (source / "finished.json").touch()
    left = [FOLDER / f"target-copying-{pid}" for pid in (2**22 + 1, os.getppid())]
    for folder in left:
        folder.mkdir()
    running._copy_run(source, target)
    assert [folder.exists() for folder in left] == [False, True]
    assert [path.name for path in target.iterdir()] == ["checkpoints"]
    # another process was faster
    (target / "mine").touch()
    running._copy_run(source, target)
    assert (target / "mine").exists()
    assert not (FOLDER / f"target-copying-{os.getpid()}").exists()


def test_commands_trust_what_this_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    class Process:
        returncode, stdout = 0, ""

        def __init__(self, words: list[str], **_: object) -> None:
            ran.append(words[3:])

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(subprocess, "run", Process)
    commands = Subprocesses()
    commands.run(["train", "ckpt=a"])
    with trusting("mine, yours.nets"):
        commands.run(["train", "ckpt=a"])
        commands.output(["train", "--print_config"])
    before = ",".join(current_trust().modules)  # that of the tests
    assert ran == [
        ["train", "ckpt=a", f"trust={before}"],
        ["train", "ckpt=a", f"trust={before},mine,yours.nets"],
        ["train", "--print_config", f"trust={before},mine,yours.nets"],
    ]


def test_results_that_cannot_be_read_are_set_aside() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    expected = run_of(name, InProcess()).all_seeds(1)
    file = file_of_results(Path("results"), name, "cpu")
    file.write_text("{")
    told: list[str] = []
    run = Run(find_item(name), "cpu", "data", Path("results"), InProcess(), told.append)
    assert run.all_seeds(1) == expected
    aside = file.with_name(f"{file.name}-unreadable-1")
    assert aside.read_text() == "{"
    assert told[0].endswith(f"it is {aside} now")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seeds": [0, 0]}, "each once"),
        ({"measured": []}, None),
        ({"measured": ["a", "b", "c"]}, "expected 2 hashes of measures"),
        ({"trainings": [{"name": "a", "command": "b", "hashes": ["c"]}]}, "2 hashes of each"),
        ({"values": {"a": [1, 10**400]}}, "401 digits is too large"),
        ({"setting": {"network": "a"}}, "iterations"),
        ({"setting": {"network": "a", "iterations": math.inf, "samples": ""}}, "infinity"),
        ({"version": "\ud800"}, "surrogates not allowed"),
        ({"pictures": {"a.png": "\ud800"}}, "surrogates not allowed"),
        ({"sources": {"fog": "\ud800"}}, "surrogates not allowed"),
    ],
)
def test_results_are_checked_when_they_are_read(
    change: dict[str, object], told: str | None
) -> None:
    whole = Results("thesis-figure-900", "cpu", "1", (0, 1), (), {"a": (1.0, 2.0)})
    file = write_results(Path("results"), whole)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    if told is None:
        assert read_results(Path("results"), whole.item, "cpu") == whole
        return
    with pytest.raises(UnreadableResults, match=told):
        read_results(Path("results"), whole.item, "cpu")


@pytest.mark.parametrize(
    ("place", "word"),
    [("other/exp.yaml", "other/exp.yaml"), ("configs/experiment/mine.yaml", "mine")],
)
def test_a_changed_config_of_ones_own_is_merged_again(
    place: str, word: str, tmp_path: Path
) -> None:
    linked = tmp_path / "elsewhere"
    linked.mkdir()
    Path("configs").mkdir(exist_ok=True)
    Path("configs", "experiment").symlink_to(linked)
    file = Path(place)
    file.parent.mkdir(exist_ok=True)
    item = write_item()
    found = []
    for steps in (8, 64):
        file.write_text(f"trainer: {{max_steps: {steps}}}\n")
        config = run_of(item, InProcess())._config(
            ["model=gan", "data=gaussians", f"experiment={word}"]
        )
        found.append(config["trainer"]["max_steps"])
    assert found == [8, 64]


def test_a_folder_without_a_checkpoint_is_set_aside_and_trained_anew() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    run = run_of(name, InProcess())
    run.all_seeds(1)
    (marker,) = [
        file for file in FOLDER.glob("*/finished.json") if "model=dlsgan" in file.read_text()
    ]
    for checkpoint in marker.parent.glob("checkpoints/*"):
        checkpoint.unlink()
    marker.unlink()
    commands = InProcess()
    run_of(name, commands).all_seeds(1)
    assert len(trainings(commands)) == 1
    assert marker.is_file()
    assert marker.parent.with_name(f"{marker.parent.name}-unfinished-1").is_dir()


def test_results_are_plain_json_without_what_json_has_not() -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    run_of(name, InProcess()).all_seeds(1)
    file = file_of_results(Path("results"), name, "cpu")
    content = json.loads(file.read_text(), parse_constant=pytest.fail)
    assert content["trainings"][0]["command"].startswith(
        "lightning-gans train model=dlsgan model.latent_dim=8 data="
    )
    assert file.stat().st_size < 5000
    assert isinstance(read_results(Path("results"), name, "cpu"), Results)
