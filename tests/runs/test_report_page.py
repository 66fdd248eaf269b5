"""The page of a run: one file that asks for nothing, in which the values are those of the log."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.runs.charts import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH
from lightning_gans.runs.claim import Training, read_record, write_record
from lightning_gans.runs.report_files import report
from lightning_gans.runs.report_page import FRAMES, MOST_PIXELS

LOG = """\
evaluation/samples,fid/random,generator/adversarial,latent/active,psnr/real,step
60,2000.5,,64,10.25,0
,,0.5,,,50
,,0.75,,,100
60,50.125,,58,12.5,100
,,0.25,,,150
60,80,,60,12.25,200
"""
VOID = ("meta", "link", "img", "input", "br", "wbr")


class Read(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in ("th", "td"):
            self.handle_data(" ")  # a cell is apart from the one before it
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of the elements of a kind, with some attributes."""
        return [
            found
            for name, found in self.elements
            if name == tag and wanted.items() <= found.items()
        ]

    @property
    def data(self) -> Any:
        """What the page's script reads."""
        return json.loads(self.texts["script"][0])

    @property
    def text(self) -> str:
        """All that is shown, with single spaces."""
        return " ".join(self.texts["body"][0].split())


def a_run(folder: Path, log: str = LOG, config: str = "", v: Sequence[float] = ()) -> Path:
    """The folder of a run with a log, settings, and a checkpoint with v."""
    (folder / "images").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    (folder / "metrics.csv").write_text(log)
    (folder / "config.yaml").write_text(
        config
        or "model: {class_path: lightning_gans.models.DLSGAN, init_args: {r1: 0.5}}\n"
        "data: {class_path: lightning_gans.data.MNIST5k}\ntrainer: {max_steps: 200}\n"
    )
    state = {"prior.v": torch.tensor(v)} if v else {}
    torch.save({"state_dict": state}, folder / "checkpoints" / "last-step=200.ckpt")
    return folder


def picture(
    run: Path, kind: str, step: int, grey: int = 0, size: tuple[int, int] = (12, 6)
) -> None:
    Image.new("RGB", size, (grey, grey, grey)).save(run / "images" / f"{kind}-step={step}.png")


def page(run: Path, *compared: Path) -> Read:
    """The page that a report writes."""
    report(run, compared)
    return Read((run / "report.html").read_text(encoding="utf-8"))


def logged(run: Path, name: str) -> list[tuple[int, float]]:
    """A column of the log."""
    with (run / "metrics.csv").open() as file:
        return [(int(r["step"]), float(r[name])) for r in csv.DictReader(file) if r[name]]


def test_a_page_opened_without_a_network_asks_for_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", v=[0.5, 0.25])
    for kind in ("samples", "reconstructions", "traversals"):
        picture(run, kind, 0)
        picture(run, kind, 200)
    found = page(run)
    for tag, attributes in found.elements:
        assert tag not in ("iframe", "object", "embed", "base", "form"), tag
        for name in ("src", "href", "srcset", "action", "poster", "xlink:href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), (tag, attributes[name])
    for text in (*found.texts["style"], *found.texts["script"]):
        assert "//" not in re.sub(r"^\s*//.*$|/\*.*?\*/|base64,[\w+/=]+", "", text, flags=re.M)
        assert not re.search(r"url\(|@import|\bimport\b|fetch|XMLHttp|WebSocket", text)
    ids = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    links = {attributes["href"].removeprefix("#") for attributes in found.all("a")}
    assert links <= ids
    assert links >= {"pictures", "spectrum", "measurements", "curves", "settings", "time", "cite"}


def test_the_policy_of_a_page_allows_its_own_script_and_style_and_no_others(tmp_path: Path) -> None:
    found = page(a_run(tmp_path / "run"))
    (policy,) = found.all("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.strip().split(" ", 1) for rule in policy["content"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for kind, text in (("script", found.texts["script"][-1]), ("style", found.texts["style"][0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert not any("style" in attributes for _, attributes in found.elements)


def drawn(run: Path, name: str) -> list[tuple[float, float]]:
    """The points of a curve, read off the marks of its axes as a person would."""
    text = (run / "report.html").read_text(encoding="utf-8")
    (figure,) = re.findall(rf"<figcaption><b>{re.escape(name)}</b>.*?</figure>", text, re.DOTALL)
    svg = Read(figure.partition("</figcaption>")[2].partition("</svg>")[0] + "</svg>")
    marks: dict[str, list[tuple[float, float]]] = {"x": [], "y": []}
    pairs = [a for tag, a in svg.elements if tag == "text" and a["class"] in marks]
    labels = [label for label in svg.texts["text"] if not label.startswith("iteration")]
    for attributes, label in zip(pairs, labels, strict=True):
        axis = attributes["class"]
        # a horizontal line is 4 above the middle of its text
        place = float(attributes[axis]) - (4 if axis == "y" else 0)
        marks[axis].append((place, float(label.replace(",", ""))))
    is_log = "logarithmic" in figure

    def value(axis: str, place: float) -> float:
        (p0, v0), (p1, v1) = marks[axis][0], marks[axis][-1]
        if axis == "y" and is_log:
            share = (place - p0) / (p1 - p0)
            return float(math.exp(math.log(v0) + share * (math.log(v1) - math.log(v0))))
        return v0 + (place - p0) / (p1 - p0) * (v1 - v0)

    lines = [line["points"] for line in svg.all("polyline")]
    for line in lines:
        for x, y in (map(float, pair.split(",")) for pair in line.split()):
            assert LEFT <= x <= WIDTH - RIGHT, "within the axes"
            assert TOP <= y <= HEIGHT - BOTTOM, "within the axes"
    return [
        (value("x", float(x)), value("y", float(y)))
        for line in lines
        for x, y in (pair.split(",") for pair in line.split())
    ]


@pytest.mark.parametrize("name", ["fid/random", "psnr/real", "generator/adversarial"])
def test_a_curve_read_off_its_axes_has_the_values_of_the_log(tmp_path: Path, name: str) -> None:
    run = a_run(tmp_path / "run")
    found = page(run)
    expected = logged(run, name)
    (line,) = next(c for c in found.data["charts"] if c["name"] == name)["lines"]
    assert list(zip(line["steps"], line["values"], strict=True)) == expected
    read = drawn(run, name)
    assert [step for step, _ in read] == pytest.approx([s for s, _ in expected], abs=1)
    assert [value for _, value in read] == pytest.approx([v for _, v in expected], rel=0.01)


def test_a_distance_that_falls_tenfold_has_a_logarithmic_axis(tmp_path: Path) -> None:
    found = page(a_run(tmp_path / "run"))
    axes = {chart["name"]: chart["y"]["logarithmic"] for chart in found.data["charts"]}
    assert axes == {
        "fid/random": True,
        "latent/active": False,
        "psnr/real": False,
        "generator/adversarial": False,
    }
    assert found.text.count("logarithmic axis") == 1
    # each once: evaluations, then what was logged in training
    assert [chart["name"] for chart in found.data["charts"]] == list(axes)
    assert found.text.index("Training generator/adversarial") > found.text.index("Evaluations fid")


def test_the_best_value_is_circled_where_a_better_way_is_known(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    found = page(run)
    circles = found.all("circle", **{"class": "best"})
    assert len(circles) == 2, "of fid and psnr, not of losses and of active elements"
    dots = [(c["cx"], c["cy"]) for c in found.all("circle") if c.get("class") != "best"]
    assert all((circle["cx"], circle["cy"]) in dots for circle in circles)
    labels = [svg["aria-label"] for svg in found.all("svg")]
    assert "fid/random: 2,000 at iteration 0" not in labels[0]  # 2000.5 is no whole number
    assert labels[0].endswith("; best 50.12 at iteration 100")
    assert "fid/random ↓ 2000 50.12 (iteration 100) 80 distance of" in found.text


def test_a_log_of_every_iteration_is_thinned_and_keeps_its_peaks(tmp_path: Path) -> None:
    values = [1.0] * 20_000
    values[12_345], values[4_321] = 9.0, math.nan
    rows = "".join(f"{value},{step}\n" for step, value in enumerate(values))
    run = a_run(tmp_path / "run", f"generator/adversarial,step\n{rows}")
    found = page(run)
    (chart,) = found.data["charts"]
    (line,) = chart["lines"]
    assert len(line["steps"]) == len(line["values"]) <= MOST_POINTS
    assert line["steps"] == sorted(set(line["steps"]))
    kept = dict(zip(line["steps"], line["values"], strict=True))
    assert kept[12_345] == 9.0
    assert kept[4_321] is None
    assert {0, 19_999} <= kept.keys()
    assert len(found.all("polyline")) == 2, "the line has a gap where the loss was not a number"
    assert "1 value not drawn: not finite" in found.text


@pytest.mark.parametrize("word", ["inf", "nan", "-inf", "1e300"])
def test_a_run_that_diverged_has_a_page(tmp_path: Path, word: str) -> None:
    log = f"evaluation/samples,fid/random,step\n9,{word},0\n9,5,1\n9,{word},2\n"
    found = page(a_run(tmp_path / "run", log))
    (line,) = found.data["charts"][0]["lines"]
    assert line["values"] == [None, 5, None]
    assert "2 values not drawn" in found.text
    found = page(a_run(tmp_path / "all", f"evaluation/samples,fid/random,step\n9,{word},0\n"))
    assert found.data["charts"] == []


HOSTILE = "</script><img src=x onerror=alert(1)><b>\"'&amp;{{ 7*7 }}"


def test_names_with_markup_are_shown_and_do_nothing(tmp_path: Path) -> None:
    name = "<b>&amp; {{ 7*7 }}"
    quoted = json.dumps(HOSTILE)
    header = '"' + HOSTILE.replace('"', '""') + '"'
    run = a_run(
        tmp_path / name,
        f"evaluation/samples,{header},step\n9,1,0\n9,2,1\n",
        f"model: {{class_path: lightning_gans.models.GAN, init_args: {{r1: {quoted}}}}}\n"
        f"data: {{class_path: {quoted}}}\n{quoted}: 1\nseed_everything: {quoted}\n",
    )
    (run / "images" / "samples-step=1.png").write_bytes(b"<b>")
    found = page(run, a_run(tmp_path / f"{name}2", LOG, f"model: {{class_path: {quoted}}}"))
    assert len(found.all("script")) == 2
    assert not found.all("img")
    assert all(not attribute.startswith("on") for _, a in found.elements for attribute in a)
    assert found.texts["title"][0].endswith(name)
    assert found.texts["h1"][0].endswith(name)
    assert HOSTILE in [text.strip() for text in found.texts["th"]]
    assert next(chart["name"] for chart in found.data["charts"]) == HOSTILE
    # bold are our own captions and best values
    assert all(text and "alert" not in text for text in found.texts["b"] if text != HOSTILE)
    plain = page(a_run(tmp_path / "plain"))
    assert {tag for tag, _ in found.elements} <= {tag for tag, _ in plain.elements} | {"ul", "li"}


def frames(found: Read, kind: str) -> list[tuple[int, Image.Image]]:
    """The pictures that a slider shows."""
    (film,) = (film for film in found.data["films"] if film["kind"] == kind)
    (newest,) = (i["src"] for i in found.all("img") if i["alt"].startswith(kind))
    shown: list[tuple[int, Image.Image]] = []
    for frame in film["frames"]:
        source = frame["source"] or newest
        content = base64.b64decode(source.partition("base64,")[2])
        shown.append((frame["step"], Image.open(BytesIO(content))))
    return shown


def test_the_slider_of_samples_shows_the_run_s_pictures_in_order(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    for step in (1000, 0, 25, 200):
        picture(run, "samples", step, grey=step // 5, size=(40, 20))
    picture(run, "traversals", 7)
    found = page(run)
    shown = frames(found, "samples")
    assert [step for step, _ in shown] == [0, 25, 200, 1000]
    assert {image.size for _, image in shown} == {(40, 20)}
    greys = [float(np.asarray(image.convert("L"), dtype=float).mean()) for _, image in shown]
    assert greys == pytest.approx([0, 5, 40, 200], abs=2)
    (slider,) = found.all("input", type="range")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "3", "3")
    assert slider["aria-label"] == "iteration of the samples"
    assert [image["alt"] for image in found.all("img")] == [
        "samples after 1,000 iterations",
        "traversals after 7 iterations",
    ]


def test_a_page_of_many_large_pictures_stays_below_eight_megabytes(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    random = np.random.default_rng(0)
    # noise is what compresses worst; a run of 20,000 iterations has as many pictures
    noise = random.integers(0, 256, (500, 1058, 3), dtype=np.uint8)
    Image.fromarray(noise).save(run / "images" / "samples-step=0.png", compress_level=1)
    for step in range(1, 21):
        (run / "images" / f"samples-step={step * 1000}.png").hardlink_to(
            run / "images" / "samples-step=0.png"
        )
    found = page(run)
    assert (run / "report.html").stat().st_size < 8_000_000
    steps = [step for step, _ in frames(found, "samples")]
    assert 3 < len(steps) <= FRAMES
    assert (steps[0], steps[-1]) == (0, 20_000)


def test_pictures_that_cannot_be_shown_are_named_and_the_others_shown(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    picture(run, "samples", 1)
    (run / "images" / "samples-step=2.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    side = math.isqrt(MOST_PIXELS) + 1
    Image.new("1", (side, side)).save(run / "images" / "samples-step=3.png")
    Image.new("RGB", (4, 4)).save(run / "images" / "samples-step=4.png", format="GIF")
    found = page(run)
    assert [step for step, _ in frames(found, "samples")] == [1]
    for step in (2, 3, 4):
        assert f"Problem: samples-step={step}.png cannot be read" in found.text
    assert f"{side:,} x {side:,} pixels are too many" in found.text


def test_the_spectrum_is_v_of_the_newest_checkpoint(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", v=[0.125, 0.5, 0.0625, 1.0])
    found = page(run)
    spectrum = found.data["charts"][-1]
    assert spectrum["name"] == "v"
    (line,) = spectrum["lines"]
    assert line["steps"] == [1, 2, 3, 4]
    assert line["values"] == [1.0, 0.5, 0.125, 0.0625]
    assert "After 200 iterations, the first 3 of 4 elements are at least a tenth of" in found.text
    assert "spectrum" not in {a.get("id") for _, a in page(a_run(tmp_path / "none")).elements}
    for damaged in ([math.nan, 1.0], [[1.0, 2.0]], [1.0]):
        torch.save({"state_dict": {"prior.v": torch.tensor(damaged)}}, run / "other")
        (run / "other").replace(run / "checkpoints" / "last-step=200.ckpt")
        found = page(run)
        assert "v" not in {chart["name"] for chart in found.data["charts"]}
        assert (
            "Problem: the spectrum of v is left out, last-step=200.ckpt cannot be read: v has "
        ) in found.text


def test_a_checkpoint_that_is_damaged_is_named_and_why_there_is_no_spectrum(
    tmp_path: Path,
) -> None:
    run = a_run(tmp_path / "run", v=[0.5, 1.0])
    (checkpoint,) = (run / "checkpoints").iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="is damaged"):
        found = page(run)
    assert "spectrum" not in {a.get("id") for _, a in found.elements}
    assert f"Problem: checkpoints/{checkpoint.name} is damaged: " in found.text
    assert f"the spectrum of v is left out, {checkpoint.name} cannot be read: " in found.text
    # one of a model that has no v has none, and that is no problem
    torch.save({"state_dict": {"weight": torch.ones(1)}}, checkpoint)
    found = page(run)
    assert "spectrum" not in {a.get("id") for _, a in found.elements}
    assert "Problem" not in found.text


def test_compared_runs_stand_beside_the_run_with_the_best_of_each_measure(tmp_path: Path) -> None:
    one = a_run(tmp_path / "one")
    config = (one / "config.yaml").read_text().replace("r1: 0.5", "r1: 3")
    two = a_run(tmp_path / "two", LOG.replace("60,80,,60,12.25", "60,40,,60,12"), config)
    found = page(one, two)
    rows = [" ".join(text.split()) for text in found.texts["tr"]]
    for row in ("fid/random ↓ 80 40", "psnr/real ↑ 12.25 12", "model.r1 0.5 3"):
        assert row in rows
    text = (one / "report.html").read_text()
    assert "<td>80</td><td><b>40</b></td>" in text
    assert "<td><b>12.25</b></td><td>12</td>" in text
    assert "<td>60</td><td>60</td>" in text
    chart = next(c for c in found.data["charts"] if c["name"] == "fid/random")
    assert [line["label"] for line in chart["lines"]] == ["one", "two"]
    assert [line["values"][-1] for line in chart["lines"]] == [80, 40]
    # the curve of the other run goes lower than the circle
    assert "Circle: the best value of one." in found.text
    alone = page(one)
    assert "Circle: the best value." in alone.text
    assert "Compared runs" not in alone.text
    assert all(len(chart["lines"]) == 1 for chart in alone.data["charts"])


def test_a_run_that_lacks_everything_has_a_page_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    found = page(tmp_path / "run")
    for words in (
        "Problem: config.yaml does not exist",
        "Nothing was measured.",
        "can only be started again",
        "doctoral thesis",
    ):
        assert words in found.text


def test_names_do_not_break_within_a_word_on_a_phone(tmp_path: Path) -> None:
    page(run := a_run(tmp_path / "a"))
    text = (run / "report.html").read_text()
    for name in (
        "fid/<wbr>random ↓",
        "latent/<wbr>active ",
        "model.<wbr>r1",
        "trainer.<wbr>max_<wbr>steps",
    ):
        assert f'<th scope="row">{name}</th>' in text


@pytest.mark.parametrize(("after", "said"), [(100.0, "500 ms"), (4000.0, "20 s")])
def test_the_time_of_an_iteration_is_in_milliseconds_or_in_seconds(
    after: float, said: str, tmp_path: Path
) -> None:
    run = a_run(tmp_path / "a")
    write_record(run, Training())
    record = read_record(run)
    assert record is not None
    os.utime(run / "checkpoints" / "last-step=200.ckpt", (record.started + after,) * 2)
    os.utime(run / "metrics.csv", (record.started + 1,) * 2)
    assert f"an iteration{said}, with evaluations" in page(run).text.replace(
        "an iteration ", "an iteration"
    )
