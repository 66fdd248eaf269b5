"""reproduce list, run and report, as they are typed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from lightning_gans.cli import main
from lightning_gans.reproduce import running
from lightning_gans.reproduce.items import all_items, find_item
from lightning_gans.reproduce.results import Results, TrainingRecord, write_results
from lightning_gans.workflows import reproduce_run as workflow
from tests.support.reproductions import TINY, InProcess, write_item


def results_of(name: str, **values: tuple[float | None, ...]) -> Results:
    """Results of the tiny item for three seeds."""
    measured = {key.replace("__", "."): value for key, value in values.items()}
    training = TrainingRecord("gan", "lightning-gans train model=dlsgan", ("a", "b", "c"))
    return Results(name, "cpu", "0.2.0", (0, 1, 2), (training,), measured, {})


def three_seeds(name: str) -> Results:
    return results_of(
        name,
        gan__latent__loss=(1.0, 1.1, 1.2),
        cgpgan__categories=(4.0, 4.0, None),
        cgpgan__entropy=(0.5, 0.6, 0.4),
    )


def typed(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit status of a command, and what it prints to stdout and stderr."""
    status = 0
    try:
        main(words.split())
    except SystemExit as ended:
        status = int(ended.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.figures
def test_a_report_from_the_same_files_has_the_same_bytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = write_item()
    write_results(Path("docs/results"), three_seeds(name))
    assert typed("reproduce report", capsys)[0] == 0
    first = {file.name: file.read_bytes() for file in Path("docs/results").glob("*.md")}
    assert typed("reproduce report", capsys)[0] == 0
    assert first == {file.name: file.read_bytes() for file in Path("docs/results").glob("*.md")}
    assert not Path("runs").exists(), "nothing is trained or measured"
    index, page = (first[file].decode() for file in ("index.md", "thesis.md"))
    assert "| holds | 1 |" in index
    assert "| cannot be told at this size | 1 |" in index
    assert (
        f"| [{name}](thesis.md#{name}) | A few iterations on four clusters | cpu | 3 | 1 | 0 | 1 |"
        in (index)
    )
    others = [item for item in all_items() if item != name]
    assert all(f"[{other}]" in index for other in others)
    assert index.count("| not run |") == len(others)
    assert (
        "| The encoder of the GAN is poor. | **holds** | gan.latent.loss = 1.1 ± 0.1 > "
        "cgpgan.entropy = 0.5 ± 0.1; margin 0.6 (95 %: 0.1697 to 1.03) |"
    ) in page
    assert "| cgpgan.categories | - | 4 | 4, 4, - |" in page
    assert "| gan.latent.loss | 1.1 ± 0.1 | - | 1, 1.1, 1.2 |" in page


def test_every_number_of_a_report_changes_with_the_file_it_is_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = write_item()
    file = write_results(Path("out"), three_seeds(name))
    typed("reproduce report out=out", capsys)
    before = Path("out/thesis.md").read_text()
    content = json.loads(file.read_text())
    content["values"]["cgpgan.entropy"] = [1.5, 1.6, 1.4]
    file.write_text(json.dumps(content))
    typed("reproduce report out=out", capsys)
    after = Path("out/thesis.md").read_text()
    assert "**does not hold**" not in before
    assert "**does not hold**" in after or "**cannot be told at this size**" in after
    assert "1.5 ± 0.1" in after


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"format": 1', '"format": 9'),
        lambda text: text.replace('"profile": "cpu"', '"profile": "paper"'),
        lambda text: text.replace("0.5", '"much"', 1),
        lambda text: text.replace('"seeds"', '"sides"'),
        lambda text: text.replace('"pictures": {}', '"pictures": {"../../secret.png": "x"}'),
        lambda text: "[" * 100_000,
        lambda text: "",
    ],
)
def test_a_damaged_file_of_results_is_named_in_one_line(
    damage: object, capsys: pytest.CaptureFixture[str]
) -> None:
    name = write_item()
    file = write_results(Path("docs/results"), three_seeds(name))
    assert callable(damage)
    text = damage(file.read_text())
    assert text != file.read_text()
    file.write_text(text)
    status, _, err = typed("reproduce report", capsys)
    assert status == 1
    assert err.startswith(f"error: docs/results/data/{name}-cpu.json does not hold the results")
    assert err.count("\n") == 1


def test_results_of_an_item_that_measures_more_now_count_as_not_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = write_item()
    write_results(Path("docs/results"), three_seeds(name))
    assert "cpu (3)" in typed("reproduce list", capsys)[1]
    write_item(TINY.replace("[categories, entropy]", "[categories, entropy, correct]"))
    _, out, _ = typed("reproduce list", capsys)
    assert "cpu (3)" not in out


def test_the_list_shows_the_costs_of_each_item(capsys: pytest.CaptureFixture[str]) -> None:
    name = write_item()
    status, out, _ = typed("reproduce list", capsys)
    assert status == 0
    (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
    assert line.split("  ")[0] == name
    assert "2 x 6 s" in line
    assert set(all_items()) == {row.split()[0] for row in out.splitlines()[1:]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("thesis-figure-90", "(did you mean thesis-figure-900"),
        ("thesis-figure-900 profile=paper", "has no profile paper; give profile=cpu"),
        ("thesis-figure-900 profile=gpu", "profile: expected one of cpu, paper, got gpu"),
        ("thesis-figure-900 seeds=0", "seeds: expected whole number from 1 to 1,000"),
        ("thesis-figure-900 seeds=three", "seeds: expected whole number from 1 to 1,000"),
        ("thesis-figure-900 seed=3", "there is no option 'seed' (did you mean 'seeds'?)"),
        ("thesis-figure-900 thesis-figure-42", "item is thesis-figure-900 already"),
    ],
)
def test_a_wrong_run_is_refused_in_one_line(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_item()
    status, _, err = typed(f"reproduce run {words}", capsys)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_typed_run_prints_its_verdicts_and_where_the_values_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = write_item(TINY.replace("iterations: 8", "iterations: 2"))
    monkeypatch.setattr(workflow, "Subprocesses", InProcess)
    status, out, err = typed(f"reproduce run {name} seeds=1 out=mine", capsys)
    assert status == 0
    assert "| There are categories. | **holds** | true for 1 of 1 seeds" in out
    assert "| The encoder of the GAN is poor. | **cannot be told from one seed** |" in out
    assert f"values: mine/data/{name}-cpu.json" in out
    assert f"{name}, cpu, seed 0: training cgpgan, 2 of 2" in err
    assert find_item(name).values_of("cpu") == list(
        json.loads(Path(f"mine/data/{name}-cpu.json").read_text())["values"]
    )


def test_a_signal_while_a_function_measures_says_how_to_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(**_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(running, "imported", lambda path: measure)
    status, out, err = typed("reproduce run egan2018-figure-2", capsys)
    assert (status, out) == (128 + signal.SIGTERM, "")
    assert err.splitlines()[-1].endswith("stopped by SIGTERM; the same command resumes")


def test_commands_that_need_nothing_run_without_arguments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "lightning-gans evaluate ckpt=VALUE" in typed("evaluate", capsys)[1]
    assert typed("reproduce list", capsys)[1].startswith("item ")
    assert "lightning-gans reproduce list [key=value ...]" in typed("reproduce list -h", capsys)[1]
    assert "lightning-gans reproduce run item=VALUE" in typed("reproduce run", capsys)[1]
    status, _, err = typed("reproduce", capsys)
    assert (status, "commands are reproduce list" in err) == (2, True)
