"""The notebooks run as they are printed, and say what their stored outputs show."""

from __future__ import annotations

import base64
import csv
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lightning_gans.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from notebooks import FOLDER as NOTEBOOKS
from notebooks import execute, markdown, notebooks, outputs, read, source


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a small run of digits lies."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(
            [
                *("model=dlsgan", "data=mnist5k", "model.generator.channels=2"),
                *("model.discriminator.channels=2", "trainer.max_steps=5"),
                *("trainer.limit_val_batches=2", "trainer.enable_progress_bar=false"),
                *("trainer.accelerator=cpu", "evaluation.measurements=[]"),
            ]
        )
    return folder


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The variables of a notebook that has run in a folder."""
    monkeypatch.chdir(folder)
    (file,) = [file for file in notebooks() if file.stem == name]
    return execute(read(file), file.name)


def test_a_run_is_loaded_and_goes_both_ways(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = executed("both_ways", digits, monkeypatch)
    assert found["z"].shape == (16, 64)
    assert found["samples"].shape == (32, 1, 32, 32)
    # the ends of the paths are the codes themselves
    assert found["ways"][:, 0].allclose(found["z"][[0, 2, 4]], atol=1e-5)
    assert found["ways"][:, -1].allclose(found["z"][[1, 3, 5]], atol=1e-5)


@pytest.mark.parametrize("file", notebooks(), ids=lambda file: file.stem)
def test_a_notebook_opened_in_a_folder_of_its_own_finds_the_runs_above_it(
    file: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = digits / "docs" / "notebooks"
    own.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(own)
    first = next(source(cell) for cell in read(file)["cells"] if cell["cell_type"] == "code")
    names: dict[str, Any] = {}
    exec(first, names)
    assert names["run"].resolve().parents[3] == digits.resolve()
    assert Path.cwd() == digits.resolve()


@pytest.mark.parametrize("file", notebooks(), ids=lambda file: file.stem)
def test_a_notebook_without_a_run_says_what_to_type(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = next(source(cell) for cell in read(file)["cells"] if cell["cell_type"] == "code")
    with pytest.raises(SystemExit, match="no run of digits found: run `make demo` in the clone"):
        exec(first, {})


def test_codes_that_are_kept_close_to_the_prior_are_not_rejected_and_others_are(
    digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = executed("inversion", digits, monkeypatch)
    verdicts = {
        name: found["goodness_of_fit"](z, found["model"].prior).verdict
        for name, z in found["codes"].items()
    }
    assert verdicts == {
        **{"encoder": "rejected", "descent": "rejected"},
        **{"typical": "not rejected"},
    }
    # and so they were where the outputs were made
    page = (NOTEBOOKS / "inversion.ipynb").read_text()
    for name, verdict in verdicts.items():
        assert re.search(rf'"{name} [ .\de-]+  {verdict}\\n"', page), name


@pytest.mark.figures
def test_every_image_of_the_folder_has_a_score_and_a_p_value(
    digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = executed("ood", digits, monkeypatch)
    with (found["scored"].folder / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 64
    assert all(0 < float(row["pvalue"]) <= 1 for row in rows)


@pytest.mark.parametrize("file", notebooks(), ids=lambda file: file.stem)
def test_outputs_are_stored_are_small_and_are_on_the_page(file: Path) -> None:
    notebook = read(file)
    assert file.stat().st_size < 250_000
    page = markdown(notebook)
    for cell in notebook["cells"]:
        text = source(cell)
        assert text in page
        if cell["cell_type"] == "code":
            assert cell["execution_count"] is not None
            assert cell["outputs"], text
    pictures = [
        output["data"]["image/png"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures
    for picture in pictures:
        assert f"(data:image/png;base64,{picture.strip()})" in page
        assert Image.open(io.BytesIO(base64.b64decode(picture))).width <= 1200


def test_a_cell_shows_what_it_prints_then_its_last_value() -> None:
    names: dict[str, Any] = {}
    printed, value = outputs("x = 2\nprint('a')\nx + 1", names, "cell", 4)
    assert printed["text"] == ["a\n"]
    assert (value["data"], value["execution_count"]) == ({"text/plain": ["3"]}, 4)
    assert names["x"] == 2
    assert list(outputs("y = 1", names, "cell", 5)) == []
    with pytest.raises(ZeroDivisionError):
        list(outputs("1 / 0", names, "cell", 6))
